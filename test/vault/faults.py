#!/usr/bin/env python3
"""faults.py HELPER ROOT: kills the helper at each of its system calls that change something, and looks at what is left.

Run as root: the helper runs for the client under strace, which kills it at the n-th call of a kind. Afterwards nothing
may be attested that is not whole; recover leaves only whole artifacts; and what was to be done can be done again.
"""
import glob
import hashlib
import os
import subprocess
import sys
import time

from client import Gone, Refused, Vault, stamp

HELPER, ROOT = sys.argv[1:3]
ACTIVE, RECORDS = ROOT + '/active', ROOT + '/records'
CLIENT = ['setpriv', '--reuid', 'postgres', '--regid', 'postgres', '--init-groups']
kills = failures = 0
data = os.urandom(100000)
clock = [0]


def client(call=None, when=0):
    trace = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=' + call,
             '-e', 'inject=%s:signal=KILL:when=%d' % (call, when)] if call else []
    return Vault(trace + CLIENT + [HELPER])


def new_stem():
    clock[0] += 1
    return time.strftime('%Y%m%dT%H%M%SZ.x', time.gmtime(1768737600 + clock[0]))


def fail(what):
    global failures
    failures += 1
    print('FAILURE: ' + what, flush=True)


def sha(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


def check_attested(what):
    """Before any recovery: what is attested is whole, sealed and true."""
    for path in glob.glob(RECORDS + '/*.sealed'):
        stem = os.path.basename(path)[:-len('.sealed')]
        with open(path) as f:
            fields = dict(w.split('=', 1) for w in f.read().split()[1:])
        artifact = '%s/%s.sql.gz' % (ACTIVE, stem)
        names = [artifact, artifact + '.sha256', artifact + '.manifest.json']
        there = [n for n in names if os.path.exists(n)]
        if what.startswith('put') and (len(there) != 3 or sha(artifact) != fields['sha256']):
            fail('%s: %s is attested and not whole' % (what, stem))


def check_recovered(what, stem):
    with client() as v:
        v.ask('recover')
        states = {i['stem']: i['state'] for w, i in v.list() if w == 'artifact'}
        foreign = [i for w, i in v.list() if w == 'foreign']
    # All files of what was being removed can be gone before the log says so.
    if foreign or any(s not in ('sealed', 'orphan') and (s, what[:5]) != ('missing', 'purge') for s in states.values()):
        fail('%s: after recovery %s %s' % (what, states, foreign))
    if what.startswith('put') and states.get(stem, 'sealed') != 'sealed':
        fail('%s: after recovery the artifact is %s' % (what, states[stem]))
    for path in glob.glob(ACTIVE + '/*'):
        flags = subprocess.run(['lsattr', '-d', path], capture_output=True, text=True, check=True).stdout.split()[0]
        if 'i' not in flags:
            fail('%s: %s has no flag after recovery' % (what, path))
    return states.get(stem)


def kill_put(call, when):
    """True while there is such a call."""
    global kills
    stem = new_stem()
    what = 'put killed at %s %d' % (call, when)
    died = False
    try:
        with client(call, when) as v:
            v.put(stem, 'x', data, stamp(time.time() + 1))
    except Gone:
        died = True
    except Refused as error:
        fail('%s: %s' % (what, error))
    if not died:
        return False
    kills += 1
    check_attested(what)
    left = check_recovered(what, stem)
    try:
        with client() as v:
            v.put(stem, 'x', data, stamp(time.time() + 1))
        if left:
            fail(what + ': put a second time under a name that is taken')
    except Refused as error:
        if not left or error.code != 'exists':
            fail('%s: cannot be put again: %s' % (what, error))
    return True


def purged(v, stem):
    for _ in range(100):
        try:
            v.ask('purge', stem=stem)
            return
        except Refused as error:
            if error.code == 'not_found':
                return
            last = error
            time.sleep(0.1)
    fail('%s cannot be purged: %s' % (stem, last))


due = []  # artifacts whose date has come


def due_stem():
    if not due:
        with client() as v:
            for _ in range(16):
                due.append(new_stem())
                v.put(due[-1], 'x', data, stamp(time.time() + 1))
                v.ask('extend', stem=due[-1], retain_until=stamp(time.time() + 1.2))
        time.sleep(1.5)
    return due.pop()


killed = []


def kill_purge(call, when):
    global kills
    stem = due_stem()
    what = 'purge killed at %s %d' % (call, when)
    died = False
    try:
        with client(call, when) as v:
            v.ask('purge', stem=stem)
    except Gone:
        died = True
    except Refused as error:
        fail('%s: %s' % (what, error))
    if not died:
        return False
    kills += 1
    killed.append(stem)
    check_recovered(what, stem)
    return True


def check_purged():
    """What a kill left was sealed again, and goes when it has been for the least time."""
    with client() as v:
        for stem in killed:
            purged(v, stem)
    for stem in killed:
        for path in glob.glob(ROOT + '/*/' + stem + '*'):
            fail('%s is left' % path)


with client() as v:
    v.append('instance_created', b'{"instance":"x"}')
for call in ('linkat', 'fsetxattr', 'fchmod', 'ioctl', 'fsync', 'fdatasync', 'write', 'unlinkat', 'fadvise64', 'renameat'):
    when = 1
    while kill_put(call, when):
        when += 1
    print('put: %d kills at %s' % (when - 1, call), flush=True)
for call in ('ioctl', 'unlinkat', 'fsync', 'fdatasync'):
    when = 1
    while kill_purge(call, when):
        when += 1
    print('purge: %d kills at %s' % (when - 1, call), flush=True)
check_purged()
print('%d kills, %d failures' % (kills, failures))
