// SPDX-License-Identifier: MIT
/*
 * go_powser_test.c - power series as streams of goroutines, after M. D. McIlroy's "Squinting at
 * power series", which Go's test/chan/powser1.go also is after. Own code.
 *
 * A series is a pair of channels: ask on one, get the next coefficient, a fraction, on the other.
 * Sums, products, quotients and compositions are goroutines that ask other series only when they
 * are asked. Feedback (a series defined by itself) goes through split(), which serves two readers
 * at different speeds by gr_select(). The results are known from any textbook; in the end the
 * scope that holds all the goroutines is cancelled, and every one of them has to go.
 */
#include "mix.h"

#define TERMS 10
#define AT_ONCE 4
#define MAX_SERIES 60000

struct rat {
	int64_t num, den;
};

struct series {
	struct gr_chan *req; /* of 0 bytes */
	struct gr_chan *dat;
};

static struct gr_scope all;
static struct series pool[MAX_SERIES];
static atomic_int nr_series, nr_goroutines, overflows;

/* ---- fractions ---- */

static struct rat rat(__int128 n, __int128 d)
{
	__int128 a = n < 0 ? -n : n, b = d < 0 ? -d : d, t;

	while (b) {
		t = a % b;
		a = b;
		b = t;
	}
	if (!a)
		a = 1;
	if (d < 0)
		a = -a;
	n /= a;
	d /= a;
	if (n > INT64_MAX || n < -INT64_MAX || d > INT64_MAX)
		overflows++;
	return (struct rat){ (int64_t)n, (int64_t)d };
}

static struct rat add(struct rat a, struct rat b)
{
	return rat((__int128)a.num * b.den + (__int128)b.num * a.den, (__int128)a.den * b.den);
}

static struct rat mul(struct rat a, struct rat b)
{
	return rat((__int128)a.num * b.num, (__int128)a.den * b.den);
}

static struct rat neg(struct rat a)
{
	return (struct rat){ -a.num, a.den };
}

/* ---- series: how they are asked and answer; not 0: the end has come ---- */

static struct series *new_series(void)
{
	int i = nr_series++;
	struct series *s = &pool[i];

	if (i >= MAX_SERIES || gr_chan_new(&s->req, 0, 0) || gr_chan_new(&s->dat, sizeof(struct rat), 0))
		mix_fatal("new_series", -ENOMEM);
	return s;
}

static int get(struct series *s, struct rat *r)
{
	int ret = gr_chan_send(s->req, NULL, GR_FOREVER);

	return ret ? ret : gr_chan_recv(s->dat, r, GR_FOREVER);
}

static int asked(struct series *s)
{
	return gr_chan_recv(s->req, NULL, GR_FOREVER);
}

static int reply(struct series *s, struct rat r)
{
	return gr_chan_send(s->dat, &r, GR_FOREVER);
}

/* ---- the goroutines ---- */

struct job {
	int (*fn)(struct job *);
	struct series *u, *v, *out, *out2;
	struct rat c;
};

static int job_main(void *arg)
{
	struct job j = *(struct job *)arg;

	free(arg);
	return j.fn(&j);
}

static struct series *start(struct job j)
{
	static const struct gr_attr attr = { .size = sizeof(attr), .stack_size = 65536 };
	struct job *copy = malloc(sizeof(j));
	int ret;

	if (!copy)
		mix_fatal("malloc", ENOMEM);
	if (!j.out)
		j.out = new_series();
	*copy = j;
	nr_goroutines++;
	ret = gr_scope_go_with(&all, job_main, copy, &attr);
	if (ret)
		mix_fatal("gr_scope_go", ret);
	return j.out;
}

static int do_copy(struct series *from, struct series *to)
{
	struct rat r;

	while (!asked(to) && !get(from, &r) && !reply(to, r))
		;
	return -ECANCELED;
}

static int do_add(struct job *j)
{
	struct rat a, b;

	while (!asked(j->out) && !get(j->u, &a) && !get(j->v, &b) && !reply(j->out, add(a, b)))
		;
	return -ECANCELED;
}

/* c times u */
static int do_scale(struct job *j)
{
	struct rat a;

	while (!asked(j->out) && !get(j->u, &a) && !reply(j->out, mul(j->c, a)))
		;
	return -ECANCELED;
}

/* c, 0, 0, 0, ... */
static int do_constant(struct job *j)
{
	while (!asked(j->out) && !reply(j->out, j->c))
		j->c = rat(0, 1);
	return -ECANCELED;
}

/* c + x u */
static int do_shift(struct job *j)
{
	if (asked(j->out) || reply(j->out, j->c))
		return -ECANCELED;
	return do_copy(j->u, j->out);
}

static int do_derive(struct job *j)
{
	struct rat a;

	if (asked(j->out) || get(j->u, &a))
		return -ECANCELED;
	for (int i = 1; !get(j->u, &a); i++)
		if (reply(j->out, mul(a, rat(i, 1))) || asked(j->out))
			break;
	return -ECANCELED;
}

/* c + the integral of u */
static int do_integrate(struct job *j)
{
	struct rat a = j->c;
	int i = 1;

	if (asked(j->out) || reply(j->out, a))
		return -ECANCELED;
	while (!asked(j->out) && !get(j->u, &a) && !reply(j->out, mul(a, rat(1, i))))
		i++;
	return -ECANCELED;
}

/* one source, two readers at their own speed: what one has not read yet waits in a queue */
static int do_split(struct job *j)
{
	struct series *outs[2] = { j->out, j->out2 };
	struct rat *got = NULL, in;
	int n = 0, cap = 0, at[2] = { 0, 0 }, i, ret = 0;
	bool waits[2] = { false, false }, wanted, under_way = false;

	while (!ret) {
		wanted = (waits[0] || waits[1]) && !under_way;
		struct gr_case cases[] = {
			GR_RECV(waits[0] ? NULL : outs[0]->req, NULL),
			GR_RECV(waits[1] ? NULL : outs[1]->req, NULL),
			GR_SEND(wanted ? j->u->req : NULL, NULL),
			GR_RECV(under_way ? j->u->dat : NULL, &in),
		};

		i = gr_select(cases, 4, GR_FOREVER);
		if (i < 0 || cases[i].result) {
			break;
		} else if (i < 2) {
			waits[i] = true;
		} else if (i == 2) {
			under_way = true;
		} else {
			under_way = false;
			if (n == cap) {
				cap = cap ? 2 * cap : 16;
				got = realloc(got, cap * sizeof(*got));
				if (!got)
					mix_fatal("realloc", ENOMEM);
			}
			got[n++] = in;
		}
		for (i = 0; i < 2 && !ret; i++) {
			if (waits[i] && at[i] < n) {
				waits[i] = false;
				ret = reply(outs[i], got[at[i]++]);
			}
		}
	}
	free(got);
	return -ECANCELED;
}

#define S(...) start((struct job){ __VA_ARGS__ })

static struct series *split(struct series *u, struct series **second)
{
	*second = new_series();
	return S(do_split, .u = u, .out2 = *second);
}

static struct series *series_mul(struct series *u, struct series *v);

/* (a + x U)(b + x V) = a b + x (a V + b U) + x x U V */
static int do_mul(struct job *j)
{
	struct series *u2, *v2, *sum;
	struct rat a, b;

	if (asked(j->out) || get(j->u, &a) || get(j->v, &b) || reply(j->out, mul(a, b)))
		return -ECANCELED;
	if (asked(j->out))
		return -ECANCELED;
	j->u = split(j->u, &u2);
	j->v = split(j->v, &v2);
	sum = S(do_add, .u = S(do_scale, .u = j->v, .c = a), .v = S(do_scale, .u = j->u, .c = b));
	if (get(sum, &a) || reply(j->out, a))
		return -ECANCELED;
	return do_copy(S(do_add, .u = sum, .v = series_mul(u2, v2)), j->out);
}

static struct series *series_mul(struct series *u, struct series *v)
{
	return S(do_mul, .u = u, .v = v);
}

/* Z = 1/(a + x U) = 1/a - x/a U Z; v is Z itself, fed back */
static int do_recip(struct job *j)
{
	struct series *uz;
	struct rat a;

	if (asked(j->out) || get(j->u, &a))
		return -ECANCELED;
	a = rat(a.den, a.num);
	if (reply(j->out, a))
		return -ECANCELED;
	uz = series_mul(j->u, j->v);
	return do_copy(S(do_scale, .u = uz, .c = neg(a)), j->out);
}

static struct series *recip(struct series *u)
{
	struct series *z = new_series(), *back, *out = split(z, &back);

	S(do_recip, .u = u, .v = back, .out = z);
	return out;
}

/* u(v), where v has no constant: a + x V U(v) */
static int do_subst(struct job *j)
{
	struct series *v, *v2;
	struct rat a, zero;

	if (asked(j->out) || get(j->u, &a) || reply(j->out, a))
		return -ECANCELED;
	v = split(j->v, &v2);
	if (asked(j->out) || get(v, &zero))
		return -ECANCELED;
	v = series_mul(v, S(do_subst, .u = j->u, .v = v2));
	if (get(v, &a) || reply(j->out, a))
		return -ECANCELED;
	return do_copy(v, j->out);
}

static struct series *constant(int64_t n)
{
	return S(do_constant, .c = rat(n, 1));
}

/* c + d x */
static struct series *line(int64_t c, int64_t d)
{
	return S(do_shift, .u = constant(d), .c = rat(c, 1));
}

/* e to the u: Z = 1 + the integral of Z u' */
static struct series *exp_of(struct series *u)
{
	struct series *z = new_series(), *back, *out = split(z, &back);

	S(do_integrate, .c = rat(1, 1), .out = z,
	  .u = series_mul(back, S(do_derive, .u = u)));
	return out;
}

/* sine, and its cosine: each the other's integral */
static struct series *sine(struct series **cosine)
{
	struct series *s = new_series(), *c = new_series(), *s2, *c2, *out;

	out = split(s, &s2);
	*cosine = split(c, &c2);
	S(do_integrate, .c = rat(0, 1), .u = c2, .out = s);
	S(do_integrate, .c = rat(1, 1), .u = S(do_scale, .u = s2, .c = rat(-1, 1)), .out = c);
	return out;
}

static struct series *tangent(void)
{
	struct series *cosine, *s = sine(&cosine);

	return series_mul(s, recip(cosine));
}

/* 1 + x x, integrated upside down */
static struct series *arc_tangent(void)
{
	return S(do_integrate, .c = rat(0, 1),
		 .u = recip(S(do_shift, .u = line(0, 1), .c = rat(1, 1))));
}

/* ---- checks ---- */

static void check(const char *name, struct series *s, const struct rat *want)
{
	int bad = 0;

	for (int i = 0; i < TERMS; i++) {
		struct rat r = { 0, 1 };

		if (get(s, &r) || r.num != want[i].num || r.den != want[i].den) {
			printf("# %s: term %d is %ld/%ld\n", name, i, (long)r.num, (long)r.den);
			bad++;
		}
	}
	tap_ok(!bad, "%s: %s", mix.name, name);
}

static const struct rat ones[] = { { 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 },
				   { 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 1 } };
static const struct rat one[] = { { 1, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 },
				  { 0, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 } };
static const struct rat x[] = { { 0, 1 }, { 1, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 },
				{ 0, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 } };
static const struct rat one_x[] = { { 1, 1 }, { 1, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 },
				    { 0, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 }, { 0, 1 } };
static const struct rat naturals[] = { { 1, 1 }, { 2, 1 }, { 3, 1 }, { 4, 1 }, { 5, 1 },
				       { 6, 1 }, { 7, 1 }, { 8, 1 }, { 9, 1 }, { 10, 1 } };
static const struct rat tan_x[] = { { 0, 1 }, { 1, 1 }, { 0, 1 }, { 1, 3 }, { 0, 1 },
				    { 2, 15 }, { 0, 1 }, { 17, 315 }, { 0, 1 }, { 62, 2835 } };

static void checks(void *arg)
{
	struct rat factorials[TERMS] = { { 1, 1 } };
	struct series *log;

	(void)arg;
	for (int i = 1; i < TERMS; i++)
		factorials[i] = rat(1, factorials[i - 1].den * i);
	check("1/(1 - x)", recip(line(1, -1)), ones);
	check("1/(1 - x) squared", series_mul(recip(line(1, -1)), recip(line(1, -1))), naturals);
	check("e^x", exp_of(line(0, 1)), factorials);
	check("e^x e^-x", series_mul(exp_of(line(0, 1)), exp_of(line(0, -1))), one);
	check("tan x", tangent(), tan_x);
	check("atan(tan x)", S(do_subst, .u = arc_tangent(), .v = tangent()), x);
	log = S(do_integrate, .c = rat(0, 1), .u = recip(line(1, 1)));
	check("e^log(1 + x)", S(do_subst, .u = exp_of(line(0, 1)), .v = log), one_x);
}

static void body(void)
{
	int alone;

	nr_series = nr_goroutines = overflows = 0;
	gr_scope_init(&all, 0);
	checks(NULL);
	alone = nr_goroutines;
	for (int i = 0; i < AT_ONCE; i++)
		mix_go(checks, NULL);
	mix_join();
	tap_ok(!overflows && nr_goroutines > AT_ONCE * alone / 2,
	       "%s: %d goroutines", mix.name, nr_goroutines);
	gr_scope_cancel(&all);
	tap_ok(gr_scope_wait(&all, GR_FOREVER) == 0, "%s: all of them are gone", mix.name);
	for (int i = 0; i < nr_series; i++) {
		gr_chan_release(pool[i].req);
		gr_chan_release(pool[i].dat);
	}
}

int main(void)
{
	tap_limit(LIMIT_S);
	mix.body = body;
	mix_run_in("go1", 1, false);
	mix_run_in("go2", 2, false);
	mix_run_in("go4", 4, false);
	return tap_done();
}
