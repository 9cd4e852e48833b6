"""Does not tell the time: nothing is locked until a date that may be wrong."""
from scripted_server import Store


class Scenario(Store):
    tells_time = False


def test(t):
    small = t.file(10)
    t.fails('under lock', t.probe('put', 'k', small, '--lock-seconds', 60), 10, 'does not say what time it is')
    t.is_('nothing was written', t.store.versions, {})
    t.is_('preflight says so', t.probe('preflight').json.get('clocks agree'), 'unknown: the store sends no date')
