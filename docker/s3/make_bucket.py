#!/usr/bin/env python3
"""make_bucket.py ENDPOINT BUCKET [lock]: makes a bucket, with Object Lock where asked for. Keys are in the environment."""
import datetime
import hashlib
import hmac
import http.client
import os
import sys

endpoint, bucket = sys.argv[1], sys.argv[2]
now = datetime.datetime.utcnow().strftime("%Y%m%dT%H%M%SZ")
scope = [now[:8], "us-east-1", "s3", "aws4_request"]
empty = hashlib.sha256(b"").hexdigest()
headers = {"host": endpoint.split("//")[1], "x-amz-content-sha256": empty, "x-amz-date": now}
if "lock" in sys.argv[3:]:
    headers["x-amz-bucket-object-lock-enabled"] = "true"
names = sorted(headers)
canonical = "\n".join(["PUT", "/" + bucket, "", *(name + ":" + headers[name] for name in names), "", ";".join(names), empty])
to_sign = "\n".join(["AWS4-HMAC-SHA256", now, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()])
key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
for part in scope + [to_sign]:
    key = hmac.new(key, part.encode(), hashlib.sha256).digest()
headers["authorization"] = "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
    os.environ["AWS_ACCESS_KEY_ID"], "/".join(scope), ";".join(names), key.hex())
connection = http.client.HTTPConnection(headers.pop("host"), timeout=30)
connection.request("PUT", "/" + bucket, body=b"", headers=headers)
answer = connection.getresponse()
if answer.status != 200:
    sys.exit("bucket %s: %d %s" % (bucket, answer.status, answer.read().decode()))
