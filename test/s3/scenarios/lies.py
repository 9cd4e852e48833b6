"""200 to everything about locks, and holds nothing."""
from scripted_server import Store


class Scenario(Store):
    def take_headers(self, version, headers):
        super().take_headers(version, headers)
        version.mode = version.until = None

    def set_retention(self, version, mode, until):
        pass


def test(t):
    t.proved('small', t.probe('put', 'k', t.file(10), '--lock-seconds', 3600), 'unlocked')
    t.proved('multipart', t.probe('upload', 'm', t.file(6 << 20), '--lock-seconds', 3600), 'unlocked')
