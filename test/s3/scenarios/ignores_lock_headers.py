"""200 to lock headers, and no lock; PUT ?retention works: caught and mended."""
from scripted_server import Store


class Scenario(Store):
    def take_headers(self, version, headers):
        super().take_headers(version, headers)
        version.mode = version.until = None


def test(t):
    t.proved('small', t.probe('put', 'k', t.file(10), '--lock-seconds', 3600), 'locked', 'added')
    t.proved('multipart', t.probe('upload', 'm', t.file(6 << 20), '--lock-seconds', 3600), 'locked', 'added')
