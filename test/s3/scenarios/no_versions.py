"""A bucket without versions holds nothing, whatever it answers."""
from scripted_server import Answer, Store


class Scenario(Store):
    def before(self, request):
        return Answer(200, '<VersioningConfiguration/>') if 'versioning' in request.query else None

    def after(self, request, answer):
        answer.headers.pop('x-amz-version-id', None)
        return answer


def test(t):
    t.proved('unlocked', t.probe('put', 'k', t.file(10), '--lock-seconds', 60), 'unlocked')
    t.is_('preflight refuses', t.probe('preflight').json.get('usable'), 'S3 cannot be used: versioning: no (never enabled)')
