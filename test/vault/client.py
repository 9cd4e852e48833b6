"""The vault helper's protocol (src/vault/README.md) in a few lines of Python, written from that text alone."""
import array
import hashlib
import os
import socket
import struct
import subprocess
import time


def encode(value):
    data = value if isinstance(value, bytes) else str(value).encode()
    return ''.join(chr(b) if 0x20 < b < 0x7f and b != 0x25 else '%%%02X' % b for b in data)


def decode(text):
    out, at = bytearray(), 0
    while at < len(text):
        if text[at] == '%':
            out.append(int(text[at + 1:at + 3], 16))
            at += 3
        else:
            out.append(ord(text[at]))
            at += 1
    return out.decode('utf-8', 'replace')


def stamp(seconds):
    whole = int(seconds)
    return time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole)) + '.%03dZ' % int((seconds - whole) * 1000)


class Refused(Exception):
    def __init__(self, code, message, hint=''):
        super().__init__('%s: %s %s' % (code, message, hint))
        self.code, self.message, self.hint = code, message, hint


class Gone(Exception):
    """The helper ended the connection without a word."""


class Vault:
    """where: the helper's path (executed), a socket's, or an argument vector."""

    def __init__(self, where, **popen):
        self.child = None
        if isinstance(where, str) and os.path.exists(where) and not os.path.isfile(where):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(where)
        else:
            self.sock, theirs = socket.socketpair()
            where = [where] if isinstance(where, str) else where
            self.child = subprocess.Popen(where, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, **popen)
            theirs.close()
        self.buffer = b''
        self.fds = []
        self.greeting = self.line()

    def line(self):
        while b'\n' not in self.buffer:
            fds = array.array('i')
            try:
                data, control, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(16))
            except ConnectionResetError:
                data, control = b'', []
            for level, kind, value in control:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(value)
                    self.fds += list(fds)
            if not data:
                raise Gone(self.buffer)
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        return line.decode('ascii')

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what it says of that is still to be read

    def answer(self):
        """(fields, items) of an answer; raises Refused."""
        items = []
        while True:
            line = self.line()
            word, *rest = line.split(' ')
            if word == 'error':
                raise Refused(rest[0], *(decode(r) for r in rest[1:]))
            if word == 'ok':
                return {k: decode(v) for k, v in (r.split('=', 1) for r in rest)}, items
            items.append((word, {k: decode(v) for k, v in (r.split('=', 1) for r in rest)}))

    def request(self, verb, **keys):
        self.send(' '.join([verb] + ['%s=%s' % (k, encode(v)) for k, v in keys.items() if v != '']).encode() + b'\n')

    def ask(self, verb, **keys):
        self.request(verb, **keys)
        return self.answer()[0]

    def data(self, data, frame=1 << 20):
        for at in range(0, len(data), frame):
            part = data[at:at + frame]
            self.send(b'D' + struct.pack('>I', len(part)) + part)

    def commit(self, data):
        self.send(b'C' + struct.pack('>IQ', 40, len(data)) + hashlib.sha256(data).digest())

    def content(self, data):
        self.data(data)
        self.commit(data)
        return self.answer()[0]

    def put(self, stem, database, artifact, retain_until, manifest=b'{"format":1}\n', **keys):
        accepted = self.ask('put', stem=stem, database=database, retain_until=retain_until, **keys)
        self.content(artifact)
        sealed = self.content(manifest)
        return accepted, sealed

    def append(self, event, body=b'{}', origin='job'):
        self.ask('append', event=event, origin=origin)
        return self.content(body)

    def list(self, **keys):
        self.request('list', **keys)
        return self.answer()[1]

    def close(self):
        self.sock.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        return self.child.wait() if self.child else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
