#!/bin/sh
# SPDX-License-Identifier: MIT
#
# measure.sh BIN OUT DATA - the measurements of the demonstration, in the guest or natively.
#
# BIN holds httpd, go-httpd, block_to_run, go-block_to_run, wrk scripts; OUT receives raw results
# for report.py; DATA is a directory on a file system whose fsync() really waits for a disk.
#
# Fair means: every server has one processor (procs=1, GOMAXPROCS=1) and all of its threads are
# bound to CPU 0, monitors and collectors included; the load generators share CPU 1.
# Writes OUT/done last: without it the run failed.
set -u
BIN=$1 OUT=$2 DATA=$3
PORT=${GR_DEMO_PORT:-18999}
URL=http://127.0.0.1:$PORT
SECS=${GR_DEMO_SECONDS:-5}
DEBUGFS=/sys/kernel/debug/gr
TRACE=/sys/kernel/tracing
SERVER=

say()
{
	echo "demo: $*"
}

die()
{
	say "FAILED: $*"
	[ -z "$SERVER" ] || kill "$SERVER" 2>/dev/null
	exit 1
}

on_cpu()
{
	cpu=$1
	shift
	if [ "$(nproc)" -ge 2 ]; then
		exec taskset -c "$cpu" "$@"
	fi
	exec "$@"
}

fetch()
{
	curl -sSf --noproxy '*' -m 20 "$URL$1"
}

start_server()
{
	impl=$1
	prog=httpd
	[ "$impl" != go ] || prog=go-httpd
	rm -rf "$DATA/db"
	mkdir -p "$DATA/db" "$DATA/files"
	echo "a file" > "$DATA/files/a.txt"
	(
		export GR_BACKEND="$impl"
		on_cpu 0 "$BIN/$prog" --host 127.0.0.1 --port "$PORT" --procs 1 \
			--root "$DATA/files" --db "$DATA/db/demo.db"
	) 2>"$OUT/$impl.log" &
	SERVER=$!
	tries=0
	until [ "$(fetch / 2>/dev/null)" = "hello from gr" ]; do
		tries=$((tries + 1))
		kill -0 "$SERVER" 2>/dev/null || die "$impl: $(cat "$OUT/$impl.log")"
		[ "$tries" -lt 100 ] || die "$impl does not answer"
		sleep 0.1
	done
	[ "$impl" = go ] || [ "$(fetch /stats | head -n 1)" = "backend $impl" ] ||
		die "the server does not run on backend $impl"
	fetch "/sql?q=CREATE+TABLE+visits(n)" || die "$impl: no database"
}

stop_server()
{
	kill -TERM "$SERVER"
	wait "$SERVER"
	rc=$?
	SERVER=
	[ "$rc" = 0 ] || die "$1 ended with status $rc: $(tail -n 3 "$OUT/$1.log")"
}

fast()
{
	(on_cpu 1 timeout $(($2 + 30)) wrk -t1 -c8 -d"$2"s -s "$BIN/fast.lua" "$URL/") \
		> "$OUT/$1" || die "wrk: $1"
	grep '^{' "$OUT/$1" >/dev/null || die "wrk printed nothing: $1"
}

# Three kinds of events around one /block request while short requests keep the P busy. The events
# are switched on while nothing runs, and only recording starts under load (see init.sh: an
# emulator may trip over kernel text that changes while it executes).
trace_events()
{
	[ -d "$TRACE/events/gr" ] || mount -t tracefs tracefs "$TRACE" 2>/dev/null
	[ -d "$TRACE/events/gr" ] || return
	echo 0 > "$TRACE/tracing_on"
	echo > "$TRACE/trace"
	for e in block handoff unblock; do
		echo 1 > "$TRACE/events/gr/$e/enable"
	done
	(fast kmod.trace-load 2) &
	load=$!
	sleep 0.3
	echo 1 > "$TRACE/tracing_on"
	fetch "/block?ms=5" >/dev/null
	echo 0 > "$TRACE/tracing_on"
	wait "$load"
	cat "$TRACE/trace" > "$OUT/trace"
	for e in block handoff unblock; do
		echo 0 > "$TRACE/events/gr/$e/enable"
	done
	echo 1 > "$TRACE/tracing_on"
}

http()
{
	impl=$1
	say "$impl: warming up"
	start_server "$impl"
	fast "$impl.warm" 1
	say "$impl: short requests alone, $SECS s"
	fast "$impl.alone" "$SECS"
	say "$impl: short requests while 50 clients block, $SECS s"
	(on_cpu 1 timeout $((SECS + 60)) wrk -t1 -c50 -d$((SECS + 2))s --timeout 10s \
		-s "$BIN/block.lua" "$URL/") > "$OUT/$impl.blockers" &
	blockers=$!
	sleep 1
	fast "$impl.blocking" "$SECS"
	fetch /stats > "$OUT/$impl.stats"
	wait "$blockers" || die "wrk: $impl.blockers"
	if [ "$impl" = kmod ]; then
		cat "$DEBUGFS"/*/latency > "$OUT/latency" 2>/dev/null
		trace_events
	fi
	fetch "/sql?q=SELECT+count(*)+FROM+visits" > "$OUT/$impl.rows" || die "$impl: count"
	stop_server "$impl"
}

block_to_run()
{
	say "$1: from block to the next goroutine, 100 times"
	prog=block_to_run
	[ "$1" != go ] || prog=go-block_to_run
	GR_BACKEND=$1 timeout 60 "$BIN/$prog" > "$OUT/$1.b2r" 2>>"$OUT/$1.log" ||
		die "$1: block_to_run: status $?: $(tail -n 3 "$OUT/$1.log")"
}

mkdir -p "$OUT"
rm -f "$OUT/done"
impls=${GR_DEMO_IMPLS:-kmod futex go}
for i in $impls; do
	if [ "$i" = go ] && [ ! -x "$BIN/go-httpd" ]; then
		say "go: not built, left out"
		continue
	fi
	http "$i"
	block_to_run "$i"
done
uname -r > "$OUT/kernel"
echo ok > "$OUT/done"
