"""The write happens, its answer never arrives."""
from scripted_server import Answer, Store


class Scenario(Store):
    def after(self, request, answer):
        put = request.is_('PUT')
        if (put or request.is_('POST', 'uploadId') or 'partNumber' in request.query) and self.first(str(request), 1):
            return Answer(reset=True)
        return answer


def test(t):
    small, big = t.file(1000, 'small'), t.file(12 << 20, 'big')
    t.proved('PUT', t.probe('put', 'small', small, '--lock-seconds', 60), 'locked')
    t.contents('small', small)
    t.proved('PUT that shall not overwrite', t.probe('put', 'absent', small, '--if-absent', '--lock-seconds', 60), 'locked')
    t.contents('absent', small)
    t.proved('parts and Complete', t.probe('upload', 'big', big, '--lock-seconds', 60), 'locked')
    t.contents('big', big)
