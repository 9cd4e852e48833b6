"""The store's clock is three hours ahead: signatures are corrected, a lock is refused."""
from scripted_server import Store


class Scenario(Store):
    clock_offset = 3 * 3600


def test(t):
    small = t.file(10)
    t.is_('without a lock', t.probe('put', 'k', small, '--mode', 'none').code, 0)
    t.is_('list', len(t.probe('list', '').json), 1)
    t.fails('under lock', t.probe('put', 'n', small, '--lock-seconds', 60), 10, 'no lock is asked for')
    t.is_('nothing was written', 'n' in t.store.versions, False)
    rows = t.probe('preflight').json
    t.is_('preflight says so', (rows.get('clocks agree', '')[:4], 'clocks agree' in str(rows.get('usable'))), ('no!:', True))
    t.store.clock_offset = 1200
    t.proved('twenty minutes are corrected, and the later clock counts', t.probe('put', 'm', small, '--lock-seconds', 60), 'locked')
