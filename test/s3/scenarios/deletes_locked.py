"""Says that it is locked, and deletes all the same: only a probe tells."""
from scripted_server import Answer, Store


class Scenario(Store):
    def delete(self, request):
        version = self.find(request)
        if version:
            self.versions[request.key].remove(version)
        return Answer(204)


def test(t):
    rows = t.probe('preflight', '--depth', 'lock').json
    t.is_('the probe finds it', rows.get('lock refuses deletion'), 'no!: the store deleted a locked version')
