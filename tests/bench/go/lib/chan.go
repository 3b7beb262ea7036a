// SPDX-License-Identifier: MIT

package main

import (
	"runtime"
	"sync"
	"time"
)

func yields(n int) {
	var wg sync.WaitGroup
	each := n / (2 * procs)
	for i := 0; i < 2*procs; i++ {
		wg.Add(1)
		go func() {
			for i := 0; i < each; i++ {
				runtime.Gosched()
			}
			wg.Done()
		}()
	}
	wg.Wait()
}

func spawns(n int) {
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		wg.Add(1)
		go wg.Done()
		wg.Wait()
	}
}

// An operation is one value handed over, two make a round trip.
func pings(n int) {
	ping, pong := make(chan int), make(chan int)
	count := (n + 1) / 2
	go func() {
		for i := 0; i < count; i++ {
			pong <- <-ping
		}
	}()
	for i := 0; i < count; i++ {
		ping <- i
		<-pong
	}
}

func stream(n int) {
	c := make(chan int, 128)
	go func() {
		for i := 0; i < n; i++ {
			c <- i
		}
	}()
	sum := 0
	for i := 0; i < n; i++ {
		sum += <-c
	}
	if sum != n*(n-1)/2 {
		fatal("bufchan: wrong sum")
	}
}

func benchRing(n int) {
	const ring = 503
	var links [ring]chan int
	done := make(chan int)
	for i := range links {
		links[i] = make(chan int)
	}
	for i := range links {
		go func(me int) {
			in, out := links[me], links[(me+1)%ring]
			for v := range in {
				if v != 0 {
					out <- v - 1
				} else {
					done <- me
				}
			}
		}(i)
	}
	perOp("ring", func(n int) {
		links[0] <- n
		if <-done != n%ring {
			fatal("ring: ended elsewhere")
		}
	}, n)
}

func sky(to chan<- int, num, size int) {
	if size == 1 {
		to <- num
		return
	}
	c, sum := make(chan int), 0
	size /= 10
	for i := 0; i < 10; i++ {
		go sky(c, num+i*size, size)
	}
	for i := 0; i < 10; i++ {
		sum += <-c
	}
	to <- sum
}

func benchSkynet(n int) {
	c := make(chan int)
	t := time.Now()
	go sky(c, 0, n)
	if <-c != n*(n-1)/2 {
		fatal("skynet: wrong sum")
	}
	report("skynet", "ms", float64(time.Since(t))/1e6)
}

func selects(n int) {
	var c [4]chan int
	count, sum := (n+3)/4, 0
	for i := range c {
		c[i] = make(chan int)
		go func(c chan<- int) {
			for i := 0; i < count; i++ {
				c <- i
			}
		}(c[i])
	}
	for i := 0; i < 4*count; i++ {
		v := 0
		select {
		case v = <-c[0]:
		case v = <-c[1]:
		case v = <-c[2]:
		case v = <-c[3]:
		}
		sum += v
	}
	if sum != 2*count*(count-1) {
		fatal("select: wrong sum")
	}
}
