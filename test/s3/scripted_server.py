"""An S3 server in memory whose answers a scenario can change, for what no real server here does.

It verifies every signature itself, and records what is wrong with a request: unsigned x-amz-*
headers, bodies without the digests that Object Lock needs, parts without their checksums. A
scenario (test/s3/scenarios/*.py) overrides methods of Store, or answers a request by itself.
"""
import base64
import hashlib
import hmac
import re
import socket
import struct
import threading
import uuid
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote
from xml.etree import ElementTree

ACCESS_KEY = 'SCRIPTEDACCESSKEY001'
SECRET_KEY = 'scriptedSecret/DoNotShow/0000000000000001'
EMPTY = hashlib.sha256(b'').hexdigest()
ERROR = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>{}</Message><RequestId>REQ1</RequestId></Error>'


class Answer:
    """What goes back. cut: only so many bytes of the body are sent; silent: none at all."""

    def __init__(self, status=200, body=b'', headers=None, cut=None, silent=False, reset=False):
        self.status, self.headers, self.cut, self.silent, self.reset = status, headers or {}, cut, silent, reset
        self.body = body.encode() if isinstance(body, str) else body


def error(status, code, message='', headers=None):
    return Answer(status, ERROR.format(code, message), headers)


class Request:
    def __init__(self, method, raw_path, headers, body):
        self.method, self.headers, self.body = method, headers, body
        self.path, _, query = raw_path.partition('?')
        self.query = {}
        for pair in filter(None, query.split('&')):
            name, _, value = pair.partition('=')
            self.query[unquote(name)] = unquote(value)
        parts = self.path.split('/', 2)
        self.key = unquote(parts[2]) if len(parts) > 2 else ''
        self.problems = []

    def is_(self, method, *query):
        return self.method == method and set(query) == {q for q in self.query if q in KINDS}

    def names_lock(self):
        return 'x-amz-object-lock-mode' in self.headers

    def __str__(self):
        return f'{self.method} {self.path} {self.query}'


KINDS = {'uploads', 'uploadId', 'partNumber', 'retention', 'legal-hold', 'object-lock', 'versioning', 'versions',
         'lifecycle', 'list-type'}


def sign(request, secret, date, scope, signed):
    canonical_query = '&'.join(sorted(quote(n, safe='-_.~') + '=' + quote(v, safe='-_.~') for n, v in request.query.items()))
    lines = ''.join(f'{name}:{" ".join(request.headers.get(name, "").split())}\n' for name in signed)
    canonical = '\n'.join([request.method, request.path, canonical_query, lines, ';'.join(signed),
                           request.headers.get('x-amz-content-sha256', '')])
    to_sign = '\n'.join(['AWS4-HMAC-SHA256', date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ('AWS4' + secret).encode()
    for part in scope.split('/'):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def inspect(request):
    """What is wrong with a request, whatever is answered to it."""
    found = re.fullmatch(r'AWS4-HMAC-SHA256 Credential=([^/]+)/(\S+),SignedHeaders=(\S+),Signature=([0-9a-f]{64})',
                         request.headers.get('authorization', ''))
    if not found:
        return ['no signature']
    problems = []
    signed = found[3].split(';')
    if sign(request, SECRET_KEY, request.headers.get('x-amz-date', ''), found[2], signed) != found[4]:
        problems.append('wrong signature')
    for name in ['host'] + [n for n in request.headers if n.startswith('x-amz-') or n in ('content-md5', 'if-none-match')]:
        if name not in signed:
            problems.append(f'{name} is not signed')
    if request.headers.get('x-amz-content-sha256') != hashlib.sha256(request.body).hexdigest():
        problems.append('x-amz-content-sha256 is not that of the body')
    if request.method == 'PUT':
        if request.headers.get('content-md5') != base64.b64encode(hashlib.md5(request.body).digest()).decode():
            problems.append('no right Content-MD5')
        if request.headers.get('x-amz-checksum-sha256') != base64.b64encode(hashlib.sha256(request.body).digest()).decode():
            problems.append('no right x-amz-checksum-sha256')
    if request.is_('POST', 'uploadId') and 'x-amz-checksum-sha256' in request.headers:
        problems.append('Complete has a checksum that would mean the object')
    if request.is_('POST', 'uploads') and request.headers.get('x-amz-checksum-algorithm') != 'SHA256':
        problems.append('the checksum algorithm is not declared')
    return problems


class Version:
    def __init__(self, body=b'', marker=False):
        self.id, self.body, self.marker = uuid.uuid4().hex, body, marker
        self.mode = self.until = None
        self.hold = False
        self.metadata, self.etag, self.checksum = {}, hashlib.md5(body).hexdigest(), base64.b64encode(hashlib.sha256(body).digest()).decode()


class Store:
    """A well-behaved store. Scenarios derive from it."""
    namespace = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    clock_offset = 0  # seconds
    tells_time = True
    region = None     # the only one whose signatures count

    def __init__(self):
        self.versions = {}  # key: [Version], the latest last
        self.uploads = {}   # id: (key, headers, {number: (etag, body)})
        self.lock = threading.RLock()
        self.seen = []
        self.count = {}

    # ---- for scenarios
    def first(self, name, times=1):
        """True the first so many times that it is called with this name."""
        self.count[name] = self.count.get(name, 0) + 1
        return self.count[name] <= times

    def before(self, request):
        """An Answer instead of doing anything; None: go on."""

    def after(self, request, answer):
        """What is sent instead of the answer, the request having been carried out."""
        return answer

    def now(self):
        return datetime.now(timezone.utc) + timedelta(seconds=self.clock_offset)

    # ---- the store
    def handle(self, request):
        with self.lock:
            request.problems = inspect(request)
            self.seen.append(request)
            answer = self.before(request) or self.refuse(request) or self.act(request)
            return self.after(request, answer)

    def refuse(self, request):
        if 'wrong signature' in request.problems or 'no signature' in request.problems:
            return error(403, 'SignatureDoesNotMatch')
        date = datetime.strptime(request.headers['x-amz-date'], '%Y%m%dT%H%M%SZ').replace(tzinfo=timezone.utc)
        if abs((date - self.now()).total_seconds()) > 900:
            return error(403, 'RequestTimeTooSkewed')
        if self.region and f'/{self.region}/s3/' not in request.headers['authorization']:
            return Answer(301, ERROR.format('PermanentRedirect', ''), {'x-amz-bucket-region': self.region})
        return None

    def act(self, request):
        if not request.key:
            return self.bucket(request)
        if request.is_('POST', 'uploads'):
            return self.initiate(request)
        if request.is_('PUT', 'partNumber', 'uploadId'):
            return self.part(request)
        if request.is_('POST', 'uploadId'):
            return self.complete(request)
        if request.is_('DELETE', 'uploadId'):
            return Answer(204) if self.uploads.pop(request.query['uploadId'], None) else error(404, 'NoSuchUpload')
        if 'retention' in request.query or 'legal-hold' in request.query:
            return self.lock_of(request)
        return {'PUT': self.put, 'GET': self.get, 'HEAD': self.get, 'DELETE': self.delete}[request.method](request)

    def bucket(self, request):
        ns = self.namespace
        if 'object-lock' in request.query:
            if request.method == 'PUT':
                return error(403, 'AccessDenied')
            return Answer(200, f'<ObjectLockConfiguration{ns}><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>')
        if 'versioning' in request.query:
            return Answer(200, f'<VersioningConfiguration{ns}><Status>Enabled</Status></VersioningConfiguration>')
        if 'lifecycle' in request.query:
            return error(404, 'NoSuchLifecycleConfiguration')
        if 'uploads' in request.query:
            rows = ''.join(f'<Upload><UploadId>{i}</UploadId><Key>{u[0]}</Key></Upload>' for i, u in self.uploads.items())
            return Answer(200, f'<ListMultipartUploadsResult{ns}>{rows}<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>')
        if 'versions' in request.query:
            rows = ''
            for key, versions in self.versions.items():
                for v in reversed(versions):
                    if key.startswith(request.query.get('prefix', '')):
                        kind = 'DeleteMarker' if v.marker else 'Version'
                        rows += (f'<{kind}><Size>{len(v.body)}</Size><VersionId>{v.id}</VersionId><Key>{quote(key)}</Key>'
                                 f'<IsLatest>{"true" if v is versions[-1] else "false"}</IsLatest></{kind}>')
            return Answer(200, f'<ListVersionsResult{ns}><EncodingType>url</EncodingType>{rows}</ListVersionsResult>')
        if 'list-type' in request.query:
            return self.list(request)
        return Answer(200)

    def list(self, request):
        """Two keys a page."""
        keys = sorted(k for k, v in self.versions.items() if not v[-1].marker and k.startswith(request.query.get('prefix', '')))
        keys = [k for k in keys if k > request.query.get('continuation-token', '')]
        rows = ''.join(f'<Contents><Key>{quote(k)}</Key><Size>{len(self.versions[k][-1].body)}</Size></Contents>' for k in keys[:2])
        more = f'<IsTruncated>true</IsTruncated><NextContinuationToken>{keys[1]}</NextContinuationToken>' if len(keys) > 2 else ''
        return Answer(200, f'<ListBucketResult{self.namespace}><EncodingType>url</EncodingType>{more}{rows}</ListBucketResult>')

    def take_headers(self, version, headers):
        version.metadata = {n: v for n, v in headers.items() if n.startswith('x-amz-meta-')}
        version.hold = headers.get('x-amz-object-lock-legal-hold') == 'ON'
        version.mode, version.until = headers.get('x-amz-object-lock-mode'), headers.get('x-amz-object-lock-retain-until-date')

    def add(self, key, version, headers):
        self.take_headers(version, headers)
        self.versions.setdefault(key, []).append(version)
        return version

    def exists(self, key):
        return key in self.versions and not self.versions[key][-1].marker

    def put(self, request):
        if request.headers.get('if-none-match') == '*' and self.exists(request.key):
            return error(412, 'PreconditionFailed')
        version = self.add(request.key, Version(request.body), request.headers)
        return Answer(200, b'', {'x-amz-version-id': version.id, 'etag': f'"{version.etag}"'})

    def initiate(self, request):
        upload = uuid.uuid4().hex
        self.uploads[upload] = (request.key, dict(request.headers), {})
        return Answer(200, f'<InitiateMultipartUploadResult{self.namespace}><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>')

    def part(self, request):
        if request.query['uploadId'] not in self.uploads:
            return error(404, 'NoSuchUpload')
        etag = f'"{hashlib.md5(request.body).hexdigest()}"'
        self.uploads[request.query['uploadId']][2][int(request.query['partNumber'])] = (etag, request.body)
        return Answer(200, b'', {'etag': etag})

    def complete(self, request):
        upload = self.uploads.get(request.query['uploadId'])
        if not upload:
            return error(404, 'NoSuchUpload')
        if request.headers.get('if-none-match') == '*' and self.exists(upload[0]):
            return error(412, 'PreconditionFailed')
        body, md5s, sha256s = b'', b'', b''
        parts = list(ElementTree.fromstring(request.body))
        for i, node in enumerate(parts):
            named = {child.tag.split('}')[-1]: child.text for child in node}
            etag, content = upload[2].get(int(named['PartNumber']), (None, b''))
            checksum = hashlib.sha256(content).digest()
            if etag != named['ETag'] or i + 1 != int(named['PartNumber']):
                return error(400, 'InvalidPart')
            if named.get('ChecksumSHA256') != base64.b64encode(checksum).decode():
                request.problems.append('Complete does not repeat the checksum of a part')
            if i + 1 < len(parts) and len(content) < 5 << 20:
                return error(400, 'EntityTooSmall')
            body, md5s, sha256s = body + content, md5s + hashlib.md5(content).digest(), sha256s + checksum
        del self.uploads[request.query['uploadId']]
        version = Version(body)
        version.etag = f'{hashlib.md5(md5s).hexdigest()}-{len(parts)}'
        version.checksum = f'{base64.b64encode(hashlib.sha256(sha256s).digest()).decode()}-{len(parts)}'
        self.add(upload[0], version, upload[1])
        return Answer(200, f'<?xml version="1.0"?>\n<CompleteMultipartUploadResult{self.namespace}><ETag>"{version.etag}"</ETag>'
                           '</CompleteMultipartUploadResult>', {'x-amz-version-id': version.id})

    def find(self, request):
        versions = self.versions.get(request.key, [])
        wanted = request.query.get('versionId')
        return next((v for v in reversed(versions) if wanted in (None, v.id)), None)

    def get(self, request):
        version = self.find(request)
        if not version or version.marker:
            return error(404, 'NoSuchKey')
        headers = {'x-amz-version-id': version.id, 'etag': f'"{version.etag}"', **version.metadata}
        if request.headers.get('x-amz-checksum-mode') == 'ENABLED':
            headers['x-amz-checksum-sha256'] = version.checksum
        if version.mode:
            headers['x-amz-object-lock-mode'], headers['x-amz-object-lock-retain-until-date'] = version.mode, version.until
        wanted = re.fullmatch(r'bytes=(\d+)-(\d+)', request.headers.get('range', ''))
        if not wanted:
            return Answer(200, version.body, headers)
        first, last = int(wanted[1]), min(int(wanted[2]), len(version.body) - 1)
        headers['content-range'] = f'bytes {first}-{last}/{len(version.body)}'
        return Answer(206, version.body[first:last + 1], headers)

    def delete(self, request):
        version = self.find(request)
        if version and version.mode:
            return error(403, 'AccessDenied')
        if version:
            self.versions[request.key].remove(version)
        return Answer(204)

    def lock_of(self, request):
        version = self.find(request)
        if not version:
            return error(404, 'NoSuchKey')
        named = {c.tag.split('}')[-1]: c.text for c in ElementTree.fromstring(request.body)} if request.body else {}
        if 'legal-hold' in request.query:
            if request.method == 'PUT':
                version.hold = named['Status'] == 'ON'
                return Answer(200)
            return Answer(200, f'<LegalHold{self.namespace}><Status>{"ON" if version.hold else "OFF"}</Status></LegalHold>')
        if request.method == 'PUT':
            self.set_retention(version, named['Mode'], named['RetainUntilDate'])
            return Answer(200)
        if not version.mode:
            return error(404, 'NoSuchObjectLockConfiguration')
        return Answer(200, f'<Retention{self.namespace}><RetainUntilDate>{version.until}</RetainUntilDate><Mode>{version.mode}</Mode></Retention>')

    def set_retention(self, version, mode, until):
        version.mode, version.until = mode, until


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *arguments):
        pass

    def serve(self):
        store = self.server.store
        length = int(self.headers.get('content-length', 0))
        break_at = getattr(store, 'break_body', lambda *a: None)(self.command, self.path, length)
        if break_at is not None:
            self.rfile.read(break_at)
            return self.reset()
        body = self.rfile.read(length)
        if len(body) < length:  # given up by the client
            return self.reset()
        answer = store.handle(Request(self.command, self.path, {n.lower(): v for n, v in self.headers.items()}, body))
        if answer.silent:
            self.server.released.wait()
            return self.reset()
        if answer.reset:
            return self.reset()
        self.send_response_only(answer.status)
        if store.tells_time:
            self.send_header('Date', format_datetime(store.now(), usegmt=True))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header('Content-Length', str(len(answer.body)))
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(answer.body[:answer.cut])
        if answer.cut is not None:
            self.wfile.flush()
            self.close_connection = True
        return None

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.close_connection = True
        self.connection.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

    def finish(self):
        try:
            super().finish()
        except (OSError, ValueError):
            pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, store):
        super().__init__(('127.0.0.1', 0), Handler)
        self.store = store
        self.released = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, kwargs={'poll_interval': 0.02})
        self.thread.start()

    def handle_error(self, request, client_address):
        import sys
        kind = sys.exc_info()[0]
        if kind and not issubclass(kind, (OSError, ValueError)):
            super().handle_error(request, client_address)

    def stop(self):
        self.released.set()
        self.shutdown()
        self.server_close()
        self.thread.join()
