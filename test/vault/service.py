#!/usr/bin/env python3
"""service.py SOCKET: who may talk to the service. Run as root."""
import os
import pwd
import sys

from client import Gone, Refused, Vault

PATH = sys.argv[1]


def as_user(name, act):
    pid = os.fork()
    if pid == 0:
        user = pwd.getpwnam(name)
        os.initgroups(name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        try:
            os._exit(0 if act() else 1)
        except Exception as error:  # the parent wants the status
            print(name, repr(error), flush=True)
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def stranger():
    """Each connection is refused at once; and since none gets a process, none is one too many."""
    many = []
    for n in range(40):
        verb, keys = (('status', {}), ('list', {}), ('recover', {}), ('append', {'event': 'x', 'origin': 'job'}))[n % 4]
        many.append(Vault(PATH))
        try:
            many[-1].ask(verb, **keys)
            return False
        except Refused as error:
            if error.code != 'permission':
                return False
    return True


def crowd():
    many = []
    try:
        for _ in range(40):
            many.append(Vault(PATH))
    except (Gone, ConnectionError):
        pass
    full = len(many) < 40
    # While the client's connections are all taken, an operator still gets through.
    return full and as_operator_beside(many)


def as_operator_beside(_):
    read, write = crowd_pipe
    os.write(write, b'full')
    return os.read(read, 1) == b'y'


def operator():
    with Vault(PATH) as v:
        status = v.ask('status', full=1)
        try:
            v.ask('append', event='x', origin='job')
            return False
        except Refused as error:
            return status['caller'] == 'operator' and error.code == 'permission'


assert as_user('nobody', stranger), 'a stranger'
assert as_user('immop', operator), 'an operator'
from_crowd, to_parent = os.pipe()
from_parent, to_crowd = os.pipe()
crowd_pipe = (from_parent, to_parent)
pid = os.fork()
if pid == 0:
    user = pwd.getpwnam('postgres')
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    os._exit(0 if crowd() else 1)
os.close(to_parent)
assert os.read(from_crowd, 4) == b'full', 'the crowd was not limited'
assert as_user('immop', operator), 'an operator beside the crowd'
os.write(to_crowd, b'y')
assert os.waitpid(pid, 0)[1] == 0
