"""What rules.py and seals.py share: the helper of argv[1] as client, operator and root, in the vault of argv[2]."""
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
    with Vault(ROLES['client'] + [HELPER]) as v:
        return next((i['state'] for _, i in v.list(stem=stem)), None)


def append(body=b'{}'):
    with Vault(ROLES['client'] + [HELPER]) as v:
        return v.append('tried', body)


def configure(*lines):
    kept = [line for line in open(CONF) if line.split('=')[0].strip() not in {x.split('=')[0].strip() for x in lines}]
    with open(CONF, 'w') as f:
        f.write(''.join(kept) + ''.join(x + '\n' for x in lines))


def flag(sign, path):
    """sign: +i, -i, +a or -a. Root alone can."""
    subprocess.run(['chattr', sign, path], check=True)


def active(stem, suffix='.sql.gz'):
    return '%s/active/%s%s' % (ROOT, stem, suffix)


def attestation(stem):
    return '%s/records/%s.sealed' % (ROOT, stem)
