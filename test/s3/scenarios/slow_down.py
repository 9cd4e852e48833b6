"""A storm of SlowDown, and other answers that pass."""
from scripted_server import Store, error


class Scenario(Store):
    answers = [(503, 'SlowDown')] * 3 + [(500, 'InternalError'), (400, 'RequestTimeout'), (429, ''), (408, ''), (502, '')]

    def before(self, request):
        return error(*self.answers[self.count['storm'] - 1]) if self.first('storm', len(self.answers)) else None


def test(t):
    big = t.file(6 << 20)
    t.proved('weathered', t.probe('upload', 'k', big, '--lock-seconds', 60), 'locked')
    t.contents('k', big)
    t.store.before = lambda request: error(503, 'SlowDown')
    t.fails('not for ever', t.probe('list', 'k', '--deadline', 1), 12, '503 SlowDown')
    seen = len(t.store.seen)
    t.store.before = lambda request: error(403, 'AccessDenied', 'no')
    t.fails('what will not change', t.probe('list', 'k'), 25, '403 AccessDenied: no')
    t.is_('is asked once', len(t.store.seen) - seen, 1)
