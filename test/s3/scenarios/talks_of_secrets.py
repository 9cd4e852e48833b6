"""Repeats the secret in its error: what reaches a log has none."""
from scripted_server import SECRET_KEY, Store, error


class Scenario(Store):
    def before(self, request):
        return error(403, 'AccessDenied', f'your key {SECRET_KEY} and\nyour header {request.headers["authorization"]}')


def test(t):
    result = t.probe('list', '')
    t.fails('redacted, in one line, with the request\'s id', result, 25, '<redacted> and your header')
    t.is_('id', 'REQ1' in result.err, True)
