"""The connection breaks in the middle of a part."""
from scripted_server import Store


class Scenario(Store):
    def break_body(self, method, path, length):
        with self.lock:
            return length // 2 if 'partNumber' in path and self.first('reset', 3) else None


def test(t):
    big = t.file(12 << 20)
    t.proved('sent again from the file', t.probe('upload', 'k', big, '--grow', 9, '--lock-seconds', 60), 'locked')
    t.contents('k', big)
