# SPDX-License-Identifier: MIT
"""kv.py - what the tests of examples/kv share: a server, a client that reads RESP, TAP."""
import os
import re
import signal
import socket
import subprocess

KV = ""  # the program; set by check.py
TIMEOUT = 60
count = failed = 0


def ok(cond, name, got=b""):
    global count, failed
    count += 1
    failed += not cond
    print(f"{'ok' if cond else 'not ok'} {count} - {name}", flush=True)
    if not cond:
        print(f"# got {repr(got)[:600]}", flush=True)


def skip(name, why):
    global count
    count += 1
    print(f"ok {count} - {name} # SKIP {why}")


def request(*args):
    """One request as an array of bulk strings."""
    words = [a if isinstance(a, bytes) else str(a).encode() for a in args]
    return b"".join([b"*%d\r\n" % len(words)] + [b"$%d\r\n%s\r\n" % (len(w), w) for w in words])


class Server:
    """The server; what it says before it listens is in self.said."""

    def __init__(self, *args, preexec=None):
        self.said = ""
        self.port = 0
        self.p = subprocess.Popen([KV, "--port", "0", *args], stderr=subprocess.PIPE, text=True,
                                  preexec_fn=preexec)
        for line in self.p.stderr:
            if m := re.match(r"kv: port (\d+)", line):
                self.port = int(m[1])
                return
            self.said += line
        raise RuntimeError(f"no server: status {self.p.wait()}, {self.said}")

    def connect(self):
        return Client(self.port)

    def kill(self):
        self.p.send_signal(signal.SIGKILL)
        self.p.communicate(timeout=TIMEOUT)

    def stop(self):
        """End it by SIGTERM; its status and what it said since it listened."""
        self.p.send_signal(signal.SIGTERM)
        err = self.p.communicate(timeout=TIMEOUT)[1]
        return self.p.returncode, err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.p.poll() is None:
            self.kill()


def refused(*args):
    """Start it with what it should refuse: its status and what it said."""
    p = subprocess.run([KV, *args], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    return p.returncode, p.stderr


class Client:
    """A connection. Replies: bytes, int, None, a list, or Error."""

    def __init__(self, port):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self.f = self.s.makefile("rb")

    def send(self, *args):
        self.s.sendall(request(*args))

    def reply(self):
        line = self.f.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError(line)
        kind, text = line[:1], line[1:-2]
        if kind == b"+":
            return text
        if kind == b"-":
            return Error(text.decode())
        if kind == b":":
            return int(text)
        if kind == b"*":
            return [self.reply() for _ in range(int(text))]
        if kind != b"$":
            raise ValueError(line)
        n = int(text)
        if n < 0:
            return None
        data = self.f.read(n + 2)
        if len(data) < n + 2:
            raise EOFError(data)
        return data[:-2]

    def __call__(self, *args):
        self.send(*args)
        return self.reply()

    def info(self):
        """INFO as a dictionary."""
        text = self("INFO").decode()
        return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)

    def close(self):
        self.f.close()
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Error(Exception):
    def __eq__(self, other):
        return isinstance(other, Error) and self.args == other.args

    def __hash__(self):
        return hash(self.args)


def is_error(reply, start):
    return isinstance(reply, Error) and reply.args[0].startswith(start)


def raw(port, *chunks):
    """Send, end our direction, read to the end."""
    out = b""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as s:
        try:
            for c in chunks:
                s.sendall(c)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server may refuse the rest; its reply decides
        try:
            while data := s.recv(65536):
                out += data
        except OSError as e:
            out += b"!" + str(e).encode()
    return out


def size(path):
    return os.stat(path).st_size
