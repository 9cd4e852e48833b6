"""A limit of the bandwidth is kept: what is sent takes its time, whatever the store would take."""
import time

from scripted_server import Store


class Scenario(Store):
    pass


def test(t):
    big = t.file(1_000_000)
    begun = time.monotonic()
    t.proved('sent', t.probe('put', 'slow', big, '--bandwidth', 500_000, '--lock-seconds', 60), 'locked')
    # Two seconds, but for the first slice.
    t.is_('no faster than the limit', time.monotonic() - begun >= 1.5, True)
    t.contents('slow', big)
