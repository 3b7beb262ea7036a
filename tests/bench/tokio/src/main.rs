// SPDX-License-Identifier: MIT

//! The twin of ../../lib on Tokio: bench BENCH PROCS N, one round of one workload, results on
//! stdout. One P is the current-thread scheduler, more are workers of the other: the faster one
//! each time. There are no unbuffered channels here: capacity 1 stands for them.

mod chan;
mod echo;
mod wait;

use std::future::Future;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

pub fn report(bench: &str, unit: &str, value: f64) {
    println!("{} {} {:.3}", bench, unit, value);
}

pub fn report_late(bench: &str, samples: &mut [i64]) {
    samples.sort_unstable();
    let n = samples.len();
    println!("{} ns {}.000 {}.000", bench, samples[n / 2], samples[n * 99 / 100]);
}

/// Time of n operations, after a tenth of them as a warm-up.
async fn per_op<F, R>(bench: &str, run: F, n: usize)
where
    F: Fn(usize) -> R,
    R: Future<Output = ()>,
{
    run(n / 10 + 1).await;
    let t = Instant::now();
    run(n).await;
    report(bench, "ns", nanos(t.elapsed()) / n as f64);
}

pub fn nanos(d: Duration) -> f64 {
    d.as_nanos() as f64
}

/// `io`: sockets too; the other workloads do not pay for what they do not use
fn runtime(procs: usize, io: bool) -> Runtime {
    let mut b = if procs == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if procs > 1 {
        b.worker_threads(procs);
    }
    if io {
        b.enable_io();
    }
    b.enable_time().build().unwrap()
}

async fn run(bench: String, procs: usize, n: usize) -> bool {
    match bench.as_str() {
        "yield" => per_op("yield", |n| chan::yields(n, procs), n).await,
        "spawn" => per_op("spawn", chan::spawns, n).await,
        "pingpong" => per_op("pingpong", chan::pings, n).await,
        "bufchan" => per_op("bufchan", chan::stream, n).await,
        "ring" => {
            let ring = chan::Ring::new();
            // the receiver is shared by both rounds, one after the other
            let ring = tokio::sync::Mutex::new(ring);
            per_op("ring", |n| chan::hops(&ring, n), n).await
        }
        "skynet" => chan::skynet(n).await,
        "select" => per_op("select", chan::selects, n).await,
        "mutex" => per_op("mutex", wait::locks, n).await,
        "timers_cpu" => wait::timers_cpu(n).await,
        "timers_late" => wait::timers_late(n).await,
        "parked" => wait::parked(n).await,
        "echo" => echo::serve().await,
        "idle_ctxt" => wait::idle(n).await,
        _ => return false,
    }
    true
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.len() == 2 && args[1] == "version" {
        println!("{}", option_env!("TOKIO_VERSION").unwrap_or("?"));
        return;
    }
    if args.len() != 4 {
        eprintln!("usage: bench BENCH PROCS N");
        std::process::exit(1);
    }
    let procs: usize = args[2].parse().expect("PROCS");
    let n: usize = args[3].parse().expect("N");
    let rt = runtime(procs, args[1] == "echo");
    if args[1] == "wake" {
        wait::wake(&rt, n);
        std::process::exit(0);
    }
    // on a worker, as any task: the thread of block_on() is not one of several
    let root = rt.spawn(run(args[1].clone(), procs, n));
    if !rt.block_on(root).unwrap() {
        println!("skip: Tokio has nothing of the kind");
        std::process::exit(4);
    }
    std::process::exit(0);
}
