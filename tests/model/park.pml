/* SPDX-License-Identifier: MIT */
/*
 * park.pml - kmod/park.c and unpark.c: PARK, SWITCH, UNPARK and the fence pair G1.
 *
 * Two processors (-DNP=1: one), three threads that run goroutines from the global queue, one
 * publisher that is not attached. Hint stores are plain: they wait in a store buffer per CPU
 * (TSO) until its owner executes a fence or a locked instruction, or until they drain by
 * themselves.
 *
 * -DNOWORK: PARK with GR_PARK_NOWORK and publishers that always call UNPARK: only permits keep
 * a wake-up then. -DDIRECTED=n: the publisher calls UNPARK n times for a named thread; goroutines
 * call SWITCH (-DSWITCHES), or sleep, lose the P and come back (-DBLOCKS); threads call YIELD.
 *
 * I-1 in token.pml and at `sched'; I-3 and I-4 in init, when everybody sleeps.
 */
#ifndef NP
#define NP 2
#endif
#define NT 3
#ifndef NG
#define NG 2		/* goroutines published in all */
#endif
#ifndef NSIG
#define NSIG 1		/* times that a signal or a deadline ends a PARK */
#endif
#define EXT NT		/* the publisher's CPU */
#ifndef SWITCHES
#define SWITCHES 1
#endif
#ifndef BLOCKS
#define BLOCKS 1
#endif

#define HAS_WORK(p) (0)
#define WORK_SHARED (globq > 0)
#define IN_USER(t) (0)

byte globq, buf[NT + 1];	/* hint.globq_len in memory, and what each store buffer adds */
byte published, ran;
byte sigs = NSIG;
bit spun;			/* the one goroutine that computes for long was there */
#ifdef DIRECTED
byte switches = SWITCHES, directs = DIRECTED, blocks = BLOCKS;
bit owed[NT];			/* told to run, and no PARK or SWITCH of it has ended well since */
bit in_park[NT];		/* RETURNING, by a directed UNPARK and not after a sleep */
#define CALL_PARK 0
#define CALL_YIELD 1
#define CALL_SWITCH 2
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
#ifdef MUT_7			/* a directed UNPARK that comes first is not remembered */
			skip
#else
#ifdef MUT_9			/* a returner from a sleep counts as told already */
			permit[to] = (state[to] != T_RETURNING)
#else
			permit[to] = (permit[to] || state[to] != T_RETURNING || !in_park[to])
#endif
#endif
		:: else ->
			gr_proc_free_for(to);
			if
			:: r_p != NONE -> gr_hand_over(r_p, to); wk = to
			:: else -> in_park[to] = 1; gr_returner_push(to, 0)
			fi
		fi;
		MIRROR
	};
	wake(wk)
}
#endif

active proctype publisher()
{
	byte wk = NONE, to;

end:	do
	:: publish(EXT, wk)
#ifdef DIRECTED
	:: atomic {
		directs > 0 -> directs--;
		if
		:: to = 0
		:: to = 1
		:: to = 2
		fi
	   };
	   unpark_thread(EXT, to, wk)
#endif
	od
}

proctype M(byte t)
{
	byte p = NONE, wk = NONE, to;
	bit late, nowork, work;
#ifdef DIRECTED
	byte call = CALL_PARK;
#endif

	goto park;
sched:
#ifdef DIRECTED
	if
	:: NR_RETURNERS > 0 -> goto yield	/* it reads the mirror */
	:: else
	fi;
#endif
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
#ifndef DIRECTED
	:: atomic { !spun -> spun = 1 }; ran == NG	/* ends when all the others have run */
#else
	:: atomic { switches > 0 -> switches--; to = (t + 1) % NT }; goto switch_to
	:: atomic { switches > 0 -> switches--; to = (t + 2) % NT }; goto switch_to
	:: atomic { blocks > 0 -> blocks--; to = NONE }; goto block
#endif
	fi;
	goto sched;

#ifdef DIRECTED
block:
	/* block.pml has the details; here the thread loses its P at once, if anybody wants it */
	atomic {
		!lock -> DRAIN(t);
		gr_next_for(proc[t], 0);
		if
		:: r_t == NONE -> goto sched
		:: else -> p = NONE; wk = r_t; r_p = proc[t]; gr_hand_over(r_p, r_t); MIRROR
		fi
	};
	wake(wk);
	/* gr_return_wait(), gr_return_sleep() */
	atomic {
		!lock -> DRAIN(t);
		gr_proc_free_for(t);
		if
		:: r_p != NONE -> gr_proc_give(r_p, t); MIRROR; goto returned
		:: else -> gr_returner_push(t, 0); asleep[t] = 1; MIRROR
		fi
	};
end2:	atomic { state[t] == T_RUNNING && !asleep[t] };
returned:
	atomic { p = proc[t]; goto sched };

yield:
	/* gr_park(yield) */
	atomic {
		!lock -> DRAIN(t);
		if
		:: proc[t] == NONE || NR_RETURNERS == 0 -> goto sched	/* EAGAIN: the P is kept */
		:: else -> call = CALL_YIELD
		fi;
		if
		:: permit[t] && proc[t] != NONE ->
			permit[t] = 0; owed[t] = 0; call = CALL_PARK; goto sched
		:: else -> goto park_locked
		fi
	};

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
		:: proc[t] == NONE || (state[to] != T_PARKED && state[to] != T_RETURNING) ->
			goto sched		/* EAGAIN: the P is kept */
		:: else
		fi;
#endif
		call = CALL_SWITCH;
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
#ifdef DIRECTED
park_locked:
#endif
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
#ifdef DIRECTED
		:: r_p == NONE && permit[t] ->
			permit[t] = 0;
			in_park[t] = 1;
			gr_returner_push(t, 0)
#endif
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
#ifdef DIRECTED
#ifndef MUT_6			/* told to run, and forgotten with the PARK */
			permit[t] = (permit[t] || state[t] == T_RETURNING);
#endif
			in_park[t] = 0;
#endif
			gr_unqueue(t);
			state[t] = T_BLOCKED;
			MIRROR;
#ifdef MUT_10			/* a signal restarts YIELD and SWITCH: the P is gone by then */
			if
			:: call == CALL_YIELD -> goto yield
			:: call == CALL_SWITCH -> goto switch_to
			:: else
			fi;
#endif
#ifdef DIRECTED
			call = CALL_PARK;
#endif
			goto park	/* EINTR, ETIMEDOUT: the caller has no P and comes again */
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
		in_park[t] = 0;
		call = CALL_PARK;
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
