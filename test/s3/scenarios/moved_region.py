"""The bucket is in another region than the settings say."""
from scripted_server import Answer, Store


class Scenario(Store):
    region = 'eu-west-9'
    other = None

    def before(self, request):
        return self.other


def test(t):
    big = t.file(6 << 20)
    t.proved('signed anew', t.probe('upload', 'k', big, '--lock-seconds', 60), 'locked')
    rows = t.probe('preflight').json
    t.is_('preflight says so', rows.get('region'), 'no!: the bucket is in eu-west-9, not in us-east-1; requests go there')
    seen = len(t.store.seen)
    t.store.other = Answer(307, '', {'location': 'http://127.0.0.1:9/elsewhere'})
    t.fails('a redirect is not followed blindly', t.probe('put', 'n', t.file(1, 'n')), 1, 'answered 307')
    t.is_('once', len(t.store.seen) - seen, 1)
