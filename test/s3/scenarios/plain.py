"""A store that does what it should."""
from scripted_server import Store as Scenario  # noqa: F401


def test(t):
    small, big, empty = t.file(1000, 'small'), t.file(12 << 20, 'big'), t.file(0, 'empty')
    one = t.probe('put', 'backups/a b+c//d%41.sql.gz', small, '--lock-seconds', 3600)
    t.proved('small, under an awkward key', one, 'locked', 'written')
    t.is_('content by checksum', one.json.get('content'), 'checksum')
    t.contents('backups/a b+c//d%41.sql.gz', small)
    two = t.probe('upload', 'backups/big', big, '--grow', 50, '--lock-seconds', 3600, '--hold', '--read-back')
    t.proved('multipart', two, 'locked', 'written')
    t.is_('three parts, by checksum, on hold', [two.json.get(n) for n in ('parts', 'content', 'legal_hold')], [3, 'checksum', True])
    t.contents('backups/big', big)
    t.proved('empty', t.probe('upload', 'backups/empty', empty, '--lock-seconds', 60), 'locked')
    exact = t.file(5 << 20, 'exact')
    three = t.probe('upload', 'backups/exact', exact, '--grow', 3, '--lock-seconds', 60)
    t.is_('one part exactly is a single PUT', (three.json.get('state'), three.json.get('uploads')), ('locked', []))
    t.is_('lists go on over pages', [o['key'] for o in t.probe('list', 'backups/').json], sorted(t.store.versions))
    t.is_('given up, nothing is left', (t.probe('upload', 'backups/no', big, '--give-up').code, len(t.store.uploads)), (0, 0))
    t.is_('slowly, too', t.probe('upload', 'backups/slow', big, '--bandwidth', 64 << 20, '--lock-seconds', 60).json.get('state'), 'locked')
