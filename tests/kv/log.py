# SPDX-License-Identifier: MIT
"""log.py - the append-only file: what is in it, damage, a full disk, the end by SIGTERM."""
import os
import resource
import shutil
import socket
import threading
import time

import kv
from kv import TIMEOUT, Server, is_error, ok, refused, request


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def content(tmp):
    path = f"{tmp}/content"
    with Server("--aof", path, "--fsync", "always") as server, server.connect() as c:
        before = time.time() * 1000
        for args in (("SET", "a", "1", "NX"), ("SET", "a", "2", "NX"),
                     ("SET", "b", "1", "EX", 1000), ("INCR", "a"), ("GET", "a"), ("DEL", "none"),
                     ("EXPIRE", "a", 1000), ("PERSIST", "a"), ("MSET", "c", "1", "d", "2"), ("DEL", "c", "none"),
                     ("EXPIRE", "d", 0)):
            c(*args)
        words = kv_words(read(path))
        when = int(words[1][4])
        ok(before + 999000 < when < before + 1000000 + TIMEOUT * 1000, "EX is logged as a time",
           words)
        when2 = int(words[3][2])
        ok(when <= when2, "EXPIRE too", words)
        ok(words == [b"SET a 1".split(), b"SET b 1 PXAT".split() + [words[1][4]], b"INCR a".split(),
                     [b"PEXPIREAT", b"a", words[3][2]], b"PERSIST a".split(),
                     b"MSET c 1 d 2".split(), b"DEL c none".split(), b"DEL d".split()],
           "each change is there, nothing else", words)
        ok(server.stop()[0] == 0, "SIGTERM")
    with Server("--aof", path) as server, server.connect() as c:
        ok(c("MGET", "a", "b", "c", "d") == [b"2", b"1", None, None], "it is loaded")
        ok(c("TTL", "a") == -1 and 0 < c("TTL", "b") <= 1000, "with times")
        c("FLUSHALL")
        c("SET", "z", "1")
        ok(server.stop()[0] == 0, "SIGTERM again")
    with Server("--aof", path) as server, server.connect() as c:
        ok(c("DBSIZE") == 1 and c("GET", "z") == b"1", "FLUSHALL is loaded")


def kv_words(data):
    """The records of a log."""
    out = []
    while data:
        n, data = data.split(b"\r\n", 1)
        words = []
        for _ in range(int(n[1:])):
            length, data = data.split(b"\r\n", 1)
            words.append(data[:int(length[1:])])
            data = data[int(length[1:]) + 2:]
        out.append(words)
    return out


def expired(tmp):
    """What expired is gone after a replay too, and what came after it is not."""
    path = f"{tmp}/expired"
    with Server("--aof", path, "--fsync", "always") as server, server.connect() as c:
        for k in ("a", "b", "c", "d"):
            c("SET", k, "5", "PX", 20)
        c("SET", "kept", "5", "PX", 40)
        c("INCR", "kept")
        c("PERSIST", "kept")
        time.sleep(0.05)
        ok(c("INCR", "a") == 1 and c("GET", "b") is None and c("SET", "c", "6", "NX") == b"OK",
           "three of them are asked for")
        kept = c("GET", "kept")
        server.kill()
    data = read(path)
    ok(b"$3\r\nDEL\r\n$1\r\na\r\n" in data, "an expiry is logged as DEL", data)
    with Server("--aof", path) as server, server.connect() as c:
        ok(c("MGET", "a", "b", "c", "d") == [b"1", None, b"6", None], "the same after a replay")
        ok(c("GET", "kept") == kept, "PERSIST holds although the old time is over")


def torn(tmp):
    """Every way to cut the last record."""
    path = f"{tmp}/torn"
    first = request("SET", "first", "1") + request("SET", "trap", request("FLUSHALL"))
    value = b"\r\n*1\r\n$8\r\nFLUSHALL\r\n2"
    last = request("SET", "last", value)
    whole = last.index(value) + len(value) - 1  # here the rest ends with what could be a record
    bad = []
    for n in range(len(last)):
        if n == whole:
            continue
        write(path, first + last[:n])
        with Server("--aof", path, "--fsync", "always") as server, server.connect() as c:
            got = c("MGET", "first", "last"), "unfinished record" in server.said, kv.size(path)
            ok_after = c("SET", "after", "3")
            if got != ([b"1", None], n > 0, len(first)) or ok_after != b"OK":
                bad.append((n, got, server.said))
    ok(not bad, f"a last record cut at each of {len(last) - 1} places", bad)
    with Server("--aof", path) as server, server.connect() as c:
        ok(c("GET", "after") == b"3" and not server.said, "it goes on there", server.said)
    write(path, first + last[:whole])
    status, err = refused("--port", "0", "--aof", path)
    ok(status == 1 and "a length is wrong" in err, "when in doubt it does not start", err)


def damaged(tmp):
    path = f"{tmp}/damaged"
    record = request("SET", "k", "v" * 20)
    for name, data, why in (
            ("noise", record + b"noise" + record, f"byte {len(record)}: expected '*', got 'n'"),
            ("zeros", record + bytes(100), f"byte {len(record)}: expected '*', got byte 0"),
            ("a count too small", record.replace(b"*3", b"*2") + record, "damaged at byte 0"),
            ("a length too small", record.replace(b"$20", b"$10") + record, "damaged at byte 0"),
            ("a length far too large", record + record.replace(b"$20", b"$999") + record * 9,
             "damaged at byte 47: a length is wrong"),
            ("a length of nothing", b"*1\r\n$-1\r\n", "byte 0: invalid bulk length"),
            ("an empty record", record + b"*0\r\n", "byte 47: invalid multibulk length"),
            ("an unknown command", record + request("FOO") + record, "byte 47: ERR unknown"),
            ("a command that changes nothing", request("GET", "a"), "does not belong into a log"),
            ("a command that fails", request("INCR", "a", "b"), "byte 0: ERR wrong number"),
            ("a text that is no log", b"hello\n", "byte 0: expected '*', got 'h'")):
        write(path, data)
        status, err = refused("--port", "0", "--aof", path)
        ok(status == 1 and why in err and err.count("\n") == 1, name, err)
        ok(read(path) == data, f"{name}: the file is as it was")


def locked(tmp):
    path = f"{tmp}/locked"
    with Server("--aof", path):
        status, err = refused("--port", "0", "--aof", path)
        ok(status == 1 and "another server has it" in err, "two servers, one file", err)


def limit_files(n):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n, hard))


def fill(server):
    """SET until the server ends the connection; the names of what was acknowledged."""
    names = []
    with server.connect() as c:
        try:
            while c("SET", f"k{len(names)}", "x" * 1000) == b"OK":
                names.append(f"k{len(names)}")
        except EOFError as e:
            return names, e.args[0]
    return names, "an error"


def present(c, names):
    return all(v == b"x" * 1000 for v in c("MGET", *names))


def full(tmp):
    """The disk is full: reads go on, writes are refused, until there is room again."""
    path = f"{tmp}/full"
    with Server("--aof", path, "--fsync", "always", preexec=limit_files(50500)) as server:
        other = server.connect()
        other("SET", "n", "1")
        names, end = fill(server)
        ok(len(names) > 30 and end == b"", "a write that does not fit is not answered",
           (len(names), end))
        ok(present(other, names) and other("PING") == b"PONG", "reads go on")
        got = [other(*a) for a in (("SET", "m", "1"), ("INCR", "n"), ("DEL", "n"), ("PERSIST", "n"),
                                   ("EXPIRE", "n", 9), ("MSET", "m", "1"), ("FLUSHALL",))]
        ok(all(is_error(r, "MISCONF Errors writing to the AOF file: File too") for r in got),
           "every kind of write is refused", got)
        ok(other("MGET", "n", "m") == [b"1", None] and other("TTL", "n") == -1,
           "and changes nothing")
        other.s.sendall(request("SET", "m", 1) + request("GET", "n") + request("INCR", "n"))
        got = [other.reply() for _ in range(3)]
        ok(is_error(got[0], "MISCONF") and got[1] == b"1" and is_error(got[2], "MISCONF"),
           "in a pipeline too", got)
        ok(other.info()["aof_last_write_status"] == "err", "INFO says so")
        shutil.copy(path, f"{tmp}/full.copy")
        resource.prlimit(server.p.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        deadline = time.monotonic() + TIMEOUT
        while (reply := other("INCR", "n")) != 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        ok(reply == 2, "writes go on when there is room", reply)
        ok(other("SET", "m", "2") == b"OK", "all of them")
        server.kill()
        other.close()
    with Server("--aof", path) as server, server.connect() as c:
        ok(server.said == "" and present(c, names) and c("MGET", "n", "m") == [b"2", b"2"],
           "the file is whole", server.said)
    with Server("--aof", f"{tmp}/full.copy") as server, server.connect() as c:
        ok(present(c, names) and c("GET", "n") == b"1", "so is what it was when full", server.said)


def full_at_end(tmp):
    path = f"{tmp}/end"
    with Server("--aof", path, "--fsync", "no", preexec=limit_files(50500)) as server:
        with server.connect() as c:
            while not is_error(c("SET", "k", "x" * 1000), "MISCONF"):
                pass
        status, err = server.stop()
        ok(status == 1 and "cannot write" in err and "queued is lost" in err,
           "a log that cannot be finished is said at the end", (status, err))


def policies(tmp):
    with Server("--aof", f"{tmp}/always", "--fsync", "always") as server, server.connect() as c:
        before = int(c.info()["aof_fsyncs"])
        for i in range(20):
            c("SET", "k", i)
        between = int(c.info()["aof_fsyncs"])
        ok(between - before == 20, "always: one sync for each reply", between - before)
        c.s.sendall(request("SET", "k", 1) * 1000)
        ok(all(c.reply() == b"OK" for _ in range(1000)), "1000 in a pipeline")
        ok(int(c.info()["aof_fsyncs"]) - between < 500, "share syncs", c.info())
    for policy in ("everysec", "no"):
        path = f"{tmp}/{policy}"
        with Server("--aof", path, "--fsync", policy) as server, server.connect() as c:
            c.s.sendall(request("SET", "k", 1) * 1000)
            ok(all(c.reply() == b"OK" for _ in range(1000)), f"{policy}: 1000 in a pipeline")
            deadline = time.monotonic() + TIMEOUT
            want = "aof_synced_size" if policy == "everysec" else "aof_current_size"
            total = 1000 * len(request("SET", "k", 1))
            while int(c.info()[want]) < total and time.monotonic() < deadline:
                time.sleep(0.05)
            ok(int(c.info()[want]) == kv.size(path) == total, f"{policy}: all is in the file")


def drain(tmp):
    """SIGTERM while commands arrive: every reply is whole, and what it says is in the log."""
    path = f"{tmp}/drain"
    server = Server("--aof", path, "--fsync", "always")
    idle, c = server.connect(), server.connect()
    ok(idle("PING") == b"PONG", "a client that is idle")

    def pump():
        try:
            while True:
                c.s.sendall(request("INCR", "n") * 100)
        except OSError:
            pass

    sender = threading.Thread(target=pump)
    sender.start()
    got = [c.reply() for _ in range(500)]
    server.p.terminate()
    tail = b""
    try:
        while True:
            got.append(c.reply())
    except EOFError as e:
        tail = e.args[0]
    except OSError:
        pass
    c.s.shutdown(socket.SHUT_RDWR)
    sender.join()
    ok(idle.s.recv(1) == b"", "it is told by the end of its connection")
    status, err = server.stop()
    ok(status == 0 and err == "", "the server ends", (status, err))
    ok(got == list(range(1, len(got) + 1)) and tail == b"", "replies are whole", (got[-3:], tail))
    idle.close()
    c.close()
    with Server("--aof", path) as server, server.connect() as c:
        n = int(c("GET", "n"))
        ok(n >= len(got) and server.said == "", "the log has what was replied", (n, len(got)))


def run(tmp):
    for test in (content, expired, torn, damaged, locked, full, full_at_end, policies, drain):
        os.makedirs(f"{tmp}/{test.__name__}")
        test(f"{tmp}/{test.__name__}")
