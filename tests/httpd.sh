#!/bin/bash
# SPDX-License-Identifier: MIT
#
# httpd.sh - the example server: its replies byte by byte (tools/demo/check_httpd.py), then what
# curl makes of it, then clients that misbehave, and its end (tests/httpd_client.py).
# shellcheck disable=SC2317  # check() calls them
cd "$(dirname "$0")/.." || exit 1
. tests/tap.sh
HTTPD=build/examples/httpd
export GR_BACKEND=futex

tools/demo/check_httpd.py $HTTPD > "$T/replies" 2>&1 || TAP_BAD=1
grep -v '^1\.\.' "$T/replies"
TAP_N=$(grep -Ec '^(not )?ok ' "$T/replies")
[ "$(tail -n 1 "$T/replies")" = "1..$TAP_N" ] || TAP_BAD=1

# ---- curl ----

mkdir "$T/root"
head -c 3000000 /dev/urandom > "$T/root/big"
head -c 100 "$T/root/big" > "$T/root/small"
mkfifo "$T/says"
$HTTPD --host 127.0.0.1 --port 0 --root "$T/root" 2> "$T/says" &
SERVER=$!
exec 3< "$T/says"
read -r -u 3 line
line=${line#*port }
URL=http://127.0.0.1:${line%%,*}

get()
{
    curl -sS --max-time 60 "$@"
}

status_is()
{
    test "$(get -o "$T/body" -w '%{http_code}' "${@:2}")" = "$1"
}

same()
{
    get "$URL/file/big" | cmp - "$T/root/big"
}

resumed()
{
    head -c 1000000 "$T/root/big" > "$T/got" &&
        get -C - -o "$T/got" "$URL/file/big" && cmp "$T/got" "$T/root/big"
}

not_twice()
{
    get -o "$T/once" --etag-save "$T/etag" "$URL/file/small" && cmp "$T/once" "$T/root/small" &&
        status_is 304 --etag-compare "$T/etag" "$URL/file/small" &&
        date >> "$T/root/small" && status_is 200 --etag-compare "$T/etag" "$URL/file/small"
}

head_only()
{
    get --head "$URL/file/big" | grep -i '^content-length: 3000000'
}

kept()
{
    test "$(get -w '%{num_connects}\n' -o "$T/body" "$URL/" -o "$T/body" "$URL/file/big" \
        -o "$T/body" "$URL/nope" | xargs)" = "1 0 0"
}

suffix()
{
    get -r -100 "$URL/file/big" | cmp - <(tail -c 100 "$T/root/big")
}

long_header()
{
    status_is 431 -H "X: $(printf '%09000d' 0)" "$URL/"
}

ended()
{
    kill "$SERVER" && wait "$SERVER"
}

check "curl: a large file" same
check "curl: a download goes on where it ended" resumed
check "curl: the end of a file" suffix
check "curl: beyond the end of a file" status_is 416 -r 3000000- "$URL/file/big"
check "curl: what it has is not sent again, before it changes" not_twice
check "curl: HEAD" head_only
check "curl: one connection for several requests" kept
check "curl: out of the directory" status_is 400 --path-as-is "$URL/file/../../../etc/passwd"
check "curl: a header that is too long" long_header
check "curl: a body that is too long" status_is 413 -d @"$T/root/big" "$URL/"
check "curl: SIGTERM ends it with status 0" ended
exec 3<&-

# ---- clients that curl is not ----

for t in $(tests/httpd_client.py names); do
    check "client: ${t//_/ }" tests/httpd_client.py "$t" $HTTPD
done
tap_done
