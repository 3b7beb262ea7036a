// SPDX-License-Identifier: MIT
/*
 * aof.c - the append-only file: every change, as the command that makes it again.
 *
 * Commands put records into a queue while they hold the locks of their shards. One writer takes all
 * that is there, writes it with one call, syncs it with one more if the policy says so, and wakes
 * all who wait: while the disk works the next batch gathers. A position is an offset in the file.
 *
 *   queued >= written >= synced      records begin and end at queued only
 *
 * When a write fails, error is set: new records are refused from then on, and with them commands
 * that would change something. What is in the queue was done already: it is kept, and the writer
 * tries again every second, at the same place of the file, so that memory and file agree when there
 * is room. Nobody knows what a file holds after an fsync() that failed: then writes are refused to
 * the end.
 *
 * Callers: goroutines. aof.mutex is the last in the order of locks.
 * Atomics: synced, written and error are stored under the mutex and may be read without. A1: the
 * store of synced or written in publish() pairs with the load in reached(): who sees the position
 * may tell the client. error alone says nothing about memory: relaxed.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kv.h"

#define LOCK_TRIES 50 /* of 100 ms: a server that was killed may still have I/O in flight */

static struct {
	int fd;
	const char *path;
	enum fsync_policy policy;
	struct gr_task *task;
	struct gr_mutex mutex;
	struct gr_cond work; /* the writer waits */
	struct gr_cond done; /* those who wait for a position */
	/* under the mutex */
	struct buf queue;
	uint64_t queued;
	atomic_ullong written, synced;
	uint64_t writes, fsyncs;
	atomic_int error;
	bool stop;
	/* the writer's */
	struct buf batch; /* empty, or what is being written */
	size_t batch_done;
	int64_t next_sync;
} aof = {.fd = -1};

static int complain(const char *what, int error)
{
	fprintf(stderr, "kv: %s: %s: %s\n", aof.path, what, strerrordesc_np(-error));
	return -EIO;
}

bool aof_enabled(void)
{
	return aof.fd >= 0;
}

int aof_error(void)
{
	return atomic_load_explicit(&aof.error, memory_order_relaxed);
}

int aof_append(int argc, const struct arg *argv, uint64_t *pos)
{
	size_t old;
	int i, ret;

	if (!aof_enabled())
		return 0;
	gr_mutex_lock(&aof.mutex, GR_FOREVER);
	ret = aof_error();
	old = aof.queue.len;
	if (!ret) {
		reply_array(&aof.queue, argc);
		for (i = 0; i < argc; i++)
			reply_bulk(&aof.queue, argv[i].data, argv[i].len);
	}
	if (aof.queue.failed) {
		aof.queue.len = old;
		aof.queue.failed = false;
		ret = -ENOMEM;
	}
	if (!ret) {
		aof.queued += aof.queue.len - old;
		*pos = aof.queued;
		if (!old)
			gr_cond_signal(&aof.work);
	}
	gr_mutex_unlock(&aof.mutex);
	return ret;
}

/* has the log come to where those who wait for pos may go on? */
static bool reached(uint64_t pos)
{
	if (aof.policy == FSYNC_ALWAYS)
		return atomic_load_explicit(&aof.synced, memory_order_acquire) >= pos; /* A1 */
	/* A1 */
	return atomic_load_explicit(&aof.written, memory_order_acquire) + MAX_LOG_QUEUE >= pos;
}

int aof_wait(uint64_t pos)
{
	int ret;

	if (reached(pos))
		return 0;
	gr_mutex_lock(&aof.mutex, GR_FOREVER);
	while (!reached(pos) && !aof_error())
		gr_cond_wait(&aof.done, &aof.mutex, GR_FOREVER);
	ret = reached(pos) || aof.policy != FSYNC_ALWAYS ? 0 : aof_error();
	gr_mutex_unlock(&aof.mutex);
	return ret;
}

void aof_stats(struct aof_stats *s)
{
	gr_mutex_lock(&aof.mutex, GR_FOREVER);
	*s = (struct aof_stats){aof.written, aof.synced, aof.writes, aof.fsyncs, aof_error()};
	gr_mutex_unlock(&aof.mutex);
}

/* ---- the writer ---- */

/* what is written, but neither synced nor will be by itself */
static bool sync_pending(void)
{
	return aof.policy == FSYNC_EVERYSEC && aof.synced < aof.written;
}

/* Wait for work, take it. false: there is none, and there will be none. */
static bool take(void)
{
	struct buf empty = aof.batch;
	bool more;

	empty.len = 0;
	gr_mutex_lock(&aof.mutex, GR_FOREVER);
	while (!aof.queue.len && !aof.stop && !(sync_pending() && gr_now() >= aof.next_sync))
		gr_cond_wait(&aof.work, &aof.mutex, sync_pending() ? aof.next_sync : GR_FOREVER);
	more = aof.queue.len || !aof.stop;
	if (!more) /* for whoever comes too late */
		atomic_store_explicit(&aof.error, -ESHUTDOWN, memory_order_relaxed);
	aof.batch = aof.queue;
	aof.queue = empty;
	gr_mutex_unlock(&aof.mutex);
	aof.batch_done = 0;
	return more;
}

/* 0, or an error; what was written before it stays written */
static int write_batch(void)
{
	while (aof.batch_done < aof.batch.len) {
		ssize_t n = gr_pwrite(aof.fd, aof.batch.data + aof.batch_done,
				      aof.batch.len - aof.batch_done,
				      (off_t)(aof.written + aof.batch_done), GR_FOREVER);

		if (n == 0)
			return -EIO;
		if (n < 0 && n != -EINTR)
			return (int)n;
		aof.batch_done += n < 0 ? 0 : n;
	}
	return 0;
}

static void publish(bool synced)
{
	gr_mutex_lock(&aof.mutex, GR_FOREVER);
	if (aof_error() && !aof.stop) {
		fprintf(stderr, "kv: %s: written again\n", aof.path);
		atomic_store_explicit(&aof.error, 0, memory_order_relaxed);
	}
	/* A1, both */
	atomic_store_explicit(&aof.written, aof.written + aof.batch_done, memory_order_release);
	if (synced)
		atomic_store_explicit(&aof.synced, aof.written, memory_order_release);
	aof.writes += aof.batch_done != 0;
	aof.fsyncs += synced;
	gr_cond_broadcast(&aof.done);
	gr_mutex_unlock(&aof.mutex);
	aof.batch_done = aof.batch.len = 0;
}

/* The mutex is locked. */
static void fail(int error)
{
	atomic_store_explicit(&aof.error, error, memory_order_relaxed);
	gr_cond_broadcast(&aof.done);
}

/* After a failed write: wait a second, or for the end. false: it was the last try. */
static bool try_again(int error)
{
	int64_t until = gr_after(GR_SEC);
	bool last;

	if (aof_error() != error)
		complain("cannot write, and takes no changes until it can", error);
	gr_mutex_lock(&aof.mutex, GR_FOREVER);
	fail(error);
	last = aof.stop;
	while (!aof.stop && gr_now() < until)
		gr_cond_wait(&aof.work, &aof.mutex, until);
	gr_mutex_unlock(&aof.mutex);
	return !last;
}

static bool sync_now(void)
{
	if (aof.policy == FSYNC_EVERYSEC)
		return gr_now() >= aof.next_sync;
	return aof.policy == FSYNC_ALWAYS;
}

static int write_and_sync(bool sync)
{
	int ret;

	while ((ret = write_batch()))
		if (!try_again(ret))
			return complain("what was queued is lost", ret);
	if (sync) {
		do
			ret = gr_fsync(aof.fd);
		while (ret == -EINTR);
		if (ret < 0)
			return complain("cannot sync, and takes no changes any more", ret);
		aof.next_sync = gr_after(GR_SEC);
	}
	publish(sync);
	return 0;
}

static int writer(void *arg)
{
	int ret = 0;

	(void)arg;
	while (!ret && take())
		ret = write_and_sync(sync_now());
	if (!ret)
		ret = write_and_sync(true);
	if (ret) {
		gr_mutex_lock(&aof.mutex, GR_FOREVER);
		fail(ret);
		gr_mutex_unlock(&aof.mutex);
	}
	return ret;
}

/* ---- start and end ---- */

/*
 * Nobody else may write it: not a second server, not what is left of one that was killed. The lock
 * is with the open file, and goes with it.
 */
static int lock_file(void)
{
	int tries;

	for (tries = 0; flock(aof.fd, LOCK_EX | LOCK_NB); tries++) {
		if (errno != EWOULDBLOCK || tries == LOCK_TRIES)
			return -errno;
		gr_sleep(gr_after(100 * GR_MS));
	}
	return 0;
}

/* The name of a new file is in its directory, which has to be on disk too. */
static int sync_directory(void)
{
	char *path = strdup(aof.path);
	int fd, ret;

	if (!path)
		return -ENOMEM;
	fd = gr_open(dirname(path), O_RDONLY | O_DIRECTORY, 0);
	free(path);
	if (fd < 0)
		return fd;
	ret = gr_fsync(fd);
	gr_close(fd);
	return ret;
}

/* Run what it holds; cut off what a crash left of its last record. */
static int load(void)
{
	struct stat st;
	ssize_t whole;
	int ret;

	if (fstat(aof.fd, &st))
		return complain("cannot load", -errno);
	whole = aof_replay(aof.fd, aof.path, st.st_size);
	if (whole < 0)
		return -EIO;
	if (st.st_size > whole) {
		fprintf(stderr, "kv: %s: %lld bytes of an unfinished record at its end cut off\n",
			aof.path, (long long)(st.st_size - whole));
		if (ftruncate(aof.fd, whole))
			return complain("cannot cut", -errno);
	}
	ret = gr_fsync(aof.fd);
	if (ret >= 0)
		ret = sync_directory();
	if (ret < 0)
		return complain("cannot sync", ret);
	aof.queued = whole;
	aof.written = whole;
	aof.synced = whole;
	return 0;
}

int aof_start(const char *path, enum fsync_policy policy)
{
	struct stat st;
	int fd = gr_open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
	int ret;

	aof.path = path;
	aof.policy = policy;
	if (fd < 0)
		return complain("cannot open", fd);
	aof.fd = fd;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		fprintf(stderr, "kv: %s: not a regular file\n", path);
		return -EIO;
	}
	ret = lock_file();
	if (ret)
		return complain("cannot lock, another server has it", ret);
	ret = load();
	if (!ret)
		ret = gr_task_new(&aof.task, writer, NULL, NULL);
	return ret;
}

int aof_stop(void)
{
	int ret = 0;

	if (!aof_enabled())
		return 0;
	gr_mutex_lock(&aof.mutex, GR_FOREVER);
	aof.stop = true;
	gr_cond_signal(&aof.work);
	gr_mutex_unlock(&aof.mutex);
	gr_task_join(aof.task, &ret, GR_FOREVER);
	gr_task_release(aof.task);
	return ret;
}
