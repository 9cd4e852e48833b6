"""Takes a request and never answers: the stall limit ends it, and it is tried again."""
from scripted_server import Answer, Store


class Scenario(Store):
    def before(self, request):
        return Answer(silent=True) if request.is_('PUT') and self.first('hang') else None


def test(t):
    small = t.file(10)
    t.proved('tried again', t.probe('put', 'k', small, '--stall-timeout', 1, '--lock-seconds', 60), 'locked')
    t.contents('k', small)
