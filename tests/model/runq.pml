/* SPDX-License-Identifier: MIT */
/*
 * runq.pml - libgr/runq.c: one producer, thieves, and the slot runnext.
 *
 * The holder of a P puts NG goroutines, each into the ring or into runnext, and takes some
 * between; NTHIEF thieves take half of the ring, or runnext. Every load, store and exchange is a
 * step. Each goroutine must run exactly once: lost ones and copies are seen when nobody can move.
 * A ring of S slots, indices that do not wrap, and no store buffers: R1 is kept by TSO, the
 * exchanges are fences.
 */
#ifndef NG
#define NG 5
#endif
#ifndef NTHIEF
#define NTHIEF 2
#endif
#define S 4

byte head, tail, runnext;	/* indices grow; goroutines are 1..NG, 0 none */
byte slot[S];
byte ran[NG + 1];
byte done;

#define RUN(g) atomic { assert(g >= 1 && g <= NG && ran[g] == 0); ran[g]++ }

proctype holder()
{
	byte g, put = 1, h, t, old, n, i;
	byte list[2];
	bit ok;

loop:	if
	:: put <= NG -> g = put; put++; goto put_it
	:: put > 1 -> goto get
	:: atomic { put > NG -> done = 1; goto get_all }
	fi;

put_it:	if
	:: atomic { old = runnext; runnext = g };	/* R3 */
	   if
	   :: old == 0 -> goto loop
	   :: else -> g = old
	   fi
	:: skip
	fi;
again:	h = head;			/* A2 */
	t = tail;
	if
	:: t - h < S ->
#ifdef MUT_2				/* the tail is stored before the slot */
		tail = t + 1;
		slot[t % S] = g
#else
		slot[t % S] = g;
		tail = t + 1		/* R1 */
#endif
	:: else ->			/* runq_put_slow(): half of it to the global queue */
		list[0] = slot[h % S];
		list[1] = slot[(h + 1) % S];
		atomic {
			ok = (head == h);	/* R2 */
			if
			:: ok -> head = h + S / 2
			:: else
			fi
		};
		if
		:: ok -> RUN(list[0]); RUN(list[1]); RUN(g)
		:: else -> goto again
		fi
	fi;
	goto loop;

get_all:
get:	g = runnext;
	if
	:: g ->
#ifdef MUT_3				/* runnext is taken without a compare */
		runnext = 0;
		RUN(g);
		goto got
#else
		atomic {
			ok = (runnext == g);	/* A3 */
			if
			:: ok -> runnext = 0
			:: else
			fi
		};
		if
		:: ok -> RUN(g); goto got
		:: else
		fi
#endif
	:: else
	fi;
	h = head;
	do
	:: t = tail;
	   if
	   :: t == h -> goto none
	   :: else
	   fi;
	   g = slot[h % S];
	   atomic {
		ok = (head == h);	/* R2 */
		if
		:: ok -> head = h + 1
		:: else -> h = head
		fi
	   };
	   if
	   :: ok -> RUN(g); goto got
	   :: else
	   fi
	od;
got:	if
	:: done -> goto get_all
	:: else -> goto loop
	fi;
none:	if
	:: done
	:: else -> goto loop
	fi
}

proctype thief()
{
	byte h, t, n, g;
	byte batch[S];
	bit ok;
	byte tries = 2;

	do
	:: tries == 0 -> break
	:: tries > 0 ->
		tries--;
retry:		h = head;
		t = tail;		/* A1 */
		n = t - h;
		n = n - n / 2;
		if
		:: n == 0 ->
			g = runnext;
			if
			:: g ->
				atomic {
					ok = (runnext == g);	/* A3 */
					if
					:: ok -> runnext = 0
					:: else
					fi
				};
				if
				:: ok -> RUN(g)
				:: else
				fi
			:: else
			fi
#ifndef MUT_4				/* head and tail of different times are believed */
		:: n > S / 2 -> goto retry
#endif
		:: else ->
			assert(n <= S / 2);	/* the size of batch[] */
			batch[0] = slot[h % S];
			if
			:: n > 1 -> batch[1] = slot[(h + 1) % S]
			:: else
			fi;
			atomic {
#ifdef MUT_1				/* head is stored, not compared and exchanged */
				ok = 1;
#else
				ok = (head == h);	/* R2 */
#endif
				if
				:: ok -> head = h + n
				:: else
				fi
			};
			if
			:: ok ->
				RUN(batch[0]);
				if
				:: n > 1 -> RUN(batch[1])
				:: else
				fi
			:: else -> goto retry
			fi
		fi
	od
}

init {
	byte i;

	atomic {
		run holder();
		for (i : 1 .. NTHIEF) {
			run thief()
		}
	};
	timeout ->
	atomic {
		assert(done && head == tail && runnext == 0);
		for (i : 1 .. NG) {
			assert(ran[i] == 1)
		}
	}
}
