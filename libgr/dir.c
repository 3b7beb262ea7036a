// SPDX-License-Identifier: MIT
/*
 * dir.c - the names in a directory.
 *
 * io_uring has no request for it: getdents64() is called plainly. If it reads from a disk, only
 * the goroutine waits, as in any call of any library. Callers: goroutines.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "gr_int.h"

#define BATCH 32768

/* bytes of entries, 0 at the end */
static NOINLINE ssize_t read_entries(int fd, void *buf)
{
	int saved = errno;
	ssize_t n = getdents64(fd, buf, BATCH);

	if (n < 0)
		n = -errno;
	errno = saved;
	return n;
}

static bool is_itself_or_parent(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static int each_entry(int fd, char *buf, int (*fn)(const char *, unsigned char, void *), void *arg)
{
	ssize_t n, at;
	int ret = 0;

	while ((n = read_entries(fd, buf)) > 0) {
		for (at = 0; at < n && !ret;) {
			const struct dirent64 *d = (void *)(buf + at);

			if (!is_itself_or_parent(d->d_name))
				ret = fn(d->d_name, d->d_type, arg);
			at += d->d_reclen;
		}
		if (ret)
			return ret;
	}
	return (int)n;
}

int gr_readdir(const char *path, int (*fn)(const char *name, unsigned char type, void *arg),
	       void *arg)
{
	char *buf;
	int fd, ret;

	if (!fn)
		return -EINVAL;
	fd = gr_open(path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	buf = malloc(BATCH);
	ret = buf ? each_entry(fd, buf, fn, arg) : -ENOMEM;
	free(buf);
	gr_close(fd);
	return ret;
}
