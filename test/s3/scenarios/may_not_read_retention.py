"""The lock is there, but these credentials may not read it back."""
from scripted_server import Store, error


class Scenario(Store):
    def before(self, request):
        return error(403, 'AccessDenied') if request.is_('GET', 'retention') else None


def test(t):
    t.proved('unproven', t.probe('put', 'k', t.file(10), '--lock-seconds', 3600), 'unproven')
    t.is_('preflight says so', t.probe('preflight').json.get('right to read retention'), 'no!')
