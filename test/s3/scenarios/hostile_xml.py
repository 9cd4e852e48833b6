"""Answers made to hurt: entities, files, depth, size, lists without an end."""
from scripted_server import Answer, Store

LAUGHS = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + ''.join(
    f'<!ENTITY a{i} "{"&a" + (str(i - 1) if i else "") + ";"}{"&a" + (str(i - 1) if i else "") + ";"}">' for i in range(40)) + ']>'
ROW = '<Contents><Key>k</Key><Size>1</Size></Contents>'


class Scenario(Store):
    text = ''

    def before(self, request):
        return Answer(200, self.text) if 'list-type' in request.query else None


def test(t):
    cases = {
        'entities': LAUGHS + '<ListBucketResult>&a39;</ListBucketResult>',
        'a file': '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><ListBucketResult><Contents><Key>&f;</Key><Size>1</Size></Contents></ListBucketResult>',
        'depth': '<a>' * 100000,
        'another document': '<html/>',
        'nothing': '',
        'no size': '<ListBucketResult><Contents><Key>k</Key></Contents></ListBucketResult>',
        'a negative size': '<ListBucketResult><Contents><Key>k</Key><Size>-1</Size></Contents></ListBucketResult>',
        'no end': f'<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken>{ROW}</ListBucketResult>',
    }
    for what, text in cases.items():
        t.store.text = text
        result = t.probe('list', '')
        t.fails(what, result, 17, 'corrupt')
        t.is_(f'{what}: nothing of this machine is shown', 'root:' in result.out + result.err, False)
    t.store.text = '<ListBucketResult>' + ' ' * (9 << 20) + '</ListBucketResult>'
    t.fails('giant', t.probe('list', ''), 17, 'too large')
