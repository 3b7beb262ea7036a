# SPDX-License-Identifier: MIT
#
# gr: `make help` says what there is. Everything built goes to build/.

VERSION := 0.1.0
SONAME := libgr.so.0
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
CC ?= cc
OPT ?= -O2 -g
SAN ?=
DEBUG =
B := build$(if $(SAN),-$(SAN))$(if $(DEBUG),-debug)
WARN := -Wall -Wextra
CPPFLAGS += -D_GNU_SOURCE -Iinclude -iquote libgr $(if $(DEBUG),-DGR_DEBUG)
CFLAGS += -std=gnu11 $(OPT) $(WARN) -MMD -MP $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer) \
	$(if $(findstring thread,$(SAN)),-Wno-tsan)
LIBS := -luring -pthread
CACHE := $(or $(GR_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gr)
KSFT ?= $(CACHE)/kselftest
KDIR ?= /lib/modules/$(shell uname -r)/build

SRC := $(wildcard libgr/*.c) libgr/switch_x86_64.S
OBJ := $(patsubst libgr/%,$(B)/obj/%.o,$(basename $(SRC)))
PIC := $(patsubst libgr/%,$(B)/pic/%.o,$(basename $(SRC)))
EXAMPLES := $(patsubst examples/%.c,$(B)/examples/%,$(wildcard examples/*.c)) \
	$(B)/examples/httpd $(B)/examples/kv $(B)/examples/tls
UNIT := $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/*_test.c))
KTESTS := $(patsubst tests/kselftest/%.c,build/kselftest/%,$(wildcard tests/kselftest/*.c))

all: $(B)/libgr.a $(B)/$(SONAME) $(EXAMPLES)

help:
	@echo "make            the library and the examples, into build/; with DEBUG=1 into build-debug/,"
	@echo "                where misuse ends in an abort that names it"
	@echo "make run        install what is missing, build, run the demonstration"
	@echo "make check      install what is missing (builds a KASAN kernel once), run all tests"
	@echo "make check-all  ... and in PREEMPT_RT and KCSAN kernels, built on first use"
	@echo "make test       the tests of this machine, about two minutes"
	@echo "make test-vm    the tests inside stock 6.12, 6.1 and newest kernels"
	@echo "make lint       sparse, checkpatch, coccinelle, shellcheck, codespell, both compilers"
	@echo "make model      walk the models of the protocol with spin"
	@echo "make bench      the library beside Go, Boost.Fiber, Tokio, threads; servers on it beside those"
	@echo "                on epoll, libuv, Go, Tokio and nginx: build/bench.json;"
	@echo "                BENCH=yield,ring IMPL=libgr,go ROUNDS=5 BENCH_FORMAT=go (docs/benchmarks.md)"
	@echo "make bench-structs   what its shared structures cost, beside a mutex of pthreads'"
	@echo "make models     six schedulers side by side, a table of ticks, and charts in build/models:"
	@echo "                docs/schedulers.md"
	@echo "make bench-kmod what the module costs, beside futexes and pipes: build/bench-kmod.json"
	@echo "make kmod       gr.ko for the running kernel, or KDIR=..."
	@echo "make install    DESTDIR= PREFIX=/usr/local"
	@echo "make clean"

# ---- library ----

$(B)/obj/%.o: libgr/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fvisibility=hidden -c -o $@ $<

$(B)/obj/%.o: libgr/%.S
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -c -o $@ $<

$(B)/pic/%.o: libgr/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -fvisibility=hidden -c -o $@ $<

$(B)/pic/%.o: libgr/%.S
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -c -o $@ $<

# The tests reach the library's inside through this archive.
$(B)/libgr-test.a: $(OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

# One object whose only global names are the public ones: short internal names cannot collide.
$(B)/libgr.a: $(OBJ)
	@rm -f $@
	ld -r -o $(B)/obj/libgr-all.o $^
	objcopy --localize-hidden $(B)/obj/libgr-all.o
	$(AR) rcs $@ $(B)/obj/libgr-all.o

$(B)/$(SONAME): $(PIC) libgr/libgr.map
	$(CC) $(CFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--version-script,libgr/libgr.map \
		-Wl,-z,defs $(LDFLAGS) -o $@ $(PIC) $(LIBS)
	@ln -sf $(SONAME) $(B)/libgr.so

# ---- examples and tests ----

# of several files
$(B)/examples/httpd: $(wildcard examples/httpd/*.[ch])
$(B)/examples/httpd: EXAMPLE_LIBS := -lhttp_parser -lsqlite3
$(B)/examples/kv: $(wildcard examples/kv/*.[ch])
$(B)/examples/tls: $(wildcard examples/tls/*.[ch])
$(B)/examples/tls: EXAMPLE_LIBS := -lssl -lcrypto -lhttp_parser
$(B)/examples/httpd $(B)/examples/kv $(B)/examples/tls: include/gr.h $(B)/libgr.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -MMD -MP,$(CFLAGS)) -o $@ $(filter %.c,$^) $(B)/libgr.a \
		$(LDFLAGS) $(EXAMPLE_LIBS) $(LIBS)

$(B)/examples/%: examples/%.c $(B)/libgr.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -o $@ $< $(B)/libgr.a $(LDFLAGS) $(LIBS)

# reaches the library's inside, as the tests do
$(B)/grmodels: $(wildcard tools/grmodels/*.[ch]) include/gr.h $(B)/libgr-test.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(filter-out -MMD -MP,$(CFLAGS)) -o $@ $(filter %.c,$^) $(B)/libgr-test.a \
		$(LDFLAGS) $(LIBS)

# the README's program, for tests/vm/tracing.sh
$(B)/taste: README.md $(B)/libgr.a
	awk '/^```c$$/ { on = 1; next } /^```$$/ { on = 0 } on' README.md > $@.c
	$(CC) -Iinclude $(CFLAGS) -Wno-unused-parameter -o $@ $@.c $(B)/libgr.a $(LDFLAGS) $(LIBS)

$(B)/unit/%: tests/unit/%.c $(B)/libgr-test.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -Itests/unit $(CFLAGS) -o $@ $< $(B)/libgr-test.a $(LDFLAGS) $(LIBS)

# libgr and the test as one link-time optimised unit, by each compiler
MIGRATE := build/migrate/gcc_test build/migrate/clang_test
MIGRATE_SRC := tests/migrate/migrate.c $(SRC)
MIGRATE_FLAGS = $(CPPFLAGS) -Itests/unit -std=gnu11 -O3 -fPIC -fvisibility=hidden $(WARN)

build/migrate/gcc_test: $(MIGRATE_SRC) $(wildcard libgr/*.h include/*.h)
	@mkdir -p $(@D)
	gcc $(MIGRATE_FLAGS) -flto=auto -o $@ $(MIGRATE_SRC) $(LIBS)

build/migrate/clang_test: $(MIGRATE_SRC) $(wildcard libgr/*.h include/*.h)
	@mkdir -p $(@D)
	clang $(MIGRATE_FLAGS) -flto -fuse-ld=lld -o $@ $(MIGRATE_SRC) $(LIBS)

build-migrate: $(MIGRATE)

build/kselftest/%: tests/kselftest/%.c
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -Iinclude -I$(KSFT) -std=gnu11 -O2 -g $(WARN) -Wno-unused-parameter -Wno-sign-compare -Wno-clobbered -MMD -MP -static -o $@ $(filter %.c,$^) -luring -pthread

# programs of several files
build/kselftest/ways_test: $(wildcard tests/kselftest/ways/*.[ch]) tests/kselftest/gr_dev.h include/uapi/gr.h
build/kselftest/fuzz: $(wildcard tests/kselftest/fuzz/*.[ch]) tests/kselftest/gr_dev.h include/uapi/gr.h

build/bench/%: tests/bench/%.c include/uapi/gr.h tests/kselftest/gr_dev.h
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE -Iinclude -std=gnu11 -O2 -g $(WARN) -static -o $@ $< -pthread

# ---- the library's benchmarks: one program for each peer, which does the same work ----

BENCH_IMPLS := libgr asm pthread go boost.fiber tokio
BENCH_C = $(CC) -D_GNU_SOURCE -Iinclude -iquote libgr -std=gnu11 -O2 -g $(WARN) -o $@ $(filter %.c %.o %.a,$^)
GO_ROOT := $(wildcard $(CACHE)/go/current)
GO := $(if $(GO_ROOT),GOROOT=$(GO_ROOT) $(GO_ROOT)/bin/go,go)

build/bench/libgr: $(wildcard tests/bench/lib/*.[ch]) build/obj/switch_x86_64.o build/libgr.a
	@mkdir -p $(@D)
	$(BENCH_C) $(LIBS)

build/bench/structs: tests/bench/structs.c build/libgr-test.a
	@mkdir -p $(@D)
	$(BENCH_C) $(LIBS)

build/bench/asm: tests/bench/asm/switch.c
	@mkdir -p $(@D)
	$(BENCH_C)

build/bench/pthread: tests/bench/pthread/pthread.c
	@mkdir -p $(@D)
	$(BENCH_C) -pthread

# a module of its own: without one Go would fall back on what old versions did
define GO_BUILD
	@rm -rf $@.d && mkdir -p $@.d && cp $(filter %.go,$^) $@.d/
	cd $@.d && export GOTOOLCHAIN=local GOFLAGS= GOWORK=off CGO_ENABLED=0 && \
		$(GO) mod init bench 2> /dev/null && $(GO) build -o ../$(@F) .
endef

build/bench/go: $(wildcard tests/bench/go/lib/*.go) $(wildcard $(CACHE)/go/version)
	$(GO_BUILD)

build/bench/boost.fiber: tests/bench/boost/fiber.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O3 -DNDEBUG $(WARN) -o $@ $< -lboost_fiber -lboost_context -pthread

# the distribution's compiler and crates, nothing from the network
build/bench/tokio: $(wildcard tests/bench/tokio/src/*.rs) tests/bench/tokio/Cargo.toml \
		tests/bench/tokio/.cargo/config.toml
	@mkdir -p $@.d && rm -rf $@.d/src $@.d/Cargo.lock && cp -r tests/bench/tokio/. $@.d/
	cd $@.d && export CARGO_HOME=$(CURDIR)/$@.d/home RUSTC=/usr/bin/rustc \
		TOKIO_VERSION="$$(ls /usr/share/cargo/registry | sed -n 's/^tokio-\([0-9]\)/\1/p')" && \
		/usr/bin/cargo build -q --release --offline
	cp $@.d/target/release/bench $@

# the servers of the I/O part, and their client
BENCH_IO := load epoll-c libuv go-io

build/bench/load: tests/bench/load.c
	@mkdir -p $(@D)
	$(BENCH_C)

build/bench/epoll-c: tests/bench/epoll/echo.c
	@mkdir -p $(@D)
	$(BENCH_C)

build/bench/libuv: tests/bench/uv/echo.c
	@mkdir -p $(@D)
	$(BENCH_C) -luv

build/bench/go-io: $(wildcard tests/bench/go/io/*.go) $(wildcard $(CACHE)/go/version)
	$(GO_BUILD)

# ---- goals ----

run: setup-run all
	tools/demo/run.sh

setup-run:
	@tools/setup.sh run

setup:
	@tools/setup.sh test

setup-all:
	@tools/setup.sh all

kmod:
	@mkdir -p build/kmod/kmod build/kmod/include/uapi
	@cp kmod/* build/kmod/kmod/ && cp include/uapi/* build/kmod/include/uapi/
	$(MAKE) -C $(KDIR) M=$(CURDIR)/build/kmod/kmod modules
	@cp build/kmod/kmod/gr.ko build/kmod/gr.ko

test: $(UNIT) $(B)/grmodels all
	@$(MAKE) --no-print-directory -s DEBUG=1 build-debug/unit/debug_test
	@KV_ROUNDS=10 tests/host.sh unit 60 $(UNIT) tests/readme.sh tests/docs.sh tests/report.sh tests/httpd.sh \
		tests/kv.sh tests/tls.sh tests/models.sh tests/bench/smoke.py; \
		tests/host.sh misuse 60 build-debug/unit/debug_test; \
		tests/tap.py build/unit.tap build/misuse.tap

test-vm: $(UNIT) $(KTESTS) $(B)/examples/block $(B)/taste
	@tests/vm/suite.sh $(UNIT) -- $(KTESTS); tests/tap.py build/vm/6.12.tap build/vm/6.1.tap \
		build/vm/newest.tap build/vm/6.12-reload.tap build/vm/6.1-reload.tap build/vm/6.12-tracing.tap

model:
	@tests/model/run.sh

# a peer that does not build is reported by bench.py, the others go on
bench: setup-bench
	-@$(MAKE) --no-print-directory -s -k $(addprefix build/bench/,$(BENCH_IMPLS) $(BENCH_IO)) all
	@tests/bench/bench.py

# of what the scheduler is made of
bench-structs: build/bench/structs
	@build/bench/structs

setup-bench:
	@tools/setup.sh bench

models:
	@tools/setup.sh models
	@$(MAKE) --no-print-directory -s $(B)/grmodels
	@$(B)/grmodels --plot $(B)/models

bench-kmod: setup-run
	@$(MAKE) --no-print-directory -s $(addprefix build/bench/,roundtrip handoff storm getppid)
	@tests/bench/kmod.sh

build-unit: $(UNIT)

# TSan has room for 8000 goroutines at once
TSAN_UNIT := $(addprefix $(B)/unit/,$(addsuffix _test,race runq chan mutex wg wait select timer dump epoll))

# what waits for descriptors, and what wakes pollers: run once more with GR_NETPOLL=epoll
EPOLL_UNIT := $(addprefix $(B)/unit/,$(addsuffix _test,io sock listener zerocopy sockstorm sockrace file child dial \
	fdwait select select_stress cancel idle deadlock pin wait timer ticker procs sched scope))

# TSan does not see how a ring orders what is done before a request and after it
TSAN_EPOLL_UNIT := $(addprefix $(B)/unit/,$(addsuffix _test,io sock file child dial fdwait cancel))

build-tsan: $(TSAN_UNIT) $(TSAN_EPOLL_UNIT)

print-epoll:
	@echo $(EPOLL_UNIT)

print-tsan:
	@echo $(TSAN_UNIT)

print-tsan-epoll:
	@echo $(TSAN_EPOLL_UNIT)

build-tests: $(UNIT) $(KTESTS) $(B)/taste $(B)/unit/idle10k build/bench/structs $(B)/grmodels

print-unit:
	@echo $(UNIT)

print-ktests:
	@echo $(KTESTS)

lint:
	@tests/lint.sh

# each part goes on after another one failed; the count at the end tells
check: setup
	@tests/check.sh

check-all: setup-all
	@tests/check.sh --all

install: all
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/include
	install -m 644 include/gr.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(B)/libgr.a $(DESTDIR)$(LIBDIR)/
	install -m 755 $(B)/$(SONAME) $(DESTDIR)$(LIBDIR)/libgr.so.$(VERSION)
	ln -sf libgr.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libgr.so
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' \
		libgr/libgr.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/libgr.pc
	for page in docs/man/*.[1-9]; do \
		install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man$${page##*.} $$page || exit 1; \
	done

clean:
	rm -rf build build-*

.PHONY: model models bench setup-bench bench-kmod bench-structs build-unit build-tests build-migrate build-tsan print-tsan \
	print-tsan-epoll print-epoll print-unit print-ktests all help run check check-all test test-vm \
	lint kmod install clean setup setup-run setup-all
.SECONDARY:
-include $(wildcard $(B)/obj/*.d $(B)/pic/*.d $(B)/unit/*.d $(B)/examples/*.d build/kselftest/*.d)
