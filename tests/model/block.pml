/* SPDX-License-Identifier: MIT */
/*
 * block.pml - kmod/notify.c, slice.c and thread.c: a thread sleeps, loses its P, comes back,
 * waits for another one, is preempted, is killed.
 *
 * One processor (-DNP=2: two), two threads and a third that the monitor starts when a spare is
 * needed. A goroutine blocks, is requeued or ends; a publisher adds one and calls UNPARK.
 * Each section under group->lock is one atomic step: the fences are in park.pml and lazy.pml.
 *
 * I-1 in token.pml; I-2 in gr_thread_lose() and at `user'; I-4, I-6 and "all ran" in init;
 * I-5 is the claim `returner', for -DENDLESS: goroutines that never end.
 */
#ifndef NP
#define NP 1
#endif
#define NT 3
#ifndef BLOCKS
#define BLOCKS 2		/* sleeps in goroutine code */
#endif
#ifndef SIGS
#define SIGS 1			/* signals, and system calls that restart */
#endif
#ifndef KILLS
#define KILLS 1
#endif
#ifndef SLICES
#define SLICES 1
#endif
#ifndef PUBS
#define PUBS 1			/* goroutines published from outside */
#endif
#ifndef TURNS
#define TURNS 1			/* times that a goroutine goes back into the queue */
#endif

#define HAS_WORK(p) (0)
#define WORK_SHARED (globq > 0)
#define IN_USER(t) (in_user[t])
#define WAITING (NR_RETURNERS || NR_PREEMPTED)
#ifdef MUT_7			/* a scheduling point does not look for returners */
#define SEES_WAITING (0)
#else
#define SEES_WAITING WAITING
#endif

byte globq = 2;
byte blocks = BLOCKS, sigs = SIGS, kills = KILLS, slices = SLICES, turns = TURNS, pubs = PUBS;
bit hint[NT];			/* GR_HF_RUNTIME, or 0 */
bit in_user[NT];		/* in goroutine code, not let through */
bit through[NT];		/* let through without a P */
bit kick[NT];			/* t->kick is armed */
bit armed[NT];			/* GR_TF_RETURN_ARMED: return work is queued */
bit slice[NT];			/* GR_TF_PREEMPT */
bit queued[NT];			/* GR_TF_HANDOFF_QUEUED */
bit onlist[NT];			/* on the CPU's list */
bit irq;			/* the irq_work is pending */
bit killed[NT], dead[NT];	/* fatal signal; GR_TF_DEAD */
bit started;			/* the third thread */
bit slept;			/* the one long sleep was there */

#include "token.pml"

#ifdef ENDLESS
#define waits1 (state[1] == T_RETURNING)
ltl returner { [] (waits1 -> <> !waits1) }
#endif

inline gr_handoff_queue(t)
{
	if
	:: !queued[t] ->
		queued[t] = 1;
		onlist[t] = 1;
		irq = 1
	:: else
	fi
}

/* the only place that forgets a thread */
inline gr_thread_unlink(t, wk, wk2)
{
	gr_unqueue(t);
#ifndef MUT_3			/* a dead thread keeps its P */
	gr_proc_release(t, wk);
#endif
	state[t] = T_NONE;
	gr_proc_cover(wk2)
}

inline gr_handoff(t, wk)
{
	if
#ifdef MUT_2			/* does not look again whether the thread still sleeps */
	:: proc[t] == NONE
	:: proc[t] != NONE ->
#else
	:: state[t] != T_LAZY
	:: state[t] == T_LAZY ->
#endif
		gr_next_for(proc[t], polls[proc[t]]);
		if
		:: r_t != NONE -> wk = r_t; r_p = proc[t]; gr_hand_over(r_p, r_t)
		:: else
		fi
	fi
}

/* hard interrupt: one CPU's list; everything that was queued before it began */
active proctype gr_handoff_irq()
{
	byte t, wk = NONE, wk2 = NONE;
	bit list[NT];

end:	do
	:: atomic {
		irq -> irq = 0;
		t = 0;
		do
		:: t < NT ->
#ifdef MUT_1			/* one entry instead of the whole list */
			if
			:: onlist[t] -> list[t] = 1; onlist[t] = 0; break
			:: else
			fi;
#else
			list[t] = onlist[t];
			onlist[t] = 0;
#endif
			t++
		:: else -> break
		od;
		t = 0
	   };
	   do
	   :: t < NT && list[t] ->
#ifndef MUT_6
		queued[t] = 0;
#endif
		atomic {
			!lock -> list[t] = 0;
			if
			:: dead[t] && state[t] != T_NONE -> gr_thread_unlink(t, wk, wk2)
			:: dead[t] && state[t] == T_NONE
			:: !dead[t] -> gr_handoff(t, wk)
			fi
		};
#ifdef MUT_6			/* the bit is cleared after the state was looked at */
		queued[t] = 0;
#endif
		wake(wk);
		wake(wk2);
		t++
	   :: t < NT && !list[t] -> t++
	   :: t == NT -> t = 0; break
	   od
	od
}

/* slice.c: the timer of a P marks its holder, then arms its return work */
active proctype gr_slice_fn()
{
	byte victim;

end:	do
	:: atomic {
		slices > 0 && (pstate[0] == P_RUNNING) && !hint[holder[0]] &&
		gr_wanted(0, 0) ->
		slices--;
		victim = holder[0]
	   };
	   slice[victim] = 1;
	   armed[victim] = 1;
	   victim = 0
	od
}

active proctype killer()
{
end:	if
	:: atomic { kills > 0 && state[0] != T_NONE -> kills--; killed[0] = 1; asleep[0] = 0 }
	:: atomic { kills > 0 && state[1] != T_NONE -> kills--; killed[1] = 1; asleep[1] = 0 }
	fi
}

active proctype publisher()
{
	byte wk = NONE;

end:	do
	:: atomic { pubs > 0 -> pubs--; globq++ };
	   if
	   :: NR_IDLE || NR_LAZY ->
		atomic { !lock -> gr_unpark_one(wk) };
		wake(wk)
	   :: else
	   fi
	od
}

/* MONITOR: a thread is asked for; a thread that parked since then has looked for itself */
active proctype monitor()
{
end:	do
	:: atomic {
		spare_needed -> spare_needed = 0;
		if
		:: !started && state[0] != T_PARKED && state[1] != T_PARKED ->
			started = 1;
			run M(2, 1)
		:: else
		fi
	   }
	od
}

/* gr_thread_link() */
inline attach(t, take)
{
	state[t] = T_BLOCKED;
	hint[t] = HF_RUNTIME;
	if
	:: take ->
		r_p = gr_proc_idle(0);
		if
		:: r_p == NONE && gr_proc_lazy != NONE && WORK_SHARED -> r_p = gr_proc_lazy
		:: else
		fi;
		if
		:: r_p != NONE -> gr_proc_give(r_p, t); PERMIT_USE
		:: else
		fi
	:: else
	fi
}

proctype M(byte t; bit take)
{
	byte wk = NONE, wk2 = NONE;
	bit g;			/* a goroutine is on this thread */
	bit restart;		/* the system call will start again */
	bit signal, exiting;

	atomic { !lock -> attach(t, take) };

sched:	/* scheduling point, GR_HF_RUNTIME is set; an interrupt may come in between */
	if
	:: killed[t] -> goto exit
	:: armed[t] -> armed[t] = 0; slice[t] = 0; goto sched	/* gr_return(): nothing */
	:: atomic {
		!killed[t] ->
		through[t] = 0;
		if
		:: proc[t] == NONE && g -> g = 0; globq++; goto park	/* enter_without_p() */
		:: proc[t] == NONE && !g -> goto park
		:: else
		fi;
		assert(state[t] == T_RUNNING && holder[proc[t]] == t);
		if
		:: g && SEES_WAITING -> g = 0; globq++; goto yield
		:: g && !SEES_WAITING -> goto user
		:: !g && globq > 0 -> globq--; g = 1;
			if
			:: SEES_WAITING -> g = 0; globq++; goto yield
			:: else -> goto user
			fi
		:: !g && globq == 0 -> goto park
		fi
	   }
	fi;

user:	/* rt_exit(): goroutine code */
	atomic {
		hint[t] = 0;
		assert(through[t] || (state[t] == T_RUNNING && holder[proc[t]] == t)); /* I-2 */
		assert(!through[t] || kick[t] || armed[t]);	/* ... and not for long */
		in_user[t] = !through[t]
	};
user_on:
	if
	:: atomic { killed[t] -> in_user[t] = 0; goto exit }
	:: atomic { armed[t] -> in_user[t] = 0; goto return_work }
	:: atomic { kick[t] -> kick[t] = 0;		/* gr_kick() */
		armed[t] = (armed[t] || state[t] == T_BLOCKED) }; goto user_on
	:: atomic { blocks > 0 -> blocks--; in_user[t] = 0; goto block }
	:: atomic {
		/* rt_enter(): the goroutine ends, or goes back into the queue */
		in_user[t] = 0;
		hint[t] = HF_RUNTIME;
		if
		:: g = 0
#ifdef ENDLESS
		:: skip
#else
		:: turns > 0 -> turns--
#endif
		fi;
#ifdef ENDLESS
		globq = globq + !g;
#endif
		goto sched
	   }
	fi;

block:	/* gr_sched_out() -> gr_block() */
	atomic {
		!lock ->
		if
		:: state[t] == T_RUNNING && hint[t] == 0 ->
			gr_proc_lazy_begin(t, 0);
			if
			:: gr_wanted(proc[t], 0) -> gr_handoff_queue(t)
			:: else
			fi
		:: else
		fi
	};
	/* sleeps; anything may wake it */
	if
	:: skip
	:: atomic { !slept && !exiting -> slept = 1 };
	   globq == 0 && !WAITING || killed[t]	/* a sleep that lasts until all else is done */
	:: atomic { kick[t] -> kick[t] = 0 }		/* not current: nothing */
	:: atomic { sigs > 0 && !exiting -> sigs--; restart = 1 }
	fi;
	/* gr_sched_in() */
	if
	:: state[t] == T_LAZY ->
		atomic {
			!lock ->
#ifdef MUT_4			/* does not look again under the lock */
			gr_proc_lazy_end(t)
#else
			if
			:: state[t] == T_LAZY -> gr_proc_lazy_end(t)
			:: else
			fi
#endif
		}
	:: else
	fi;
	if
	:: atomic { state[t] == T_BLOCKED -> armed[t] = 1 }
	:: else
	fi;
	if
	:: exiting || killed[t] -> goto exit
	:: armed[t] && !exiting && !killed[t]
	:: else -> restart = 0; goto user
	fi;

return_work:
	armed[t] = 0;
	if
	:: killed[t] -> goto exit
	:: else
	fi;
	/* gr_return() */
	atomic {
		!lock ->
		if
		:: slice[t] && state[t] == T_RUNNING && hint[t] == 0 && !restart ->
			/* gr_preempt() */
			gr_next_for(proc[t], 0);
			if
			:: r_t != NONE -> wk = r_t; r_p = proc[t]; gr_hand_over(r_p, r_t)
			:: else -> slice[t] = 0
			fi
		:: else -> slice[t] = 0
		fi;
		if
		:: state[t] == T_BLOCKED && hint[t] == 0 ->
			/* gr_return_wait() */
			gr_proc_free_for(t);
			if
			:: r_p != NONE -> gr_proc_give(r_p, t)
			:: r_p == NONE && (restart || sigs > 0) ->
				sigs = (restart -> sigs : sigs - 1);
				through[t] = 1;
				kick[t] = 1
			:: r_p == NONE && !restart ->
				/* gr_return_sleep() */
				gr_returner_push(t, slice[t]);
				asleep[t] = 1;
				slice[t] = 0;
				goto return_sleep
			fi
		:: else
		fi;
		slice[t] = 0;
		goto returned
	};
return_sleep:
	wake(wk);
return_wait:
	if
	:: !asleep[t]
	:: atomic { asleep[t] && sigs > 0 -> sigs--; asleep[t] = 0; signal = 1 }
	fi;
	atomic {
		!lock ->
		if
		:: state[t] == T_RUNNING -> signal = 0
		:: state[t] == T_RETURNING && (signal || killed[t]) ->
			gr_unqueue(t);
			state[t] = T_BLOCKED;
			signal = 0;
			through[t] = 1;
#ifndef MUT_5			/* let through, and nobody looks again */
			kick[t] = 1
#endif
		:: else -> asleep[t] = 1; goto return_wait
		fi
	};
returned:
	wake(wk);
	atomic {
		if
		:: state[t] == T_RUNNING -> through[t] = 0
		:: else
		fi;
		if
		:: restart && blocks > 0 && through[t] -> restart = 0; blocks--; goto block
		:: else -> restart = 0; goto user
		fi
	};

yield:	/* gr_park(yield): only if a returner waits */
	atomic {
		!lock ->
		if
		:: !WAITING -> goto sched	/* EAGAIN */
		:: else -> goto park_locked
		fi
	};

park:	/* gr_park() */
	atomic {
		!lock ->
park_locked:	gr_proc_release(t, wk);
		r_p = ((permits || gr_work_any) -> gr_proc_idle(last_proc[t]) : NONE);
		if
		:: r_p == NONE && gr_proc_lazy != NONE && WORK_SHARED -> r_p = gr_proc_lazy
		:: else
		fi;
		if
		:: r_p != NONE -> PERMIT_USE; gr_proc_give(r_p, t)
		:: else -> state[t] = T_PARKED; asleep[t] = 1
		fi
	};
	wake(wk);
park_sleep:
	if
	:: state[t] == T_RUNNING && !asleep[t] -> goto sched
	:: else
	fi;
end:	!asleep[t];
	atomic {
		!lock ->
		if
		:: state[t] == T_RUNNING -> goto sched
		:: state[t] == T_PARKED && killed[t] -> gr_unqueue(t); state[t] = T_BLOCKED
		:: else -> asleep[t] = 1; goto park_sleep
		fi
	};

exit:	/* do_exit(): may sleep once more; return work detaches, else the last switch */
	if
	:: atomic { !exiting && blocks > 0 -> blocks--; exiting = 1; goto block }
	:: exiting = 1
	fi;
	if
	:: atomic {		/* gr_return_work(), PF_EXITING -> gr_thread_detach() */
		armed[t] && !lock -> armed[t] = 0;
		gr_thread_unlink(t, wk, wk2)
	   };
	   wake(wk);
	   wake(wk2)
	:: atomic { !armed[t] -> dead[t] = 1; gr_handoff_queue(t) }
	fi;
	g = 0
}

#define REST(t) (state[t] == T_NONE || state[t] == T_PARKED)
#define GONE(t) (state[t] == T_NONE)

init {
	atomic {
		run M(0, 1);
		run M(1, 0)
	};
	timeout ->
	assert(!WAITING);						/* I-4 */
	assert(REST(0) && REST(1) && REST(2));				/* I-6 */
	assert(NR_IDLE == NP);						/* I-6 */
	assert(globq == 0 || (GONE(0) && GONE(1) && GONE(2)))		/* I-3: all ran */
}
