// SPDX-License-Identifier: MIT

// The servers of ../../io_bench.py on Go: io echo|hello PROCS. Prints "port N" and serves
// 127.0.0.1 until SIGTERM. Go raises the limit of descriptors itself.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
)

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

func echo(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err = c.Write(buf[:n]); err != nil {
			return
		}
	}
}

func serveEcho(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go echo(c)
	}
}

// hello answers as examples/httpd does.
func hello(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "hello from gr\n")
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		fmt.Println(runtime.Version())
		return
	}
	procs := 0
	if len(os.Args) == 3 {
		procs, _ = strconv.Atoi(os.Args[2])
	}
	if procs < 1 || (os.Args[1] != "echo" && os.Args[1] != "hello") {
		fmt.Fprintln(os.Stderr, "usage: io echo|hello PROCS")
		os.Exit(1)
	}
	runtime.GOMAXPROCS(procs)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fatal(err)
	}
	fmt.Printf("port %d\n", l.Addr().(*net.TCPAddr).Port)
	if os.Args[1] == "hello" {
		http.HandleFunc("/", hello)
		fatal(http.Serve(l, nil))
	}
	fatal(serveEcho(l))
}
