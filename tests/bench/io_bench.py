# SPDX-License-Identifier: MIT
"""io_bench.py - servers under load, beside their peers: the I/O part of bench.py.

A server is a process of its own. It prints "port N" on stdout (nginx and httpd: see their
functions) and ends at SIGTERM; load.c or wrk is the client. Every bench is a function of WORK:
run(res, bench, impl, procs, scale) does one round of one server and adds its figures, or says
res.skip(). A new one is an entry there, and its figures' names in "gives".
"""
import csv
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from results import verdict

LIMIT = 60  # seconds for one run of a client
SPAN_MS, WARM_MS = 1500, 300
RATE = 5000  # requests per second in the open loop
CPUCLOCK_SCHED = 2
NGINX = os.path.join(os.environ.get("GR_CACHE") or
                     os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "gr"),
                     "nginx/usr/sbin/nginx")
NGINX_CONF = """daemon off; worker_processes {procs}; pid {dir}/pid; error_log {dir}/error;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000; default_type text/plain;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello from gr\\n"; }} }}
}}
"""

# the echo servers: program and arguments, with the number of Ps; None: it has one thread
ECHO = {
    "libgr": lambda procs: ["build/examples/echo", "--port", "0", "--idle", "0", "--procs", str(procs)],
    "epoll-c": lambda procs: ["build/bench/epoll-c"] if procs == 1 else None,
    "libuv": lambda procs: ["build/bench/libuv"] if procs == 1 else None,
    "go": lambda procs: ["build/bench/go-io", "echo", str(procs)],
    "tokio": lambda procs: ["build/bench/tokio", "echo", str(procs), "1"],
}


class Server:
    def __init__(self, command, port=None, stream="stdout", **more):
        self.port, self.said = port, ""
        self.process = subprocess.Popen(command, text=True, **{stream: subprocess.PIPE}, **more)
        self.out = getattr(self.process, stream)
        if not port:
            line = self.out.readline()
            found = re.search(r"\bport (\d+)", line)
            self.port = int(found.group(1)) if found else 0

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()

    def stop(self):
        """End it; what it said after its port."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.said = self.process.communicate(timeout=LIMIT)[self.out is self.process.stderr] or ""
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.said

    def pids(self):
        """it, and the workers it has started"""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
            return [pid] + [int(p) for p in f.read().split()]

    def cpu(self):
        """seconds, of all threads: what clock_getcpuclockid() names"""
        return sum(time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED) for pid in self.pids())

    def resident(self):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as f:
            return int(re.search(r"^VmRSS:\s+(\d+) kB", f.read(), re.M).group(1)) * 1024


def failed(res, bench, impl, procs, text):
    res.failures.append(f"{bench} {impl} procs={procs}: {text.strip()}")


def start(res, bench, impl, procs):
    """the echo server, or None"""
    command = ECHO[impl](procs)
    if not command:
        return None
    if not os.access(command[0], os.X_OK):
        res.skip(bench, impl, "it was not built")
        return None
    server = Server(command)
    if not server.port:
        server.stop()
        failed(res, bench, impl, procs, "said no port")
        return None
    return server


def client(args):
    """It ran: its status and output; 1 and the reason if it does not end."""
    try:
        return subprocess.run(args, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(args, 1, "", f"{args[0]}: not done after {LIMIT} s")


def scaled(n, scale):
    return n if scale >= 1 else max(1, int(n * max(scale, 0.01)))


def add_enters(res, bench, impl, procs, said, requests):
    """libgr's servers say at their end how often they entered the ring"""
    enters = re.search(r"\benters (\d+)", said)
    if enters:
        res.add((bench + "_enters", impl, procs), "calls", int(enters.group(1)) / requests, None, requests)


def echo(res, bench, impl, procs, scale):
    work = WORK[bench]
    server = start(res, bench, impl, procs)
    if not server:
        return
    with server:
        args = ["build/bench/load", "--port", str(server.port), "--conns", str(scaled(work["conns"], scale)),
                "--size", str(work.get("size", 64)), "--pid", str(server.process.pid),
                "--time", str(max(int(SPAN_MS * scale), 100)), "--warm", str(max(int(WARM_MS * scale), 20)),
                "--rate", str(work.get("rate", 0))]
        p = client(args)
        if p.returncode == 4:
            res.skip(bench, impl, p.stdout.strip().removeprefix("skip: "))
            return
        if p.returncode:
            failed(res, bench, impl, procs, p.stderr)
            return
        said = server.stop()
    f = json.loads(p.stdout)
    if "rate" not in work:
        res.add((bench, impl, procs), "req/s", f["rate"], None, f["requests"])
    for name in ("p50", "p99", "cpu"):
        res.add((f"{bench}_{name}", impl, procs), "us", f[name], None, f["requests"])
    add_enters(res, bench, impl, procs, said, f["total"])
    if server.process.returncode not in (0, -signal.SIGTERM):
        failed(res, bench, impl, procs, f"the server's exit: {server.process.returncode}")


def idle(res, bench, impl, procs, scale):
    server = start(res, bench, impl, procs)
    if not server:
        return
    n = scaled(WORK[bench]["conns"], scale)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < n + 64:
        server.stop()
        res.skip(bench, impl, f"{n} connections, but only {hard} descriptors allowed (ulimit -Hn)")
        return
    with server:
        before = server.resident()
        with subprocess.Popen(["build/bench/load", "--port", str(server.port), "--conns", str(n), "--idle"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            line = client.stdout.readline().strip()
            if line == "ready":
                res.add((bench, impl, procs), "bytes", (server.resident() - before) / n, None, n)
            else:
                failed(res, bench, impl, procs, line or "the client died")
            client.stdin.close()


# ---- HTTP ----

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        except OSError:
            time.sleep(0.05)
    return False


def start_http(impl, procs, where):
    """the server, or None: it is not there"""
    command = {"libgr": ["build/examples/httpd", "--host", "127.0.0.1", "--port", "0", "--procs", str(procs)],
               "go": ["build/bench/go-io", "hello", str(procs)],
               "nginx": [NGINX, "-p", where, "-c", where + "/conf", "-e", where + "/error"]}[impl]
    if not os.access(command[0], os.X_OK):
        return None
    if impl != "nginx":
        return Server(command, stream="stderr" if impl == "libgr" else "stdout")
    port = free_port()
    with open(where + "/conf", "w", encoding="utf-8") as f:
        f.write(NGINX_CONF.format(dir=where, port=port, procs=procs))
    return Server(command, port=port)


def seconds(text):
    """of a time as wrk prints it"""
    value, unit = re.match(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(value) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]


def http(res, bench, impl, procs, scale):
    if not shutil.which("wrk"):
        res.skip(bench, impl, "there is no wrk")
        return
    with tempfile.TemporaryDirectory() as where:
        os.chmod(where, 0o755)
        server = start_http(impl, procs, where)
        if not server:
            res.skip(bench, impl, "it was not built" if impl != "nginx" else "it is not in the cache")
            return
        with server:
            if not server.port or not wait_for(server.port):
                failed(res, bench, impl, procs, "does not answer")
                return
            url = f"http://127.0.0.1:{server.port}/"
            conns = str(scaled(WORK[bench]["conns"], scale))
            cpu = server.cpu()
            p = client(["wrk", "-t1", "-c" + conns, f"-d{2 if scale >= 1 else 1}s", "--latency", url])
            cpu = server.cpu() - cpu
            said = server.stop()
    done = re.search(r"(\d+) requests in", p.stdout)
    if p.returncode or not done or re.search(r"Non-2xx|Socket errors", p.stdout):
        failed(res, bench, impl, procs, p.stdout + p.stderr)
        return
    n = int(done.group(1))
    res.add((bench, impl, procs), "req/s", float(re.search(r"Requests/sec:\s+([\d.]+)", p.stdout).group(1)),
            None, n)
    res.add((bench + "_p99", impl, procs), "us",
            seconds(re.search(r"99%\s+(\S+)", p.stdout).group(1)) * 1e6, None, n)
    res.add((bench + "_cpu", impl, procs), "us", cpu * 1e6 / n, None, n)
    add_enters(res, bench, impl, procs, said, n)


# ---- kv ----

def start_kv(impl, where):
    """the server, or the reason why not"""
    port = free_port()
    command, program = {
        "libgr": (["kv", "--port", str(port), "--procs", "1"], "build/examples/kv"),
        # Debian's redis-check-rdb is the server, too, and says which by its name
        "redis": (["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", where,
                   "--appendonly", "no"], shutil.which("redis-check-rdb") or "redis-check-rdb"),
    }[impl]
    if not os.access(program, os.X_OK):
        return f"there is no {program}"
    with open(where + "/log", "w", encoding="utf-8") as log:
        return Server(command, port=port, executable=program, stderr=log)


def kv(res, bench, impl, procs, scale):
    """one kind of request; without pipelining, or 16 at a time"""
    work = WORK[bench]
    if not shutil.which("redis-benchmark"):
        res.skip(bench, impl, "there is no redis-benchmark")
        return
    with tempfile.TemporaryDirectory() as where:
        server = start_kv(impl, where)
        if isinstance(server, str):
            res.skip(bench, impl, server)
            return
        with server:
            if not wait_for(server.port):
                failed(res, bench, impl, procs, "does not answer")
                return
            n = scaled(work["requests"], scale)
            cpu = server.cpu()
            p = client(["redis-benchmark", "-p", str(server.port), "-t", work["command"], "-n", str(n),
                        "-c", str(work["conns"]), "-r", "100000", "-P", str(work.get("pipeline", 1)), "--csv"])
            cpu = server.cpu() - cpu
    rows = list(csv.DictReader(p.stdout.splitlines()))
    if p.returncode or len(rows) != 1:
        failed(res, bench, impl, procs, p.stdout + p.stderr)
        return
    res.add((bench, impl, procs), "req/s", float(rows[0]["rps"]), None, n)
    res.add((bench + "_p99", impl, procs), "us", float(rows[0]["p99_latency_ms"]) * 1000, None, n)
    res.add((bench + "_cpu", impl, procs), "us", cpu * 1e6 / n, None, n)


def entry(run, bench, conns, gives, impls=tuple(ECHO), **more):
    return dict(run=run, conns=conns, impls=impls, gives=[bench + g for g in gives], **more)


ALL = ("", "_p50", "_p99", "_cpu", "_enters")
KV = ("", "_p99", "_cpu")
WORK = {
    "echo_1": entry(echo, "echo_1", 1, ALL),
    "echo_64": entry(echo, "echo_64", 64, ALL),
    "echo_1000": entry(echo, "echo_1000", 1000, ALL),
    "echo_1_4k": entry(echo, "echo_1_4k", 1, ALL, size=4096, procs=(1,)),
    "echo_64_4k": entry(echo, "echo_64_4k", 64, ALL, size=4096, procs=(1,)),
    "echo_1000_4k": entry(echo, "echo_1000_4k", 1000, ALL, size=4096, procs=(1,)),
    "echo_64_open": entry(echo, "echo_64_open", 64, ALL[1:], rate=RATE),
    "idle10k_bytes": entry(idle, "idle10k_bytes", 10000, ("",), rounds=1, procs=(1,)),
    "http_hello": entry(http, "http_hello", 64, ("", "_p99", "_cpu", "_enters"), impls=("libgr", "go", "nginx")),
    "kv_set": entry(kv, "kv_set", 50, KV, impls=("libgr", "redis"), procs=(1,), command="set", requests=100_000),
    "kv_get": entry(kv, "kv_get", 50, KV, impls=("libgr", "redis"), procs=(1,), command="get", requests=100_000),
    "kv_get_p16": entry(kv, "kv_get_p16", 50, KV, impls=("libgr", "redis"), procs=(1,), command="get",
                        requests=1_000_000, pipeline=16),
}
IMPLS = ("libgr", "epoll-c", "libuv", "go", "tokio", "nginx", "redis")

# hoped for: figure, of whom (None: the figure itself), at most or at least, how much
GOALS = tuple((f"echo_{n}_cpu", peer, "at most", most)
              for n in (1, 64, 1000) for peer, most in (("epoll-c", 0.9), ("go", 0.65))) + (
    ("echo_64", "go", "at least", 1.1),
    ("echo_1000", "go", "at least", 1.1),
    ("echo_64_p99", "go", "at most", 1.0),
    ("echo_1000_p99", "go", "at most", 1.0),
    ("echo_64_enters", None, "at most", 0.5),
    ("http_hello", "go", "at least", 1.3),
    ("kv_set", "redis", "at least", 1.0),
    ("kv_get", "redis", "at least", 1.0),
    ("idle10k_bytes", None, "at most", 6144),
)


def run_round(res, bench, impls, turn, scale):
    """one round of one bench: all peers, beginning with another one each time"""
    impls = [i for i in impls if i in WORK[bench]["impls"]]
    for procs in WORK[bench].get("procs", (1, 2)):
        for i in range(len(impls)):
            impl = impls[(turn + i) % len(impls)]
            if not res.skipped(bench, impl):
                WORK[bench]["run"](res, bench, impl, procs, scale)


def print_goals(res):
    for figure, peer, how, limit in GOALS:
        for procs in (1, 2):
            value = res.median(figure, "libgr", procs)
            if peer and value is not None:
                theirs = res.median(figure, peer, procs)
                value = value / theirs if theirs else None
            if value is not None:
                good = value <= limit if how == "at most" else value >= limit
                verdict(figure, procs, value, f"of {peer}" if peer else res.unit[figure], f"{how} {limit}", good)
