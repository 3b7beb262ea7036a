// SPDX-License-Identifier: MIT

package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

const readers, block = 64, 4096

// alignedBlock is what O_DIRECT wants.
func alignedBlock() []byte {
	b := make([]byte, 2*block)
	skip := block - int(uintptr(unsafe.Pointer(&b[0]))%block)
	return b[skip : skip+block]
}

// reads has 64 goroutines read blocks at random places; each block begins with its number.
func reads(f *os.File, blocks int64, n int) {
	var wg sync.WaitGroup
	for i := 0; i < readers; i++ {
		wg.Add(1)
		go func(me int) {
			seed := uint32(me) * 2654435761
			b := alignedBlock()
			for i := 0; i < n/readers; i++ {
				at := nextRandom(&seed) % blocks
				_, err := f.ReadAt(b, at*block)
				if err != nil || binary.LittleEndian.Uint64(b) != uint64(at) {
					fatal("ReadAt")
				}
			}
			wg.Done()
		}(i)
	}
	wg.Wait()
}

func randread(bench string, flags int, n int) {
	f, err := os.OpenFile(os.Getenv("BENCH_FILE"), os.O_RDONLY|flags, 0)
	if err != nil && flags != 0 {
		fmt.Println("skip: the file system has no O_DIRECT")
		os.Exit(4)
	}
	if err != nil {
		fatal(err.Error())
	}
	st, err := f.Stat()
	if err != nil {
		fatal(err.Error())
	}
	n = (n + readers - 1) / readers * readers
	reads(f, st.Size()/block, n/10+readers)
	cpu, t := cpuNs(), time.Now()
	reads(f, st.Size()/block, n)
	d := time.Since(t)
	cpu = cpuNs() - cpu
	report(bench, "req/s", float64(n)/d.Seconds())
	report(bench+"_cpu", "us", float64(cpu)/float64(n)/1000)
}

func benchRandread(n int) {
	randread("file_randread", syscall.O_DIRECT, n)
}

func benchRandreadCached(n int) {
	randread("file_randread_cached", 0, n)
}
