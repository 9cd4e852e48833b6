#!/usr/bin/env python3
"""seals.py HELPER ROOT: what a seal has to be so that its artifact can be purged, lengthened, counted or recovered. Run as
root, which alone can make it something else."""
import fcntl
import glob
import json
import os
import time

from client import Vault, stamp
from lab import HELPER, LOG, ROOT, active, ask, attestation, configure, flag, put, refused, state_of

SEAL = 'user.immbackup.seal'


def reseal(path, old, new):
    """The record says something else, under the flag as before."""
    record = os.getxattr(path, SEAL)
    assert record.count(old) == 1, record
    flag('-i', path)
    os.setxattr(path, SEAL, record.replace(old, new))
    flag('+i', path)


def records_of_others():
    """A record counts for the file that it was made for, as that was sealed."""
    def rewritten(old, new):
        return lambda path: reseal(path, old, new)

    def unsealed(act):
        def do(path):
            flag('-i', path)
            act(path)
            flag('+i', path)
        return do
    tampered = []  # a stem, a kind, a size, an owner, a mode
    for act in (rewritten(b'.r ', b'.s '), rewritten(b'file=artifact', b'file=digest'), rewritten(b'size=1000', b'size=1001'),
                unsealed(lambda path: os.chown(path, 0, -1)), unsealed(lambda path: os.chmod(path, 0o640))):
        stem, _ = put(database='r')
        act(active(stem))
        tampered.append(stem)
    # The three agree, or what they say is nobody's word.
    apart, sealed = put(database='r')
    longer = stamp(time.time() + 86400)
    reseal(active(apart, '.sql.gz.manifest.json'), sealed['retain_until'].encode(), longer.encode())
    # What lies beside an artifact is about this one.
    stray, _ = put(database='r')
    with open(attestation(tampered[0])) as f, open('%s/records/%s.extended.1' % (ROOT, stray), 'w') as out:
        out.write(f.read())
    time.sleep(1.5)
    for stem in tampered:
        assert state_of(stem) == 'orphan', (stem, state_of(stem))
        refused('permission', 'is not sound', 'client', 'purge', stem=stem)
    assert state_of(apart) == 'orphan'
    refused('permission', 'sealed until ' + longer, 'client', 'purge', stem=apart)
    assert state_of(stray) == 'unknown'
    refused('permission', 'cannot be read', 'client', 'purge', stem=stray)


def lost_flags():
    stem, _ = put(database='t')
    time.sleep(1.5)
    flag('-i', active(stem))
    assert state_of(stem) == 'orphan'
    refused('permission', 'lost its flag', 'client', 'purge', stem=stem)
    assert ask('client', 'recover')['resealed'] == '1'
    assert state_of(stem) == 'sealed'
    # The kernel's time counts from then.
    configure('min_retention = 1h')
    refused('permission', 'too short a time ago', 'client', 'purge', stem=stem)
    configure('min_retention = 1s')
    time.sleep(1.2)
    ask('client', 'purge', stem=stem)
    # Said before and after, and by nobody else.
    with open(LOG) as f:
        last = [json.loads(line) for line in f.readlines()[-2:]]
    assert [(r['event'], r['origin'], r['body']['artifact']) for r in last] == [
        ('prune_intended', 'vault', stem), ('artifact_pruned', 'vault', stem)], last


def locks():
    """Nothing is removed while something is recovered or removed, and nothing recovered while something is published."""
    stem, _ = put(database='u')
    time.sleep(1.2)
    publication, removal = 1, 2
    with open(ROOT + '/records/lock', 'r+b') as f:
        fcntl.lockf(f, fcntl.LOCK_SH, 1, publication)
        refused('busy', 'in use', 'client', 'recover')
        fcntl.lockf(f, fcntl.LOCK_EX, 1, publication)
        refused('busy', 'in use', 'client', 'purge', stem=stem)
        fcntl.lockf(f, fcntl.LOCK_UN, 1, publication)
        fcntl.lockf(f, fcntl.LOCK_EX, 1, removal)
        refused('busy', 'in use', 'client', 'purge', stem=stem)
    ask('client', 'purge', stem=stem)


def names():
    """An artifact is of the database that its name says."""
    when = stamp(time.time() + 1)
    for database in ('b', 'globals', 'A'):
        refused('usage', 'database', 'client', 'put', stem='20260118T235959Z.a', database=database, retain_until=when)
    refused('usage', 'database', 'client', 'put', stem='20260118T235959Z', database='globals', retain_until=when)
    refused('permission', 'may not', 'operator', 'put', stem='20260118T235959Z.a', database='a', retain_until=when)


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
    # Each call by itself, and all of them together, reach so far and no further.
    stem, _ = put(database='g')
    for short, other in (('max_extension', 'max_retention'), ('max_retention', 'max_extension')):
        configure(short + ' = 1h', other + ' = 400d')
        refused('config', 'maximum', 'client', 'extend', stem=stem, retain_until=stamp(time.time() + 3660))
    configure('max_retention = 400d')
    begin = time.time() + 10
    for n in range(99):
        assert ask('client', 'extend', stem=stem, retain_until=stamp(begin + n / 1000))['changed'] == '1'
    refused('config', '99 times', 'client', 'extend', stem=stem, retain_until=stamp(begin + 1))
    # Of parts nobody knows what they are worth.
    stem, _ = put(database='g')
    flag('-i', active(stem, '.sql.gz.manifest.json'))
    os.unlink(active(stem, '.sql.gz.manifest.json'))
    refused('corrupt', 'not a whole artifact', 'client', 'extend', stem=stem, retain_until=stamp(begin + 1))


def versions():
    """An older helper never touches what it does not understand."""
    stem, _ = put(database='c')
    path = active(stem)
    record = os.getxattr(path, 'user.immbackup.seal')
    for text, state in ((b'2' + record[1:], 'unknown'), (b'2 colour=blue', 'unknown'), (record[:-1], 'orphan'), (None, 'orphan')):
        flag('-i', path)
        if text is None:
            os.removexattr(path, 'user.immbackup.seal')
        else:
            os.setxattr(path, 'user.immbackup.seal', text)
        flag('+i', path)
        time.sleep(1.2)
        assert state_of(stem) == state, (text, state_of(stem))
        words = 'of a newer version' if state == 'unknown' else 'is not sound'
        refused('permission', words, 'client', 'purge', stem=stem)
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
    for path in glob.glob(active(stem, '*')):
        flag('-i', path)
        os.unlink(path)
    assert state_of(stem) == 'missing'
    ask('client', 'recover')
    assert state_of(stem) == 'missing'


def parts_of_artifacts():
    """What was cut off before it was sealed is removed, each with a record of its own; but not what somebody holds."""
    stems = [put(database=d)[0] for d in 'mno']
    for stem in stems:
        for path in glob.glob(active(stem, '*')) + [attestation(stem)]:
            flag('-i', path)
        os.unlink(attestation(stem))
        os.unlink(active(stem, '.sql.gz.manifest.json'))
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


def newest():
    stems = [put(database='e')[0] for _ in range(3)]
    configure('keep_newest = 2')
    time.sleep(1.5)
    for stem in stems[1:]:
        refused('permission', 'newest 2', 'client', 'purge', stem=stem)
    ask('client', 'purge', stem=stems[0])
    refused('permission', 'newest 2', 'client', 'purge', stem=stems[1])
    # One that only lacks its attestation is a backup as well.
    flag('-i', attestation(stems[2]))
    os.unlink(attestation(stems[2]))
    assert state_of(stems[2]) == 'unattested'
    refused('permission', 'newest 2', 'client', 'purge', stem=stems[2])
    assert ask('client', 'recover')['completed'] == '1'
    configure('keep_newest = 0')
    for stem in stems[1:]:
        ask('client', 'purge', stem=stem)
    # Only what stands counts, and only of the same database.
    configure('keep_newest = 1')
    old, _ = put(database='p')
    put(database='q')
    time.sleep(1.5)
    refused('permission', 'newest 1', 'client', 'purge', stem=old)
    new, _ = put(database='p')
    flag('-i', active(new))
    os.unlink(active(new))
    refused('permission', 'newest 1', 'client', 'purge', stem=old)
    put(database='p')
    ask('client', 'purge', stem=old)
    configure('keep_newest = 0')


with Vault([HELPER]) as v:
    v.append('instance_created', b'{"instance":"x"}')
for rule in (names, records_of_others, lost_flags, locks, extensions, versions, parts_of_artifacts, newest):
    rule()
    print(rule.__name__, flush=True)
print('all rules hold')
