"""A multipart upload that was begun earlier and completed later lies under ours: told by its version id."""
from scripted_server import Store, Version


class Scenario(Store):
    def after(self, request, answer):
        if request.is_('POST', 'uploadId') and answer.status == 200 and self.first('planted'):
            self.versions[request.key].append(Version(b'planted'))
        return answer


def test(t):
    big = t.file(6 << 20)
    result = t.probe('upload', 'k', big, '--lock-seconds', 60, '--read-back')
    t.proved('proven for our own version', result, 'locked')
    t.is_('which is not the latest', t.store.versions['k'][0].id, result.json.get('version_id'))
