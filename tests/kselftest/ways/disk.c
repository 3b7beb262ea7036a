// SPDX-License-Identifier: GPL-2.0
/*
 * disk.c - ways to block on a block device (see ways.h): ext4 on /dev/vda, mounted for the test.
 *
 * The page cache is the enemy of a cold read: before each round the file's pages are made clean
 * and dropped, and nothing is read ahead. A mapping takes no huge pages: khugepaged would read the
 * file on its own account to make one, and A would wait for that.
 */
#include <linux/fs.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "ways.h"

#define DEVICE "/dev/vda"
#define DIR "/tmp/gr-ways"
#define FILE_SIZE (4 << 20)
#define STRIDE (64 << 10)

static int file = -1, dir = -1, turn;
static char *map;
static char buf[STRIDE];

static int fill(struct ways *w)
{
	memset(buf, 'x', STRIDE);
	for (int at = 0; at < FILE_SIZE; at += STRIDE)
		if (pwrite(file, buf, STRIDE, at) != STRIDE)
			return ways_no(w, WAYS_FAIL, "write " DIR);
	return fsync(file) ? ways_no(w, WAYS_FAIL, "fsync " DIR) : WAYS_OK;
}

static int open_file(struct ways *w)
{
	if (access(DEVICE, R_OK | W_OK))
		return ways_no(w, WAYS_SKIP, "no disk: " DEVICE);
	mkdir(DIR, 0700);
	if (mount(DEVICE, DIR, "ext4", 0, NULL))
		return ways_no(w, errno == ENODEV ? WAYS_SKIP : WAYS_FAIL, "mount ext4");
	dir = open(DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	file = open(DIR "/file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (dir < 0 || file < 0)
		return ways_no(w, WAYS_FAIL, DIR "/file");
	return fill(w);
}

static int open_sync(struct ways *w)
{
	int ret = open_file(w);

	if (ret)
		return ret;
	close(file);
	file = open(DIR "/file", O_RDWR | O_SYNC | O_CLOEXEC);
	return file < 0 ? ways_no(w, WAYS_FAIL, "O_SYNC") : WAYS_OK;
}

static int open_map(struct ways *w)
{
	int ret = open_file(w);

	if (ret)
		return ret;
	map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (map == MAP_FAILED)
		return ways_no(w, WAYS_FAIL, "mmap");
	madvise(map, FILE_SIZE, MADV_NOHUGEPAGE);	/* EINVAL where there are none */
	return WAYS_OK;
}

static void close_file(struct ways *w)
{
	if (map && map != MAP_FAILED)
		munmap(map, FILE_SIZE);
	close(file);
	close(dir);
	unlink(DIR "/file");
	umount(DIR);
}

static int drop_cache(struct ways *w)
{
	int fd;

	if (map && madvise(map, FILE_SIZE, MADV_DONTNEED))
		return ways_no(w, WAYS_FAIL, "madvise");
	if (fdatasync(file) || posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) ||
	    posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM))
		return ways_no(w, WAYS_FAIL, "posix_fadvise");
	if (map && madvise(map, FILE_SIZE, MADV_RANDOM))
		return ways_no(w, WAYS_FAIL, "madvise");
	fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) != 1)
		return ways_no(w, WAYS_FAIL, "drop_caches");
	return close(fd);
}

static bool read_at(off_t at)
{
	return pread(file, buf, STRIDE, at) == STRIDE && buf[0] == 'x';
}

static bool touch_at(off_t at)
{
	return *(volatile char *)&map[at] == 'x';
}

static long blocks_read(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return u.ru_inblock;
}

/*
 * A fast disk may have the pages there before A can sleep: on to the next ones then. That all of
 * them came like this is no failure of a round, but that none came from the disk is.
 */
static int until_slept(struct ways *w, bool (*read)(off_t at))
{
	long before = ways_switches(true), blocks = blocks_read();
	off_t at = 0;
	bool ok = true;

	for (; ok && ways_switches(true) == before && at < FILE_SIZE; at += STRIDE) {
		ok = read(at);
		ways_beat(w);
	}
	return !ok || blocks_read() == blocks;
}

static int cold_read(struct ways *w)
{
	return until_slept(w, read_at);
}

static int cold_fault(struct ways *w)
{
	return until_slept(w, touch_at);
}

static int write_next(struct ways *w)
{
	return pwrite(file, buf, STRIDE, ++turn * STRIDE % FILE_SIZE) != STRIDE;
}

static int sync_file(struct ways *w)
{
	return fsync(file);
}

static int dirty_map(struct ways *w)
{
	map[++turn * STRIDE % FILE_SIZE] = 'y';
	return 0;
}

static int sync_map(struct ways *w)
{
	return msync(map, FILE_SIZE, MS_SYNC);
}

const struct way way_cold_read = {
	.setup = open_file, .prepare = drop_cache, .sleep = cold_read, .teardown = close_file,
	.handoff = SOME_ROUND,
};

const struct way way_cold_fault = {
	.setup = open_map, .prepare = drop_cache, .sleep = cold_fault, .teardown = close_file,
	.handoff = SOME_ROUND,
};

const struct way way_fsync = {
	.setup = open_file, .prepare = write_next, .sleep = sync_file, .teardown = close_file,
	.handoff = SOME_ROUND,
};

const struct way way_sync_write = {
	.setup = open_sync, .sleep = write_next, .teardown = close_file, .handoff = SOME_ROUND,
};

const struct way way_msync = {
	.setup = open_map, .prepare = dirty_map, .sleep = sync_map, .teardown = close_file,
	.handoff = SOME_ROUND,
};

/* ---- a file system that stands still: sleeps as long as we like, where no signal reaches ---- */

static int freeze_fs(struct ways *w)
{
	bool ok;

	if (ioctl(dir, FIFREEZE, 0))
		return ways_no(w, 1, "FIFREEZE");
	ways_ready(w);
	ok = ways_b_has_p(w);
	return ioctl(dir, FITHAW, 0) || !ok;
}

const struct way way_frozen_fs = {
	.setup = open_file, .sleep = write_next, .other = freeze_fs, .teardown = close_file,
};
