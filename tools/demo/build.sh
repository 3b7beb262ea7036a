#!/bin/sh
# SPDX-License-Identifier: MIT
#
# build.sh - the programs of the demonstration, into build/demo/bin. Needs build/libgr.a.
#
# The Go twins are built when a Go tool chain and its SQLite binding are there; without them the
# demonstration runs and says that Go was left out.
set -eu
cd "$(dirname "$0")/../.."
BIN=build/demo/bin
CC=${CC:-cc}
CFLAGS="-std=gnu11 -O2 -g -Wall -Wextra -D_GNU_SOURCE -Iinclude"
LIBGR=${LIBGR:-build/libgr.a}

[ -f "$LIBGR" ] || { echo "demo: $LIBGR is missing: run make first" >&2; exit 1; }
mkdir -p "$BIN"
# shellcheck disable=SC2086
$CC $CFLAGS -o "$BIN/httpd" examples/httpd/*.c "$LIBGR" \
	-lhttp_parser -lsqlite3 -luring -pthread
# shellcheck disable=SC2086
$CC $CFLAGS -o "$BIN/block_to_run" tests/bench/block_to_run.c "$LIBGR" -luring -pthread
# shellcheck disable=SC2086
$CC $CFLAGS -o "$BIN/getppid" tests/bench/getppid.c
cp tools/demo/fast.lua tools/demo/block.lua tools/demo/measure.sh "$BIN"

go_build()
{
	GO111MODULE=off GOFLAGS='' GOPATH=/usr/share/gocode GOCACHE="$PWD/build/demo/gocache" \
		go build -tags libsqlite3 -o "$BIN/$1" "tests/bench/go/$2"
}

if ! command -v go >/dev/null; then
	echo "demo: no Go tool chain: Go is left out"
	rm -f "$BIN/go-httpd" "$BIN/go-block_to_run"
else
	go_build go-httpd httpd.go
	go_build go-block_to_run block_to_run.go
fi
