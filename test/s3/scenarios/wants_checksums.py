"""Takes writes under lock only with x-amz-checksum-sha256; its ETags are no MD5."""
from scripted_server import Store, error


class Scenario(Store):
    def before(self, request):
        if request.method == 'PUT' and 'x-amz-checksum-sha256' not in request.headers:
            return error(400, 'InvalidRequest')
        return None

    def get(self, request):
        answer = super().get(request)
        answer.headers['etag'] = '"opaque"'
        return answer


def test(t):
    t.proved('small', t.probe('put', 'k', t.file(10), '--lock-seconds', 3600), 'locked')
    t.proved('multipart', t.probe('upload', 'm', t.file(6 << 20), '--lock-seconds', 3600), 'locked')
