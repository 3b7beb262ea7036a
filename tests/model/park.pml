/* SPDX-License-Identifier: MIT */
/*
 * park.pml - kmod/park.c and unpark.c: PARK, SWITCH, UNPARK and the fence pair G1.
 *
 * Two processors, three threads that run goroutines from the global queue, one publisher that
 * is not attached. Hint stores are plain: they wait in a store buffer per CPU (TSO) until its
 * owner executes a fence or a locked instruction, or until they drain by themselves.
 *
 * -DNOWORK: PARK with GR_PARK_NOWORK and publishers that always call UNPARK: only permits keep
 * a wake-up then. -DDIRECTED: SWITCH, and UNPARK of a named thread.
 *
 * I-1 in token.pml and in run_g; I-3, I-4 in rest; progress: rest, and that no run is endless.
 */
#define NP 2
#define NT 3
#ifndef NG
#define NG 2		/* goroutines published in all */
#endif
#ifndef NSIG
#define NSIG 1		/* times that a signal or a deadline ends a PARK */
#endif
#define EXT NT		/* the publisher's CPU */

#define HAS_WORK(p) (0)
#define WORK_SHARED (globq > 0)
#define IN_USER(t) (0)

byte globq, buf[NT + 1];	/* hint.globq_len in memory, and what each store buffer adds */
byte published, ran;
byte sigs = NSIG;
bit spun;			/* the one goroutine that computes for long was there */
#ifdef DIRECTED
byte switches = 1, directs = 1;
bit owed[NT];			/* told to run, has not run since */
#endif

#include "token.pml"

/* a locked instruction, or a full fence, of CPU @c */
#define DRAIN(c) globq = globq + buf[c]; buf[c] = 0

active proctype memory()
{
	byte c;

end:	do
	:: atomic { buf[0] > 0 -> DRAIN(0) }
	:: atomic { buf[1] > 0 -> DRAIN(1) }
	:: atomic { buf[2] > 0 -> DRAIN(2) }
	:: atomic { buf[3] > 0 -> DRAIN(3) }
	od
}

/* include/uapi/gr.h, ORDER: store the work, full fence, read the mirror */
inline publish(c, wk)
{
#ifdef DIRECTED			/* the fences are not this run's subject */
	atomic { published < NG -> published++; globq++ };
#else
	atomic { published < NG -> published++; buf[c]++ };
#ifndef MUT_2			/* no fence in the publisher */
	atomic { DRAIN(c) };
#endif
#endif
#ifdef NOWORK
	unpark(c, wk)
#else
	if
	:: m_idle > 0 -> unpark(c, wk)
	:: else
	fi
#endif
}

inline unpark(c, wk)
{
	atomic { !lock -> DRAIN(c); gr_unpark_one(wk); MIRROR };
	wake(wk)
}

#ifdef DIRECTED
/* unpark.c: gr_unpark_thread() */
inline unpark_thread(c, to, wk)
{
	atomic {
		!lock -> DRAIN(c);
		owed[to] = 1;
		if
		:: state[to] != T_PARKED ->
#ifndef MUT_7			/* a directed UNPARK that comes first is not remembered */
			permit[to] = (state[to] != T_RETURNING)
#endif
		:: else ->
			gr_proc_free_for(to);
			if
			:: r_p != NONE -> gr_hand_over(r_p, to); wk = to
			:: else -> gr_returner_push(to, 0)
			fi
		fi;
		MIRROR
	};
	wake(wk)
}
#endif

active proctype publisher()
{
	byte wk = NONE;

end:	do
	:: publish(EXT, wk)
	od
}

proctype M(byte t)
{
	byte p = NONE, wk = NONE, to;
	bit late, nowork, work;

	goto park;
sched:
	/* user space: the queue, by compare-and-swap; empty: PARK */
	atomic {
		assert(p != NONE && holder[p] == t && state[t] == T_RUNNING); /* I-1 */
		DRAIN(t);
		if
		:: globq > 0 -> globq--; ran++
		:: else -> goto park
		fi
	};
	/* the goroutine: computes, publishes another, or hands over */
	if
	:: skip
	:: publish(t, wk)
	:: atomic { !spun -> spun = 1 }; ran == NG	/* ends when all the others have run */
#ifdef DIRECTED
	:: atomic { directs > 0 -> directs--; to = (t + 1) % NT }; unpark_thread(t, to, wk)
	:: atomic { directs > 0 -> directs--; to = (t + 2) % NT }; unpark_thread(t, to, wk)
	:: atomic { switches > 0 -> switches--; to = (t + 1) % NT }; goto switch_to
	:: atomic { switches > 0 -> switches--; to = (t + 2) % NT }; goto switch_to
#endif
	fi;
	goto sched;

#ifdef DIRECTED
switch_to:
	/* gr_switch(): one section, no hints */
#ifdef MUT_8			/* the target is looked at before the lock is taken */
	if
	:: state[to] == T_PARKED || state[to] == T_RETURNING
	:: else -> goto sched
	fi;
#endif
	atomic {
		!lock -> DRAIN(t);
#ifndef MUT_8
		if
		:: state[to] != T_PARKED && state[to] != T_RETURNING -> goto sched	/* EAGAIN */
		:: else
		fi;
#endif
		p = NONE;
		r_p = proc[t];
		gr_hand_over(r_p, to);
		wk = to;
		nowork = 1;
		lock = 1
	};
	goto park_wait;
#endif

park:
	/* gr_park(): the first half of the section */
	atomic {
		!lock -> DRAIN(t);
#ifdef DIRECTED
		if
		:: permit[t] && proc[t] != NONE -> permit[t] = 0; owed[t] = 0; goto sched
		:: else
		fi;
#endif
		p = NONE;
#ifdef NOWORK
		nowork = 1;
#else
		nowork = 0;
#endif
		lock = 1;
		gr_proc_release(t, wk)	/* nr_idle is raised in this CPU's store buffer */
	};
#ifndef MUT_1			/* no fence between nr_idle and the hints */
	/* G1: smp_mb() in gr_proc_set() */
	atomic { MIRROR };
#endif

park_wait:
	/* gr_park_skip(): the hints, read once */
	work = (!nowork && gr_work_any);
	/* gr_park_wait(): the decision */
	atomic {
		if
		:: permit[t] -> gr_proc_free_for(t)
		:: else ->
			r_p = ((permits || work) ->
			       gr_proc_idle(last_proc[t]) : NONE);
			if
			:: r_p != NONE -> PERMIT_USE
			:: else
			fi
		fi;
		if
		:: r_p != NONE ->
			permit[t] = 0;
			work = 0;
			gr_proc_give(r_p, t);
			UNLOCK;
			goto got
		:: r_p == NONE && permit[t] -> permit[t] = 0; gr_returner_push(t, 0)
		:: else -> state[t] = T_PARKED
		fi;
#ifndef MUT_4			/* TASK_INTERRUPTIBLE is set when the lock is free again */
		asleep[t] = 1;
#endif
		work = 0;
		UNLOCK
	};
#ifdef MUT_4
	asleep[t] = 1;
#endif
	wake(wk);

	/* gr_park_sleep() */
sleep:
	late = 0;
end:	if
	:: !asleep[t]
	:: atomic { asleep[t] && sigs > 0 -> sigs--; asleep[t] = 0; late = 1 }
	fi;
	atomic {
		!lock ->
		if
#ifdef MUT_5			/* a deadline ends a PARK although a P was given */
		:: late ->
#else
		:: state[t] == T_RUNNING -> goto got
		:: state[t] != T_RUNNING && late ->
#endif
#ifndef MUT_6			/* told to run, and forgotten with the PARK */
			permit[t] = (state[t] == T_RETURNING);
#endif
			gr_unqueue(t);
			state[t] = T_BLOCKED;
			goto park	/* EINTR, ETIMEDOUT: the caller comes again */
#ifdef MUT_5
		:: state[t] == T_RUNNING && !late -> goto got
#endif
		:: else -> asleep[t] = 1
		fi
	};
	goto sleep;

got:	/* PARK returns 0: mirror.threads[t].proc */
	wake(wk);
	atomic {
#ifdef DIRECTED
		owed[t] = 0;
#endif
		p = proc[t];
		goto sched
	}
}

init {
	atomic {
		state[0] = T_BLOCKED;
		state[1] = T_BLOCKED;
		state[2] = T_BLOCKED;
		run M(0);
		run M(1);
		run M(2)
	};
	/* everybody sleeps */
	timeout ->
	assert(globq == 0 && ran == published);			/* I-3, and all of them ran */
	assert((NR_RETURNERS == 0 && NR_PREEMPTED == 0) || NR_IDLE == 0);		/* I-4 */
	assert(state[0] == T_PARKED && state[1] == T_PARKED && state[2] == T_PARKED);
#ifdef DIRECTED
	assert(!owed[0] && !owed[1] && !owed[2])		/* I-3 for a named thread */
#endif
}
