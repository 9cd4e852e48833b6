"""Stores other bytes than it was sent."""
from scripted_server import Store, Version


class Scenario(Store):
    def add(self, key, version, headers):
        return super().add(key, Version(self.damage(version.body)), headers)

    def damage(self, body):
        return body[:-1] + bytes([body[-1] ^ 1])


def test(t):
    t.fails('other bytes', t.probe('put', 'k', t.file(10), '--lock-seconds', 60), 17, 'is not what was sent')
    t.store.damage = lambda body: body[:-1]
    t.fails('fewer bytes', t.probe('put', 'n', t.file(10), '--lock-seconds', 60), 17, '9 bytes instead of 10')
