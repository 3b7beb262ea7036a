// SPDX-License-Identifier: MIT

// The twin of ../../lib on Go: lib BENCH PROCS N, one round of one workload, results on stdout.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"time"
)

var procs int

var table = map[string]func(n int){
	"yield":         func(n int) { perOp("yield", yields, n) },
	"spawn":         func(n int) { perOp("spawn", spawns, n) },
	"pingpong":      func(n int) { perOp("pingpong", pings, n) },
	"bufchan":       func(n int) { perOp("bufchan", stream, n) },
	"ring":          benchRing,
	"skynet":        benchSkynet,
	"select":        func(n int) { perOp("select", selects, n) },
	"mutex":         func(n int) { perOp("mutex", locks, n) },
	"timers_cpu":    benchTimersCPU,
	"timers_late":   benchTimersLate,
	"sleep50us_err": benchSleep50us,
	"parked":        benchParked,
	"wake":          benchWake,
	"idle_ctxt":     benchIdle,

	"file_randread":        benchRandread,
	"file_randread_cached": benchRandreadCached,
}

func report(bench, unit string, value float64) {
	fmt.Printf("%s %s %.3f\n", bench, unit, value)
}

func reportLate(bench string, samples []int64) {
	sort.Slice(samples, func(i, j int) bool { return samples[i] < samples[j] })
	n := len(samples)
	fmt.Printf("%s ns %.3f %.3f\n", bench, float64(samples[n/2]), float64(samples[n*99/100]))
}

// perOp reports the time of n operations, after a tenth of them as a warm-up.
func perOp(bench string, run func(n int), n int) {
	run(n/10 + 1)
	t := time.Now()
	run(n)
	report(bench, "ns", float64(time.Since(t))/float64(n))
}

func fatal(what string) {
	fmt.Fprintln(os.Stderr, "bench: "+what)
	os.Exit(1)
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println(runtime.Version())
		return
	}
	if len(os.Args) != 4 {
		fatal("usage: lib BENCH PROCS N")
	}
	run := table[os.Args[1]]
	n, err := strconv.Atoi(os.Args[3])
	procs, _ = strconv.Atoi(os.Args[2])
	if run == nil {
		fmt.Println("skip: Go does not let go of its switch")
		os.Exit(4)
	}
	if err != nil || n < 1 || procs < 1 {
		fatal("usage: lib BENCH PROCS N")
	}
	runtime.GOMAXPROCS(procs)
	run(n)
}
