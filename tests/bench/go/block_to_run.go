// SPDX-License-Identifier: MIT
//
// block_to_run.go - the twin of tests/bench/block_to_run.c on Go: one P that is always busy.
//
// A notes the time and enters nanosleep() by syscall.Syscall, the way every blocking call of the
// standard library goes. B is runnable all the time; it notes when it runs again.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync/atomic"
	"syscall"
	"unsafe"
)

const blockMs = 20

var armed, ran int64

func now() int64 {
	var ts syscall.Timespec
	// the raw call: the scheduler must not notice it; both twins pay for reading the clock
	syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

func spinner() {
	for {
		if atomic.LoadInt64(&armed) != 0 {
			ran = now()
			atomic.StoreInt64(&armed, 0)
		}
		runtime.Gosched()
	}
}

func round() int64 {
	ts := syscall.Timespec{Nsec: blockMs * 1000000}
	atomic.StoreInt64(&armed, 1)
	t0 := now()
	syscall.Syscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
	for atomic.LoadInt64(&armed) != 0 {
		runtime.Gosched()
	}
	return ran - t0
}

func main() {
	n := 100
	if len(os.Args) > 1 {
		v, err := strconv.Atoi(os.Args[1])
		if err != nil || v < 1 {
			fmt.Fprintln(os.Stderr, "usage: block_to_run [ROUNDS]")
			os.Exit(1)
		}
		n = v
	}
	runtime.GOMAXPROCS(1)
	go spinner()
	for i := 0; i < 10; i++ {
		round()
	}
	d := make([]int64, n)
	for i := range d {
		d[i] = round()
		for k := 0; k < 100; k++ {
			runtime.Gosched()
		}
	}
	sort.Slice(d, func(i, j int) bool { return d[i] < d[j] })
	fmt.Printf("{\"bench\":\"block_to_run\",\"impl\":\"go\",\"procs\":1,\"unit\":\"us\","+
		"\"median\":%.1f,\"p99\":%.1f,\"n\":%d}\n",
		float64(d[n/2])/1e3, float64(d[n*99/100])/1e3, n)
}
