"""XML with another namespace and with prefixes."""
from scripted_server import Store


class Scenario(Store):
    namespace = ' xmlns="http://other.example/doc"'


def test(t):
    t.proved('small', t.probe('put', 'k', t.file(10), '--lock-seconds', 60), 'locked')
    t.proved('multipart', t.probe('upload', 'm', t.file(6 << 20), '--lock-seconds', 60), 'locked')
    t.is_('list', len(t.probe('list', '').json), 2)
