// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

func nextRandom(state *uint32) int64 {
	*state = *state*1664525 + 1013904223
	return int64(*state >> 8)
}

// Eight want the mutex all the time; every 16th time its holder yields with it.
func locks(n int) {
	const lockers = 8
	var mutex sync.Mutex
	var wg sync.WaitGroup
	each, counter := (n+lockers-1)/lockers, 0
	for i := 0; i < lockers; i++ {
		wg.Add(1)
		go func() {
			for i := 0; i < each; i++ {
				mutex.Lock()
				counter++
				if i%16 == 0 {
					runtime.Gosched()
				}
				mutex.Unlock()
			}
			wg.Done()
		}()
	}
	wg.Wait()
	if counter != each*lockers {
		fatal("mutex: count is wrong")
	}
}

func cpuNs() int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		fatal(err.Error())
	}
	return r.Utime.Nano() + r.Stime.Nano()
}

// gather starts n goroutines and returns when all of them wait at the gate, or are about to.
func gather(n int, then func(me int)) (gate chan struct{}) {
	var here sync.WaitGroup
	gate = make(chan struct{})
	here.Add(n)
	for i := 0; i < n; i++ {
		go func(me int) {
			here.Done()
			<-gate
			if then != nil {
				then(me)
			}
		}(i)
	}
	here.Wait()
	return gate
}

func benchTimersCPU(n int) {
	var done sync.WaitGroup
	spread := int64(n) * int64(time.Microsecond)
	done.Add(n)
	gate := gather(n, func(me int) {
		seed := uint32(me) * 2654435761
		time.Sleep(time.Duration(spread + nextRandom(&seed)*64%spread))
		done.Done()
	})
	cpu := cpuNs()
	close(gate)
	done.Wait()
	report("timers_cpu", "ns", float64(cpuNs()-cpu)/float64(n))
}

func benchTimersLate(n int) {
	const nappers = 1000
	each := (n + nappers - 1) / nappers
	late := make([]int64, each*nappers)
	var wg sync.WaitGroup
	for i := 0; i < nappers; i++ {
		wg.Add(1)
		go func(me int) {
			seed := uint32(me) * 2654435761
			for i := 0; i < each; i++ {
				d := time.Millisecond + time.Duration(nextRandom(&seed)%int64(19*time.Millisecond))
				when := time.Now().Add(d)
				time.Sleep(d)
				late[me*each+i] = int64(time.Since(when))
			}
			wg.Done()
		}(i)
	}
	wg.Wait()
	reportLate("timers_late", late)
}

func benchSleep50us(n int) {
	late := make([]int64, n)
	for i := range late {
		when := time.Now().Add(50 * time.Microsecond)
		time.Sleep(50 * time.Microsecond)
		late[i] = int64(time.Since(when))
	}
	reportLate("sleep50us_err", late)
}

// memory: resident, and page tables, in bytes.
func memory() (rss, tables float64) {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fatal(err.Error())
	}
	for _, line := range strings.Split(string(data), "\n") {
		var kb float64
		if c, _ := fmt.Sscanf(line, "VmRSS: %f", &kb); c == 1 {
			rss = kb * 1024
		}
		if c, _ := fmt.Sscanf(line, "VmPTE: %f", &kb); c == 1 {
			tables = kb * 1024
		}
	}
	return
}

func benchParked(n int) {
	rss0, tables0 := memory()
	t := time.Now()
	gather(n, nil)
	d := time.Since(t)
	rss, tables := memory()
	report("parked_bytes", "bytes", (rss-rss0)/float64(n))
	report("parked_create", "ns", float64(d)/float64(n))
	report("parked_tables", "bytes", (tables-tables0)/float64(n))
}

// One side owns its thread: each wake-up crosses from one thread to another. Go has no plain threads.
func benchWake(n int) {
	toThread, toGoroutine := make(chan struct{}), make(chan struct{})
	late := make([]int64, n)
	go func() {
		for range toGoroutine {
			toThread <- struct{}{}
		}
	}()
	runtime.LockOSThread()
	t := time.Now()
	for i := range late {
		toGoroutine <- struct{}{}
		<-toThread
		now := time.Now()
		late[i] = int64(now.Sub(t)) / 2
		t = now
	}
	reportLate("wake", late)
}

func benchIdle(n int) {
	gather(n, nil)
	fmt.Println("ready")
	time.Sleep(time.Hour)
}
