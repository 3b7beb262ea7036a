# SPDX-License-Identifier: MIT
"""protocol.py - replies byte by byte, bad input, limits, pipelining, and Redis' own clients."""
import os
import resource
import shutil
import socket
import subprocess
import threading
import time

from kv import TIMEOUT, Error, Server, is_error, ok, raw, refused, request, skip

NOT_INT = b"-ERR value is not an integer or out of range\r\n"
SYNTAX = b"-ERR syntax error\r\n"

# what is sent to an empty server, in this order, and the reply
DIALOGUE = (
    ("PING", b"+PONG\r\n"), ("pInG", b"+PONG\r\n"), ("PING a", b"$1\r\na\r\n"),
    ("PING a b", b"-ERR wrong number of arguments for 'ping' command\r\n"),
    ("ECHO hello", b"$5\r\nhello\r\n"),
    ("ECHO", b"-ERR wrong number of arguments for 'echo' command\r\n"),
    ("GET none", b"$-1\r\n"), ("SET a 1", b"+OK\r\n"), ("GET a", b"$1\r\n1\r\n"),
    ("SET a 2 NX", b"$-1\r\n"), ("GET a", b"$1\r\n1\r\n"), ("SET b 2 XX", b"$-1\r\n"),
    ("EXISTS b", b":0\r\n"), ("SET b 2 nx", b"+OK\r\n"), ("SET b 3 xx", b"+OK\r\n"),
    ("SET b 3 NX XX", SYNTAX), ("SET b 3 EX", SYNTAX), ("SET b 3 FOO", SYNTAX),
    ("SET b 3 EX 1 PX 1", SYNTAX), ("SET b 3 EX x", NOT_INT),
    ("SET b 3 EX 0", b"-ERR invalid expire time in 'set' command\r\n"),
    ("SET b 3 PX -1", b"-ERR invalid expire time in 'set' command\r\n"),
    ("SET b 3 EX 9223372036854775807", b"-ERR invalid expire time in 'set' command\r\n"),
    ("SET b", b"-ERR wrong number of arguments for 'set' command\r\n"),
    ("EXISTS a b a none", b":3\r\n"), ("MGET a none b", b"*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n3\r\n"),
    ("DEL a b a none", b":2\r\n"), ("DEL a", b":0\r\n"), ("DBSIZE", b":0\r\n"),
    ("INCR n", b":1\r\n"), ("INCRBY n 41", b":42\r\n"), ("DECR n", b":41\r\n"),
    ("DECRBY n 50", b":-9\r\n"), ("INCRBY n x", NOT_INT), ("INCRBY n 1.5", NOT_INT),
    ("DECRBY n -9223372036854775808", b"-ERR decrement would overflow\r\n"),
    ("INCRBY n -9223372036854775808", b"-ERR increment or decrement would overflow\r\n"),
    ("SET n 9223372036854775807", b"+OK\r\n"),
    ("INCR n", b"-ERR increment or decrement would overflow\r\n"),
    ("GET n", b"$19\r\n9223372036854775807\r\n"), ("SET t text", b"+OK\r\n"), ("INCR t", NOT_INT),
    ("MSET x 1 y 2 x 3", b"+OK\r\n"), ("MGET x y", b"*2\r\n$1\r\n3\r\n$1\r\n2\r\n"),
    ("MSET x 1 y", b"-ERR wrong number of arguments for 'mset' command\r\n"),
    ("DBSIZE", b":4\r\n"), ("FLUSHALL", b"+OK\r\n"), ("DBSIZE", b":0\r\n"), ("GET x", b"$-1\r\n"),
    ("FLUSHALL ASYNC", b"+OK\r\n"), ("FLUSHALL NOW", SYNTAX),
    ("SELECT 0", b"+OK\r\n"), ("SELECT 1", b"-ERR DB index is out of range\r\n"),
    ("SELECT x", NOT_INT), ("CONFIG GET save", b"*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
    ("CONFIG GET appendonly", b"*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n"),
    ("CONFIG GET nothing", b"*0\r\n"), ("CONFIG SET", b"-ERR unknown subcommand 'SET'.\r\n"),
    ("COMMAND COUNT", b":26\r\n"), ("COMMAND DOCS", b"-ERR unknown subcommand 'DOCS'.\r\n"),
    ("HELLO 3", b"-ERR unknown command 'HELLO', with args beginning with: '3' \r\n"),
    ("FOO", b"-ERR unknown command 'FOO', with args beginning with: \r\n"),
    ("BAR a b", b"-ERR unknown command 'BAR', with args beginning with: 'a' 'b' \r\n"),
    ("QUIT", b"+OK\r\n"),
)


def dialogue(port):
    for how, form in (("array", lambda t: request(*t.split())),
                      ("inline", lambda t: t.encode() + b"\n")):
        bad = []
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as s:
            for text, expect in DIALOGUE:
                s.sendall(form(text))
                got = b""
                while len(got) < len(expect) and (data := s.recv(65536)):
                    got += data
                if got != expect:
                    bad.append((text, got))
            ok(not bad, f"{len(DIALOGUE)} requests, each {how}", bad)
            ok(s.recv(1) == b"", f"QUIT ends the connection ({how})")
    out = raw(port, b"".join(request(*t.split()) for t, _ in DIALOGUE))
    ok(out == b"".join(r for _, r in DIALOGUE), "all of them at once", out)
    out = raw(port, *[bytes([b]) for b in b"".join(request(*t.split()) for t, _ in DIALOGUE)])
    ok(out == b"".join(r for _, r in DIALOGUE), "all of them byte by byte", out)
    ok(raw(port, request("QUIT"), request("PING")) == b"+OK\r\n", "nothing is done after QUIT")
    out = raw(port, request("a\r\n+b", "c\rd"))
    ok(out.count(b"\r\n") == 1 and out.endswith(b"\r\n"), "an error is one line", out)


def binary(server):
    with server.connect() as c:
        key, value = bytes(range(256)), bytes(range(255, -1, -1)) * 300
        ok(c("SET", key, value) == b"OK" and c("GET", key) == value, "binary key and value")
        ok(c("SET", b"", b"") == b"OK" and c("GET", b"") == b"", "empty key and value")
        ok(c("MGET", key, b"") == [value, b""], "both")
        big = b"x" * (16 << 20)
        ok(c("SET", "big", big) == b"OK" and c("GET", "big") == big, "the largest value")
        ok(is_error(c("MGET", *["big"] * 1000), "ERR reply too large") and c("PING") == b"PONG",
           "a reply over the limit")
        ok(c("DEL", key, b"", "big") == 3, "and gone")


BROKEN = (
    ("negative length", b"*1\r\n$-1\r\n", b"invalid bulk length"),
    ("huge length", b"*1\r\n$9223372036854775807\r\n", b"invalid bulk length"),
    ("length over the limit", b"*1\r\n$16777217\r\n", b"invalid bulk length"),
    ("length that is no number", b"*1\r\n$x\r\n", b"invalid bulk length"),
    ("huge count", b"*2147483648\r\n", b"invalid multibulk length"),
    ("count over the limit", b"*65537\r\n", b"invalid multibulk length"),
    ("count that is no number", b"*x\r\n", b"invalid multibulk length"),
    ("endless count", b"*" + b"1" * 100, b"too big mbulk count string"),
    ("endless length", b"*1\r\n$" + b"1" * 100, b"too big bulk count string"),
    ("no length", b"*1\r\nPING\r\n", b"expected '$', got 'P'"),
    ("argument too long", b"*1\r\n$4\r\nPINGPING\r\n", b"expected the end of an argument"),
    ("quotes", b'GET "a\r\n', b"unbalanced quotes in request"),
    ("long line", b"a" * 70000, b"too big inline request"),
    ("request too large", b"*3\r\n" + b"$16777210\r\n" + b"x" * 16777210 + b"\r\n$16777210\r\n" +
     b"x" * 16777210 + b"\r\n$100\r\n", b"request too large"),
)


def bad_input(server):
    with server.connect() as other:
        for name, data, why in BROKEN:
            out = raw(server.port, request("PING"), data, request("SET", "bad", "1"))
            ok(out == b"+PONG\r\n-ERR Protocol error: " + why + b"\r\n", name, out)
        ok(other("PING") == b"PONG" and other("GET", "bad") is None, "nobody else has seen it")
        ok(raw(server.port, b"*0\r\n*-1\r\n\r\n\n", request("PING")) == b"+PONG\r\n",
           "empty requests are skipped")
        for data in (b"*", b"*1\r\n$4\r\nPI", b"*2\r\n$4\r\nPING\r\n", b"PING", b"\x00" * 10):
            out = raw(server.port, data)
            ok(out == b"", f"half a request: {data!r}", out)
        args = ["DEL"] + ["k"] * 65535
        ok(other(*args) == 0, "the largest count")


def slow_clients(server):
    """Connections that send a byte now and then are nobody else's business."""
    at = "127.0.0.1", server.port
    slow = [socket.create_connection(at, timeout=TIMEOUT) for _ in range(50)]
    data = request("SET", "slow", "v" * 20)
    with server.connect() as c:
        for byte in data:
            for s in slow:
                s.sendall(bytes([byte]))
            if c("PING") != b"PONG":
                break
        ok(all(s.recv(100) == b"+OK\r\n" for s in slow), "50 clients, byte by byte")
    for s in slow:
        s.close()


def pipelining(server):
    out = raw(server.port, b"".join(request("INCR", "count") for _ in range(10000)))
    ok(out == b"".join(b":%d\r\n" % i for i in range(1, 10001)), "10,000 commands at once", out)
    mixed = b"".join(request("SET", f"p{i}", i) + request("GET", f"p{i}") for i in range(5000))
    out = raw(server.port, mixed)
    ok(out == b"".join(b"+OK\r\n$%d\r\n%d\r\n" % (len(str(i)), i) for i in range(5000)),
       "10,000 commands of two kinds", out)
    with server.connect() as c:
        c("SET", "long", "x" * 100000)
        c.s.sendall(request("GET", "long") * 300)  # more than socket buffers hold
        time.sleep(0.1)
        ok(all(c.reply() == b"x" * 100000 for _ in range(300)), "30 MB of replies to a slow reader")
        c("FLUSHALL")


def together(server):
    """MSET and MGET of keys in several shards happen at one instant."""
    keys = [f"m{i}" for i in range(10)]
    torn = []

    def write(n):
        with server.connect() as c:
            for i in range(200):
                c("MSET", *[x for k in keys for x in (k, f"{n}.{i}")])
                c("INCR", "total")

    def read():
        with server.connect() as c:
            for _ in range(300):
                if len(set(got := c("MGET", *keys))) != 1:
                    torn.append(got)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    with server.connect() as c:
        ok(not torn, "MGET sees all of an MSET, or nothing of it", torn)
        ok(c("GET", "total") == b"800", "INCR by four clients")
        c("FLUSHALL")


def tool(port, *args):
    p = subprocess.run([args[0], "-h", "127.0.0.1", "-p", str(port), *args[1:]], check=False,
                       capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
    return p.returncode, p.stdout + p.stderr


def clients(server):
    if not shutil.which("redis-cli") or not shutil.which("redis-benchmark"):
        skip("redis-cli, redis-benchmark", "redis-tools is not installed")
        return
    for args, expect in ((("PING",), "PONG\n"), (("SET", "c", "a b", "EX", "100"), "OK\n"),
                         (("GET", "c"), "a b\n"), (("MGET", "c", "none"), "a b\n\n"),
                         (("DEL", "c"), "1\n"), (("-n", "0", "PING"), "PONG\n")):
        ok(tool(server.port, "redis-cli", *args) == (0, expect), f"redis-cli {' '.join(args)}")
    out = tool(server.port, "redis-cli", "-3", "PING")
    ok("PONG" in out[1], "redis-cli -3 falls back", out)
    out = tool(server.port, "redis-cli", "INFO")
    ok("gr_backend:" in out[1] and "connected_clients:1" in out[1], "redis-cli INFO", out)
    out = tool(server.port, "redis-cli", "COMMAND")
    ok(out[1].startswith("get\n2\n"), "redis-cli COMMAND", out)
    for depth in ("1", "16"):
        status, out = tool(server.port, "redis-benchmark", "-n", "400", "-c", "10", "-P", depth,
                           "-r", "100", "-t", "ping,set,get,incr,mset", "--csv")
        ok(status == 0 and "rror" not in out and out.count("\n") == 7,
           f"redis-benchmark -P {depth}", out)


def limits():
    with Server("--max-clients", "2", "--timeout", "1") as server:
        a, b = server.connect(), server.connect()
        ok(a("PING") == b("PING") == b"PONG", "two clients of two")
        out = raw(server.port)
        ok(out == b"-ERR max number of clients reached\r\n", "a third is refused", out)
        b.s.sendall(b"*1\r\n$4\r\nPI")
        ok(a.s.recv(1) == b"" and b.s.recv(1) == b"", "--timeout: idle, or half a request")
        a.close()
        b.close()


def no_descriptors():
    """When there are no descriptors left, clients wait until others have gone."""
    with Server() as server:
        top = max(int(n) for n in os.listdir(f"/proc/{server.p.pid}/fd"))
        resource.prlimit(server.p.pid, resource.RLIMIT_NOFILE, (top + 5, top + 5))
        waiting = [server.connect() for _ in range(20)]
        for c in waiting:
            c.send("PING")
        served = 0
        for c in waiting:
            served += c.reply() == b"PONG"
            c.close()
        ok(served == 20, "20 clients, descriptors for a few", served)
        status, err = server.stop()
        ok(status == 0 and err.count("\n") == 1 and "clients have to wait: Too many open" in err,
           "it says so once", err)


def options(port):
    for args, why in ((["--port", "99999"], "not in 0..65535"), (["--procs", "0"], "not in 1..256"),
                      (["--fsync", "often"], "not always, everysec or no"), (["x"], "usage: kv"),
                      (["--timeout", "x"], "not in 0..1000000"),
                      (["--max-clients", "0"], "not in 1..1000000"),
                      (["--port", str(port)], "Address already in use"),
                      (["--port", "0", "--aof", "/dev/null"], "not a regular file"),
                      (["--port", "0", "--aof", "/no/file"], "No such file or directory")):
        status, err = refused(*args)
        ok(status == 1 and why in err, f"{' '.join(args[-2:])}: {why}", err)


def expiry(server):
    with server.connect() as c:
        got = [c("TTL", "e"), c("PTTL", "e"), c("EXPIRE", "e", 1), c("PERSIST", "e")]
        ok(got == [-2, -2, 0, 0], "no key", got)
        c("SET", "e", "v")
        ok([c("TTL", "e"), c("PTTL", "e"), c("PERSIST", "e")] == [-1, -1, 0], "no time")
        ok(c("EXPIRE", "e", 1000) == 1 and 900 < c("TTL", "e") <= 1000, "EXPIRE")
        ok(c("PEXPIRE", "e", 500000) == 1 and 400000 < c("PTTL", "e") <= 500000, "PEXPIRE")
        ok(c("PERSIST", "e") == 1 and c("TTL", "e") == -1, "PERSIST")
        c("SET", "e", "1", "EX", 1000)
        ok(c("INCR", "e") == 2 and c("TTL", "e") > 900, "INCR keeps the time")
        ok(c("SET", "e", "v") == b"OK" and c("TTL", "e") == -1, "SET does not")
        ok(c("EXPIRE", "e", -1) == 1 and c("EXISTS", "e") == 0, "EXPIRE in the past removes")
        ok(is_error(c("EXPIRE", "e", "x"), "ERR value is not") and
           c("EXPIRE", "e", 2**63 - 1) == Error("ERR invalid expire time in 'expire' command"),
           "bad times")
        c("SET", "e", "v", "PX", 30)
        c("SET", "n", "5", "PX", 30)
        c("SET", "swept", "v", "PX", 30)
        time.sleep(0.06)
        ok([c("GET", "e"), c("TTL", "e"), c("EXISTS", "e")] == [None, -2, 0], "gone in time")
        ok(c("INCR", "n") == 1 and c("TTL", "n") == -1, "INCR begins anew")
        ok(c("SET", "e", "v", "XX") is None and c("SET", "e", "v", "NX") == b"OK",
           "NX, XX see it gone")
        deadline = time.monotonic() + TIMEOUT
        while c("DBSIZE") != 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        ok(c("DBSIZE") == 2, "the sweeper removes what nobody asks for")
        c("FLUSHALL")


def run():
    with Server() as server:
        dialogue(server.port)
        binary(server)
        bad_input(server)
        slow_clients(server)
        pipelining(server)
        together(server)
        expiry(server)
        clients(server)
        options(server.port)
        status, err = server.stop()
        ok(status == 0 and err == "", "SIGTERM ends it with status 0", err)
    limits()
    no_descriptors()
