/* SPDX-License-Identifier: MIT */
/*
 * token.pml - kmod/token.c as Promela: the state under group->lock and the functions on it, by
 * their names there. Included by park.pml, block.pml and lazy.pml after they have defined
 *
 *	NP, NT		processors (1 or 2) and threads
 *	HAS_WORK(p)	gr_proc_has_work(), WORK_SHARED gr_work_shared(): the hints in memory
 *	IN_USER(t)	the thread is in goroutine code and believes that it holds a P
 *
 * Every inline runs inside an atomic step of a process that holds the lock. What a function
 * returns is in r_p (a processor) or r_t (a thread), which are no part of the state.
 *
 * Choices: the kernel takes the spare nearest a core, a model any spare.
 */
#define NONE 7

#define T_NONE 0
#define T_RUNNING 1
#define T_LAZY 2
#define T_BLOCKED 3
#define T_RETURNING 4
#define T_PARKED 5

#define P_IDLE 0
#define P_RUNNING 1
#define P_LAZY 2

#define HF_RUNTIME 1
#define HF_POLL 2

#define P1 (NP - 1)	/* the other processor, or 0 again */

bit lock;		/* group->lock; a section of one atomic step only tests it */
byte state[NT];		/* T_*; T_NONE: no such thread */
byte proc[NT] = NONE, last_proc[NT] = NONE;
bit permit[NT];		/* a directed UNPARK came first */
bit asleep[NT];		/* task state: TASK_INTERRUPTIBLE in one of our wait loops */
byte pstate[NP], holder[NP] = NONE;
bit polls[NP];
byte permits;
bit spare_needed;	/* moved past what the monitor has seen */
chan returners = [NT] of { byte };
chan preempted = [NT] of { byte };

/* what user space sees; a buffered store of the kernel until the fence or the unlock */
byte m_idle = NP, m_lazy;

hidden byte r_p, r_t;

#define P_IS_LAZY(p) (pstate[p] == P_LAZY && !polls[p])
#define NR_IDLE ((pstate[0] == P_IDLE) + (NP > 1 && pstate[P1] == P_IDLE))
#define NR_LAZY (P_IS_LAZY(0) + (NP > 1 && P_IS_LAZY(P1)))
#define NR_RETURNERS len(returners)
#define NR_PREEMPTED len(preempted)

#define gr_work_for(p) (HAS_WORK(p) || WORK_SHARED)
#define gr_work_any (WORK_SHARED || (pstate[0] == P_IDLE && HAS_WORK(0)) || \
		     (pstate[P1] == P_IDLE && HAS_WORK(P1)))

#define IDLE_WORK(p) (pstate[p] == P_IDLE && HAS_WORK(p))
#define FREE(p) (p != NONE && pstate[p] != P_RUNNING)
#define IDLE(p) (p != NONE && pstate[p] == P_IDLE)

#define gr_proc_idle(prefer) \
	(IDLE_WORK(0) -> 0 : (IDLE_WORK(P1) -> P1 : (IDLE(prefer) -> prefer : \
	(IDLE(0) -> 0 : (IDLE(P1) -> P1 : NONE)))))
#define gr_proc_lazy (P_IS_LAZY(0) -> 0 : (P_IS_LAZY(P1) -> P1 : NONE))

/* r_p: what @t may take on its way back */
inline gr_proc_free_for(t)
{
	r_p = (FREE(last_proc[t]) -> last_proc[t] : gr_proc_idle(last_proc[t]));
	if
	:: r_p == NONE -> r_p = gr_proc_lazy
	:: else
	fi;
	if
	:: r_p == NONE -> r_p = (FREE(0) -> 0 : (FREE(P1) -> P1 : NONE))
	:: else
	fi
}

/* I-1, in the kernel's own books */
#define HOLDS(t, p) (proc[t] == p)
#define I1_PROC(p) (holder[p] == NONE || (HOLDS(holder[p], p) && pstate[p] != P_IDLE && \
		    (state[holder[p]] == T_RUNNING || state[holder[p]] == T_LAZY)))
#define I1 (I1_PROC(0) && I1_PROC(P1))
#define I1_THREAD(t) (proc[t] == NONE || holder[proc[t]] == t)

/* I-2: nobody loses its P in goroutine code, so no more threads are there than there are Ps */
inline gr_thread_lose(t)
{
	assert(!IN_USER(t));
	last_proc[t] = proc[t];
	proc[t] = NONE;
	state[t] = T_BLOCKED
}

inline gr_proc_give(p, t)
{
	assert(proc[t] == NONE);
	if
	:: holder[p] != NONE ->
#ifndef MUT_CLAIM	/* the owner is not turned BLOCKED */
		gr_thread_lose(holder[p])
#endif
	:: else
	fi;
	proc[t] = p;
	last_proc[t] = p;
	pstate[p] = P_RUNNING;
	polls[p] = 0;
	holder[p] = t;
	state[t] = T_RUNNING;
	assert(I1)
}

inline gr_unqueue(t)
{
	if
	:: state[t] == T_RETURNING && returners??[eval(t)] -> returners??eval(t)
	:: state[t] == T_RETURNING && preempted??[eval(t)] -> preempted??eval(t)
	:: else
	fi
}

/* hand @p to @to; the caller wakes @to when the lock is dropped */
inline gr_hand_over(p, to)
{
	gr_unqueue(to);
	gr_proc_give(p, to)
}

inline gr_returner_push(t, had_slice)
{
	if
	:: had_slice -> preempted!t
	:: else -> returners!t
	fi;
	state[t] = T_RETURNING
}

/* r_t: any spare */
inline gr_spare_near()
{
	if
	:: state[0] == T_PARKED -> r_t = 0
	:: state[1] == T_PARKED -> r_t = 1
	:: NT > 2 && state[NT - 1] == T_PARKED -> r_t = NT - 1
	:: NT > 3 && state[NT - 2] == T_PARKED -> r_t = NT - 2
	:: else -> r_t = NONE
	fi
}

inline gr_returner_first()
{
	if
	:: nempty(returners) -> returners?<r_t>
	:: empty(returners) && nempty(preempted) -> preempted?<r_t>
	:: empty(returners) && empty(preempted) -> r_t = NONE
	fi
}

#define gr_wanted(p, poll) (NR_RETURNERS || NR_PREEMPTED || (!(poll) && gr_work_for(p)))

inline gr_need_spare()
{
	spare_needed = 1
}

/* r_t: who goes on with @p */
inline gr_next_for(p, poll)
{
	r_t = NONE;
	if
	:: !NR_RETURNERS && !(poll) && gr_work_for(p) ->
		gr_spare_near();
		if
		:: r_t == NONE -> gr_need_spare()
		:: else
		fi
	:: else
	fi;
	if
	:: r_t == NONE -> gr_returner_first()
	:: else
	fi
}

/* @t gives its P up: to the oldest returner (then @wk is who to wake), else it goes idle */
inline gr_proc_release(t, wk)
{
	if
	:: proc[t] != NONE ->
		gr_returner_first();
		r_p = proc[t];
		gr_thread_lose(t);
		pstate[r_p] = P_IDLE;
		polls[r_p] = 0;
		holder[r_p] = NONE;
		if
		:: r_t != NONE ->
			wk = r_t;
			gr_hand_over(r_p, r_t)
		:: else
		fi
	:: else
	fi
}

inline gr_permit_add()
{
	permits = (permits < NP -> permits + 1 : NP)
}

#define PERMIT_USE permits = (permits > 0 -> permits - 1 : 0)

inline gr_proc_lazy_begin(t, poll)
{
	state[t] = T_LAZY;
	pstate[proc[t]] = P_LAZY;
	polls[proc[t]] = poll
}

inline gr_proc_lazy_end(t)
{
	assert(proc[t] != NONE);
	pstate[proc[t]] = P_RUNNING;
	polls[proc[t]] = 0;
	state[t] = T_RUNNING;
	assert(holder[proc[t]] == t)
}

/* a processor may have been left idle by a thread that goes away */
inline gr_proc_cover(wk2)
{
	r_p = gr_proc_idle(0);
	if
	:: r_p != NONE && (permits || gr_work_any) ->
		gr_spare_near();
		if
		:: r_t == NONE -> gr_need_spare()
		:: else ->
			PERMIT_USE;
			wk2 = r_t;
			gr_hand_over(r_p, r_t)
		fi
	:: else
	fi
}

/* unpark.c: one processor gets a thread, @wk; else it is remembered */
inline gr_unpark_one(wk)
{
	r_p = gr_proc_idle(NONE);
	if
	:: r_p == NONE -> r_p = gr_proc_lazy
	:: else
	fi;
	if
	:: r_p != NONE -> gr_spare_near()
	:: else -> r_t = NONE
	fi;
	if
	:: r_t != NONE ->
		wk = r_t;
		gr_hand_over(r_p, r_t)
	:: else ->
#ifndef MUT_PERMIT	/* a wake-up that finds nobody is not remembered */
		gr_permit_add();
#endif
		if
		:: r_p != NONE -> gr_need_spare()
		:: else
		fi
	fi
}

/* the unlock: what was stored under the lock is visible to whoever sees it free */
#define MIRROR m_idle = NR_IDLE; m_lazy = NR_LAZY
#define UNLOCK MIRROR; lock = 0

/* gr_wake_flush(), after the unlock */
inline wake(wk)
{
	if
	:: atomic { wk != NONE -> asleep[wk] = 0; wk = NONE }
	:: else
	fi
}
