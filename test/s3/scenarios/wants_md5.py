"""Takes writes under lock only with Content-MD5, and has never heard of checksums."""
from scripted_server import Store, error


class Scenario(Store):
    def before(self, request):
        if request.method == 'PUT' and 'content-md5' not in request.headers:
            return error(400, 'InvalidRequest', 'Content-MD5 HTTP header is required for Put Object requests with Object Lock parameters')
        return None

    def get(self, request):
        answer = super().get(request)
        answer.headers.pop('x-amz-checksum-sha256', None)
        return answer


def test(t):
    one = t.probe('put', 'k', t.file(10), '--lock-seconds', 3600)
    t.proved('small', one, 'locked')
    t.is_('content by ETag', one.json.get('content'), 'etag')
    two = t.probe('upload', 'm', t.file(6 << 20), '--lock-seconds', 3600)
    t.proved('multipart', two, 'locked')
    t.is_('content by ETag of parts', two.json.get('content'), 'etag')
