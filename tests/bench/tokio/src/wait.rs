// SPDX-License-Identifier: MIT

//! Workloads of waiting: mutex, timers, parked tasks, wake-ups from a plain thread.

use crate::{nanos, report, report_late};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::channel;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{spawn, yield_now};
use tokio::time::sleep;

fn next_random(state: &mut u32) -> u64 {
    *state = state.wrapping_mul(1664525).wrapping_add(1013904223);
    u64::from(*state >> 8)
}

/// Eight want the mutex all the time; every 16th time its holder yields with it.
pub async fn locks(n: usize) {
    const LOCKERS: usize = 8;
    let each = (n + LOCKERS - 1) / LOCKERS;
    let mutex = Arc::new(Mutex::new(0usize));
    let mut tasks = Vec::new();
    for _ in 0..LOCKERS {
        let mutex = mutex.clone();
        tasks.push(spawn(async move {
            for i in 0..each {
                let mut counter = mutex.lock().await;
                *counter += 1;
                if i % 16 == 0 {
                    yield_now().await;
                }
            }
        }));
    }
    for t in tasks {
        t.await.unwrap();
    }
    assert_eq!(*mutex.lock().await, each * LOCKERS, "mutex: count is wrong");
}

/// CPU time of this process, ns; its threads do not end meanwhile
fn cpu_ns() -> f64 {
    let mut sum = 0.0;
    for entry in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = entry.unwrap().path().join("schedstat");
        let text = std::fs::read_to_string(path).unwrap();
        sum += text.split(' ').next().unwrap().parse::<f64>().unwrap();
    }
    sum
}

/// Where tasks wait until it is closed.
struct Gate {
    here: Semaphore,
    shut: Semaphore,
}

async fn gather<T, F>(n: usize, then: T) -> (Arc<Gate>, Vec<tokio::task::JoinHandle<()>>)
where
    T: Fn(usize) -> F + Copy + Send + Sync + 'static,
    F: std::future::Future<Output = ()> + Send + 'static,
{
    let gate = Arc::new(Gate { here: Semaphore::new(0), shut: Semaphore::new(0) });
    let mut tasks = Vec::with_capacity(n);
    for me in 0..n {
        let gate = gate.clone();
        tasks.push(spawn(async move {
            gate.here.add_permits(1);
            let _ = gate.shut.acquire().await;
            drop(gate);
            then(me).await;
        }));
    }
    // a permit for each that has come; the calls take a limited number at once
    for _ in 0..n {
        gate.here.acquire().await.unwrap().forget();
    }
    (gate, tasks)
}

pub async fn timers_cpu(n: usize) {
    let spread = n as u64 * 1000;
    let (gate, tasks) = gather(n, move |me| async move {
        let mut seed = (me as u32).wrapping_mul(2654435761);
        sleep(Duration::from_nanos(spread + next_random(&mut seed) * 64 % spread)).await;
    })
    .await;
    let cpu = cpu_ns();
    gate.shut.close();
    for t in tasks {
        t.await.unwrap();
    }
    report("timers_cpu", "ns", (cpu_ns() - cpu) / n as f64);
}

pub async fn timers_late(n: usize) {
    const NAPPERS: usize = 1000;
    let each = (n + NAPPERS - 1) / NAPPERS;
    let mut tasks = Vec::new();
    for me in 0..NAPPERS {
        tasks.push(spawn(async move {
            let mut seed = (me as u32).wrapping_mul(2654435761);
            let mut late = Vec::with_capacity(each);
            for _ in 0..each {
                let d = Duration::from_nanos(1_000_000 + next_random(&mut seed) % 19_000_000);
                let when = Instant::now() + d;
                sleep(d).await;
                late.push((Instant::now() - when).as_nanos() as i64);
            }
            late
        }));
    }
    let mut late = Vec::new();
    for t in tasks {
        late.extend(t.await.unwrap());
    }
    report_late("timers_late", &mut late);
}

/// resident memory and page tables, bytes
fn memory() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
    };
    (field("VmRSS:"), field("VmPTE:"))
}

pub async fn parked(n: usize) {
    let (rss0, tables0) = memory();
    let t = Instant::now();
    let (_gate, _tasks) = gather(n, |_| async {}).await;
    let d = t.elapsed();
    let (rss, tables) = memory();
    report("parked_bytes", "bytes", (rss - rss0) / n as f64);
    report("parked_create", "ns", nanos(d) / n as f64);
    report("parked_tables", "bytes", (tables - tables0) / n as f64);
}

/// A plain thread and a task wake each other in turn; one way.
pub fn wake(rt: &Runtime, n: usize) {
    let (to_thread, mut thread_rx) = channel::<()>(1);
    let (to_task, mut task_rx) = channel::<()>(1);
    let thread = std::thread::spawn(move || {
        let mut late = Vec::with_capacity(n);
        let mut t = Instant::now();
        for _ in 0..n {
            to_task.blocking_send(()).unwrap();
            thread_rx.blocking_recv().unwrap();
            let now = Instant::now();
            late.push((now - t).as_nanos() as i64 / 2);
            t = now;
        }
        late
    });
    let task = rt.spawn(async move {
        while task_rx.recv().await.is_some() {
            to_thread.send(()).await.unwrap();
        }
    });
    rt.block_on(task).unwrap();
    report_late("wake", &mut thread.join().unwrap());
}

pub async fn idle(n: usize) {
    let (_gate, _tasks) = gather(n, |_| async {}).await;
    println!("ready");
    sleep(Duration::from_secs(3600)).await;
}
