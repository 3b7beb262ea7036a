#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""httpd_client.py NAME HTTPD | names - do to examples/httpd what curl does not do.

NAME is a function below that test() marks. Each starts a server of its own on a free port; exit 0
if it does what it should. What is waited for comes sooner or later: no step has a time limit but
the one that ends a test that hangs.
"""
import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
STATS = b"GET /stats HTTP/1.1\r\nHost: x\r\n\r\n"
FILE = b"GET /file/big HTTP/1.1\r\nHost: x\r\n\r\n"
SIZE = 12 << 20  # more than socket buffers hold
TESTS = {}


def test(fn):
    TESTS[fn.__name__] = fn
    return fn


class Server:
    def __init__(self, tmp, *args, fds=None):
        def limit():
            if fds:
                resource.setrlimit(resource.RLIMIT_NOFILE, (fds, fds))

        with open(f"{tmp}/big", "wb") as f:
            f.truncate(SIZE)
        # pylint: disable=subprocess-popen-preexec-fn
        self.process = subprocess.Popen(
            [sys.argv[2], "--host", "127.0.0.1", "--port", "0", "--root", tmp, *args],
            stderr=subprocess.PIPE, text=True, preexec_fn=limit)
        self.port = int(re.search(r"port (\d+)", self.process.stderr.readline())[1])

    def connect(self, data=b"", small=False):
        s = socket.socket()
        s.settimeout(60)
        if small:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s.connect(("127.0.0.1", self.port))
        s.sendall(data)
        return s

    def refused(self):
        try:
            self.connect().close()
        except OSError:
            return True
        return False

    def term(self):
        self.process.send_signal(signal.SIGTERM)

    def ended(self):
        """its exit status, and what it said"""
        err = self.process.communicate(timeout=60)[1]
        return self.process.returncode, err


@contextlib.contextmanager
def server(*args, fds=None):
    with tempfile.TemporaryDirectory() as tmp:
        s = Server(tmp, *args, fds=fds)
        try:
            yield s
        finally:
            s.process.kill()
            s.process.wait()


def reply(s):
    """one reply of known length: head and body"""
    out = b""
    while b"\r\n\r\n" not in out:
        data = s.recv(65536)
        assert data, out
        out += data
    head, _, body = out.partition(b"\r\n\r\n")
    n = int(re.search(rb"Content-Length: (\d+)", head)[1])
    while len(body) < n:
        data = s.recv(65536)
        assert data, (head, len(body))
        body += data
    return head, body


def rest(s):
    """all until the end, also when that is a reset"""
    out = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := s.recv(65536):
            out += data
    return bytes(out)


def until(cond):
    end = time.monotonic() + 60
    while not cond():
        assert time.monotonic() < end
        time.sleep(0.02)


def drip(s, data):
    """data again and again, a byte at a time, until the server answers or closes"""
    s.setblocking(False)
    for i in range(10 ** 6):
        with contextlib.suppress(ConnectionError):
            s.send(data[i % len(data):][:1])
        try:
            out = s.recv(65536)
            break
        except BlockingIOError:
            time.sleep(0.01)
        except ConnectionError:
            out = b""
            break
    s.settimeout(60)
    return out + rest(s)


def ask(s, data=GET):
    s.sendall(data)
    return reply(s)


@test
def garbage_after_an_error():
    """each error is its own request's"""
    with server() as srv:
        s = srv.connect()
        head, _ = ask(s, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert b" 405 " in head, head
        s.sendall(b"\x01\x02\r\n\r\n")
        out = rest(s)
        assert b" 400 " in out and b"Allow" not in out, out


@test
def slow_header():
    with server("--header-ms", "200") as h:
        out = drip(h.connect(GET[:-2]), b"X: y\r\n")
        assert out.startswith(b"HTTP/1.1 408"), out


@test
def slow_body():
    with server("--body-ms", "200") as h:
        out = drip(h.connect(GET[:-2] + b"Content-Length: 60000\r\n\r\n"), b"x")
        assert out.startswith(b"HTTP/1.1 408"), out


@test
def slow_between_requests():
    with server("--idle-ms", "200") as h:
        def served_and_closed():  # unless it was closed before its request came
            with contextlib.suppress(ConnectionError):
                return re.fullmatch(rb"HTTP/1.1 200.*\r\n\r\nhello from gr\n",
                                    rest(h.connect(GET)), re.DOTALL)

        assert rest(h.connect()) == b""
        until(served_and_closed)
        assert drip(h.connect(), b"\r\n") == b""  # which are allowed before a request


@test
def slow_reader():
    with server("--write-ms", "200") as h:
        s = h.connect(FILE, small=True)
        s.recv(10)
        ok = h.connect()
        until(lambda: b"connections 1\n" in ask(ok, STATS)[1])
        assert len(rest(s)) < SIZE


@test
def slow_ones_stop_nobody():
    with server("--header-ms", "2000") as h:
        slow = [h.connect(GET[:20]) for _ in range(200)]
        s = h.connect()
        for _ in range(50):
            assert ask(s)[0].startswith(b"HTTP/1.1 200")
        for c in slow:
            assert rest(c).startswith(b"HTTP/1.1 408")
        assert ask(s)[0].startswith(b"HTTP/1.1 200")


@test
def limit_on_connections():
    with server("--max-conns", "4") as h:
        few = [h.connect(GET) for _ in range(4)]
        for s in few:
            reply(s)
        more = [h.connect(GET) for _ in range(8)]
        assert b"connections 4\n" in ask(few[0], STATS)[1]
        more[0].settimeout(0.2)
        try:
            assert not more[0].recv(1)
            raise AssertionError("a fifth connection")
        except TimeoutError:
            more[0].settimeout(60)
        for s in few:
            s.close()
        for s in more:  # one after the other
            reply(s)
            s.close()


@test
def out_of_descriptors():
    with server(fds=60) as h:
        first = h.connect(GET)
        reply(first)
        many = [h.connect(GET) for _ in range(100)]
        until(lambda: ask(first, FILE[:-2] + b"Range: bytes=0-1\r\n\r\n")[0].startswith(
            b"HTTP/1.1 503"))
        for s in many:  # those that have one make room for those that wait
            assert reply(s)[0].startswith(b"HTTP/1.1 200")
            s.close()
        until(lambda: ask(first, FILE[:-2] + b"Range: bytes=0-1\r\n\r\n")[0].startswith(
            b"HTTP/1.1 206"))
        ask(h.connect())
        h.term()
        code, err = h.ended()
        assert code == 0 and "Too many open files" in err, (code, err)


@test
def resets():
    with server() as h:
        for i in range(200):
            s = h.connect([b"", GET[:9], GET, FILE, GET + FILE][i % 5])
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        s = h.connect()
        until(lambda: b"connections 1\n" in ask(s, STATS)[1])


@test
def drain_finishes_what_has_begun():
    with server("--drain-ms", "60000") as h:
        idle = h.connect(GET)
        reply(idle)
        silent = h.connect()
        half = h.connect(GET + GET[:20])  # the server takes both in one
        reply(half)
        down = h.connect(FILE)
        got = down.recv(10)
        until(lambda: b"connections 4\n" in ask(idle, STATS)[1])
        h.term()
        assert rest(idle) == b"" and rest(silent) == b""
        until(h.refused)
        half.sendall(GET[20:])
        head, _ = reply(half)
        assert head.startswith(b"HTTP/1.1 200") and b"Connection: close" in head, head
        assert rest(half) == b""
        got += rest(down)
        assert len(got) == got.index(b"\r\n\r\n") + 4 + SIZE, len(got)
        code, err = h.ended()
        assert code == 0, (code, err)


@test
def drain_cuts_what_does_not_end():
    with server("--drain-ms", "200") as h:
        s = h.connect(FILE, small=True)
        got = s.recv(10)
        h.term()
        code, err = h.ended()
        assert code == 0 and "1 connections did not end in time" in err, (code, err)
        assert len(got + rest(s)) < SIZE


def main():
    if sys.argv[1] == "names":
        print(*TESTS)
    else:
        signal.alarm(120)
        sys.argv[2] = os.path.abspath(sys.argv[2])
        TESTS[sys.argv[1]]()


main()
