#!/bin/bash
# SPDX-License-Identifier: MIT
#
# tls.sh - examples/tls against curl and the openssl command, and against itself: versions,
# keep-alive, certificates that must not be taken, peers that speak nonsense or nothing, the drain.
# TLS=PROGRAM tests another build of it. Nothing here is timed: what must happen is waited for.
# shellcheck disable=SC2317  # check() calls them
set -u
cd "$(dirname "$0")/.." || exit 1
. tests/tap.sh
LONG=100000 # ms, where the machine may be slow and only the peer is at fault
TLS=$PWD/${TLS:-build/examples/tls}
export GR_BACKEND=futex GR_PROCS=2
trap 'kill $(jobs -p) 2> /dev/null; rm -rf "$T"' EXIT
trap : PIPE # a peer that is gone ends its check only; programs get the default action
cd "$T" || exit 1

# new_cert NAME ALTNAMES DAYS: signed by ca.pem
new_cert()
{
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" \
        -out "$1.csr" -subj "/CN=$1" && echo "subjectAltName=$2" > "$1.ext" &&
        openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -days "$3" \
            -extfile "$1.ext" -out "$1.pem"
}

make_certs()
{
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key \
        -out ca.pem -subj "/CN=test" -days 30 &&
        new_cert good DNS:localhost,IP:127.0.0.1 30 &&
        new_cert other DNS:other.example 30 && new_cert expired DNS:localhost -1
}

# until_ok COMMAND...: it succeeds, sooner or later
until_ok()
{
    local i
    for i in {1..800}; do
        "$@" > /dev/null 2>&1 && return
        sleep 0.05
    done
    echo "in vain: $*"
    return 1
}

# start NAME CERT OPTION...: a server of ours; its log is NAME.log, PID and PORT are set
start()
{
    local name=$1 cert=$2
    shift 2
    : > "$name.log"
    "$TLS" serve --host 127.0.0.1 --port 0 --verbose --cert "$cert.pem" --key "$cert.key" \
        --handshake-timeout "$LONG" --request-timeout "$LONG" "$@" 2> "$name.log" &
    PID=$!
    until_ok grep -q 'serving on port' "$name.log"
    PORT=$(sed -n 's/.*serving on port //p' "$name.log")
}

# foreign CERT OPTION...: a server of OpenSSL's; sets PID and PORT
foreign()
{
    : > foreign.log
    openssl s_server -4 -accept 0 -cert "$1.pem" -key "$1.key" "${@:2}" > foreign.log 2>&1 <&0 &
    PID=$!
    until_ok grep -q '^ACCEPT.*:[0-9]' foreign.log
    PORT=$(sed -n 's/^ACCEPT.*://p' foreign.log)
}

# gives PATTERN COMMAND...: succeeds and prints it
gives()
{
    "${@:2}" > out 2>&1 && grep -q "$1" out && return
    cat out
    return 1
}

# refuses TEXT COMMAND...: status 1 and one sentence on stderr, nothing on stdout
refuses()
{
    local status
    "${@:2}" > out 2> err
    status=$?
    cat out err
    [ "$status" = 1 ] && [ ! -s out ] && [ "$(wc -l < err)" = 1 ] && grep -q "$1" err
}

fails()
{
    ! "$@"
}

# fetch PATH OPTION...: by curl
fetch()
{
    curl -sS --noproxy '*' --cacert ca.pem "${@:2}" "https://localhost:$PORT$1"
}

# client OPTION... URL: ours
client()
{
    "$TLS" get --timeout "$LONG" "$@"
}

get()
{
    client --ca ca.pem "https://localhost:$PORT$1"
}

same_big()
{
    # it waits until the server cannot write any more
    fetch /big | (sleep 0.2; exec cat) > big.curl && get /big > big.get && cmp big.curl big.get &&
        [ "$(wc -c < big.get)" = 16777216 ]
}

# two pages: curl says how many connections it made for each
keep_alive()
{
    fetch / -o /dev/null -o /dev/null -w '%{num_connects}' "https://localhost:$PORT/nope" > out
    cat out
    [ "$(cat out)" = 10 ]
}

old_version()
{
    ! openssl s_client -connect "localhost:$PORT" -tls1_1 -cipher 'ALL:@SECLEVEL=0' < /dev/null &&
        until_ok grep -q 'handshake: unsupported protocol' main.log
}

# many N: clients at once
many()
{
    curl -sS --noproxy '*' -Z --parallel-immediate --parallel-max "$1" --cacert ca.pem \
        -o /dev/null \
        -w '%{http_code} %{num_connects}\n' "https://localhost:$PORT/?[1-$1]" > out
    sort out | uniq -c
    [ "$(grep -c '^200 ' out)" = "$1" ]
}

# logged COUNT PATTERN FILE
logged()
{
    [ "$(grep -c "$2" "$3")" -ge "$1" ]
}

# mixed LOG: handshakes that fail among those that must not notice; each for its own reason
mixed()
{
    local i bad='' good=''
    for i in {1..5}; do
        curl -sS --noproxy '*' "http://localhost:$PORT/" > /dev/null 2>&1 &
        bad="$bad $!"
        client "https://localhost:$PORT/" > /dev/null 2>&1 &
        bad="$bad $!"
        get / > "mixed.$i" 2>&1 &
        good="$good $!"
    done
    many 30 || return 1
    for i in $good; do
        wait "$i" || { cat mixed.*; return 1; }
    done
    for i in $bad; do
        ! wait "$i" || return 1
    done
    until_ok logged 5 'handshake: http request' "$1" &&
        until_ok logged 5 'handshake: tlsv1 alert unknown ca' "$1"
}

small_stack()
{
    local n
    n=$(get /stack) && echo "$n bytes" && [ "$n" -gt 4096 ] && [ "$n" -lt 131072 ]
}

# resumed VERSION: the second connection of a client that keeps its ticket
resumed()
{
    local request='GET /session HTTP/1.0\r\n\r\n'
    # shellcheck disable=SC2059
    printf "$request" | openssl s_client -connect "localhost:$PORT" -CAfile ca.pem "$1" -ign_eof \
        -sess_out session > /dev/null 2>&1
    # shellcheck disable=SC2059
    printf "$request" | openssl s_client -connect "localhost:$PORT" -CAfile ca.pem "$1" -ign_eof \
        -sess_in session > out 2>&1
    grep -q '^resumed yes' out || { cat out; return 1; }
}

no_http()
{
    ! curl -sS --noproxy '*' "http://localhost:$PORT/" &&
        until_ok grep -q 'handshake: http request' main.log &&
        gives hello get /
}

noise()
{
    head -c 20000 /dev/urandom > noise
    # the server may close first
    (exec 3<> "/dev/tcp/127.0.0.1/$PORT" && cat noise >&3 && cat <&3) > /dev/null 2>&1
    gives hello get /
}

# a client that says half of its hello and then nothing: the end of what it reads is the event
silent()
{
    exec 3<> "/dev/tcp/127.0.0.1/$PORT" || return 1
    printf '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' >&3
    cat <&3
    exec 3>&-
    until_ok grep -q 'handshake: it took too long' short.log
}

# gone HELLO: a client that says this and is gone
gone()
{
    local before why='handshake: unexpected eof'
    before=$(grep -c "$why" main.log)
    # shellcheck disable=SC2059
    (exec 3<> "/dev/tcp/127.0.0.1/$PORT" && printf "$1" >&3) || return 1
    until_ok logged $((before + 1)) "$why" main.log && gives hello get /
}

# a client that is gone in the middle of a reply
left()
{
    fetch /big | head -c 100000 | wc -c
    until_ok grep -q 'reply: \(Broken pipe\|Connection reset by peer\)' main.log &&
        gives hello get /
}

# A request and the end of the connection in one packet: the reply is written to nobody. In the
# middle of it the server gets EPIPE, not ECONNRESET, and SIGPIPE if that is not ignored.
hung_up()
{
    python3 - "$PORT" << 'EOF' || return 1
import socket, ssl, sys
context = ssl.create_default_context(cafile="ca.pem")
context.maximum_version = ssl.TLSVersion.TLSv1_2  # nothing comes after the handshake
tcp = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
tls = context.wrap_socket(tcp, server_hostname="localhost")
tls.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
tls.send(b"GET /big HTTP/1.0\r\n\r\n")
tls.close()
EOF
    until_ok grep -q 'reply: Broken pipe' main.log && gives hello get /
}

# a request that is never finished
unfinished()
{
    talk half
    exec 4> half.in
    printf 'GET / HTTP/1.1\r\nHo' >&4
    until_ok grep -q 'request: it took too long' short.log
    wait "$!"
    exec 4>&-
    grep -q '^closed' half.out
}

# no request at all: close_notify
idle()
{
    talk mute
    exec 4> mute.in
    wait "$!"
    exec 4>&-
    cat mute.out
    grep -q '^closed' mute.out
}

# with_command VERSION LETTER TEXT: s_client's command LETTER, a line of its own, after a request
# and before another; TEXT is what it or the second answer says
with_command()
{
    mkfifo "$2.in"
    openssl s_client -connect "localhost:$PORT" -CAfile ca.pem "$1" < "$2.in" > "$2.out" 2>&1 &
    exec 4> "$2.in"
    printf 'HEAD / HTTP/1.1\r\nHost: x\r\n\r\n' >&4
    until_ok grep -q '^Content-Length' "$2.out"
    echo "$2" >&4
    until_ok grep -q '^RENEGOTIATING\|^KEYUPDATE' "$2.out"
    printf 'GET /session HTTP/1.1\r\nHost: x\r\n\r\n' >&4
    until_ok grep -q "$3" "$2.out"
    exec 4>&-
    wait "$!"
    cat "$2.out"
    grep -q "$3" "$2.out"
}

# OpenSSL's server has one client at a time: the second one hears nothing
given_up()
{
    exec 3<> "/dev/tcp/127.0.0.1/$PORT" || return 1
    refuses 'it took too long' "$TLS" get --ca ca.pem --timeout 300 "https://localhost:$PORT/" ||
        return 1
    exec 3>&-
}

# talk NAME: a TLS client whose input is the pipe NAME.in and whose output is NAME.out
talk()
{
    mkfifo "$1.in"
    openssl s_client -connect "localhost:$PORT" -CAfile ca.pem -ign_eof < "$1.in" \
        > "$1.out" 2>&1 &
}

# SIGTERM while one client is between two requests and another in the middle of one
drain()
{
    local idle busy hello='GET / HTTP/1.1\r\nHost: x\r\n\r\n'
    talk idle
    idle=$!
    talk busy
    busy=$!
    exec 4> idle.in 5> busy.in
    # shellcheck disable=SC2059
    printf "$hello" >&4
    # shellcheck disable=SC2059
    printf "${hello}GET /session HTTP/1.1\r\nHo" >&5
    until_ok grep -q 'hello over TLS' idle.out
    until_ok grep -q 'hello over TLS' busy.out
    kill -TERM "$PID"
    wait "$idle"
    # "closed": the client was told, by close_notify
    grep -q '^closed' idle.out || { cat idle.out; return 1; }
    until_ok refuses 'Connection refused' get /
    kill -0 "$PID" || return 1
    printf 'st: x\r\n\r\n' >&5
    wait "$busy"
    exec 4>&- 5>&-
    cat busy.out
    grep -q '^closed' busy.out && grep -q '^Connection: close' busy.out &&
        grep -q '^version TLSv1' busy.out && wait "$PID"
}

stops()
{
    kill -TERM "$PID" && wait "$PID"
}

# a body of unknown length whose end is not announced: the peer is killed
cut_off()
{
    mkfifo cut.in
    exec 6<> cut.in
    foreign good <&6
    get / > cut.out 2> cut.err &
    local client=$!
    printf 'HTTP/1.0 200 OK\r\n\r\npart' >&6
    until_ok grep -q part cut.out
    kill -KILL "$PID"
    exec 6>&-
    ! wait "$client" || return 1
    cat cut.err
    grep -q 'unexpected eof' cut.err
}

check "certificates" make_certs

start short good --handshake-timeout 200
check "a client that stops in its hello is dropped" silent
check "SIGTERM ends it" stops
start short good --request-timeout 200
check "one that stops in its request too" unfinished
check "SIGTERM ends it" stops
start short good --idle-timeout 300
check "one that asks for nothing is told that this was all" idle
check "SIGTERM ends it" stops
start expired expired
check "an expired certificate is refused" refuses 'certificate has expired' get /
check "SIGTERM ends it" stops

foreign other -www < /dev/null
check "another name's certificate is refused" refuses 'hostname mismatch' get /
kill "$PID"
foreign good -www < /dev/null
check "a page of OpenSSL's server" gives 's_server' get /
check "another address is refused" refuses 'IP address mismatch' \
    client --ca ca.pem "https://127.0.0.2:$PORT/"
check "a server that says nothing is given up" given_up
kill "$PID"
check "an answer that is cut off is none" cut_off
check "nobody is there" refuses 'Connection refused' get /

start main good
check "curl, TLS 1.2" gives '^version TLSv1.2' fetch /session --tlsv1.2 --tls-max 1.2
check "curl, TLS 1.3" gives '^version TLSv1.3' fetch /session --tlsv1.3
check "TLS 1.1 is refused" old_version
check "the name is sent along" gives '^name localhost' get /session
check "an address is a name too" gives hello client --ca ca.pem "https://127.0.0.1:$PORT/"
check "an unknown CA is refused" refuses 'issuer' client "https://localhost:$PORT/"
check "a page of 16 megabytes" same_big
check "keep-alive" keep_alive
check "HEAD has no body" gives '^Content-Length: 16777216' fetch /big -I
check "the peer changes its key" with_command -tls1_3 K '^version TLSv1.3'
check "no renegotiation" with_command -tls1_2 R 'no renegotiation'
check "resumed, TLS 1.2" resumed -tls1_2
check "resumed, TLS 1.3" resumed -tls1_3
check "no page, status 1" gives 'status 404' fails get /x
head -c 60000 big.get > big.60k
check "POST is refused" gives '^405' fetch / --data-binary @big.60k -w '%{http_code}'
check "a large body is refused" gives '^400' fetch / --data-binary @big.get -H Expect: \
    -w '%{http_code}'
check "50 clients at once" many 50
check "failures stay with their goroutine" mixed main.log
check "a goroutine's stack is large enough by far" small_stack
check "HTTP without TLS" no_http
check "a client that is gone in its hello" gone '\x16\x03\x01\x02\x00\x01\x00\x01\xfc'
check "one that says nothing at all" gone ''
check "one that is gone in the middle of a reply" left
check "one that is gone before the reply: no SIGPIPE" hung_up
check "noise" noise
check "SIGTERM: what has begun is finished" drain

export GR_DEBUG=migrate
start migrate good
check "... also if each call changes the thread" mixed migrate.log
check "SIGTERM ends it" stops
tap_done
