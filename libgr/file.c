// SPDX-License-Identifier: MIT
/*
 * file.c - files by name, and what is done to a whole file: each one request in the ring.
 *
 * No deadlines: what a disk has begun cannot be taken back, and the request would have to be
 * waited for all the same. The bytes: io.c. Directories: dir.c. Callers: goroutines.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "op.h"

struct path {
	const char *path, *to;
	int flags;
	mode_t mode;
	struct statx *st;
};

static int do_path(void (*prep)(struct io_uring_sqe *, void *), struct path *a)
{
	return a->path ? op_do(prep, a, GR_FOREVER) : -EINVAL;
}

static void prep_open(struct io_uring_sqe *sqe, void *arg)
{
	struct path *a = arg;

	io_uring_prep_openat(sqe, AT_FDCWD, a->path, a->flags | O_CLOEXEC, a->mode);
}

int gr_open(const char *path, int flags, mode_t mode)
{
	return do_path(prep_open, &(struct path){ .path = path, .flags = flags, .mode = mode });
}

static void prep_stat(struct io_uring_sqe *sqe, void *arg)
{
	struct path *a = arg;

	io_uring_prep_statx(sqe, AT_FDCWD, a->path, a->flags, STATX_BASIC_STATS | STATX_BTIME,
			    a->st);
}

int gr_stat(const char *path, int flags, struct statx *st)
{
	if (!st)
		return -EINVAL;
	return do_path(prep_stat, &(struct path){ .path = path, .flags = flags, .st = st });
}

static void prep_rename(struct io_uring_sqe *sqe, void *arg)
{
	struct path *a = arg;

	io_uring_prep_renameat(sqe, AT_FDCWD, a->path, AT_FDCWD, a->to, 0);
}

int gr_rename(const char *from, const char *to)
{
	return to ? do_path(prep_rename, &(struct path){ .path = from, .to = to }) : -EINVAL;
}

static void prep_unlink(struct io_uring_sqe *sqe, void *arg)
{
	struct path *a = arg;

	io_uring_prep_unlinkat(sqe, AT_FDCWD, a->path, a->flags);
}

int gr_unlink(const char *path)
{
	return do_path(prep_unlink, &(struct path){ .path = path });
}

int gr_rmdir(const char *path)
{
	return do_path(prep_unlink, &(struct path){ .path = path, .flags = AT_REMOVEDIR });
}

static void prep_mkdir(struct io_uring_sqe *sqe, void *arg)
{
	struct path *a = arg;

	io_uring_prep_mkdirat(sqe, AT_FDCWD, a->path, a->mode);
}

int gr_mkdir(const char *path, mode_t mode)
{
	return do_path(prep_mkdir, &(struct path){ .path = path, .mode = mode });
}

static void prep_fsync(struct io_uring_sqe *sqe, void *arg)
{
	io_uring_prep_fsync(sqe, *(int *)arg, 0);
}

int gr_fsync(int fd)
{
	return op_do(prep_fsync, &fd, GR_FOREVER);
}

static void prep_fdatasync(struct io_uring_sqe *sqe, void *arg)
{
	io_uring_prep_fsync(sqe, *(int *)arg, IORING_FSYNC_DATASYNC);
}

int gr_fdatasync(int fd)
{
	return op_do(prep_fdatasync, &fd, GR_FOREVER);
}

struct range {
	int fd, mode;
	off_t off, len;
};

static void prep_fallocate(struct io_uring_sqe *sqe, void *arg)
{
	struct range *a = arg;

	io_uring_prep_fallocate(sqe, a->fd, a->mode, a->off, a->len);
}

int gr_fallocate(int fd, int mode, off_t off, off_t len)
{
	struct range a = { fd, mode, off, len };

	if (off < 0 || len <= 0)
		return -EINVAL;
	return op_do(prep_fallocate, &a, GR_FOREVER);
}
