/* SPDX-License-Identifier: MIT */
/*
 * lazy.pml - kmod/notify.c and unpark.c: the P of a sleeper is claimed while the sleeper returns.
 *
 * One processor. A sleeps in goroutine code, S is parked, a publisher that is not attached adds
 * goroutines and calls UNPARK only if it reads an idle or lazy P in the mirror. What it and the kernel
 * store waits in a store buffer (TSO) until a fence. Four may take the P: the hand-off interrupt,
 * UNPARK, A that wakes, S that comes to park.
 *
 * I-1, I-2 in token.pml; I-3, I-4 in init: a sleep of A lasts until everything has run, so a
 * goroutine that nobody sees is a deadlock that timeout finds.
 */
#define NP 1
#define NT 2
#ifndef NG
#define NG 2			/* goroutines published */
#endif
#ifndef BLOCKS
#define BLOCKS 2
#endif
#define A 0
#define S 1

#define HAS_WORK(p) (0)
#define WORK_SHARED (globq > 0)
#define IN_USER(t) (in_user[t])

byte globq, buf;		/* in memory; in the publisher's store buffer */
byte published, ran;
bit in_user[NT];		/* in goroutine code */
bit irq;			/* A is on its CPU's hand-off list */
bit slept;

#include "token.pml"

#define DRAIN globq = globq + buf; buf = 0

active proctype memory()
{
end:	do
	:: atomic { buf > 0 -> DRAIN }
	od
}

active proctype publisher()
{
	byte wk = NONE;

end:	do
	:: atomic { published < NG -> published++; buf++ };
#ifndef MUT_2			/* no fence between the work and the mirror */
	   atomic { DRAIN };
#endif
	   if
	   :: m_idle > 0 || m_lazy > 0 ->
		atomic { !lock -> DRAIN; gr_unpark_one(wk); MIRROR };
		wake(wk)
	   :: else
	   fi
	od
}

/* gr_handoff(): A's P goes on, if A still sleeps */
active proctype gr_handoff_irq()
{
	byte wk = NONE;

end:	do
	:: atomic { irq -> irq = 0 };
	   atomic {
		!lock ->
		if
#ifdef MUT_4			/* does not look again whether the thread still sleeps */
		:: proc[A] == NONE
		:: proc[A] != NONE ->
#else
		:: state[A] != T_LAZY
		:: state[A] == T_LAZY ->
#endif
			gr_next_for(proc[A], 0);
			if
			:: r_t != NONE -> wk = r_t; r_p = proc[A]; gr_hand_over(r_p, r_t)
			:: else
			fi
		fi;
		MIRROR
	   };
	   wake(wk)
	od
}

proctype owner()
{
	byte blocks = BLOCKS, wk = NONE;
	bit wanted;

user:	atomic {
		assert(state[A] == T_RUNNING && holder[proc[A]] == A);
		in_user[A] = 1
	};
	if
	:: blocks > 0
	:: blocks == 0 -> goto runtime
	fi;

	/* gr_sched_out() -> gr_block() */
	atomic { !lock -> in_user[A] = 0; blocks--; lock = 1; gr_proc_lazy_begin(A, 0) };
#ifndef MUT_1			/* no fence between LAZY and the hints */
	/* G1: smp_mb() in gr_proc_set() */
	atomic { MIRROR };
#endif
	wanted = gr_wanted(0, 0);
	atomic {
		if
		:: wanted -> irq = 1
		:: else
		fi;
		wanted = 0;
		UNLOCK
	};
	if
	:: skip
	:: atomic { !slept -> slept = 1 };
	   ran == NG	/* only the others can end it */
	fi;

	/* gr_sched_in() */
	if
	:: state[A] == T_LAZY ->
		atomic {
			!lock ->
#ifdef MUT_3			/* does not look again under the lock */
			gr_proc_lazy_end(A);
#else
			if
			:: state[A] == T_LAZY -> gr_proc_lazy_end(A)
			:: else
			fi;
#endif
			MIRROR
		}
	:: else
	fi;
	if
	:: state[A] == T_RUNNING -> goto user
	:: else
	fi;

	/* gr_return() */
	atomic {
		!lock ->
		gr_proc_free_for(A);
		if
		:: r_p != NONE -> gr_proc_give(r_p, A)
		:: else -> gr_returner_push(A, 0); asleep[A] = 1
		fi;
		MIRROR
	};
	!asleep[A];
	goto user;

runtime: /* the goroutine ends: DETACH */
	atomic {
		!lock ->
		in_user[A] = 0;
		gr_proc_release(A, wk);
		state[A] = T_NONE;
		gr_proc_cover(wk);
		MIRROR
	};
	wake(wk)
}

proctype spare()
{
	byte wk = NONE;

	goto park;
sched:
	atomic {
		assert(state[S] == T_RUNNING && holder[proc[S]] == S);
		if
		:: NR_RETURNERS || globq == 0 -> goto park
		:: else -> globq--; ran++; in_user[S] = 1
		fi
	};
	in_user[S] = 0;
	goto sched;

park:	/* gr_park() */
	atomic {
		!lock ->
		gr_proc_release(S, wk);
		r_p = ((permits || gr_work_any) -> gr_proc_idle(last_proc[S]) : NONE);
		if
		:: r_p == NONE && gr_proc_lazy != NONE && WORK_SHARED -> r_p = gr_proc_lazy
		:: else
		fi;
		if
		:: r_p != NONE -> PERMIT_USE; gr_proc_give(r_p, S)
		:: else -> state[S] = T_PARKED; asleep[S] = 1
		fi;
		MIRROR
	};
	wake(wk);
end:	!asleep[S];
	goto sched
}

init {
	atomic {
		r_p = 0;
		gr_proc_give(r_p, A);
		MIRROR;
		run owner();
		run spare()
	};
	timeout ->
	assert(ran == NG && globq == 0 && buf == 0);		/* I-3 */
	assert(NR_RETURNERS == 0 && NR_IDLE == NP)		/* I-4, and nothing is left behind */
}
