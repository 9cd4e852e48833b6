"""A key that exists is not overwritten."""
from scripted_server import Store as Scenario
from scripted_server import Version


def test(t):
    t.store.add('k', Version(b'theirs'), {})
    t.fails('small', t.probe('put', 'k', t.file(10), '--if-absent'), 24, '412 PreconditionFailed')
    t.fails('multipart', t.probe('upload', 'k', t.file(6 << 20), '--if-absent'), 24, '412 PreconditionFailed')
    t.is_('still theirs', [v.body for v in t.store.versions['k']], [b'theirs'])
    t.is_('and no upload left', len(t.store.uploads), 0)
