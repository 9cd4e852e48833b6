"""Takes at most three parts."""
from scripted_server import Store, error


class Scenario(Store):
    def before(self, request):
        if int(request.query.get('partNumber', 0)) > 3:
            return error(400, 'InvalidArgument', 'Part number must be an integer between 1 and 3')
        return None


def test(t):
    big = t.file(30 << 20, 'big')
    t.proved('parts grow', t.probe('upload', 'k', big, '--max-parts', 3, '--lock-seconds', 60), 'locked')
    t.contents('k', big)
    t.fails('too many', t.probe('upload', 'n', big, '--max-parts', 10000), 1, 'Part number must be')
    t.fails('too large for the plan', t.probe('upload', 'n', big, '--max-parts', 2), 1, 'does not fit into 2 parts')
    t.is_('and aborted', len(t.store.uploads), 0)
