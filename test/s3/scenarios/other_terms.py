"""Locks, but otherwise than asked: weaker, wrapped around, or for a century."""
from scripted_server import Store


class Scenario(Store):
    terms = ('GOVERNANCE', None)

    def set_retention(self, version, mode, until):
        version.mode, version.until = self.terms[0] or mode, self.terms[1] or until

    def take_headers(self, version, headers):
        super().take_headers(version, headers)
        self.set_retention(version, version.mode, version.until)


def test(t):
    small = t.file(10)
    for terms, state in ((('GOVERNANCE', None), 'unlocked'), ((None, '1970-01-01T00:00:00.000Z'), 'unlocked'),
                         ((None, '2199-01-01T00:00:00.000000000Z'), 'unproven')):
        t.store.terms = terms
        t.proved(f'{terms}', t.probe('put', 'k', small, '--lock-seconds', 60), state)
