#!/bin/bash
# SPDX-License-Identifier: MIT
#
# check.sh [--all] - every test there is; `make check`. Each part goes on after another one failed.
# --all (`make check-all`) takes the slower debug kernels too: PREEMPT_RT and KCSAN.
# Ends with "N passed, N failed, N skipped"; exit 0 only if nothing failed.
set -u
case ${1:-} in
'') DEBUG="6.12-kasan" ;;
--all) DEBUG="6.12-kasan 6.12-rt 6.12-kcsan" ;;
*) echo "usage: check.sh [--all]" >&2; exit 1 ;;
esac
cd "$(dirname "$0")/.." || exit 1
START=$SECONDS
MAKE="make --no-print-directory"

step()
{
    echo "== $* ($((SECONDS - START)) s)"
}

rm -f build/*.tap build/vm/*.tap
# shellcheck disable=SC2086  # $MAKE has an option
read -ra UNIT <<< "$($MAKE -s print-unit)"
read -ra KTEST <<< "$($MAKE -s print-ktests)"
read -ra ASAN <<< "$($MAKE -s SAN=address,undefined print-unit)"
read -ra EPOLL <<< "$($MAKE -s print-epoll)"
read -ra TSAN <<< "$($MAKE -s SAN=thread print-tsan)"
read -ra TSAN_EPOLL <<< "$($MAKE -s SAN=thread print-tsan-epoll)"
step "build"
$MAKE all || exit 1
$MAKE build-tests || exit 1
step "lint"
tests/lint.sh > build/lint.log
step "models, behind the next two"
tests/model/run.sh > build/model.log 2>&1 &
step "unit tests on this machine"
tests/host.sh unit 120 "${UNIT[@]}"
tests/host.sh system 120 tests/readme.sh tests/docs.sh tests/report.sh tests/httpd.sh tests/kv.sh \
    tests/tls.sh tests/models.sh build/unit/idle10k tests/bench/smoke.py
step "... without io_uring"
GR_NETPOLL=epoll tests/host.sh unit-epoll 120 "${EPOLL[@]}" tests/httpd.sh tests/tls.sh \
    build/unit/idle10k
step "unit tests with sanitizers"
$MAKE SAN=address,undefined build-unit build-address,undefined/examples/tls > build/asan.log 2>&1 || cat build/asan.log
TLS=build-address,undefined/examples/tls tests/host.sh asan 300 "${ASAN[@]}" tests/tls.sh
$MAKE SAN=thread build-tsan > build/tsan.log 2>&1 || cat build/tsan.log
tests/host.sh tsan 300 "${TSAN[@]}"
GR_NETPOLL=epoll tests/host.sh tsan-epoll 300 "${TSAN_EPOLL[@]}"
step "goroutines that always change threads, by two compilers; under valgrind"
$MAKE build-migrate > build/migrate.log 2>&1 || cat build/migrate.log
tests/host.sh migrate 120 build/migrate/gcc_test build/migrate/clang_test
tests/host.sh valgrind 120 tests/valgrind.sh
step "misuse in a debug build"
$MAKE -s DEBUG=1 build-debug/unit/debug_test > build/misuse.log 2>&1 || cat build/misuse.log
tests/host.sh misuse 120 build-debug/unit/debug_test
wait
# a guest alone leaves half of two cores idle
step "inside debug kernels and the newest (build/guests.log), and in stock kernels"
SERIES="$DEBUG newest" tests/vm/suite.sh "${UNIT[@]}" -- "${KTEST[@]}" > build/guests.log 2>&1 &
SERIES="6.12 6.1" tests/vm/suite.sh "${UNIT[@]}" -- "${KTEST[@]}"
step "waiting for the others"
wait
cat build/guests.log
step "done"
# shellcheck disable=SC2046,SC2086
exec tests/tap.py build/lint.tap build/unit.tap build/system.tap build/unit-epoll.tap \
    build/asan.tap build/tsan.tap build/tsan-epoll.tap build/migrate.tap build/valgrind.tap \
    build/misuse.tap build/model.tap \
    build/vm/6.12.tap build/vm/6.1.tap build/vm/newest.tap build/vm/6.12-reload.tap \
    build/vm/6.1-reload.tap build/vm/6.12-tracing.tap \
    $(printf 'build/vm/%s.tap ' $DEBUG) $(printf 'build/vm/%s-reload.tap ' $DEBUG)
