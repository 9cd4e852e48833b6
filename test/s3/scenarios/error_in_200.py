"""Complete answers 200 with an <Error> inside."""
from scripted_server import ERROR, Answer, Store


class Scenario(Store):
    code = 'InternalError'
    times = 2

    def before(self, request):
        if request.is_('POST', 'uploadId') and self.first(self.code, self.times):
            return Answer(200, ERROR.format(self.code, 'not today'))
        return None


def test(t):
    big = t.file(6 << 20)
    t.proved('tried again', t.probe('upload', 'k', big, '--lock-seconds', 60), 'locked')
    t.contents('k', big)
    t.store.code, t.store.times = 'AccessDenied', 1000
    t.fails('an error that stays', t.probe('upload', 'n', big), 1, '200 AccessDenied: not today')
    t.is_('and aborted', (len(t.store.uploads), 'n' in t.store.versions), (0, False))
    t.store.code, t.store.times = 'x', 0
    t.store.before = lambda request: Answer(200, '<html>welcome</html>') if request.is_('POST', 'uploadId') else None
    t.fails('a 200 that says nothing', t.probe('upload', 'n', big), 17, 'not that it did so')
