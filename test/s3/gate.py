#!/usr/bin/env python3
"""A gate before a real S3 server: lets everything through, until a request is named that it shall hold. So a test can
kill, stop or starve whoever waits for it at exactly that step, however fast the machine is.

  gate.py PORT_OF_THE_SERVER FOLDER

Listens on a port of its own, written to FOLDER/port. FOLDER/rule holds "before REGEX" or "after REGEX", matched against
"METHOD PATH?QUERY": the first such request is held before it is passed on, or after the server has carried it out, and
FOLDER/held is made. It is held until FOLDER/rule is gone; then it is passed on, where somebody still waits for it.

"answer STATUS CODE REGEX" there answers all such requests itself, with that error. FOLDER/seen lists the requests.
"""
import http.client
import os
import re
import select
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVER, FOLDER = int(sys.argv[1]), sys.argv[2]
RULE, HELD, SEEN = (os.path.join(FOLDER, name) for name in ('rule', 'held', 'seen'))


def rule():
    try:
        with open(RULE, encoding='utf-8') as file:
            when, _, pattern = file.read().strip().partition(' ')
            return when, pattern
    except OSError:
        return None, ''


class Gate(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *arguments):
        pass

    def gone(self):
        """Whether the client has closed its end."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        try:
            return bool(readable) and not self.connection.recv(1, socket.MSG_PEEK)
        except OSError:
            return True

    def hold(self, when):
        wanted, pattern = rule()
        if wanted != when or not re.search(pattern, f'{self.command} {self.path}'):
            return
        try:
            os.close(os.open(HELD, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return
        while os.path.exists(RULE):
            time.sleep(0.02)

    def answered(self):
        when, rest = rule()
        if when != 'answer':
            return False
        status, code, pattern = rest.split(' ', 2)
        if not re.search(pattern, f'{self.command} {self.path}'):
            return False
        content = f'<Error><Code>{code}</Code><Message>so says the gate</Message></Error>'.encode()
        self.send_response_only(int(status))
        self.send_header('Content-Length', str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return True

    def serve(self):
        body = self.rfile.read(int(self.headers.get('content-length', 0)))
        with open(SEEN, 'a', encoding='utf-8') as seen:
            seen.write(f'{self.command} {self.path}\n')
        if self.answered():
            return
        self.hold('before')
        if self.gone():
            self.close_connection = True
            return
        server = http.client.HTTPConnection('127.0.0.1', SERVER)
        server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            server.putheader(name, value)
        server.endheaders(body or None)
        answer = server.getresponse()
        content = answer.read()
        self.hold('after')
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ('connection', 'transfer-encoding', 'content-length'):
                self.send_header(name, value)
        length = answer.getheader('content-length') if self.command == 'HEAD' else None
        if answer.status != 204:
            self.send_header('Content-Length', length or str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        server.close()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

    def finish(self):
        try:
            super().finish()
        except (OSError, ValueError):
            pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # the server was killed, or the client was: both are what tests do


gate = Server(('127.0.0.1', 0), Gate)
with open(os.path.join(FOLDER, 'port.new'), 'w', encoding='utf-8') as out:
    out.write(str(gate.server_port))
os.rename(os.path.join(FOLDER, 'port.new'), os.path.join(FOLDER, 'port'))
gate.serve_forever(poll_interval=0.05)
