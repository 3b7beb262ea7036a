// SPDX-License-Identifier: MIT
//
// httpd.go - the twin of examples/httpd on Go's net/http: the same routes, limits and flags.
//
// /block sleeps in the raw nanosleep system call, as C code that blocks does (not time.Sleep,
// which never blocks a thread), and /sql runs the C SQLite library through cgo, with the same
// settings. Both are the case that Go's monitor thread watches for.
package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/mattn/go-sqlite3"
)

var (
	host  = flag.String("host", "", "address to listen on")
	port  = flag.Int("port", 8080, "port")
	root  = flag.String("root", "", "directory of /file/")
	dbf   = flag.String("db", "", "database of /sql")
	procs = flag.Int("procs", 0, "GOMAXPROCS; 0: Go decides")
	db    *sql.DB
)

func fail(format string, a ...interface{}) {
	fmt.Fprintf(os.Stderr, "httpd: "+format+"\n", a...)
	os.Exit(1)
}

func text(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, s)
}

func hello(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" {
		text(w, 404, "no such page\n")
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "hello from gr\n")
}

func file(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/file/")
	if *root == "" || name == "" || strings.Contains(name, "..") {
		text(w, 404, "no such file\n")
		return
	}
	f, err := os.Open(filepath.Join(*root, name))
	if err != nil {
		text(w, 404, "no such file\n")
		return
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		text(w, 404, "no such file\n")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(st.Size(), 10))
	io.Copy(w, f)
}

func query(w http.ResponseWriter, r *http.Request) {
	if db == nil {
		text(w, 404, "no database is served: start with --db\n")
		return
	}
	rows, err := db.Query(r.FormValue("q"))
	if err != nil {
		text(w, 400, err.Error()+"\n")
		return
	}
	defer rows.Close()
	cols, _ := rows.Columns()
	vals := make([]sql.NullString, len(cols))
	ptrs := make([]interface{}, len(cols))
	for i := range vals {
		ptrs[i] = &vals[i]
	}
	var out strings.Builder
	for rows.Next() {
		if err = rows.Scan(ptrs...); err != nil {
			break
		}
		for i, v := range vals {
			if i > 0 {
				out.WriteByte('\t')
			}
			if v.Valid {
				out.WriteString(v.String)
			} else {
				out.WriteString("NULL")
			}
		}
		out.WriteByte('\n')
	}
	if err == nil {
		err = rows.Err()
	}
	if err != nil {
		text(w, 400, err.Error()+"\n")
		return
	}
	text(w, 200, out.String())
}

func lookup(w http.ResponseWriter, r *http.Request) {
	addrs, err := net.DefaultResolver.LookupHost(context.Background(), r.FormValue("h"))
	if err != nil {
		text(w, 404, err.Error()+"\n")
		return
	}
	text(w, 200, strings.Join(addrs, "\n")+"\n")
}

func block(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.FormValue("ms"))
	if err != nil || ms < 0 || ms > 10000 {
		text(w, 400, "ms must be 0..10000\n")
		return
	}
	ts := syscall.NsecToTimespec(int64(ms) * 1e6)
	for syscall.Nanosleep(&ts, &ts) == syscall.EINTR {
	}
	text(w, 200, fmt.Sprintf("slept %d ms\n", ms))
}

func stats(w http.ResponseWriter, r *http.Request) {
	text(w, 200, fmt.Sprintf("backend go\nprocs %d\ngoroutines %d\n", runtime.GOMAXPROCS(0),
		runtime.NumGoroutine()))
}

func openDB() {
	var err error
	db, err = sql.Open("sqlite3", "file:"+*dbf+"?_sync=FULL&_busy_timeout=5000")
	if err == nil {
		db.SetMaxIdleConns(16)
		err = db.Ping()
	}
	if err != nil {
		fail("cannot open the database %s: %v", *dbf, err)
	}
}

func main() {
	flag.Parse()
	if *procs > 0 {
		runtime.GOMAXPROCS(*procs)
	}
	if *dbf != "" {
		openDB()
	}
	http.HandleFunc("/", hello)
	http.HandleFunc("/file/", file)
	http.HandleFunc("/sql", query)
	http.HandleFunc("/lookup", lookup)
	http.HandleFunc("/block", block)
	http.HandleFunc("/stats", stats)
	l, err := net.Listen("tcp", net.JoinHostPort(*host, strconv.Itoa(*port)))
	if err != nil {
		fail("%v", err)
	}
	go func() {
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGINT, syscall.SIGTERM)
		<-c
		os.Exit(0)
	}()
	fmt.Fprintf(os.Stderr, "httpd: %v, %d procs, backend go\n", l.Addr(), runtime.GOMAXPROCS(0))
	s := &http.Server{MaxHeaderBytes: 8192, IdleTimeout: 60 * time.Second,
		ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	fail("%v", s.Serve(l))
}
