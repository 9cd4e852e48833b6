#!/usr/bin/python3
"""The independent client of the S3 tests, by Debian's python3-boto3. Prints what it finds; exit code 0 unless it broke.

  boto.py bucket NAME [locked]    make a bucket
  boto.py delete NAME KEY VERSION [bypass]   "204", or the error's code
  boto.py sha256 NAME KEY VERSION
  boto.py versions NAME KEY       how many there are
  boto.py names NAME PREFIX       the key of every version under it
  boto.py put NAME KEY FILE       prints the version
  boto.py get NAME KEY VERSION FILE
  boto.py hide NAME KEY           a delete marker over it
  boto.py uploads NAME            how many are unfinished
  boto.py retention NAME KEY VERSION
  boto.py legal-hold NAME KEY VERSION
  boto.py hold NAME KEY VERSION ON|OFF   sets it
  boto.py storage-class NAME KEY VERSION
  boto.py policy NAME FILE PREFIX DAYS USER   grants the policy of the documentation to a user
"""
import hashlib
import json
import os
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

command, bucket, *rest = sys.argv[1:]
s3 = boto3.client('s3', endpoint_url=os.environ['S3_TEST_ENDPOINT'], config=Config(s3={'addressing_style': 'path'}))
if command == 'bucket':
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket='locked' in rest)
elif command == 'delete':
    try:
        s3.delete_object(Bucket=bucket, Key=rest[0], VersionId=rest[1], **({'BypassGovernanceRetention': True} if 'bypass' in rest else {}))
        print(204)
    except ClientError as error:
        print(error.response['Error']['Code'])
elif command == 'sha256':
    print(hashlib.sha256(s3.get_object(Bucket=bucket, Key=rest[0], VersionId=rest[1])['Body'].read()).hexdigest())
elif command == 'versions':
    print(len([v for v in s3.list_object_versions(Bucket=bucket, Prefix=rest[0]).get('Versions', []) if v['Key'] == rest[0]]))
elif command == 'names':
    for page in s3.get_paginator('list_object_versions').paginate(Bucket=bucket, Prefix=rest[0]):
        for version in page.get('Versions', []):
            print(version['Key'])
elif command == 'put':
    with open(rest[1], 'rb') as file:
        print(s3.put_object(Bucket=bucket, Key=rest[0], Body=file.read())['VersionId'])
elif command == 'get':
    with open(rest[2], 'wb') as file:
        file.write(s3.get_object(Bucket=bucket, Key=rest[0], VersionId=rest[1])['Body'].read())
elif command == 'hide':
    s3.delete_object(Bucket=bucket, Key=rest[0])
elif command == 'uploads':
    print(len(s3.list_multipart_uploads(Bucket=bucket).get('Uploads', [])))
elif command == 'retention':
    found = s3.get_object_retention(Bucket=bucket, Key=rest[0], VersionId=rest[1])['Retention']
    print(found['Mode'], found['RetainUntilDate'].strftime('%Y-%m-%dT%H:%M:%S.000Z'))
elif command == 'legal-hold':
    print(s3.get_object_legal_hold(Bucket=bucket, Key=rest[0], VersionId=rest[1])['LegalHold']['Status'])
elif command == 'hold':
    s3.put_object_legal_hold(Bucket=bucket, Key=rest[0], VersionId=rest[1], LegalHold={'Status': rest[2]})
elif command == 'storage-class':
    print(s3.head_object(Bucket=bucket, Key=rest[0], VersionId=rest[1]).get('StorageClass', 'STANDARD'))
elif command == 'policy':
    with open(rest[0]) as file:
        text = file.read().replace('BUCKET', bucket).replace('PREFIX', rest[1]).replace('DAYS', rest[2])
    policy = json.loads(text)
    for statement in policy['Statement']:
        statement['Principal'] = {'AWS': ['arn:aws:iam:::user/' + rest[3]]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
