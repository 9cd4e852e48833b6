"""HEAD repeats the lock headers of the PUT, GET ?retention knows nothing of them."""
from scripted_server import Store, error


class Scenario(Store):
    def before(self, request):
        return error(404, 'ObjectLockConfigurationNotFoundError') if request.is_('GET', 'retention') else None


def test(t):
    t.proved('an echo is no proof', t.probe('put', 'k', t.file(10), '--lock-seconds', 3600), 'unlocked')
