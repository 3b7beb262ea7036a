// SPDX-License-Identifier: MIT
//
// fiber.cpp - boost.fiber BENCH PROCS N: the twin of ../lib on Boost.Fiber. Same output; exit 4 with
// a reason for what the library does not have.
//
// One P: the round-robin scheduler, the fastest one. More: work stealing among as many threads, as
// the library's own benchmarks do; threads without work sleep (suspend), which was faster than to
// spin in every workload.
// A fiber's stack has 16 KiB, from malloc(), as those of the library's benchmarks are small too.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <boost/fiber/all.hpp>
#include <boost/version.hpp>
#include <sys/resource.h>
#include <unistd.h>

namespace bf = boost::fibers;
using clk = std::chrono::steady_clock;
using std::chrono::nanoseconds;

static int procs;

static int64_t now()
{
	return nanoseconds(clk::now().time_since_epoch()).count();
}

static void report(const char *bench, const char *unit, double value)
{
	std::printf("%s %s %.3f\n", bench, unit, value);
}

static void report_late(const char *bench, std::vector<int64_t> &v)
{
	std::sort(v.begin(), v.end());
	std::printf("%s ns %.3f %.3f\n", bench, (double)v[v.size() / 2], (double)v[v.size() * 99 / 100]);
}

[[noreturn]] static void fail(const char *what)
{
	std::fprintf(stderr, "bench: %s\n", what);
	_exit(1);
}

static void per_op(const char *bench, const std::function<void(long)> &run, long n)
{
	run(n / 10 + 1);
	int64_t t = now();
	run(n);
	report(bench, "ns", (double)(now() - t) / n);
}

template <typename F>
static bf::fiber go(F fn)
{
	return bf::fiber(bf::launch::post, std::allocator_arg, bf::fixedsize_stack(16384), std::move(fn));
}

// ---- tasks ----

static void bench_switch(long n)
{
	namespace ctx = boost::context;
	auto run = [](ctx::fiber &other, long count) {
		for (long i = 0; i < count; i += 2)
			other = std::move(other).resume();
	};
	ctx::fiber other([](ctx::fiber &&main) {
		for (;;)
			main = std::move(main).resume();
		return std::move(main);
	});

	per_op("switch", [&](long count) { run(other, count); }, n);
}

static void yields(long n)
{
	std::vector<bf::fiber> all;
	long each = n / (2 * procs);

	for (int i = 0; i < 2 * procs; i++)
		all.push_back(go([each] {
			for (long k = 0; k < each; k++)
				boost::this_fiber::yield();
		}));
	for (auto &f : all)
		f.join();
}

static void spawns(long n)
{
	for (long i = 0; i < n; i++)
		go([] {}).join();
}

// ---- channels ----

static void pings(long n)
{
	bf::unbuffered_channel<long> ping, pong;
	long count = (n + 1) / 2;
	auto f = go([&] {
		for (long v = 0, i = 0; i < count; i++) {
			ping.pop(v);
			pong.push(v);
		}
	});

	for (long v = 0, i = 0; i < count; i++) {
		ping.push(i);
		pong.pop(v);
	}
	f.join();
}

static void stream(long n)
{
	// a power of two, of which one place stays empty
	bf::buffered_channel<long> c(128);
	auto f = go([&] {
		for (long i = 0; i < n; i++)
			c.push(i);
	});
	long sum = 0;

	for (long v = 0, i = 0; i < n; i++) {
		c.pop(v);
		sum += v;
	}
	f.join();
	if (sum != n * (n - 1) / 2)
		fail("bufchan: wrong sum");
}

static void bench_ring(long n)
{
	constexpr int size = 503;
	static bf::unbuffered_channel<long> links[size], done;

	for (int me = 0; me < size; me++)
		go([me] {
			for (long v = 0; links[me].pop(v) == bf::channel_op_status::success;)
				if (v)
					links[(me + 1) % size].push(v - 1);
				else
					done.push(me);
		}).detach();
	per_op("ring", [](long count) {
		long v = 0;

		links[0].push(count);
		done.pop(v);
		if (v != count % size)
			fail("ring: ended elsewhere");
	}, n);
}

static void sky(bf::buffered_channel<long> &to, long num, long size)
{
	if (size == 1) {
		to.push(num);
		return;
	}
	bf::buffered_channel<long> c(16);
	long sum = 0;

	size /= 10;
	// a child runs at once, as in the library's own benchmark: or a million stacks are in use
	for (int i = 0; i < 10; i++)
		bf::fiber(bf::launch::dispatch, std::allocator_arg, bf::fixedsize_stack(16384),
			  [&c, num, size, i] { sky(c, num + i * size, size); }).detach();
	for (int i = 0; i < 10; i++)
		sum += c.value_pop();
	to.push(sum);
}

static void bench_skynet(long n)
{
	bf::buffered_channel<long> c(2);
	int64_t t = now();

	go([&] { sky(c, 0, n); }).detach();
	if (c.value_pop() != n * (n - 1) / 2)
		fail("skynet: wrong sum");
	report("skynet", "ms", (double)(now() - t) / 1e6);
}

// ---- waiting ----

static uint32_t next_random(uint32_t &state)
{
	state = state * 1664525U + 1013904223U;
	return state >> 8;
}

static void locks(long n)
{
	constexpr int lockers = 8;
	long each = (n + lockers - 1) / lockers, counter = 0;
	std::vector<bf::fiber> all;
	bf::mutex mutex;

	for (int i = 0; i < lockers; i++)
		all.push_back(go([&] {
			for (long k = 0; k < each; k++) {
				mutex.lock();
				counter++;
				if (k % 16 == 0)
					boost::this_fiber::yield();
				mutex.unlock();
			}
		}));
	for (auto &f : all)
		f.join();
	if (counter != each * lockers)
		fail("mutex: count is wrong");
}

static int64_t cpu_ns()
{
	rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000LL +
	       (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000LL;
}

struct gate {
	bf::mutex lock;
	bf::condition_variable changed;
	long missing;
	bool open = false;

	explicit gate(long n) : missing(n) {}
	void wait()
	{
		std::unique_lock<bf::mutex> l(lock);

		if (!--missing)
			changed.notify_all();
		changed.wait(l, [this] { return open; });
	}
	void all_here()
	{
		std::unique_lock<bf::mutex> l(lock);

		changed.wait(l, [this] { return !missing; });
	}
	void let_go()
	{
		std::unique_lock<bf::mutex> l(lock);

		open = true;
		changed.notify_all();
	}
};

static void bench_timers_cpu(long n)
{
	static gate g(n);
	std::vector<bf::fiber> all;
	int64_t spread = n * 1000;

	for (long i = 0; i < n; i++)
		all.push_back(go([i, spread] {
			uint32_t seed = (uint32_t)i * 2654435761U;

			g.wait();
			boost::this_fiber::sleep_for(
				nanoseconds(spread + next_random(seed) * 64LL % spread));
		}));
	g.all_here();
	int64_t cpu = cpu_ns();
	g.let_go();
	for (auto &f : all)
		f.join();
	report("timers_cpu", "ns", (double)(cpu_ns() - cpu) / n);
}

static void bench_timers_late(long n)
{
	constexpr long nappers = 1000;
	long each = (n + nappers - 1) / nappers;
	std::vector<int64_t> late(each * nappers);
	std::vector<bf::fiber> all;

	for (long me = 0; me < nappers; me++)
		all.push_back(go([me, each, &late] {
			uint32_t seed = (uint32_t)me * 2654435761U;

			for (long i = 0; i < each; i++) {
				auto when = clk::now() + nanoseconds(1000000 + next_random(seed) % 19000000);

				boost::this_fiber::sleep_until(when);
				late[me * each + i] = nanoseconds(clk::now() - when).count();
			}
		}));
	for (auto &f : all)
		f.join();
	report_late("timers_late", late);
}

static void memory(double &rss, double &tables)
{
	FILE *f = std::fopen("/proc/self/status", "r");
	char line[256];
	long kb;

	if (!f)
		fail("/proc/self/status");
	while (std::fgets(line, sizeof(line), f)) {
		if (std::sscanf(line, "VmRSS: %ld", &kb) == 1)
			rss = kb * 1024.0;
		if (std::sscanf(line, "VmPTE: %ld", &kb) == 1)
			tables = kb * 1024.0;
	}
	std::fclose(f);
}

static void park(long n)
{
	static gate g(n);

	for (long i = 0; i < n; i++)
		go([] { g.wait(); }).detach();
	g.all_here();
}

static void bench_parked(long n)
{
	double rss0, rss, tables0, tables;

	memory(rss0, tables0);
	int64_t t = now();
	park(n);
	t = now() - t;
	memory(rss, tables);
	report("parked_bytes", "bytes", (rss - rss0) / n);
	report("parked_create", "ns", (double)t / n);
	report("parked_tables", "bytes", (tables - tables0) / n);
}

// A plain thread and a fiber of another thread wake each other; the channels take both.
static void bench_wake(long n)
{
	bf::unbuffered_channel<long> to_thread, to_fiber;
	std::vector<int64_t> late(n);
	std::thread t([&] {
		int64_t start = now();

		for (long v = 0, i = 0; i < n; i++) {
			to_fiber.push(i);
			to_thread.pop(v);
			int64_t end = now();

			late[i] = (end - start) / 2;
			start = end;
		}
	});

	for (long v = 0, i = 0; i < n; i++) {
		to_fiber.pop(v);
		to_thread.push(v);
	}
	t.join();
	report_late("wake", late);
}

static void bench_idle(long n)
{
	park(n);
	std::printf("ready\n");
	std::fflush(stdout);
	boost::this_fiber::sleep_for(std::chrono::hours(1));
}

static const std::map<std::string, std::function<void(long)>> table = {
	{ "switch", bench_switch },
	{ "yield", [](long n) { per_op("yield", yields, n); } },
	{ "spawn", [](long n) { per_op("spawn", spawns, n); } },
	{ "pingpong", [](long n) { per_op("pingpong", pings, n); } },
	{ "bufchan", [](long n) { per_op("bufchan", stream, n); } },
	{ "ring", bench_ring },
	{ "skynet", bench_skynet },
	{ "mutex", [](long n) { per_op("mutex", locks, n); } },
	{ "timers_cpu", bench_timers_cpu },
	{ "timers_late", bench_timers_late },
	{ "parked", bench_parked },
	{ "wake", bench_wake },
	{ "idle_ctxt", bench_idle },
};

static void more_threads()
{
	for (int i = 1; i < procs; i++)
		std::thread([] {
			bf::use_scheduling_algorithm<bf::algo::work_stealing>(procs, true);
			bf::mutex m;
			bf::condition_variable never;
			std::unique_lock<bf::mutex> l(m);

			never.wait(l, [] { return false; });
		}).detach();
	if (procs > 1)
		bf::use_scheduling_algorithm<bf::algo::work_stealing>(procs, true);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !std::strcmp(argv[1], "version")) {
		std::puts(BOOST_LIB_VERSION);
		return 0;
	}
	long n = argc == 4 ? std::atol(argv[3]) : 0;

	if (n < 1 || (procs = std::atoi(argv[2])) < 1) {
		std::fprintf(stderr, "usage: boost.fiber BENCH PROCS N\n");
		return 1;
	}
	auto bench = table.find(argv[1]);

	if (bench == table.end()) {
		std::printf("skip: Boost.Fiber has nothing of the kind\n");
		return 4;
	}
	more_threads();
	bench->second(n);
	std::fflush(stdout);
	_exit(0); // with fibers that wait for ever
}
