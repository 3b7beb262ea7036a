// SPDX-License-Identifier: MIT
/*
 * badinput_test.c - what the public calls say to nonsense: NULL, closed, wrong sizes, deadlines
 * long ago, calls from the wrong place. Each says what gr.h promises, and harms nobody.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "badinput.h"

static void nothing(void *arg)
{
	(void)arg;
}

static int zero(void *arg)
{
	(void)arg;
	return 0;
}

static void runtime(void)
{
	struct gr_opts opts = { .size = sizeof(opts) }, bad;
	struct gr_info info = { .size = sizeof(info) };
	struct gr_info small = { .size = sizeof(small) - 1 };

	IS(gr_run(NULL, NULL, NULL), -EINVAL);
	IS(gr_info(NULL), -EINVAL);
	IS(gr_info(&small), -EINVAL);
	IS(gr_info(&info), by_place(-ENXIO, 0, 0));
	if (place == THREAD)
		IS(gr_run(zero, NULL, NULL), -EBUSY);
	if (place != OUTSIDE)
		return;
	bad = opts, bad.size = 0;
	IS(gr_run(zero, NULL, &bad), -EINVAL);
	bad = opts, bad.size++;
	IS(gr_run(zero, NULL, &bad), -EINVAL);
	bad = opts, bad.nr_procs = -1;
	IS(gr_run(zero, NULL, &bad), -EINVAL);
	bad = opts, bad.nr_procs = INT32_MAX;
	IS(gr_run(zero, NULL, &bad), -EINVAL);
	bad = opts, bad.max_threads = -1;
	IS(gr_run(zero, NULL, &bad), -EINVAL);
	bad = opts, bad.stack_size = 16383;
	IS(gr_run(zero, NULL, &bad), -EINVAL);
	bad = opts, bad.stack_size = ((size_t)1 << 30) + 1;
	IS(gr_run(zero, NULL, &bad), -EINVAL);
	setenv("GR_PROCS", "two", 1);
	IS(gr_run(zero, NULL, NULL), -EINVAL);
	setenv("GR_PROCS", "0", 1);
	IS(gr_run(zero, NULL, NULL), -EINVAL);
	setenv("GR_PROCS", "-1", 1);
	IS(gr_run(zero, NULL, NULL), -EINVAL);
	unsetenv("GR_PROCS");
}

static void goroutines(void)
{
	struct gr_attr attr = { .size = sizeof(attr) }, bad;
	long ok = by_place(-ENXIO, 0, 0);

	IS(gr_go(NULL, NULL), -EINVAL);
	IS(gr_go_with(NULL, NULL, NULL), -EINVAL);
	IS(gr_go(nothing, NULL), ok);
	IS(gr_go_with(nothing, NULL, &attr), ok); /* stack size 0: the default */
	if (place == OUTSIDE) {
		IS(gr_yield(), -EPERM);
	} else {
		bad = attr, bad.size = 0;
		IS(gr_go_with(nothing, NULL, &bad), -EINVAL);
		bad = attr, bad.size += 8;
		IS(gr_go_with(nothing, NULL, &bad), -EINVAL);
		bad = attr, bad.stack_size = 1;
		IS(gr_go_with(nothing, NULL, &bad), -EINVAL);
		bad = attr, bad.stack_size = 16383;
		IS(gr_go_with(nothing, NULL, &bad), -EINVAL);
		bad = attr, bad.stack_size = ((size_t)1 << 30) + 1;
		IS(gr_go_with(nothing, NULL, &bad), -EINVAL);
		bad = attr, bad.stack_size = SIZE_MAX;
		IS(gr_go_with(nothing, NULL, &bad), -EINVAL);
		bad = attr, bad.stack_size = 16384 + 1; /* not a multiple of anything */
		IS(gr_go_with(nothing, NULL, &bad), 0);
		IS(gr_yield(), by_place(0, -EPERM, 0));
	}
	IS(gr_set_name("name"), by_place(-EPERM, -EPERM, 0));
	IS(gr_name() != NULL, by_place(0, 0, 1));
	IS(gr_id() != 0, by_place(0, 0, 1));
	IS(gr_sleep(GR_NOW), 0);
	IS(gr_sleep(PAST), 0);
	IS(gr_sleep(-5), 0);
	IS(gr_sleep(INT64_MIN), 0);
	IS(gr_after(INT64_MAX) == GR_FOREVER, 1);
	IS(gr_after(INT64_MIN) > GR_NOW, 1);
}

static void tasks(void)
{
	struct gr_attr bad = { .size = 1 };
	struct gr_task *t = NULL;
	int result;

	IS(gr_task_new(NULL, zero, NULL, NULL), -EINVAL);
	IS(gr_task_new(&t, NULL, NULL, NULL), -EINVAL);
	IS(gr_task_new(&t, zero, NULL, &bad), by_place(-ENXIO, -EINVAL, -EINVAL));
	IS(t != NULL, 0);
	IS(gr_task_join(NULL, &result, GR_FOREVER), -EINVAL);
	IS(gr_task_cancel(NULL), -EINVAL);
	gr_task_release(NULL);
	IS(gr_task_new(&t, zero, NULL, NULL), by_place(-ENXIO, 0, 0));
	if (!t)
		return;
	IS(gr_task_join(t, NULL, GR_FOREVER), 0);
	IS(gr_task_join(t, &result, PAST), 0); /* done is done */
	gr_task_release(t);
}

static void scopes(void)
{
	struct gr_attr bad = { .size = 1 };
	struct gr_scope s;

	memset(&s, 0xff, sizeof(s));
	IS(gr_scope_init(NULL, 0), -EINVAL);
	IS(gr_scope_init(&s, 2), -EINVAL);
	IS(gr_scope_init(&s, ~0U), -EINVAL);
	IS(gr_scope_wait(NULL, GR_FOREVER), -EINVAL);
	IS(gr_scope_wait(&s, GR_FOREVER), -EINVAL);
	IS(gr_scope_cancel(NULL), -EINVAL);
	IS(gr_scope_cancel(&s), -EINVAL);
	IS(gr_scope_go(NULL, zero, NULL), -EINVAL);
	IS(gr_scope_go(&s, zero, NULL), -EINVAL);
	IS(gr_scope_init(&s, GR_SCOPE_ALL), 0);
	IS(gr_scope_go(&s, NULL, NULL), -EINVAL);
	IS(gr_scope_go_with(&s, zero, NULL, &bad), by_place(-ENXIO, -EINVAL, -EINVAL));
	IS(gr_scope_go(&s, zero, NULL), by_place(-ENXIO, 0, 0));
	IS(gr_scope_wait(&s, GR_FOREVER), 0);
	IS(gr_scope_wait(&s, GR_FOREVER), -EINVAL);
	IS(gr_scope_go(&s, zero, NULL), -EINVAL);
	IS(gr_scope_cancel(&s), -EINVAL);
	IS(gr_cancelled(), 0);
	IS(gr_shield_end(), -EPERM);
	IS(gr_shield_begin(), by_place(-EPERM, -EPERM, 0));
	IS(gr_shield_end(), by_place(-EPERM, -EPERM, 0));
	IS(gr_shield_end(), -EPERM);
}

static void locals(void)
{
	unsigned int key;

	IS(gr_key_new(NULL, NULL), -EINVAL);
	IS(gr_key_delete(GR_KEYS_MAX), -EINVAL);
	IS(gr_key_delete(UINT32_MAX), -EINVAL);
	IS(gr_local_set(GR_KEYS_MAX, "x"), -EINVAL);
	IS(gr_local_get(GR_KEYS_MAX) != NULL, 0);
	IS(gr_key_new(&key, NULL), 0);
	IS(gr_local_set(key, "x"), by_place(-EPERM, -EPERM, 0));
	IS(gr_local_get(key) != NULL, by_place(0, 0, 1));
	IS(gr_key_delete(key), 0);
	IS(gr_key_delete(key), -EINVAL);
	IS(gr_local_set(key, "x"), -EINVAL);
	IS(gr_local_get(key) != NULL, 0);
}

static void channels(void)
{
	struct gr_chan *c = NULL;
	int v = 1;

	IS(gr_chan_new(NULL, 4, 0), -EINVAL);
	IS(gr_chan_new(&c, 65537, 0), -EINVAL);
	IS(gr_chan_new(&c, (size_t)-1, 1), -EINVAL);
	IS(gr_chan_new(&c, 4, (size_t)-1), -EINVAL);
	IS(gr_chan_new(&c, 0, (size_t)-1), -EINVAL);
	IS(gr_chan_new(&c, 65536, SIZE_MAX / 65536 + 1), -EINVAL);
	IS(c != NULL, 0);
	IS(gr_chan_send(NULL, &v, GR_FOREVER), -EINVAL);
	IS(gr_chan_recv(NULL, &v, GR_FOREVER), -EINVAL);
	IS(gr_chan_close(NULL), -EINVAL);
	IS(gr_chan_len(NULL), 0);
	IS(gr_chan_cap(NULL), 0);
	IS(gr_chan_retain(NULL) != NULL, 0);
	gr_chan_release(NULL);
	IS(gr_chan_new(&c, sizeof(v), 1), 0);
	IS(gr_chan_send(c, NULL, GR_FOREVER), -EINVAL);
	IS(gr_chan_recv(c, &v, PAST), -ETIMEDOUT);
	IS(gr_chan_recv(c, &v, -1), -ETIMEDOUT);
	IS(gr_chan_recv(c, &v, GR_NOW), -EAGAIN);
	IS(gr_chan_send(c, &v, PAST), 0); /* did not have to wait */
	IS(gr_chan_send(c, &v, PAST), -ETIMEDOUT);
	IS(gr_chan_close(c), 0);
	IS(gr_chan_close(c), -EPIPE);
	IS(gr_chan_send(c, &v, GR_FOREVER), -EPIPE);
	IS(gr_chan_send(c, &v, GR_NOW), -EPIPE);
	IS(gr_chan_recv(c, NULL, GR_FOREVER), 0);
	IS(gr_chan_recv(c, &v, GR_FOREVER), -ENODATA);
	IS(gr_chan_recv(c, &v, GR_NOW), -ENODATA);
	gr_chan_release(c);
	IS(gr_chan_new(&c, 0, 0), 0);
	IS(gr_chan_send(c, NULL, GR_NOW), -EAGAIN);
	gr_chan_release(c);
}

static void selects(void)
{
	struct gr_case many[GR_SELECT_MAX + 1] = { GR_NEVER };
	struct gr_case none = GR_NEVER, odd = { .op = (enum gr_case_op)77 };
	struct gr_case null_send = GR_SEND(NULL, NULL), null_timer = GR_TIMER(NULL);
	struct gr_case null_task = GR_JOIN(NULL), fd = GR_FD(-1, POLLIN);
	struct gr_case past = GR_AT(PAST), now = GR_AT(GR_NOW);
	struct gr_chan *c;
	int v;

	gr_chan_new(&c, sizeof(int), 0);
	IS(gr_select(NULL, 1, GR_FOREVER), -EINVAL);
	IS(gr_select(many, -1, GR_FOREVER), -EINVAL);
	IS(gr_select(many, GR_SELECT_MAX + 1, GR_NOW), -EINVAL);
	IS(gr_select(many, GR_SELECT_MAX, GR_NOW), -EAGAIN);
	IS(gr_select(NULL, 0, GR_NOW), -EAGAIN);
	IS(gr_select(NULL, 0, PAST), -ETIMEDOUT);
	IS(gr_select(&none, 1, PAST), -ETIMEDOUT);
	IS(gr_select(&odd, 1, GR_NOW), -EINVAL);
	IS(gr_select_ordered(&odd, 1, GR_FOREVER), -EINVAL);
	IS(gr_select(&null_send, 1, PAST), -ETIMEDOUT); /* no channel: never ready */
	IS(gr_select(&null_timer, 1, GR_FOREVER), -EINVAL);
	IS(gr_select(&null_task, 1, GR_FOREVER), -EINVAL);
	null_send = (struct gr_case)GR_SEND(c, NULL);
	IS(gr_select(&null_send, 1, GR_FOREVER), -EINVAL);
	IS(gr_select(&past, 1, GR_FOREVER), 0);
	IS(gr_select(&now, 1, GR_FOREVER), 0);
	if (place == OUTSIDE)
		IS(gr_select(&fd, 1, GR_FOREVER), -ENXIO);
	else
		IS(gr_select(&fd, 1, GR_FOREVER) || fd.result != -EBADF, 0);
	gr_chan_close(c);
	null_send = (struct gr_case)GR_SEND(c, &v);
	IS(gr_select(&null_send, 1, GR_FOREVER) || null_send.result != -EPIPE, 0);
	gr_chan_release(c);
}

static void timers(void)
{
	struct gr_timer *t = NULL, *f = NULL;

	IS(gr_timer_new(NULL), -EINVAL);
	IS(gr_timer_func(NULL, nothing, NULL), -EINVAL);
	IS(gr_timer_func(&t, NULL, NULL), -EINVAL);
	IS(gr_timer_set(NULL, 1, 0), -EINVAL);
	IS(gr_timer_stop(NULL), -EINVAL);
	IS(gr_timer_wait(NULL, GR_FOREVER), -EINVAL);
	gr_timer_release(NULL);
	IS(gr_timer_new(&t), 0);
	IS(gr_timer_func(&f, nothing, NULL), 0);
	IS(gr_timer_wait(f, GR_FOREVER), -EINVAL);
	IS(gr_timer_wait(t, GR_NOW), -EAGAIN);
	IS(gr_timer_wait(t, PAST), -ETIMEDOUT);
	IS(gr_timer_stop(t), 0);
	IS(gr_timer_set(t, PAST, -1), -EINVAL);
	IS(gr_timer_set(t, GR_FOREVER, INT64_MIN), -EINVAL);
	IS(gr_timer_set(t, GR_FOREVER, INT64_MAX), by_place(-ENXIO, 0, 0));
	if (place != OUTSIDE) {
		IS(gr_timer_stop(t), 1);
		IS(gr_timer_set(t, INT64_MIN, 0), 0);
		IS(gr_timer_wait(t, GR_FOREVER), 1);
		IS(gr_timer_wait(t, GR_NOW), -EAGAIN);
	}
	gr_timer_release(t);
	gr_timer_release(f);
}

static void network(void)
{
	int file = open("/dev/null", O_RDWR), sp[2], fd = -1;
	long g = by_place(-EPERM, -EPERM, 0); /* 0: by what follows */
	char b[4];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sp))
		mix_fatal("socketpair", ENFILE);
	IS(gr_tcp_listen("127.0.0.1", NULL, 5), -EINVAL);
	IS(gr_tcp_listen("127.0.0.1", "no such service", 5), -ENOENT);
	IS(gr_tcp_port(-1), -EBADF);
	IS(gr_tcp_port(file), -ENOTSOCK);
	IS(gr_tcp_port(sp[0]), -EINVAL);
	IS(gr_accept(-1, GR_FOREVER), g ? g : -EBADF);
	IS(gr_accept(file, GR_FOREVER), g ? g : -ENOTSOCK);
	IS(gr_tcp_dial("127.0.0.1", NULL, GR_FOREVER), g ? g : -EINVAL);
	IS(gr_tcp_dial("127.0.0.1", "no such service", GR_FOREVER), g ? g : -ENOENT);
	IS(gr_read(-1, b, 1, GR_FOREVER), g ? g : -EBADF);
	IS(gr_write(-1, b, 1, GR_FOREVER), g ? g : -EBADF);
	IS(gr_write_all(-1, b, 1, GR_FOREVER), g ? g : -EBADF);
	IS(gr_write_all(sp[0], b, 0, GR_FOREVER), g);
	IS(gr_read(sp[0], b, 1, GR_NOW), g ? g : -EAGAIN);
	IS(gr_read(sp[0], b, 1, PAST), g ? g : -ETIMEDOUT);
	IS(gr_read(sp[0], NULL, 1, PAST), g ? g : -ETIMEDOUT);
	IS(gr_write(sp[0], NULL, 1, PAST), g ? g : -EFAULT);
	IS(gr_read(file, b, 1, GR_FOREVER), g);
	IS(gr_pread(file, b, 1, -1, GR_FOREVER), -EINVAL);
	IS(gr_pwrite(file, b, 1, -1, GR_FOREVER), -EINVAL);
	IS(gr_pread(-1, b, 1, 0, GR_FOREVER), g ? g : -EBADF);
	IS(gr_pread(sp[0], b, 1, 1, GR_FOREVER), g ? g : -ESPIPE);
	IS(gr_open(NULL, O_RDONLY, 0), -EINVAL);
	IS(gr_open("/no/such/file", O_RDONLY, 0), g ? g : -ENOENT);
	IS(gr_open("", O_RDONLY, 0), g ? g : -ENOENT);
	IS(gr_fsync(-1), g ? g : -EBADF);
	IS(gr_fsync(sp[0]), g ? g : -EINVAL);
	IS(gr_fd_wait(-1, POLLIN, GR_FOREVER), g ? g : -EBADF);
	IS(gr_fd_wait(file, 0x10000, GR_FOREVER), g ? g : -EINVAL);
	IS(gr_fd_wait(sp[0], POLLIN, PAST), g ? g : -ETIMEDOUT);
	IS(gr_close(-1), -EBADF);
	fd = dup(file);
	IS(gr_close(fd), 0);
	IS(gr_close(fd), -EBADF);
	close(sp[1]);
	IS(gr_write_all(sp[0], b, 4, GR_FOREVER), g ? g : -EPIPE);
	IS(gr_read(sp[0], b, 1, GR_FOREVER), g);
	close(sp[0]);
	close(file);
}

static void all(void)
{
	runtime();
	goroutines();
	tasks();
	scopes();
	locals();
	channels();
	selects();
	timers();
	network();
}

int main(void)
{
	return bad_run(all);
}
