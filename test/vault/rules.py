#!/usr/bin/env python3
"""rules.py HELPER ROOT: what the helper decides when something is not as usual. Run as root, which can make it so."""
import errno
import glob
import hashlib
import json
import os
import subprocess
import sys
import time

from client import Refused, Vault, stamp

HELPER, ROOT = sys.argv[1:3]
LOG, CLOCK, CONF = ROOT + '/logs/backup_audit.jsonl', ROOT + '/records/clock', '/etc/immbackup/vault.conf'
ROLES = {'client': ['setpriv', '--reuid', 'postgres', '--regid', 'postgres', '--init-groups'],
         'operator': ['setpriv', '--reuid', 'immop', '--regid', 'immops', '--init-groups'], 'root': []}
number = [0]


def ask(role, verb, **keys):
    with Vault(ROLES[role] + [HELPER]) as v:
        return v.ask(verb, **keys)


def put(size=1000, seconds=1, database='a'):
    number[0] += 1
    stem = time.strftime('%Y%m%dT%H%M%SZ.', time.gmtime(1768737600 + number[0])) + database
    with Vault(ROLES['client'] + [HELPER]) as v:
        accepted, sealed = v.put(stem, database, os.urandom(size), stamp(time.time() + seconds))
    return stem, sealed


def refused(code, words, role, verb, **keys):
    try:
        answer = ask(role, verb, **keys)
    except Refused as error:
        assert error.code == code and words in error.message, error
        return
    raise AssertionError('%s was granted: %s' % (verb, answer))


def state_of(stem):
    with Vault([HELPER]) as v:
        return next((i['state'] for _, i in v.list(stem=stem)), None)


def append(body=b'{}'):
    with Vault(ROLES['client'] + [HELPER]) as v:
        return v.append('tried', body)


def configure(*lines):
    kept = [line for line in open(CONF) if line.split('=')[0].strip() not in {x.split('=')[0].strip() for x in lines}]
    with open(CONF, 'w') as f:
        f.write(''.join(kept) + ''.join(x + '\n' for x in lines))


def torn_lines():
    """What a power cut leaves at the end of the log is explained, as docs/formats.md says."""
    for part in (b'{"seq":99,"ti', b'{"seq":99,"time":"x"}\n', b'\0' * 700, b'x' * 300000):
        size = os.path.getsize(LOG)
        with open(LOG, 'ab') as f:  # root may append, too
            f.write(part)
        append()
        with open(LOG, 'rb') as f:
            f.seek(size)
            rest = f.read()
        torn = part.rstrip(b'\n')
        want = b'"event":"log_torn","body":{"offset":%d,"bytes":%d,"sha256":"%s"}' % (
            size, len(torn), hashlib.sha256(torn).hexdigest().encode())
        if len(part) < 262144:
            assert rest.startswith(torn + b'\n') and want in rest, rest
        else:  # no write of ours can be so long: it stays a break for all to see, and the log goes on
            assert b'log_torn' not in rest and rest.count(b'"event":"tried"') == 1


def whole_record_without_newline():
    with open(LOG, 'rb') as f:
        lines = f.read().splitlines()
    subprocess.run(['chattr', '-a', LOG], check=True)
    os.truncate(LOG, os.path.getsize(LOG) - 1)
    subprocess.run(['chattr', '+a', LOG], check=True)
    answer = append()
    with open(LOG, 'rb') as f:
        after = f.read().splitlines()
    assert after[:-1] == lines and answer['hash'].encode() in after[-1]


def clock_rules():
    stem, _ = put()
    time.sleep(1.5)
    with open(CLOCK) as f:
        good = f.read()
    fields = dict(w.split('=') for w in good.split()[1:])

    def with_clock(**changes):
        with open(CLOCK, 'w') as f:
            words = ['%s=%s' % i for i in {**fields, **changes}.items() if i[0] != 'back']
            back = ['back=%s' % changes['back'] if w.startswith('forward=') else w for w in words] if 'back' in changes else words
            f.write('1 ' + ' '.join(back) + '\n')
    # A time in the future was seen once; then a jump within this boot, forward and back.
    day = 86400000
    for what, changes in (('behind the latest time', {'newest': int(fields['newest']) + 30 * day}),
                          ('set forward', {'wall': int(fields['wall']) - 30 * day}),
                          ('set back', {'wall': int(fields['wall']) + 30 * day, 'newest': fields['newest']})):
        with_clock(**changes)
        assert ask('client', 'status')['clock'] == 'blocked'
        refused('permission', 'clock', 'client', 'purge', stem=stem)
        refused('permission', 'clock', 'client', 'extend', stem=stem, retain_until=stamp(time.time() + 100))
        refused('permission', 'may not', 'client', 'accept-clock', actor='me')
        ask('operator', 'accept-clock', actor='op', reason='looked at NTP')
        assert ask('client', 'status')['clock'] == 'trusted', what
    # While the clock may be thirty days too early, a seal counts from the later time.
    with_clock(wall=int(fields['wall']) + 30 * day)
    _, sealed = put(database='b')
    assert sealed['retain_until'] > stamp(time.time() + 29 * 86400), sealed
    ask('operator', 'accept-clock', actor='op')
    # And where the two differ by more than the maximum allows, nothing is sealed for ever.
    with_clock(wall=int(fields['wall']) + 500 * day)
    try:
        put(database='b')
        raise AssertionError('sealed for 500 days')
    except Refused as error:
        assert error.code == 'config' and 'clock' in error.message, error
    ask('operator', 'accept-clock', actor='op')
    # After a restart some steady time must pass.
    with_clock(boot='another')
    assert ask('client', 'status')['clock'] == 'waiting'
    refused('permission', 'restarted', 'client', 'purge', stem=stem)
    ask('root', 'accept-clock', actor='root')
    for text in ('', 'nonsense\n', 'x' * 5000):
        with open(CLOCK, 'w') as f:
            f.write(text)
        refused('permission', 'restarted', 'client', 'purge', stem=stem)
        ask('root', 'accept-clock', actor='root')
    # Lost, as when a vault was copied: nobody knows what was seen of the clock before.
    os.remove(CLOCK)
    refused('permission', 'restarted', 'client', 'purge', stem=stem)
    ask('root', 'accept-clock', actor='root')
    # One sample without a name for the boot forgets no jump; nor is such a boot trusted for the one before.
    with_clock(boot='another', back=30 * day)
    with open(CLOCK) as f:
        text = f.read().replace('boot=another ', '')
    assert 'back=' in text
    with open(CLOCK, 'w') as f:
        f.write(text)
    refused('permission', 'set back', 'client', 'purge', stem=stem)
    ask('root', 'accept-clock', actor='root')
    ask('client', 'purge', stem=stem)


def full_disk():
    """What makes room works where there is none."""
    stem, _ = put(database='f')
    others, _ = put(database='f')
    append()  # so that the log has its reserve
    time.sleep(1.5)
    with open(CLOCK) as f:
        fields = dict(w.split('=') for w in f.read().split()[1:])
    # As if it had been kept two minutes ago: it would be kept anew.
    for key in ('wall', 'monotonic'):
        fields[key] = int(fields[key]) - 120000
    with open(CLOCK, 'w') as f:
        f.write('1 ' + ' '.join('%s=%s' % i for i in fields.items()) + '\n')
    filler = ROOT + '/filler'

    def fill():
        with open(filler, 'ab', buffering=0) as f:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        f.write(b'x' * size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC, error
    try:
        fill()
        ask('client', 'purge', stem=stem)
        # Nor is a restart forgotten there, or waited for in vain.
        with open(CLOCK, 'r+') as f:
            fields = dict(w.split('=') for w in f.read().split()[1:])
            f.seek(0)
            f.write('1 ' + ' '.join('%s=%s' % i for i in {**fields, 'boot': 'another'}.items()) + '\n')
            f.truncate()
        fill()
        refused('permission', 'restarted', 'client', 'purge', stem=others)
        with open(CLOCK) as f:
            assert 'another' not in f.read()
        ask('operator', 'accept-clock', actor='op')
        ask('client', 'purge', stem=others)
    finally:
        os.remove(filler)


def holds():
    stem, _ = put()
    assert ask('client', 'hold', stem=stem, actor='me', reason=json.dumps('a "lawsuit" \u00e4')[1:-1])['changed'] == '1'
    assert ask('operator', 'hold', stem=stem, actor='op')['changed'] == '0'
    time.sleep(1.5)
    refused('permission', 'held', 'client', 'purge', stem=stem)
    refused('permission', 'may not', 'client', 'release', stem=stem, actor='me')
    refused('permission', 'may not', 'operator', 'purge', stem=stem)
    assert ask('operator', 'release', stem=stem, actor='op')['changed'] == '1'
    assert ask('operator', 'release', stem=stem, actor='op')['changed'] == '0'
    ask('client', 'purge', stem=stem)


def extensions():
    stem, sealed = put(database='g')
    until = stamp(time.time() + 3600)
    assert ask('client', 'extend', stem=stem, retain_until=until)['retain_until'] == until
    assert ask('client', 'extend', stem=stem, retain_until=sealed['retain_until'])['changed'] == '0'
    refused('config', 'maximum', 'client', 'extend', stem=stem, retain_until=stamp(time.time() + 401 * 86400))
    refused('config', 'maximum', 'operator', 'extend', stem=stem, retain_until=stamp(time.time() + 401 * 86400))
    time.sleep(1.5)
    refused('permission', 'sealed until ' + until, 'client', 'purge', stem=stem)
    stem, sealed = put(database='g')
    until = stamp(time.time() + 2)
    for n in range(3):
        ask('client', 'extend', stem=stem, retain_until=stamp(time.time() + 2 + n / 10))
    time.sleep(2.3)
    ask('client', 'purge', stem=stem)
    assert stamp(time.time()) > until
    assert not glob.glob(ROOT + '/*/' + stem + '*')


def versions():
    """An older helper never touches what it does not understand."""
    stem, _ = put(database='c')
    path = '%s/active/%s.sql.gz' % (ROOT, stem)
    record = os.getxattr(path, 'user.immbackup.seal')
    for text, state in ((b'2' + record[1:], 'unknown'), (b'2 colour=blue', 'unknown'), (record[:-1], 'orphan'), (None, 'orphan')):
        subprocess.run(['chattr', '-i', path], check=True)
        if text is None:
            os.removexattr(path, 'user.immbackup.seal')
        else:
            os.setxattr(path, 'user.immbackup.seal', text)
        subprocess.run(['chattr', '+i', path], check=True)
        time.sleep(1.2)
        assert state_of(stem) == state, (text, state_of(stem))
        refused('permission', 'seal record', 'client', 'purge', stem=stem)
        ask('client', 'recover')
        assert os.path.exists(path)
    # A date that nobody can read is not over, and keeps neither list nor recovery nor status from all else.
    stem, _ = put(database='c')
    extension = '%s/records/%s.extended.1' % (ROOT, stem)
    for text in ('2 retain_until=1970-01-01T00:00:00.000Z\n', '2 ' + 'x' * 10000 + '\n', '', '\n', 'nonsense'):
        with open(extension, 'w') as f:
            f.write(text)
        time.sleep(1.2)
        refused('permission', 'cannot be read', 'client', 'purge', stem=stem)
        orphans = int(ask('client', 'recover')['orphans'])
        with Vault([HELPER]) as v:
            item = [i for w, i in v.list(stem=stem)][0]
        assert item['state'] == 'unknown' and item['retain_until'] == '9999-12-31T23:59:59.999Z', item
        ask('client', 'status')
        os.unlink(extension)
        assert int(ask('client', 'recover')['orphans']) == orphans - 1
    ask('client', 'purge', stem=stem)
    # What root removed is missing, and stays told.
    stem, _ = put(database='c', seconds=600)
    for path in glob.glob(ROOT + '/active/' + stem + '*'):
        subprocess.run(['chattr', '-i', path], check=True)
        os.unlink(path)
    assert state_of(stem) == 'missing'
    ask('client', 'recover')
    assert state_of(stem) == 'missing'


def recovery_goes_on():
    """An artifact that cannot be finished, as its content is not what its record says, keeps no other from being."""
    stems = [put(database=d)[0] for d in 'ij']
    for stem in stems:
        path = '%s/records/%s.sealed' % (ROOT, stem)
        subprocess.run(['chattr', '-i', path], check=True)
        os.unlink(path)
    path = '%s/active/%s.sql.gz' % (ROOT, stems[0])
    subprocess.run(['chattr', '-i', path], check=True)
    with open(path, 'r+b') as f:
        f.write(b'other')
    subprocess.run(['chattr', '+i', path], check=True)
    # Nor does a folder where a file should be.
    os.mkdir(ROOT + '/active/20260118T235959Z.k.sql.gz')
    answer = ask('client', 'recover')
    assert answer['completed'] == '1' and int(answer['orphans']) >= 2, answer
    assert [state_of(s) for s in stems] == ['unattested', 'sealed']
    with Vault([HELPER]) as v:
        states = {i['stem']: i['state'] for w, i in v.list() if w == 'artifact'}
        assert states['20260118T235959Z.k'] == 'unknown' and states[stems[1]] == 'sealed', states
        v.ask('status', full=1)
    os.rmdir(ROOT + '/active/20260118T235959Z.k.sql.gz')


def parts_of_artifacts():
    """What was cut off before it was sealed is removed, each with a record of its own; but not what somebody holds."""
    stems = [put(database=d)[0] for d in 'mno']
    for stem in stems:
        for path in glob.glob('%s/active/%s*' % (ROOT, stem)) + ['%s/records/%s.sealed' % (ROOT, stem)]:
            subprocess.run(['chattr', '-i', path], check=True)
        os.unlink('%s/records/%s.sealed' % (ROOT, stem))
        os.unlink('%s/active/%s.sql.gz.manifest.json' % (ROOT, stem))
    ask('client', 'hold', stem=stems[1], actor='me')

    def recover():
        with open(LOG) as f:
            before = len(f.readlines())
        answer = ask('client', 'recover')
        with open(LOG) as f:
            records = [json.loads(line) for line in f.readlines()[before:]]
        assert all(r['event'] == 'sweep' and r['origin'] == 'vault' for r in records), records
        return answer, [sorted(f['file'] for f in r['body']['removed']) for r in records]
    files = [['active/%s.sql.gz' % s, 'active/%s.sql.gz.sha256' % s] for s in stems]
    answer, removed = recover()
    assert answer['removed'] == '4' and removed == [files[0], files[2]], (answer, removed)
    assert [state_of(s) for s in stems] == [None, 'orphan', None]
    ask('operator', 'release', stem=stems[1], actor='op')
    answer, removed = recover()
    assert answer['removed'] == '2' and removed == [files[1]], (answer, removed)


def large_streams():
    """Read back range by range while it comes: every byte counts, wherever the ranges end."""
    for size in ((2 << 20) - 1, 2 << 20, (2 << 20) + 1, 10 << 20, (10 << 20) + 1, (21 << 20) + 123):
        number[0] += 1
        stem = time.strftime('%Y%m%dT%H%M%SZ.l', time.gmtime(1768737600 + number[0]))
        data = os.urandom(size)
        with Vault(ROLES['client'] + [HELPER]) as v:
            v.put(stem, 'l', data, stamp(time.time()))
        with open('%s/active/%s.sql.gz' % (ROOT, stem), 'rb') as f:
            assert f.read() == data, size
        with Vault(ROLES['client'] + [HELPER]) as v:
            v.ask('put', stem=stem + 'x', database='lx', retain_until=stamp(time.time()))
            v.data(data[:-1] + bytes([data[-1] ^ 1]))
            v.commit(data)
            try:
                v.answer()
                raise AssertionError('another byte was taken')
            except Refused as error:
                assert error.code == 'corrupt', error


def cut_off_removals():
    """Where all files are gone, the date of the attestation counts; and what was removed is recorded once."""
    for end in ('purge', 'recover'):
        stem, _ = put(database='h', seconds=4)
        for path in glob.glob(ROOT + '/active/' + stem + '*'):
            subprocess.run(['chattr', '-i', path], check=True)
            os.unlink(path)
        ask('client', 'recover')
        assert state_of(stem) == 'missing'
        refused('permission', 'sealed until', 'client', 'purge', stem=stem)
        time.sleep(4.2)
        if end == 'purge':
            assert ask('client', 'purge', stem=stem)['bytes'] == '0'
        else:
            ask('client', 'recover')
        refused('not_found', 'no artifact', 'client', 'purge', stem=stem)
        assert not glob.glob(ROOT + '/*/' + stem + '*')
        with open(LOG) as f:
            assert [json.loads(line)['origin'] for line in f if '"artifact_pruned"' in line and stem in line] == ['vault']


def quotas():
    used = int(ask('client', 'status')['used_bytes'])
    stem, _ = put(size=50000, database='d')
    configure('quota_bytes = %d' % (used + 60000))
    try:
        put(size=200000, database='d')
        raise AssertionError('beyond the quota')
    except Refused as error:
        assert error.code == 'no_space', error
    # What an open put has written counts: no second one comes in beside it. Nor can the log take its room.
    full = used
    used = int(ask('client', 'status')['used_bytes'])
    configure('quota_bytes = %d' % (used + 60000))
    with Vault(ROLES['client'] + [HELPER]) as v:
        keys = dict(database='d', retain_until=stamp(time.time() + 1))
        v.ask('put', stem='20260118T235958Z.d', **keys)
        v.data(b'x' * 50000)
        refused('busy', 'in use', 'client', 'put', stem='20260118T235957Z.d', **keys)
        for _ in range(10):
            append(b'{"a":"' + b'x' * 100000 + b'"}')
        v.commit(b'x' * 50000)
        v.answer()
        try:
            v.content(b'{"a":"' + b'x' * 20000 + b'"}')
            raise AssertionError('a manifest beyond the quota')
        except Refused as error:
            assert error.code == 'no_space', error
    assert int(ask('client', 'status')['used_bytes']) == used
    configure('quota_bytes = %d' % full)
    refused('no_space', 'quota', 'client', 'put', stem='20260118T235959Z.d', database='d', retain_until=stamp(time.time()))
    append()
    configure('quota_log = %d' % os.path.getsize(LOG))
    try:
        append()
        raise AssertionError('a record beyond the quota')
    except Refused as error:
        assert error.code == 'no_space', error
    time.sleep(1.5)
    ask('client', 'purge', stem=stem)  # whose records go beyond it
    configure('quota_log = 0', 'quota_bytes = 0', 'quota_files = 2')
    refused('no_space', 'quota', 'client', 'put', stem='20260118T235959Z.d', database='d', retain_until=stamp(time.time()))
    configure('quota_files = 0')


def newest():
    stems = [put(database='e')[0] for _ in range(3)]
    configure('keep_newest = 2')
    time.sleep(1.5)
    for stem in stems[1:]:
        refused('permission', 'newest 2', 'client', 'purge', stem=stem)
    ask('client', 'purge', stem=stems[0])
    refused('permission', 'newest 2', 'client', 'purge', stem=stems[1])
    # One that only lacks its attestation is a backup as well.
    attestation = '%s/records/%s.sealed' % (ROOT, stems[2])
    subprocess.run(['chattr', '-i', attestation], check=True)
    os.unlink(attestation)
    assert state_of(stems[2]) == 'unattested'
    refused('permission', 'newest 2', 'client', 'purge', stem=stems[2])
    assert ask('client', 'recover')['completed'] == '1'
    configure('keep_newest = 0')
    for stem in stems[1:]:
        ask('client', 'purge', stem=stem)


def a_shorter_configuration():
    """What was sealed under a longer minimum stays for as long."""
    configure('min_retention = 1h')
    stem, sealed = put(database='f')
    assert sealed['retain_until'] > stamp(time.time() + 3500)
    configure('min_retention = 1s')
    time.sleep(1.2)
    refused('permission', 'sealed until', 'client', 'purge', stem=stem)
    # And the other way round, the kernel's time counts: nothing that is younger than the minimum goes.
    stem, _ = put(database='f')
    configure('min_retention = 1h')
    time.sleep(1.2)
    refused('permission', 'too short a time ago', 'client', 'purge', stem=stem)
    configure('min_retention = 1s')


with Vault([HELPER]) as v:
    v.append('instance_created', b'{"instance":"x"}')
put()
for rule in (clock_rules, holds, extensions, versions, recovery_goes_on, parts_of_artifacts, large_streams, cut_off_removals, quotas, newest, full_disk, a_shorter_configuration, whole_record_without_newline, torn_lines):
    rule()
    print(rule.__name__, flush=True)
print('all rules hold')
