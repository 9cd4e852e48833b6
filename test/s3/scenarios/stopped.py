"""Takes a part and never answers, while whoever waits for the upload is stopped: it ends at once, not after the time-outs."""
from scripted_server import Answer, Store


class Scenario(Store):
    def before(self, request):
        return Answer(silent=True) if 'partNumber' in request.query else None


def test(t):
    big = t.file(12 << 20)
    # The runner's own patience is two minutes.
    t.fails('stopped', t.probe('upload', 'k', big, '--stall-timeout', 300, '--deadline', 600, '--cancel-when-begun'), 20, 'asked to stop')
    t.is_('and aborted', len(t.store.uploads), 0)
