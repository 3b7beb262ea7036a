#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check_httpd.py HTTPD - what examples/httpd answers, byte by byte, as TAP.

Starts the server on a free port with a directory and a database of its own, and ends it with
SIGTERM. GR_BACKEND and GR_PROCS are passed on.
"""
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from urllib.parse import quote_plus

HTTPD = os.path.abspath(sys.argv[1])
HELLO = b"hello from gr\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
count = failed = port = 0


def ok(cond, name, got=b""):
    global count, failed
    count += 1
    failed += not cond
    print(f"{'ok' if cond else 'not ok'} {count} - {name}")
    if not cond:
        print(f"# got {got[:300]!r}")


def raw(*chunks):
    """Send, end our direction, read to the end."""
    s = socket.create_connection(("127.0.0.1", port), timeout=30)
    out = b""
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
    s.close()
    return out


def get(target, method="GET", more=""):
    return raw(f"{method} {target} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())


def sql(text):
    return get("/sql?q=" + quote_plus(text))


def is_reply(name, out, status, body=None):
    head, _, got = out.partition(b"\r\n\r\n")
    ok(head.startswith(b"HTTP/1.1 %d " % status) and body in (None, got), name, out)


def files(root):
    with open(f"{root}/a.txt", "w", encoding="ascii") as f:
        f.write("content\n")
    big = os.urandom(300000)
    with open(f"{root}/big", "wb") as f:
        f.write(big)
    os.mkdir(f"{root}/d")
    os.symlink("/etc/passwd", f"{root}/link")
    is_reply("file", get("/file/a.txt"), 200, b"content\n")
    is_reply("file, name encoded", get("/file/a%2Etxt"), 200, b"content\n")
    is_reply("file, long", get("/file/big"), 200, big)
    for name in ("..%2Fx.db", "../x.db", "d/../../x.db", "%2e%2e/x.db", "/etc/passwd", "%00a",
                 "a%0", "%", "%zz", ".", "", "a//b"):
        is_reply(f"file '{name}' refused", get("/file/" + name), 400)
    for name in ("none", "link", "d", "a.txt/x"):
        is_reply(f"file '{name}' not found", get("/file/" + name), 404)


def messages():
    post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    is_reply("hello", get("/"), 200, HELLO)
    is_reply("HEAD", get("/", "HEAD"), 200, b"")
    is_reply("unknown path", get("/nope"), 404)
    is_reply("POST", raw(post), 405)
    is_reply("a method nobody knows", get("/", "BREW"), 405)
    is_reply("noise", raw(b"\x01\x02\x03\r\n\r\n"), 400)
    is_reply("half a request line", raw(b"GET\r\n\r\n"), 400)
    is_reply("no Host", raw(b"GET / HTTP/1.1\r\n\r\n"), 400)
    is_reply("two Hosts", raw(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400)
    is_reply("two lengths", raw(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                                b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400)
    out = raw(b"GET / HTTP/1.0\r\n\r\n")
    ok(b"Connection: close" in out and out.endswith(HELLO), "HTTP/1.0 closes", out)
    is_reply("absolute target", get("http://x/"), 200, HELLO)
    is_reply("upgrade is declined", raw(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n"
                                        b"Upgrade: foo\r\n\r\n"), 200, HELLO)
    long = b"a" * 9000
    is_reply("long header", raw(GET[:-2] + b"X: " + long + b"\r\n\r\n"), 431)
    is_reply("long target", raw(b"GET /" + long + GET[5:]), 431)
    is_reply("many headers", raw(GET[:-2] + b"X: a\r\n" * 100000 + b"\r\n"), 431)
    is_reply("a body that says it is long",
             raw(GET[:-2] + b"Content-Length: 99999999999\r\n\r\n"), 413)
    is_reply("a long body in chunks", raw(GET[:-2] + b"Transfer-Encoding: chunked\r\n\r\n" +
                                          (b"2000\r\n" + b"x" * 8192 + b"\r\n") * 9), 413)
    is_reply("long body", raw(GET[:-2] + b"Content-Length: 100000\r\n\r\n" + b"x" * 100000), 413)
    out = raw(GET * 500 + b"GET /nope HTTP/1.1\r\nHost: x\r\n\r\n")
    ok(out.count(HELLO) == 500 and out.endswith(b"no such page\n"), "pipelining, in order", out)
    out = raw(GET[:-2] + b"Content-Length: 5\r\n\r\nGET /" + GET)
    ok(out.count(HELLO) == 2, "a body is skipped", out)
    out = raw(*[bytes([b]) for b in GET * 3])
    ok(out.count(HELLO) == 3, "byte by byte", out)
    out = raw(post + GET)
    ok(out.count(b"HTTP/1.1 405") == 1 and out.endswith(HELLO), "405 keeps the connection", out)


def parts():
    """of /file/a.txt, which is b"content\\n\""""
    def part(value, status, body, where=b"", more="", method="GET"):
        out = get("/file/a.txt", method, f"Range: {value}\r\n{more}")
        is_reply(f"range '{value}' {more.strip()} {method}", out, status, body)
        ok((b"\r\nContent-Range: bytes " + where + b"\r\n" in out) == bool(where), "... where", out)

    etag = re.search(r"ETag: (\S+)", get("/file/a.txt").decode())[1]
    for value, body, where in (("bytes=0-2", b"con", b"0-2/8"), ("bytes=7-7", b"\n", b"7-7/8"),
                               ("bytes=4-", b"ent\n", b"4-7/8"), ("bytes=-3", b"nt\n", b"5-7/8"),
                               ("bytes=-99", b"content\n", b"0-7/8"),
                               ("bytes=6-99999999999999999999", b"t\n", b"6-7/8")):
        part(value, 206, body, where)
    for value in ("bytes=8-", "bytes=99-100", "bytes=-0", "bytes=99999999999999999999-"):
        part(value, 416, b"", b"*/8")
    for value in ("bytes=5-2", "bytes=99-98", "bytes=0-1,4-5", "bytes=", "bytes=-", "bytes=x",
                  "bytes=1-2x", "bytes=--1", "bytes=+1-2", "lines=1-2", "0-2"):
        part(value, 200, b"content\n")
    part("bytes=0-2", 200, b"", method="HEAD")
    part("bytes=0-2", 206, b"con", b"0-2/8", f"If-Range: {etag}\r\n")
    part("bytes=0-2", 200, b"content\n", more='If-Range: "other"\r\n')
    part("bytes=0-2", 304, b"", more=f"If-None-Match: {etag}\r\n")
    for value in (etag, "W/" + etag, "*", f'"a", "b,{etag[1:-1]}" , {etag}',
                  f'"a"\r\nIf-None-Match: {etag}'):
        out = get("/file/a.txt", more=f"If-None-Match: {value}\r\n")
        is_reply(f"{value!r} matches", out, 304, b"")
        ok(etag.encode() in out and b"Content-Length" not in out, "... and is named", out)
    for value in ('"a"', etag[:-1], etag[1:], "x", f'"a" {etag[1:-1]}', ""):
        is_reply(f"{value!r} does not match",
                 get("/file/a.txt", more=f"If-None-Match: {value}\r\n"), 200, b"content\n")
    out = raw(b"".join(f"{m} {t} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode() for m, t, more in (
        ("GET", "/file/a.txt", "Range: bytes=0-2\r\n"), ("HEAD", "/file/a.txt", ""),
        ("GET", "/file/a.txt", f"If-None-Match: {etag}\r\n"), ("GET", "/file/none", ""),
        ("GET", "/file/a.txt", "Range: bytes=9-\r\n"), ("GET", "/file/a.txt", ""))))
    ok(re.findall(rb"HTTP/1.1 (\d+)", out) == [b"206", b"200", b"304", b"404", b"416", b"200"] and
       out.endswith(b"\r\ncontent\n"), "all of them in one stream", out)


def database():
    is_reply("create", sql("CREATE TABLE t(id INTEGER PRIMARY KEY, s)"), 200, b"")
    is_reply("insert", sql("INSERT INTO t VALUES(1,'a b'); INSERT INTO t VALUES(2,NULL)"), 200)
    is_reply("select", sql("SELECT * FROM t ORDER BY 1"), 200, b"1\ta b\n2\tNULL\n")
    is_reply("syntax error", sql("SELEC"), 400, b'near "SELEC": syntax error\n')
    is_reply("constraint", sql("INSERT INTO t VALUES(1,2)"), 400,
             b"UNIQUE constraint failed: t.id\n")
    is_reply("open transaction", sql("BEGIN; INSERT INTO t VALUES(9,9)"), 200)
    is_reply("was rolled back", sql("SELECT count(*) FROM t WHERE id=9"), 200, b"0\n")
    is_reply("ATTACH refused", sql("ATTACH 'y.db' AS y"), 400)
    is_reply("endless result", sql("WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM r)"
                                   " SELECT * FROM r"), 400)
    is_reply("no q", get("/sql"), 400)
    is_reply("bad encoding", get("/sql?q=%0"), 400)
    results = []

    def insert(i):
        for _ in range(5):
            results.append(sql(f"INSERT INTO t(s) VALUES({i})").startswith(b"HTTP/1.1 200"))

    threads = [threading.Thread(target=insert, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    ok(len(results) == 60 and all(results), "60 inserts by 12 clients", repr(results).encode())
    is_reply("all rows are there", sql("SELECT count(*) FROM t"), 200, b"62\n")


def blocking():
    out = get("/lookup?h=localhost")
    ok(b"127.0.0.1\n" in out or b"::1\n" in out, "lookup", out)
    is_reply("block", get("/block?ms=20"), 200, b"slept 20 ms\n")
    for v in ("-1", "10001", "x", "", "1x"):
        is_reply(f"block '{v}'", get("/block?ms=" + v), 400)
    ok(re.search(rb"backend (kmod|futex)\nprocs [1-9]", get("/stats")), "stats")


def refusals(tmp):
    for args, why in ((["--port", "99999"], "not in 0..65535"), (["--procs", "0"], "not in 1..256"),
                      (["--db", f"{tmp}/no/x.db"], "unable to open database file"),
                      (["--root", f"{tmp}/no"], "no such directory"), (["x"], "usage: httpd"),
                      (["--host", "127.0.0.1", "--port", str(port)], "Address already in use")):
        p = subprocess.run([HTTPD, *args], capture_output=True, text=True, timeout=60, check=False)
        ok(p.returncode == 1 and why in p.stderr, f"{args[0]}: {why}", p.stderr.encode())


def main():
    global port
    with tempfile.TemporaryDirectory() as tmp:
        os.mkdir(f"{tmp}/root")
        p = subprocess.Popen([HTTPD, "--host", "127.0.0.1", "--port", "0", "--root",
                              f"{tmp}/root", "--db", f"{tmp}/x.db"], stderr=subprocess.PIPE,
                             text=True)
        m = re.search(r"port (\d+)", p.stderr.readline())
        port = int(m[1])
        messages()
        files(f"{tmp}/root")
        parts()
        database()
        blocking()
        refusals(tmp)
        p.send_signal(signal.SIGTERM)
        err = p.communicate(timeout=60)[1]
        ok(p.returncode == 0, "SIGTERM ends it with status 0", err.encode())
    print(f"1..{count}")
    return failed > 0


sys.exit(main())
