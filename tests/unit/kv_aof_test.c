// SPDX-License-Identifier: MIT
/*
 * kv_aof_test.c - the log of examples/kv with fsync "always" on a disk that fails: what is not on
 * disk is not acknowledged, nothing is written after an fsync() that failed, and a write that
 * failed goes on where it stopped.
 */
#include "gr.h"

/* the disk: what it is asked for, and what it answers */
static struct {
	int write_error, fsync_error;
	int nr_writes, nr_fsyncs;
	struct gr_sem asked; /* once for each fsync() that begins */
	struct gr_sem go;    /* lets one end */
} disk;

static ssize_t disk_write(int fd, const void *buf, size_t n, off_t off)
{
	disk.nr_writes++;
	if (disk.write_error) /* it takes a part before it fails */
		n = n > 1 ? n / 2 : 0;
	return n ? gr_pwrite(fd, buf, n, off, GR_FOREVER) : disk.write_error;
}

static int disk_fsync(void)
{
	disk.nr_fsyncs++;
	gr_sem_release(&disk.asked, 1);
	gr_sem_acquire(&disk.go, 1, GR_FOREVER);
	return disk.fsync_error;
}

#define gr_pwrite(fd, buf, n, off, deadline) disk_write(fd, buf, n, off)
#define gr_fsync(fd) disk_fsync()
#include "../../examples/kv/aof.c"
#undef gr_pwrite
#undef gr_fsync
#include "../../examples/kv/buf.c"
#include "tap.h"

static char path[] = "/tmp/gr-kv-aof-XXXXXX";
static const struct arg ping[1] = {{.data = "PING", .len = 4}};
#define RECORD ((size_t)14) /* of it: *1 $4 PING, each with its end */

ssize_t aof_replay(int fd, const char *name, size_t size)
{
	(void)fd;
	(void)name;
	return (ssize_t)size;
}

static void start(const char *what)
{
	memset(&aof, 0, sizeof(aof));
	memset(&disk, 0, sizeof(disk));
	gr_sem_release(&disk.go, 2); /* the file and its directory, at the start */
	tap_ok(!truncate(path, 0) && !aof_start(path, FSYNC_ALWAYS), "%s", what);
	gr_sem_acquire(&disk.asked, 2, GR_FOREVER);
}

static bool acknowledged;

static int client(void *arg)
{
	uint64_t pos;
	int ret = aof_append(1, ping, &pos);

	(void)arg;
	if (!ret)
		ret = aof_wait(pos);
	acknowledged = !ret;
	return ret;
}

static struct gr_task *begin(void)
{
	struct gr_task *t;

	acknowledged = false;
	gr_task_new(&t, client, NULL, NULL);
	return t;
}

static int end(struct gr_task *t)
{
	int ret;

	gr_task_join(t, &ret, GR_FOREVER);
	gr_task_release(t);
	return ret;
}

static int stop_with(int nr_fsyncs)
{
	int ret;

	if (nr_fsyncs)
		gr_sem_release(&disk.go, nr_fsyncs);
	ret = aof_stop();
	gr_close(aof.fd); /* and the lock */
	buf_free(&aof.queue);
	buf_free(&aof.batch);
	return ret;
}

static size_t length(void)
{
	struct stat st;

	return stat(path, &st) ? 0 : (size_t)st.st_size;
}

static void waits_for_fsync(void)
{
	struct gr_task *t;

	start("a disk that works");
	t = begin();
	gr_sem_acquire(&disk.asked, 1, GR_FOREVER);
	tap_ok(!acknowledged && length() == RECORD, "not acknowledged before fsync() ends");
	gr_sem_release(&disk.go, 1);
	tap_ok(!end(t), "but then");
	tap_ok(!stop_with(1), "the end");
	tap_ok(client(NULL) == -ESHUTDOWN, "nothing is taken after it");
}

static void fsync_fails(void)
{
	struct gr_task *first, *second;
	int writes;

	start("an fsync() that fails");
	first = begin();
	gr_sem_acquire(&disk.asked, 1, GR_FOREVER);
	second = begin(); /* comes while the disk is busy */
	while (aof.queued < 2 * RECORD)
		gr_yield();
	writes = disk.nr_writes;
	disk.fsync_error = -EIO;
	gr_sem_release(&disk.go, 1);
	tap_ok(end(first) == -EIO && end(second) == -EIO, "who waits for it gets the error");
	disk.fsync_error = 0; /* the kernel has forgotten it, the file has not */
	tap_ok(aof_error() == -EIO && client(NULL) == -EIO, "no change is taken from then on");
	tap_ok(disk.nr_writes == writes, "nothing is written any more");
	tap_ok(stop_with(0) == -EIO && length() == RECORD, "at the end neither");
}

static void write_fails(void)
{
	struct gr_task *t;

	start("a write that fails half way");
	disk.write_error = -ENOSPC;
	t = begin();
	tap_ok(end(t) == -ENOSPC && client(NULL) == -ENOSPC, "no change is acknowledged, or taken");
	tap_ok(length() && length() < RECORD && disk.nr_fsyncs == 2, "nothing is synced");
	disk.write_error = 0;
	tap_ok(!stop_with(2) && length() == RECORD, "it goes on where it stopped");
}

static int run(void *arg)
{
	(void)arg;
	waits_for_fsync();
	fsync_fails();
	write_fails();
	return 0;
}

int main(void)
{
	int fd = mkstemp(path);

	tap_limit(60);
	tap_ok(fd >= 0 && !close(fd), "a file");
	tap_ok(!gr_run(run, NULL, NULL), "gr_run()");
	unlink(path);
	return tap_done();
}
