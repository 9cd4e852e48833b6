#!/usr/bin/env python3
"""rules.py HELPER ROOT: what the helper decides when something is not as usual. Run as root, which can make it so."""
import errno
import glob
import hashlib
import json
import os
import pwd
import shutil
import subprocess
import time

from client import Refused, Vault, stamp
from lab import CLOCK, CONF, HELPER, LOG, ROLES, ROOT, append, ask, configure, flag, number, put, refused, state_of


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


def a_changed_line_behind_a_torn_one():
    """Not all of it is torn: nothing is explained away, and the log goes on behind it."""
    with open(LOG, 'rb') as f:
        changed = f.read().splitlines()[-1].replace(b'"origin":"', b'"origin":"x')
    append()
    size = os.path.getsize(LOG)
    with open(LOG, 'ab') as f:
        f.write(b'{"seq":99,"ti\n' + changed + b'\n')
    append()
    with open(LOG, 'rb') as f:
        f.seek(size)
        rest = f.read().splitlines()
    assert len(rest) == 3 and b'"event":"tried"' in rest[2], rest


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


def what_a_caller_prepared():
    """Nothing of it is left when the helper speaks."""
    run = ROLES['client'] + ['prlimit', '--core=1000000:1000000', HELPER]
    with open(ROOT + '/extra', 'w') as extra:
        with Vault(run, pass_fds=(extra.fileno(),), umask=0, cwd=ROOT) as v:
            v.ask('status')
            proc = '/proc/%d/' % v.child.pid
            with open(proc + 'status') as f:
                status = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
            with open(proc + 'limits') as f:
                core = [line.split()[4:6] for line in f if line.startswith('Max core file size')]
            assert set(status['Uid'].split()) == {str(pwd.getpwnam('immvault').pw_uid)}, status['Uid']
            assert int(status['CapPrm'], 16) == 1 << 9 and int(status['CapEff'], 16) == 0, status['CapPrm']
            assert status['NoNewPrivs'] == '1' and status['Umask'] == '0077', status
            assert all(int(status['SigBlk'], 16) >> (s - 1) & 1 for s in (1, 2, 13, 14, 15, 25)), status['SigBlk']
            assert core == [['0', '0']] and os.readlink(proc + 'cwd') == '/', core
            assert os.stat(proc + 'environ').st_uid == 0  # not dumpable
            assert extra.name not in [os.readlink(proc + 'fd/' + fd) for fd in os.listdir(proc + 'fd')]
    os.unlink(extra.name)
    # Nor does a caller say where the configuration is.
    serve = [HELPER, 'serve', '--socket', '/tmp/immbackup-vault.test', '--config', CONF]
    assert subprocess.run(ROLES['client'] + serve, stderr=subprocess.DEVNULL, timeout=20).returncode == 2


def no_set_uid():
    """The capability alone makes nobody the vault's user, and does not stay; and set-uid root is nothing at all."""
    copy = HELPER + '.plain'
    shutil.copyfile(HELPER, copy)
    os.chmod(copy, 0o755)
    subprocess.run(['setcap', 'cap_linux_immutable+p', copy], check=True)
    as_root = HELPER + '.root'
    shutil.copyfile(HELPER, as_root)
    os.chmod(as_root, 0o4755)
    done = subprocess.run(ROLES['client'] + [as_root], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert done.returncode == 1 and not done.stdout, done
    os.unlink(as_root)
    for reason in ('does not run as', 'vault.conf'):
        with Vault(ROLES['client'] + [copy]) as v:
            answer = v.ask('status')
            assert answer['level'] == 'none' and reason in answer['reason'], answer
            with open('/proc/%d/status' % v.child.pid) as f:
                held = [line.split()[1] for line in f if line.startswith('CapPrm')]
            assert int(held[0], 16) == 0, held
        if os.path.exists(CONF):
            os.rename(CONF, CONF + '.away')
    os.rename(CONF + '.away', CONF)
    os.unlink(copy)


def a_log_of_somebody_else():
    for undo, act in ((lambda: shutil.chown(LOG, 'immvault'), lambda: os.chown(LOG, 0, -1)),
                      (lambda: os.chmod(LOG, 0o640), lambda: os.chmod(LOG, 0o660))):
        flag('-a', LOG)
        act()
        try:
            append()
            raise AssertionError('taken into the log of somebody else')
        except Refused as error:
            assert error.code in ('audit', 'permission'), error
        undo()
        append()  # which gives it its flag again


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
    # Nor while it may be thirty days too late: the maximum counts from the earlier time.
    with_clock(wall=int(fields['wall']) - 30 * day)
    refused('config', 'the clock was set forward', 'client', 'put', stem='20260118T235959Z.b', database='b',
            retain_until=stamp(time.time() + 390 * 86400))
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
    # Who cannot lift its flag does not say that it is released.
    size = os.path.getsize(LOG)
    with Vault(ROLES['operator'] + ['--bounding-set', '-linux_immutable', HELPER]) as v:
        try:
            v.ask('release', stem=stem, actor='op')
            raise AssertionError('released under its flag')
        except Refused as error:
            assert error.code == 'permission' and 'cannot be lifted' in error.message, error
    assert os.path.getsize(LOG) == size
    assert ask('operator', 'release', stem=stem, actor='op')['changed'] == '1'
    assert ask('operator', 'release', stem=stem, actor='op')['changed'] == '0'
    ask('client', 'purge', stem=stem)


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


# Before the first record of the log nothing is taken; and there is one first record.
refused('audit', 'no audit log yet', 'client', 'put', stem='20260118T120000Z.a', database='a', retain_until=stamp(time.time()))
for event, code in (('tried', 'audit'), ('instance_created', None), ('instance_created', 'exists')):
    try:
        with Vault([HELPER]) as v:
            v.append(event, b'{"instance":"x"}')
        assert code is None, event
    except Refused as error:
        assert error.code == code, error
put()
for rule in (clock_rules, holds, recovery_goes_on, large_streams, cut_off_removals, quotas, full_disk, a_shorter_configuration, whole_record_without_newline, torn_lines, a_changed_line_behind_a_torn_one, a_log_of_somebody_else, what_a_caller_prepared, no_set_uid):
    rule()
    print(rule.__name__, flush=True)
print('all rules hold')
