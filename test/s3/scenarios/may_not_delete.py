"""Least privilege: no deletion at all, so that a refused one proves no lock."""
from scripted_server import Store, error


class Scenario(Store):
    def before(self, request):
        bypass = 'x-amz-bypass-governance-retention' in request.headers
        return error(403, 'AccessDenied') if bypass or request.method == 'DELETE' and 'versionId' in request.query else None


def test(t):
    rows = t.probe('preflight', '--depth', 'lock').json
    t.is_('not testable', rows.get('lock refuses deletion', '')[:22], 'unknown: not testable:')
    for right in ('delete versions', 'bypass governance', 'change the lock configuration'):
        t.is_(f'no right to {right}', rows.get(f'right to {right}'), 'no: 403 AccessDenied')
    t.is_('usable', rows.get('usable'), True)
    t.is_('probes leave no upload', len(t.store.uploads), 0)
