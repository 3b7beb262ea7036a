/* SPDX-License-Identifier: MIT */
/*
 * idle.pml - libgr/idle.c: spinning, polling, parking, and the publisher (F1, F2).
 *
 * NM threads with a P each, a publisher that is no M. A goroutine runs until all of them have
 * started: so each one needs a thread of its own, and a wake-up that is lost, or never passed on,
 * is a deadlock that timeout finds. The kernel's PARK is one step (park.pml has the rest); new
 * threads are not made. The publisher's store waits in a buffer until a fence; a lowered
 * nr_spinning and a raised poll_state wait in their thread's, as the C memory model allows.
 */
#ifndef NG
#define NG 2
#endif
#ifndef NM
#define NM 2
#endif
#define NOBODY 255

byte globq, buf;		/* in memory; in the publisher's buffer */
byte nr_spinning, nr_idle, nr_polling, permits;
byte published, started;
bit spinning[NM], parked[NM], by_unpark[NM];
byte poll_state[NM];
byte sub[NM];			/* nr_spinning is to be lowered: in this thread's buffer */
bit polls[NM];			/* poll_state 1 and nr_polling + 1: in this thread's buffer */

#define DRAIN globq = globq + buf; buf = 0
#define FLUSH(m) \
	nr_spinning = nr_spinning - sub[m]; sub[m] = 0; \
	if \
	:: polls[m] -> polls[m] = 0; poll_state[m] = 1; nr_polling++ \
	:: else \
	fi

/* UNPARK of one: a parked thread, or a permit. ok: somebody was woken */
inline unpark(w, ok)
{
	atomic {
		ok = 0;
		w = 0;
		do
		:: w < NM && parked[w] ->
			parked[w] = 0; by_unpark[w] = 1; nr_idle--; ok = 1; break
		:: w < NM && !parked[w] -> w++
		:: w == NM -> permits = 1; break
		od;
		w = 0
	}
}

/* the first thread whose poll_state is 1; now 2: counted as spinning */
inline wake_poller(w, ok)
{
	atomic {
		ok = 0;
		w = 0;
		do
		:: w < NM && poll_state[w] == 1 -> poll_state[w] = 2; ok = 1; break
		:: w < NM && poll_state[w] != 1 -> w++
		:: w == NM -> break
		od;
		w = 0
	}
}

/* sched_wake_fenced() */
inline sched_wake(w, ok)
{
	do
	:: nr_spinning > 0 -> break
	:: nr_spinning == 0 && nr_idle == 0 && nr_polling == 0 -> break
	:: nr_spinning == 0 && (nr_idle > 0 || nr_polling > 0) ->
		atomic {
			ok = (nr_spinning == 0);
			if
			:: ok -> nr_spinning = 1
			:: else -> break
			fi
		};
		ok = 0;
		if
		:: nr_idle > 0 -> unpark(w, ok)
		:: else
		fi;
		if
		:: !ok -> wake_poller(w, ok)
		:: else
		fi;
		if
		:: ok -> break
		:: else
		fi;
		nr_spinning--;
#ifdef MUT_6				/* it does not look at the queues again */
		break
#else
		if
		:: globq == 0 -> break
		:: else
		fi
#endif
	od;
	ok = 0
}

active proctype memory()
{
end:	do
	:: atomic { buf > 0 -> DRAIN }
	od
}

active proctype publisher()
{
	byte w;
	bit ok;

end:	do
	:: atomic { published < NG -> published++; buf++ };
#ifndef MUT_1				/* no fence between the push and the look for spinners */
	   atomic { DRAIN };		/* F1 */
#endif
	   sched_wake(w, ok)
	od
}

proctype flusher(byte m)
{
end:	do
	:: atomic { sub[m] || polls[m] -> FLUSH(m) }
	od
}

proctype M(byte m)
{
	byte w;
	bit ok, got;

find:	atomic {
		got = (globq > 0);
		if
		:: got -> globq--
		:: else
		fi
	};
	if
	:: got ->
		/* run(): stop spinning */
		if
		:: spinning[m] ->
			atomic { FLUSH(m); spinning[m] = 0; nr_spinning--; got = (nr_spinning == 0) };
#ifndef MUT_3				/* the last spinner that finds work does not wake the next */
			/* the exchange was a fence: work that came while we spun is seen here */
			if
			:: got && globq > 0 -> sched_wake(w, ok)
			:: else
			fi
#endif
		:: else
		fi;
		got = 0;
		started++;
		started == NG;
		goto find
	:: else
	fi;
	/* sched_spin(): perhaps, if there are not enough that do */
	if
	:: !spinning[m] && nr_spinning == 0 ->
		atomic { FLUSH(m); spinning[m] = 1; nr_spinning++ };
		goto find
	:: skip
	fi;
	/* sched_idle() */
	if
	:: spinning[m] ->
		atomic { spinning[m] = 0; sub[m]++ };
#ifndef MUT_2				/* no fence between the count and the second look */
		atomic { FLUSH(m) };	/* F2 */
#endif
		if
		:: globq > 0 ->
			atomic { FLUSH(m); nr_spinning++; spinning[m] = 1 };
			goto find
		:: else
		fi
	:: else
	fi;
	if
	:: goto park
	:: goto poll
	fi;

park:	/* in the kernel, under its lock: idle, the hints (park.pml has the fence between) */
	atomic {
		FLUSH(m);
		if
		:: globq > 0 || permits -> permits = 0; goto find
		:: else -> nr_idle++; parked[m] = 1
		fi
	};
end1:	!parked[m];
#ifdef MUT_4				/* the reason of the wake-up is not looked at */
	by_unpark[m] = 0;
#else
	atomic { spinning[m] = by_unpark[m]; by_unpark[m] = 0 };
#endif
	goto find;

poll:	polls[m] = 1;
#ifndef MUT_5				/* no fence between poll_state and the queues */
	atomic { FLUSH(m) };		/* F2 */
#endif
	if
	:: globq > 0
	:: else ->
end2:		poll_state[m] == 2
	fi;
	atomic {
		FLUSH(m);
		nr_polling--;
		spinning[m] = (poll_state[m] == 2);
		poll_state[m] = 0
	};
	goto find
}

init {
	byte i;

	atomic {
		for (i : 0 .. NM - 1) {
			run M(i);
			run flusher(i)
		}
	};
	timeout ->
	assert(published == NG && started == NG && globq == 0);
	assert(nr_spinning == 0)
}
