#!/usr/bin/env python3
"""Everything that the OS user of the server can try against a vault. Run as that user:

    attack.py HELPER ROOT WORKDIR [dac]
    attack.py control ROOT WORKDIR: the attempts at files, against one that is nobody's but the attacker's

HELPER is the set-uid program or a service's socket. Prints each attempt that succeeded, and at the end
"N attempts, N successes". An attempt is refused by an error of the system or of the helper; that nothing has changed
is looked at after each group. What root has to look at (flags, the whole log) is for the caller.
"""
import ctypes
import errno
import fcntl
import glob
import hashlib
import mmap
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time

from client import Gone, Refused, Vault, stamp

HELPER, ROOT, WORK = sys.argv[1:4]
DAC = 'dac' in sys.argv[4:]
EXECUTED = os.path.isfile(HELPER)
ACTIVE, LOGS, RECORDS = ROOT + '/active', ROOT + '/logs', ROOT + '/records'
LOG = LOGS + '/backup_audit.jsonl'
MINE = ROOT + '/work'
STEM = '20260118T120000Z.shop'
DAY = 86400
libc = ctypes.CDLL(None, use_errno=True)

attempts = successes = 0


def attempt(name, act, *args, **keys):
    """`act` must raise; or return False (harmless)."""
    global attempts, successes
    attempts += 1
    try:
        if act(*args, **keys) is False:
            return
    except (OSError, Refused, Gone, ValueError, PermissionError, subprocess.CalledProcessError):
        return
    successes += 1
    print('SUCCESS: %s' % name, flush=True)


def call(name, *args):
    """A function of the C library; raises OSError."""
    result = getattr(libc, name)(*args)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def syscall(number, *args):
    return call('syscall', number, *args)


def digest(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


def state():
    out = {}
    for path in sorted(glob.glob(ACTIVE + '/*') + glob.glob(RECORDS + '/*.*')):
        s = os.lstat(path)
        out[path] = (s.st_ino, s.st_mode, s.st_uid, s.st_gid, s.st_nlink, s.st_size, s.st_mtime_ns, digest(path))
    return out


def nothing_changed(name, before, log):
    """What was there is there, and the log only grew."""
    def check():
        now = state()
        missing = [p for p in before if now.get(p) != before[p]]
        with open(LOG, 'rb') as f:
            grew = f.read(len(log)) == log
        if missing or not grew:
            print('changed after %s: %s' % (name, missing or 'the log'))
            return True
        return False
    attempt('changed: ' + name, check)


FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR = 0x40086602, 0x401C5820
FICLONE, FS_IOC_ENABLE_VERITY = 0x40049409, 0x40806685


def with_fd(path, flags, act):
    fd = os.open(path, flags)
    try:
        return act(fd)
    finally:
        os.close(fd)


def on_reader(what, fd):
    """What an open descriptor for reading may be good for."""
    own = os.open(MINE + '/own', os.O_RDWR | os.O_CREAT)
    os.ftruncate(own, 4096)
    attempt(what + ': write', os.write, fd, b'x')
    attempt(what + ': pwrite', os.pwrite, fd, b'x', 0)
    attempt(what + ': ftruncate', os.ftruncate, fd, 0)
    attempt(what + ': fchmod', os.fchmod, fd, 0o666)
    attempt(what + ': fchown', os.fchown, fd, os.getuid(), -1)
    attempt(what + ': futimes', os.utime, fd, (1, 1))
    attempt(what + ': fsetxattr', os.setxattr, fd, 'user.x', b'1')
    attempt(what + ': seal', os.setxattr, fd, 'user.immbackup.seal', b'1')
    attempt(what + ': fremovexattr', os.removexattr, fd, 'user.immbackup.seal')
    attempt(what + ': acl', os.setxattr, fd, 'system.posix_acl_access',
            struct.pack('<I', 2) + struct.pack('<HHI', 1, 7, 0xFFFFFFFF) + struct.pack('<HHI', 4, 7, 0xFFFFFFFF) +
            struct.pack('<HHI', 0x20, 7, 0xFFFFFFFF))
    attempt(what + ': setflags', fcntl.ioctl, fd, FS_IOC_SETFLAGS, struct.pack('l', 0))
    attempt(what + ': fssetxattr', fcntl.ioctl, fd, FS_IOC_FSSETXATTR, bytes(28))
    attempt(what + ': verity', fcntl.ioctl, fd, FS_IOC_ENABLE_VERITY, struct.pack('IIIIQIIQ88x', 1, 1, 4096, 0, 0, 0, 0, 0))
    attempt(what + ': clone over it', fcntl.ioctl, fd, FICLONE, own)
    attempt(what + ': fallocate', os.posix_fallocate, fd, 0, 10)
    attempt(what + ': punch a hole', call, 'fallocate', fd, 3, ctypes.c_long(0), ctypes.c_long(4096))
    attempt(what + ': copy_file_range', os.copy_file_range, own, fd, 10, 0, 0)
    attempt(what + ': sendfile', os.sendfile, fd, own, 0, 10)
    attempt(what + ': writable mapping', mmap.mmap, fd, 1, mmap.MAP_SHARED, mmap.PROT_WRITE)

    def become_writable():
        libc.mmap.restype = ctypes.c_void_p
        at = libc.mmap(None, ctypes.c_size_t(4096), 1, 1, fd, ctypes.c_long(0))
        if at in (None, ctypes.c_void_p(-1).value):
            return False
        return call('mprotect', ctypes.c_void_p(at), ctypes.c_size_t(4096), 3)
    attempt(what + ': mprotect', become_writable)
    attempt(what + ': lease', fcntl.fcntl, fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    def upgrade():
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_RDWR)
        os.write(fd, b'x')
    attempt(what + ': F_SETFL', upgrade)
    attempt(what + ': reopen', lambda: os.open('/proc/self/fd/%d' % fd, os.O_RDWR))
    attempt(what + ': reopen to append', lambda: os.open('/proc/self/fd/%d' % fd, os.O_WRONLY | os.O_APPEND))

    def link():
        os.link('/proc/self/fd/%d' % fd, MINE + '/linked.%d' % attempts, follow_symlinks=True)
    # Where hard links are not protected a second name is harmless, and only the flag forbids it.
    if int(open('/proc/sys/fs/protected_hardlinks').read()) == 1 or (what != 'growing' and not DAC):
        attempt(what + ': link', link)
    attempt(what + ': AT_EMPTY_PATH', call, 'linkat', fd, b'', -100, (MINE + '/l2').encode(), 0x1000)
    os.close(own)


def on_file(path):
    name = os.path.relpath(path, ROOT)
    attempt(name + ': open to write', lambda: os.open(path, os.O_WRONLY))
    attempt(name + ': open to read and write', lambda: os.open(path, os.O_RDWR))
    attempt(name + ': open to append', lambda: os.open(path, os.O_WRONLY | os.O_APPEND))
    attempt(name + ': O_TRUNC', lambda: os.open(path, os.O_RDONLY | os.O_TRUNC))
    attempt(name + ': creat', lambda: os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    attempt(name + ': truncate', os.truncate, path, 0)
    attempt(name + ': unlink', os.unlink, path)
    attempt(name + ': rename away', os.rename, path, MINE + '/stolen')
    attempt(name + ': rename beside', os.rename, path, path + '.x')
    with open(MINE + '/mine', 'w') as f:
        f.write('mine')
    attempt(name + ': rename over', os.rename, MINE + '/mine', path)
    attempt(name + ': exchange', call, 'renameat2', -100, (MINE + '/mine').encode(), -100, path.encode(), 2)
    attempt(name + ': whiteout', call, 'renameat2', -100, path.encode(), -100, (MINE + '/w').encode(), 4)
    attempt(name + ': link beside', os.link, path, path + '.y')
    attempt(name + ': link to mine', os.link, path, MINE + '/z.%d' % attempts)
    attempt(name + ': symlink', os.symlink, '/etc/passwd', path + '.s')
    attempt(name + ': chmod', os.chmod, path, 0o666)
    attempt(name + ': chown', os.chown, path, os.getuid(), os.getgid())
    attempt(name + ': chgrp', os.chown, path, -1, os.getgroups()[0])
    attempt(name + ': utime', os.utime, path, (1, 1))
    attempt(name + ': setxattr', os.setxattr, path, 'user.immbackup.seal', b'1')
    attempt(name + ': mount over', call, 'mount', (MINE + '/mine').encode(), path.encode(), None, 4096, None)
    attempt(name + ': swap', call, 'swapon', path.encode(), 0)
    with_fd(path, os.O_RDONLY, lambda fd: on_reader(name, fd))


def on_folders():
    for folder in (ROOT, ACTIVE, LOGS, RECORDS):
        attempt(folder + ': rename', os.rename, folder, folder + '.old')
        attempt(folder + ': rename into mine', os.rename, folder, MINE + '/x')
        attempt(folder + ': rename mine over', os.rename, MINE, folder)
        attempt(folder + ': rmdir', os.rmdir, folder)
        attempt(folder + ': chmod', os.chmod, folder, 0o777)
        attempt(folder + ': chown', os.chown, folder, os.getuid(), -1)
        attempt(folder + ': create', lambda f=folder: os.open(f + '/new', os.O_CREAT | os.O_WRONLY))
        attempt(folder + ': unnamed', lambda f=folder: os.open(f, os.O_TMPFILE | os.O_WRONLY))
        attempt(folder + ': mkdir', os.mkdir, folder + '/d')
        attempt(folder + ': mknod', os.mkfifo, folder + '/p')
        attempt(folder + ': symlink', os.symlink, '/', folder + '/s')
        attempt(folder + ': setflags', with_fd, folder, os.O_RDONLY,
                lambda fd: fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack('l', 0)))
        attempt(folder + ': mount tmpfs', call, 'mount', b'x', folder.encode(), b'tmpfs', 0, None)
        attempt(folder + ': bind mine', call, 'mount', MINE.encode(), folder.encode(), None, 4096, None)
        attempt(folder + ': umount', call, 'umount2', folder.encode(), 2)
        attempt(folder + ': acl', os.setxattr, folder, 'system.posix_acl_default', b'\2\0\0\0')
        attempt(folder + ': chroot', os.chroot, folder)
        if os.path.exists('/usr/bin/fusermount3') or os.path.exists('/usr/bin/fusermount'):
            attempt(folder + ': FUSE', fuse_over, folder)
    attempt('freeze', with_fd, ROOT, os.O_RDONLY, lambda fd: fcntl.ioctl(fd, 0xC0045877, 0))
    attempt('snapshot over', with_fd, ROOT, os.O_RDONLY,
            lambda fd: fcntl.ioctl(fd, 0x50009401, struct.pack('q', fd) + b'active' + bytes(4088 - 6)))
    attempt('destroy a subvolume', with_fd, ROOT, os.O_RDONLY,
            lambda fd: fcntl.ioctl(fd, 0x5000940F, struct.pack('q', 0) + b'active' + bytes(4088 - 6)))
    attempt('make a device', os.mknod, MINE + '/dev', 0o60600, os.stat(ROOT).st_dev)
    attempt('handle', lambda: open_by_handle(ACTIVE + '/' + STEM + '.sql.gz'))


def fuse_over(folder):
    ours, theirs = socket.socketpair()
    program = 'fusermount3' if os.path.exists('/usr/bin/fusermount3') else 'fusermount'
    env = dict(os.environ, _FUSE_COMMFD=str(theirs.fileno()))
    subprocess.run([program, '--', folder], env=env, pass_fds=[theirs.fileno()], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def open_by_handle(path):
    handle = ctypes.create_string_buffer(struct.pack('Ii', 128, 0) + bytes(128))
    mount = ctypes.c_int()
    call('name_to_handle_at', -100, path.encode(), handle, ctypes.byref(mount), 0)
    with_fd(MINE, os.O_RDONLY, lambda fd: call('open_by_handle_at', fd, handle, os.O_RDWR))


# ---- requests


def vault(**popen):
    return Vault(HELPER, **popen)


def refused(verb, **keys):
    with vault() as v:
        v.ask(verb, **keys)


def raw(data, expect=b'ok', **popen):
    """Sends bytes; success is an answer that begins with `expect`."""
    with vault(**popen) as v:
        v.send(data)
        v.sock.shutdown(socket.SHUT_WR)
        return v.line().encode().startswith(expect)


def hostile_names():
    names = ['..', '.', '/', '../../etc/passwd', '/etc/passwd', '20260118T120000Z/../x', '20260118T120000Z.a/b',
             '20260118T120000Z.a%2Fb', '20260118T120000Z.%2e%2e', '20260118T120000Z.', '20260118T120000Z.a.b',
             '20260118T120000Z.a\nb', '20260118T120000Z.a\0b', '20260118T120000Z.%00', '20260118T120000Z ',
             '20260118T120000Z.' + 'a' * 190, '20260118T120000Z.%61', '99999999T999999Z', '20260230T120000Z', 'x' * 4000,
             '20260118T120000Z.\xe4', '20260118T120000Z.sql.gz', 'lock', 'clock', '.', '%2E%2E']
    for name in names:
        for verb, keys in (('put', {'database': 'shop', 'retain_until': stamp(time.time() + DAY)}), ('purge', {}),
                           ('hold', {'actor': 'me'}), ('extend', {'retain_until': stamp(time.time() + DAY)})):
            attempt('%s of %r' % (verb, name), lambda v=verb, n=name, k=keys: refused(v, stem=n, **k))
    for database in ('other', 'globals', '', '../x', 'sh%6fp'):
        attempt('database %r' % database, lambda d=database: refused(
            'put', stem='20260119T120000Z.shop', database=d, retain_until=stamp(time.time() + DAY)))
    attempt('globals under a bare name', lambda: refused(
        'put', stem='20260119T120000Z', database='globals', retain_until=stamp(time.time() + DAY)))


def hostile_dates():
    for date in ('', '0', 'tomorrow', '2026-02-30T00:00:00.000Z', '9999-12-31T23:59:59.999Z', stamp(time.time() + 500 * DAY),
                 '2026-01-01T00:00:00Z', '-001-01-01T00:00:00.000Z', '99999-01-01T00:00:00.000Z'):
        attempt('retain_until %r' % date, lambda d=date: refused(
            'put', stem='20260119T120000Z.shop', database='shop', retain_until=d))
        attempt('extend to %r' % date, lambda d=date: refused('extend', stem=STEM, retain_until=d))

    def shorten():
        with vault() as v:
            v.ask('extend', stem=STEM, retain_until=stamp(time.time()))
            v.ask('extend', stem=STEM, retain_until='1970-01-01T00:00:00.000Z')
            return [i for w, i in v.list(stem=STEM)][0]['retain_until'] < stamp(time.time() + DAY / 2)
    attempt('shorten by extend', shorten)

    def past():
        now = stamp(time.time())
        with vault() as v:
            accepted = v.ask('put', stem='20260119T120000Z.shop', database='shop', retain_until='1970-01-01T00:00:00.000Z')
            return accepted['retain_until'] < now
    attempt('a date in the past is no date', past)


def hostile_rights():
    for verb, keys in (('release', {'stem': STEM, 'actor': 'me'}), ('accept-clock', {'actor': 'me'}), ('status', {'full': 1}),
                       ('purge', {'stem': STEM}), ('purge', {'stem': '20260118T130000Z.shop'}),
                       ('purge', {'stem': '20260118T140000Z.shop'})):
        attempt('%s %s' % (verb, keys), lambda v=verb, k=keys: refused(v, **k))
    if EXECUTED:
        for args in (['serve'], ['serve', '--socket', MINE + '/s'], ['--config', MINE + '/conf'],
                     ['serve', '--socket', MINE + '/s', '--config', MINE + '/conf'], ['--help'], ['']):
            attempt('arguments %s' % args, lambda a=args: subprocess.run(
                [HELPER] + a, check=True, timeout=20, input=b'', stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))


PUT = ('put stem=20260119T120000Z.shop database=shop retain_until=%s\n' % stamp(time.time() + DAY)).encode()


def commit(data, size=None, sha=None):
    return b'C' + struct.pack('>IQ', 40, len(data) if size is None else size) + (sha or hashlib.sha256(data).digest())


def frame(data):
    return b'D' + struct.pack('>I', len(data)) + data


def hostile_streams():
    """Nothing of these may publish: a third `ok` would be the seal."""
    good = frame(b'x' * 1000)
    whole = PUT + good + commit(b'x' * 1000) + frame(b'{}') + commit(b'{}')
    streams = {'cut at %d' % n: whole[:n] for n in
               list(range(len(PUT) - 1, len(PUT) + 12)) + list(range(len(PUT) + 1000, len(whole)))}
    streams.update({
        'size too large': PUT + good + commit(b'x' * 1000, 1001) + frame(b'{}') + commit(b'{}'),
        'size too small': PUT + good + commit(b'x' * 1000, 999) + frame(b'{}') + commit(b'{}'),
        'another digest': PUT + good + commit(b'x' * 1000, None, bytes(32)) + frame(b'{}') + commit(b'{}'),
        'manifest of another digest': PUT + good + commit(b'x' * 1000) + frame(b'{}') + commit(b'{}', None, bytes(32)),
        'abort': PUT + good + b'X' + bytes(4) + commit(b'x' * 1000) + frame(b'{}') + commit(b'{}'),
        'no frames': PUT + b'x' * 5000, 'a huge frame': PUT + b'D\xff\xff\xff\xff' + b'x' * 5000,
        'an empty frame': PUT + b'D' + bytes(4) + good + commit(b'x' * 1000),
        'a commit of another length': PUT + good + b'C' + struct.pack('>I', 41) + bytes(41),
        'a request in the content': PUT + good + b'status\n' + commit(b'x' * 1000),
        'requests that never end': b'put ' + b'a' * 100000, 'binary': bytes(range(256)) * 50, 'empty lines': b'\n' * 100,
        'NUL': b'\0' * 9000, 'two puts': PUT + PUT + good + commit(b'x' * 1000)})
    for name, stream in streams.items():
        def send(s=stream):
            oks = 0
            with vault() as v:
                v.send(s)
                v.sock.shutdown(socket.SHUT_WR)
                try:
                    while True:
                        oks += v.line().startswith('ok')
                except Gone:
                    pass
            return oks >= 3
        attempt('stream: ' + name, send)


def forged_records():
    def append(event, body, origin='job'):
        with vault() as v:
            v.append(event, body, origin)
    for origin in ('vault', 'VAULT', 'vault ', ' vault', 'va"ult', 'job","origin":"vault', 'x' * 17, ''):
        attempt('origin %r' % origin, append, 'vault_sealed', b'{}', origin)
    for event in ('vault_sealed', 'log_adopted', 'log_torn', 'vault_sealed","x":"', 'a b', 'A', '', 'x' * 49, 'a\nb'):
        attempt('event %r' % event, append, event, b'{}')
    for body in (b'', b'{', b'}', b'{}{}', b'{},"origin":"vault","x":{}', b'{"a":1},"hash":"' + b'0' * 64 + b'"}\n{"seq":1',
                 b'{"a":"\n"}', b'{"a":"\xc3\xa4"}', b'{} ', b'[]', b'{"a":1,}', b'{"a":"' + b'x' * 262144 + b'"}',
                 b'{"a":' * 30000 + b'1' + b'}' * 30000, b'{"\x00":1}'):
        attempt('body %r' % body[:40], append, 'run_started', body)
    attempt('a second beginning', append, 'instance_created', b'{"instance":"y"}')

    def adopt():
        with vault() as v:
            v.ask('adopt')
    attempt('adopt over a log', adopt)


def hostile_starts():
    """The process as its owner prepares it. Success: the library ran inside the helper, or it did what it should not."""
    marker = WORK + '/marks/pwned'
    evil = WORK + '/evil.so'
    variables = {'LD_PRELOAD': evil, 'LD_AUDIT': evil, 'LD_LIBRARY_PATH': WORK + '/lib', 'GCONV_PATH': WORK, 'LOCPATH': WORK,
                 'OPENSSL_CONF': MINE + '/openssl.cnf', 'OPENSSL_MODULES': WORK, 'OPENSSL_ENGINES': WORK, 'LD_DEBUG_OUTPUT': MINE + '/d',
                 'LD_PROFILE': 'libc.so.6', 'GLIBC_TUNABLES': 'glibc.malloc.check=3', 'MALLOC_TRACE': MINE + '/trace', 'TMPDIR': MINE,
                 'HOSTALIASES': MINE + '/h', 'NSS_WRAPPER_PASSWD': MINE + '/passwd', 'LD_ORIGIN_PATH': WORK, 'PATH': WORK}
    with open(MINE + '/openssl.cnf', 'w') as f:
        f.write('openssl_conf = x\n[x]\nproviders = y\n[y]\nz = w\n[w]\nmodule = %s\nactivate = 1\n' % evil)
    for name, value in variables.items():
        def start(n=name, v=value):
            with Vault(HELPER, env={**os.environ, n: v}) as connection:
                connection.ask('status')
            return os.path.exists(marker)
        attempt('environment %s' % name, start)

    def limits(which, value):
        def set_limit():
            resource.setrlimit(which, (value, value))
        size = os.path.getsize(LOG)
        with Vault(HELPER, preexec_fn=set_limit) as v:
            try:
                v.append('limit_tried', b'{"a":"' + b'x' * 5000 + b'"}')
            except (Refused, Gone):
                pass
        with open(LOG, 'rb') as f:  # whole, or nothing: no torn line
            f.seek(size)
            rest = f.read()
        return rest != b'' and not rest.endswith(b'"}\n')
    for which, value in ((resource.RLIMIT_FSIZE, os.path.getsize(LOG) + 100), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_NOFILE, 6),
                         (resource.RLIMIT_NOFILE, 3), (resource.RLIMIT_AS, 12 << 20), (resource.RLIMIT_STACK, 16384), (resource.RLIMIT_CPU, 1),
                         (resource.RLIMIT_NPROC, 0), (resource.RLIMIT_DATA, 1 << 20)):
        attempt('limit %d = %d' % (which, value), limits, which, value)

    def prepared(act, **popen):
        before = state()
        with Vault(HELPER, preexec_fn=act, **popen) as v:
            try:
                v.append('start_tried', b'{}')
            except (Refused, Gone):
                pass
        now = state()
        return any(now.get(p) != before[p] for p in before)

    def masks():
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        for n in range(1, 65):
            try:
                signal.signal(n, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
    attempt('umask, timers, signals', prepared, lambda: (os.umask(0), masks()))
    attempt('umask 0777', prepared, lambda: os.umask(0o777))
    attempt('folder that is gone', prepared, lambda: (os.makedirs(MINE + '/gone', exist_ok=True), os.chdir(MINE + '/gone'),
                                                     os.rmdir(MINE + '/gone')))
    attempt('a hundred descriptors', prepared, lambda: [os.open(ACTIVE, os.O_RDONLY) for _ in range(100)], close_fds=False)
    for closed in ((0,), (1,), (2,), (0, 1), (0, 1, 2)):
        def start(c=closed):
            before = state()
            subprocess.run([HELPER], preexec_fn=lambda: [os.close(n) for n in c], timeout=20, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            now = state()
            return any(now.get(p) != before[p] for p in before)
        attempt('without descriptors %s' % (closed,), start)
    for wrapper in (['setpriv', '--no-new-privs'], ['unshare', '-U'], ['unshare', '-Ur'], ['unshare', '-Urm'],
                    ['unshare', '-Urmpf'], ['strace', '-f', '-o', '/dev/null'], ['nosuid']):
        def start(w=wrapper):
            # It may come up, but not as the vault's user: no level, and no put.
            with Vault([WORK + '/nosuid/immbackup-vault'] if w == ['nosuid'] else w + [HELPER]) as v:
                if v.ask('status')['level'] != 'none':
                    return True
                v.ask('put', stem='20260119T120000Z.shop', database='shop', retain_until=stamp(time.time() + DAY))
        attempt('started by %s' % ' '.join(wrapper), start)
    attempt('the library ran', lambda: os.path.exists(marker))


def on_process():
    """A helper in the middle of a put, from outside."""
    with vault() as v:
        v.ask('put', stem='20260119T120000Z.shop', database='shop', retain_until=stamp(time.time() + DAY), reader=1)
        v.data(b'y' * 100000)
        pid = v.child.pid
        for n in range(1, 65):
            attempt('signal %d' % n, os.kill, pid, n)
        attempt('signal the group', os.killpg, pid, 9)
        attempt('tgkill', syscall, 234, pid, pid, 9)
        attempt('pidfd_send_signal', lambda: signal.pidfd_send_signal(os.pidfd_open(pid), 9))
        for request in (16, 0x4206):
            attempt('ptrace %d' % request, call, 'ptrace', request, pid, None, None)
        local = ctypes.create_string_buffer(8)
        vector = struct.pack('PN', ctypes.addressof(local), 8)
        attempt('process_vm_readv', call, 'process_vm_readv', pid, vector, 1, vector, 1, 0)
        attempt('process_vm_writev', call, 'process_vm_writev', pid, vector, 1, vector, 1, 0)
        for name in ('mem', 'environ', 'maps', 'fd', 'cwd', 'exe', 'stack', 'auxv', 'map_files'):
            attempt('/proc/PID/' + name, lambda n=name: os.listdir('/proc/%d/%s' % (pid, n)) if n in ('fd', 'map_files')
                    else open('/proc/%d/%s' % (pid, n), 'rb').read(1))
        for fd in range(0, 12):
            attempt('/proc/PID/fd/%d' % fd, lambda n=fd: os.open('/proc/%d/fd/%d' % (pid, n), os.O_RDWR))
            attempt('pidfd_getfd %d' % fd, lambda n=fd: syscall(438, os.pidfd_open(pid), n, 0))
        for name in ('oom_score_adj', 'coredump_filter', 'clear_refs', 'uid_map', 'timerslack_ns'):
            attempt('/proc/PID/%s to write' % name, lambda n=name: with_fd(
                '/proc/%d/%s' % (pid, n), os.O_WRONLY, lambda fd: os.write(fd, b'1')))
        attempt('prlimit', resource.prlimit, pid, resource.RLIMIT_FSIZE, (0, 0))
        attempt('setpriority', os.setpriority, os.PRIO_PROCESS, pid, 19)
        attempt('affinity', os.sched_setaffinity, pid, {0})
        attempt('scheduler', os.sched_setscheduler, pid, os.SCHED_IDLE, os.sched_param(0))
        on_reader('growing', v.fds[0])
        os.kill(os.getpid(), 0)
        v.commit(b'y' * 100000)
        v.answer()
        v.content(b'{}')
        on_reader('after the seal', v.fds[0])


def stop_early():
    """Signals from the first moment on, while it is asked for the one thing it must not do: nobody's seal is undone."""
    before = state()
    for i in range(40):
        ours, theirs = socket.socketpair()
        child = subprocess.Popen([HELPER], stdin=theirs, stdout=theirs)
        theirs.close()
        try:
            ours.sendall(b'purge stem=%s\n' % STEM.encode())
            for _ in range(i % 20):
                os.kill(child.pid, signal.SIGSTOP)
                time.sleep(0.0002 * (i % 5))
                os.kill(child.pid, signal.SIGCONT)
            os.kill(child.pid, signal.SIGKILL)
        except (PermissionError, ProcessLookupError, BrokenPipeError):
            pass
        ours.close()
        child.wait()
        attempt('signals while it starts, %d' % i, lambda: state() != before)


def begun(v, stem, data, fmt):
    """A put of which only the last commit is missing."""
    v.ask('put', stem=stem, database='twice', retain_until=stamp(time.time() + DAY), format=fmt)
    v.content(data)
    v.data(b'{}')


def stands(stem, data, suffix):
    """The artifact is there with its own content, sealed, and nothing else bears its name."""
    path = ACTIVE + '/' + stem + suffix
    with vault() as v:
        states = [i['state'] for w, i in v.list(stem=stem)]
    return (len(glob.glob(ACTIVE + '/' + stem + '*')) == 3 and digest(path) == hashlib.sha256(data).hexdigest() and
            states == ['sealed'])


def two_puts():
    """Two puts of one stem, either first to begin and to end, in one format or two: the one that was sealed stands."""
    suffixes = {'gzip': '.sql.gz', 'zstd': '.sql.zst'}
    number = 0
    for late in suffixes:
        for early in suffixes:
            number += 1
            stem = '20260121T1200%02dZ.twice' % number
            one, other = os.urandom(20000), os.urandom(30000)
            with vault() as first, vault() as second:
                begun(first, stem, one, late)
                begun(second, stem, other, early)
                second.commit(b'{}')
                second.answer()

                def end():
                    first.commit(b'{}')
                    first.answer()
                attempt('a second put of one stem, %s after %s' % (late, early), end)
            attempt('%s after %s: the first is harmed' % (late, early), lambda: not stands(stem, other, suffixes[early]))
            # Both at once: one of them.
            stem = '20260121T1300%02dZ.twice' % number
            with vault() as first, vault() as second:
                begun(first, stem, one, late)
                begun(second, stem, other, early)
                first.commit(b'{}')
                second.commit(b'{}')
                ends = []
                for v, data, suffix in ((first, one, suffixes[late]), (second, other, suffixes[early])):
                    try:
                        v.answer()
                        ends.append((data, suffix))
                    except Refused:
                        pass
            attempt('%s and %s at once: not just one is sealed' % (late, early), lambda: len(ends) != 1 or not stands(stem, *ends[0]))


def race():
    """Many threads at the names, while artifacts are being sealed."""
    seconds = 1
    hammer = subprocess.Popen([WORK + '/race', ROOT, '20260120T', str(seconds)], stdout=subprocess.PIPE)
    end = time.time() + seconds
    number = 0
    while time.time() < end or number < 3:
        number += 1
        with vault() as v:
            data = os.urandom(50000)
            stem = '20260120T1200%02dZ.race' % (number % 60)
            try:
                v.put(stem, 'race', data, stamp(time.time() + DAY))
            except Refused as error:
                if error.code != 'exists':
                    raise
                continue
        attempt('a race for the content', lambda s=stem, d=data: digest(ACTIVE + '/' + s + '.sql.gz') != hashlib.sha256(d).hexdigest())
    global attempts, successes
    tried, won = map(int, hammer.communicate()[0].split())
    print('races: %d seals, %d attempts' % (number, tried))
    attempts += tried
    successes += won


def main():
    if HELPER == 'control':
        # Each breaks what the next one needs: each gets a file and a process of its own.
        global attempt
        plain = attempt

        def anew(name, act, *args, **keys):
            global attempts, successes
            if os.path.lexists(MINE + '/victim'):
                os.unlink(MINE + '/victim')
            with open(MINE + '/victim', 'w') as f:
                f.write('x' * 5000)
            child = os.fork()
            if child == 0:
                successes = 0
                plain(name, act, *args, **keys)
                os._exit(successes)
            attempts += 1
            successes += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        attempt = anew
        anew('a victim', lambda: False)
        on_file(MINE + '/victim')
        print('%d attempts, %d successes' % (attempts, successes))
        return 0
    with vault() as v:
        level = v.ask('status')['level']
        wanted = 'vault-dac' if DAC else 'vault'
        if level != wanted:
            sys.exit('the level is %s, not %s' % (level, wanted))
        v.append('instance_created', b'{"instance":"00000000-0000-0000-0000-000000000000"}')
        for hour in (12, 13, 14):
            stem = '20260118T%d0000Z.shop' % hour
            v.put(stem, 'shop', os.urandom(300000), stamp(time.time() + DAY))
            v.ask('hold', stem='20260118T130000Z.shop', actor='me') if hour == 13 else None
        v.ask('extend', stem=STEM, retain_until=stamp(time.time() + 2 * DAY))
    groups = [('files', lambda: [on_file(p) for p in
                                 [ACTIVE + '/' + STEM + s for s in ('.sql.gz', '.sql.gz.sha256', '.sql.gz.manifest.json')] +
                                 [LOG, RECORDS + '/' + STEM + '.sealed', RECORDS + '/' + STEM + '.extended.1',
                                  RECORDS + '/20260118T130000Z.shop.held']]),
              ('the lock and the clock', lambda: [attempt(n, lambda p=p, f=f: os.open(p, f)) for p in (RECORDS + '/lock', RECORDS + '/clock')
                                                 for n, f in (('read ' + p, os.O_RDONLY), ('write ' + p, os.O_RDWR))]),
              ('folders', on_folders), ('names', hostile_names), ('dates', hostile_dates), ('rights', hostile_rights),
              ('streams', hostile_streams), ('records', forged_records), ('two puts', two_puts)]
    if EXECUTED:
        groups += [('starts', hostile_starts), ('process', on_process), ('stops', stop_early)]
    groups.append(('races', race))
    for name, group in groups:
        before = state()
        with open(LOG, 'rb') as f:
            log = f.read()
        begin = attempts
        group()
        nothing_changed(name, before, log)
        print('%s: %d attempts' % (name, attempts - begin), flush=True)
    print('%d attempts, %d successes' % (attempts, successes))
    return 0 if successes == 0 else 1


sys.exit(main())
