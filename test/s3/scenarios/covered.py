"""Somebody writes over a backup, and puts a delete marker on top: the version still counts."""
from scripted_server import Store as Scenario
from scripted_server import Version


def test(t):
    path, other = t.file(1000, 'ours'), t.file(1000, 'other')
    ours = t.probe('put', 'run.sql.gz', path, '--lock-seconds', 60).json['version_id']
    t.is_('the same bytes are adopted', t.probe('decide', 'run', '.sql.gz', path).json.get('action'), 'adopt')
    t.store.add('run.sql.gz', Version(open(other, 'rb').read()), {})
    decision = t.probe('decide', 'run', '.sql.gz', path).json
    t.is_('others are not overwritten', (decision['action'], decision['key'][:4], decision['key'][-7:]), ('rename', 'run~', '.sql.gz'))
    t.store.add('run.sql.gz', Version(marker=True), {})
    t.is_('a delete marker hides nothing from its version', t.probe('get', 'run.sql.gz', path + '.back', '--version', ours).code, 0)
    with open(path, 'rb') as a, open(path + '.back', 'rb') as b:
        t.is_('byte for byte', a.read() == b.read(), True)
    versions = t.probe('versions', 'run').json
    t.is_('all are listed', [(v['delete_marker'], v['latest']) for v in versions], [(False, False), (False, False), (True, True)])
    t.is_('no size of the store\'s, no version: uploaded', t.probe('decide', 'none', '.sql.gz', path).json.get('action'), 'upload')
