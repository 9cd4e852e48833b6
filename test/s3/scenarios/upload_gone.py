"""Complete says that there is no such upload, or that it is in conflict: begun anew from the file."""
from scripted_server import Store, error


class Scenario(Store):
    answer = error(404, 'NoSuchUpload')

    def before(self, request):
        if request.is_('POST', 'uploadId') and self.first(self.answer.status):
            return self.answer
        return None


def test(t):
    big = t.file(6 << 20)
    for status, code in ((404, 'NoSuchUpload'), (409, 'ConditionalRequestConflict')):
        t.store.answer = error(status, code)
        result = t.probe('upload', f'k{status}', big, '--lock-seconds', 60)
        t.proved(code, result, 'locked')
        t.is_('two uploads, both recorded', len(result.json.get('uploads', [])), 2)
        t.contents(f'k{status}', big)
