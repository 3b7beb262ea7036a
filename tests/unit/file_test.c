// SPDX-License-Identifier: MIT
/*
 * file_test.c - files by name, whole files and directories: each call does what its system call
 * does, with its errors; none works in a cancelled goroutine or outside of one.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "check.h"

#define NAMES 400

static char dir[] = "/tmp/gr-file-test-XXXXXX";

/* dir/name: one of four that are overwritten in turn */
static const char *in_dir(const char *name)
{
	static char paths[4][128];
	static unsigned int turn;
	char *path = paths[turn++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void make(const char *name, const char *text)
{
	int fd = gr_open(in_dir(name), O_WRONLY | O_CREAT | O_TRUNC, 0640);

	CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK(gr_write_all(fd, text, strlen(text), GR_FOREVER) == (ssize_t)strlen(text));
	CHECK(gr_close(fd) == 0);
}

static void stat_files(void)
{
	struct statx st;

	make("a", "hello");
	CHECK(!symlink("a", in_dir("link")));
	CHECK(gr_stat(in_dir("a"), 0, &st) == 0);
	CHECK(S_ISREG(st.stx_mode) && (st.stx_mode & 0777) == 0640 && st.stx_size == 5);
	CHECK(gr_stat(in_dir("link"), 0, &st) == 0 && S_ISREG(st.stx_mode));
	CHECK(gr_stat(in_dir("link"), AT_SYMLINK_NOFOLLOW, &st) == 0 && S_ISLNK(st.stx_mode));
	CHECK(gr_stat(dir, 0, &st) == 0 && S_ISDIR(st.stx_mode));
	CHECK(gr_stat(in_dir("none"), 0, &st) == -ENOENT);
	CHECK(gr_stat(in_dir("a/b"), 0, &st) == -ENOTDIR);
	CHECK(gr_stat(NULL, 0, &st) == -EINVAL && gr_stat(dir, 0, NULL) == -EINVAL);
	CHECK(gr_stat(dir, 1 << 30, &st) == -EINVAL);
	CHECK(gr_unlink(in_dir("link")) == 0 && gr_unlink(in_dir("a")) == 0);
}

static void rename_unlink(void)
{
	struct statx st;

	make("a", "one");
	make("b", "other");
	CHECK(gr_rename(in_dir("a"), in_dir("b")) == 0);
	CHECK(gr_stat(in_dir("a"), 0, &st) == -ENOENT);
	CHECK(gr_stat(in_dir("b"), 0, &st) == 0 && st.stx_size == 3);
	CHECK(gr_rename(in_dir("a"), in_dir("b")) == -ENOENT);
	CHECK(gr_rename(NULL, in_dir("b")) == -EINVAL && gr_rename(in_dir("b"), NULL) == -EINVAL);
	CHECK(gr_unlink(in_dir("b")) == 0 && gr_unlink(in_dir("b")) == -ENOENT);
	CHECK(gr_unlink(NULL) == -EINVAL && gr_rmdir(NULL) == -EINVAL);
	CHECK(gr_mkdir(in_dir("d"), 0755) == 0 && gr_mkdir(in_dir("d"), 0755) == -EEXIST);
	CHECK(gr_stat(in_dir("d"), 0, &st) == 0 && S_ISDIR(st.stx_mode));
	CHECK(gr_unlink(in_dir("d")) == -EISDIR);
	make("d/x", "in it");
	CHECK(gr_rmdir(in_dir("d")) == -ENOTEMPTY && gr_rmdir(in_dir("d/x")) == -ENOTDIR);
	CHECK(gr_unlink(in_dir("d/x")) == 0 && gr_rmdir(in_dir("d")) == 0);
	CHECK(gr_mkdir(NULL, 0755) == -EINVAL && gr_mkdir(in_dir("no/d"), 0755) == -ENOENT);
	CHECK(gr_open(NULL, O_RDONLY, 0) == -EINVAL);
	CHECK(gr_open(in_dir("none"), O_RDONLY, 0) == -ENOENT);
}

static void allocate(void)
{
	struct statx st;
	int fd, ret;

	make("f", "12345");
	fd = gr_open(in_dir("f"), O_RDWR, 0);
	CHECK(gr_fsync(fd) == 0 && gr_fdatasync(fd) == 0);
	ret = gr_fallocate(fd, 0, 0, 100000);
	CHECK(!ret || ret == -EOPNOTSUPP);
	CHECK(ret || (gr_stat(in_dir("f"), 0, &st) == 0 && st.stx_size == 100000));
	CHECK(gr_fallocate(fd, 0, -1, 1) == -EINVAL && gr_fallocate(fd, 0, 0, 0) == -EINVAL);
	CHECK(gr_fallocate(fd, 0, 0, -1) == -EINVAL && gr_fallocate(-1, 0, 0, 1) == -EBADF);
	CHECK(gr_close(fd) == 0 && gr_fdatasync(fd) == -EBADF && gr_fsync(-1) == -EBADF);
	CHECK(gr_unlink(in_dir("f")) == 0);
}

/* ---- directories ---- */

struct seen {
	int n, dirs, stop;
	unsigned char names[NAMES];
};

static int see(const char *name, unsigned char type, void *arg)
{
	struct seen *s = arg;

	if (!strncmp(name, "file", 4))
		s->names[atoi(name + 4) % NAMES]++;
	s->dirs += type == DT_DIR || type == DT_UNKNOWN;
	gr_yield();
	return ++s->n == s->stop ? 77 : 0;
}

static const char *number(int i)
{
	static char name[100];

	snprintf(name, sizeof(name), "file%05d-%060d", i, i);
	return name;
}

static void directory(void)
{
	struct seen s = { .n = 0 }, few = { .stop = 5 }, none = { .n = 0 };
	int bad = 0, fd;

	CHECK(gr_readdir(dir, see, &none) == 0 && !none.n);
	for (int i = 0; i < NAMES; i++) {
		fd = open(in_dir(number(i)), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		CHECK(fd >= 0);
		close(fd);
	}
	CHECK(gr_mkdir(in_dir("sub"), 0700) == 0);
	CHECK(gr_readdir(dir, see, &s) == 0 && s.n == NAMES + 1 && s.dirs >= 1);
	for (int i = 0; i < NAMES; i++)
		bad += s.names[i] != 1;
	CHECK(!bad);
	CHECK(gr_readdir(dir, see, &few) == 77 && few.n == 5);
	CHECK(gr_readdir(in_dir(number(0)), see, &s) == -ENOTDIR);
	CHECK(gr_readdir(in_dir("none"), see, &s) == -ENOENT);
	CHECK(gr_readdir(NULL, see, &s) == -EINVAL && gr_readdir(dir, NULL, &s) == -EINVAL);
	for (int i = 0; i < NAMES; i++)
		unlink(in_dir(number(i)));
	CHECK(gr_rmdir(in_dir("sub")) == 0);
}

/* ---- where they do not work ---- */

static long all_say(void)
{
	struct statx st;
	struct seen s = { .n = 0 };
	int said[] = {
		gr_open("/", O_RDONLY, 0), gr_stat("/", 0, &st), gr_rename("/no/1", "/no/2"),
		gr_unlink("/no/1"), gr_mkdir("/no/1", 0700), gr_rmdir("/no/1"), gr_fsync(-1),
		gr_fdatasync(-1), gr_fallocate(-1, 0, 0, 1), gr_readdir("/", see, &s),
	};

	for (size_t i = 1; i < sizeof(said) / sizeof(said[0]); i++)
		if (said[i] != said[0])
			return 0;
	return said[0];
}

static int cancel_itself(void *arg)
{
	CHECK(gr_scope_cancel(arg) == 0);
	CHECK(all_say() == -ECANCELED);
	return 0;
}

static void cancelled(void)
{
	struct gr_scope s;

	gr_scope_init(&s, 0);
	CHECK(gr_scope_go(&s, cancel_itself, &s) == 0);
	CHECK(gr_scope_wait(&s, GR_FOREVER) == 0);
}

static void outside(void)
{
	CHECK(all_say() == -EPERM);
}

static void no_more_fds(void)
{
	struct seen s = { .n = 0 };
	int fd;

	check_few_fds(true);
	CHECK(gr_open("/", O_RDONLY, 0) == -EMFILE && gr_readdir("/", see, &s) == -EMFILE);
	check_few_fds(false);
	fd = gr_open("/", O_RDONLY, 0);
	CHECK(fd >= 0 && gr_readdir("/", see, &s) == 0 && s.n);
	gr_close(fd);
}

static void body(void)
{
	check_part("stat", stat_files);
	check_part("rename, unlink, mkdir, rmdir", rename_unlink);
	check_part("fallocate, fdatasync", allocate);
	check_part("directories", directory);
	check_part("-ECANCELED", cancelled);
}

int main(void)
{
	check_in_child("too few descriptors, then enough", no_more_fds);
	umask(022);
	if (!mkdtemp(dir)) {
		tap_skip("files", "no /tmp here");
		return tap_done();
	}
	check_run(body);
	check_part("-EPERM", outside);
	rmdir(dir);
	return tap_done();
}
