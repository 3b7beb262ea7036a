// SPDX-License-Identifier: MIT
/*
 * file.c - /file/: a file, a part of it, or that the client has it already.
 *
 * Names are decoded first and checked then. Empty, "." and ".." components, a leading slash and
 * NUL bytes are refused, and the last component may not be a symbolic link; links in the middle
 * are followed, for whoever owns the directory has put them there.
 *
 * The entity tag says which version of a file it is: inode, size and time of the last change.
 * One range is served; several, and what is no range of bytes, get the whole file, which RFC 9110
 * allows.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "httpd.h"

static bool name_is_safe(const char *name)
{
	for (;;) {
		size_t n = strcspn(name, "/");

		if (n == 0 || (n == 1 && name[0] == '.') || (n == 2 && !memcmp(name, "..", 2)))
			return false;
		if (!name[n])
			return true;
		name += n + 1;
	}
}

static int open_regular(const char *path, struct stat *st)
{
	int fd = gr_open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0);

	if (fd < 0)
		return fd;
	if (fstat(fd, st) || !S_ISREG(st->st_mode)) {
		gr_close(fd);
		return -ENOENT;
	}
	return fd;
}

/* is it in a list of tags? What makes a tag weak does not matter here. */
static bool etag_is_in(const char *list, const char *etag)
{
	size_t n = strlen(etag);

	for (;;) {
		list += strspn(list, ", \t");
		if (*list == '*')
			return true;
		if (!strncmp(list, "W/", 2))
			list += 2;
		if (!strncmp(list, etag, n))
			return true;
		list = *list == '"' ? strchr(list + 1, '"') : NULL;
		if (!list)
			return false;
		list++;
	}
}

/* digits, and what is too large to be true is as large as can be */
static bool number(const char **s, off_t *n)
{
	char *end;

	if (!isdigit((unsigned char)**s))
		return false;
	*n = strtoll(*s, &end, 10);
	*s = end;
	return true;
}

/* 206 with the part, 416 outside of the file, or 200: this is no single range */
static int parse_range(const char *s, off_t size, off_t *off, off_t *len)
{
	off_t first = 0, last = size - 1, suffix = -1;

	if (strncasecmp(s, "bytes=", 6))
		return 200;
	s += 6;
	if (number(&s, &first)) {
		if (*s++ != '-' || (number(&s, &last) && last < first))
			return 200;
	} else if (*s++ != '-' || !number(&s, &suffix)) {
		return 200;
	}
	if (s[strspn(s, " \t")])
		return 200;
	if (!suffix || first >= size)
		return 416;
	if (suffix > 0 && suffix < size)
		first = size - suffix;
	if (last >= size)
		last = size - 1;
	*off = first;
	*len = last - first + 1;
	return 206;
}

static void answer(const struct request *req, const struct stat *st, struct reply *r)
{
	long long size = st->st_size;
	char etag[64];

	snprintf(etag, sizeof(etag), "\"%llx-%llx-%llx\"", (unsigned long long)st->st_ino, size,
		 st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec);
	buf_printf(&r->fields, "ETag: %s\r\nAccept-Ranges: bytes\r\n", etag);
	r->file_off = 0;
	r->file_len = st->st_size;
	if (req->if_none_match && etag_is_in(req->if_none_match, etag))
		r->status = 304;
	else if (req->range && !req->head && (!req->if_range || !strcmp(req->if_range, etag)))
		r->status = parse_range(req->range, st->st_size, &r->file_off, &r->file_len);
	if (r->status == 206)
		buf_printf(&r->fields, "Content-Range: bytes %lld-%lld/%lld\r\n",
			   (long long)r->file_off, (long long)(r->file_off + r->file_len - 1),
			   size);
	if (r->status == 416)
		buf_printf(&r->fields, "Content-Range: bytes */%lld\r\n", size);
	if (r->status == 304 || r->status == 416) {
		gr_close(r->file);
		r->file = -1;
	}
}

static void refuse(int err, struct reply *r)
{
	if (err == -EINVAL)
		reply_text(r, 400, "bad file name");
	else if (err == -EMFILE || err == -ENFILE)
		reply_text(r, 503, "%s", strerrordesc_np(-err));
	else if (err == -ENOMEM || err == -EIO)
		reply_text(r, 500, "%s", strerrordesc_np(-err));
	else
		reply_text(r, 404, "no such file");
}

void file_reply(const struct request *req, const char *name, size_t n, struct reply *r)
{
	struct buf path = {0};
	struct stat st;
	size_t root_len;
	int ret;

	if (!config.root) {
		reply_text(r, 404, "no directory is served: start with --root");
		return;
	}
	buf_printf(&path, "%s/", config.root);
	root_len = path.len;
	ret = url_decode(&path, name, n, false);
	if (!ret && !name_is_safe(path.data + root_len))
		ret = -EINVAL;
	if (!ret)
		ret = open_regular(path.data, &st);
	buf_free(&path);
	if (ret < 0) {
		refuse(ret, r);
	} else {
		r->file = ret;
		answer(req, &st, r);
	}
}
