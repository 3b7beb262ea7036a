// SPDX-License-Identifier: MIT
/*
 * replay.c - the append-only file at the start: its records are run as they stand.
 *
 * A crash in the middle of a write leaves the beginning of a record at the end of the file: that is
 * not counted as part of it, and the caller cuts it off. Everything else that is not a record of a
 * log is damage, and nobody but the owner can say what should be done with the rest.
 *
 * A length that was damaged may look like an unfinished record, which would take all later ones
 * along. So the rest is looked through: if whole records reach to its end, it is damage. (That of
 * the very last record cannot be told from an unfinished one.)
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "kv.h"

#define LOG_SLACK 1024 /* a record may be longer than the request: SET EX becomes SET PXAT */

static void log_parser(struct parser *p)
{
	parser_init(p);
	p->only_arrays = true;
	p->max_request += LOG_SLACK;
}

/* 1, or -EPROTO: p->error says why */
static int run_record(struct parser *p, struct buf *out)
{
	struct call c = {.argv = p->argv, .argc = p->argc, .out = out, .replay = true};

	out->len = 0;
	command_run(&c);
	if (out->failed)
		return -ENOMEM;
	if (out->data[0] != '-')
		return 1;
	snprintf(p->error, sizeof(p->error), "%.*s", (int)out->len - 3, out->data + 1);
	return -EPROTO;
}

/*
 * Look at the records from data on, run them if out is not NULL, up to the first that is not whole
 * or wrong; *done is where that begins. 0 it is not whole; 1 there is none such; or an error.
 */
static int records(struct parser *p, char *data, size_t n, struct buf *out, size_t *done)
{
	int ret = 1;

	*done = 0;
	while (*done < n) {
		parser_next(p);
		ret = parser_run(p, data + *done, n - *done);
		if (ret > 0 && out)
			ret = run_record(p, out);
		if (ret <= 0)
			break;
		*done += p->pos;
	}
	return ret;
}

static bool goes_on(struct parser *p, char *data, size_t n)
{
	size_t at = 0, done;
	char *next;

	while ((next = memmem(data + at, n - at, "\r\n*", 3))) {
		at = next + 2 - data;
		if (records(p, data + at, n - at, NULL, &done) > 0)
			return true;
		at += done > 2 ? done - 2 : 0;
	}
	return false;
}

static ssize_t run_all(char *data, size_t n, const char *path)
{
	struct buf out = {0};
	struct parser p;
	size_t done;
	int ret;

	log_parser(&p);
	ret = records(&p, data, n, &out, &done);
	if (!ret && goes_on(&p, data + done, n - done)) {
		snprintf(p.error, sizeof(p.error), "a length is wrong");
		ret = -EPROTO;
	}
	if (ret == -EPROTO)
		fprintf(stderr, "kv: %s: damaged at byte %zu: %s\n", path, done, p.error);
	else if (ret < 0)
		fprintf(stderr, "kv: %s: cannot load: %s\n", path, strerrordesc_np(-ret));
	parser_fini(&p);
	buf_free(&out);
	return ret < 0 ? -EIO : (ssize_t)done;
}

ssize_t aof_replay(int fd, const char *path, size_t size)
{
	ssize_t ret;
	char *data;

	if (!size)
		return 0;
	data = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	if (data == MAP_FAILED) {
		fprintf(stderr, "kv: %s: cannot map: %s\n", path, strerrordesc_np(errno));
		return -EIO;
	}
	ret = run_all(data, size, path);
	munmap(data, size);
	return ret;
}
