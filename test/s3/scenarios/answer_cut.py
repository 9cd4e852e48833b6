"""Answers that end in the middle: of an object, of a list, of Complete. (An upload whose id was lost on the way is left
to the sweep, which knows it by its key.)"""
from scripted_server import Store


class Scenario(Store):
    def after(self, request, answer):
        kind = request.method + ''.join(sorted(request.query))
        if len(answer.body) > 1 and request.method != 'HEAD' and 'uploads' not in request.query and self.first(kind):
            answer.cut = len(answer.body) // 2
        return answer


def test(t):
    big = t.file(12 << 20)
    t.proved('upload', t.probe('upload', 'k', big, '--lock-seconds', 60), 'locked')
    t.contents('k', big)
    got = t.probe('get', 'k', big + '.got')
    with open(big, 'rb') as sent, open(big + '.got', 'rb') as back:
        t.is_('read back', (got.code, sent.read() == back.read()), (0, True))
    t.is_('list', [o['key'] for o in t.probe('list', '').json], ['k'])
