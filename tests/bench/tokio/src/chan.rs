// SPDX-License-Identifier: MIT

//! Workloads of tasks and channels.

use crate::{nanos, report};
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;
use tokio::sync::mpsc::{channel, Receiver, Sender};
use tokio::sync::Mutex;
use tokio::task::{spawn, yield_now};

pub async fn yields(n: usize, procs: usize) {
    let each = n / (2 * procs);
    let mut tasks = Vec::new();
    for _ in 0..2 * procs {
        tasks.push(spawn(async move {
            for _ in 0..each {
                yield_now().await;
            }
        }));
    }
    for t in tasks {
        t.await.unwrap();
    }
}

pub async fn spawns(n: usize) {
    for _ in 0..n {
        spawn(async {}).await.unwrap();
    }
}

pub async fn pings(n: usize) {
    let (ping, mut ping_rx) = channel::<usize>(1);
    let (pong, mut pong_rx) = channel::<usize>(1);
    spawn(async move {
        while let Some(v) = ping_rx.recv().await {
            if pong.send(v).await.is_err() {
                return;
            }
        }
    });
    for i in 0..(n + 1) / 2 {
        ping.send(i).await.unwrap();
        pong_rx.recv().await.unwrap();
    }
}

pub async fn stream(n: usize) {
    let (tx, mut rx) = channel::<usize>(128);
    spawn(async move {
        for i in 0..n {
            tx.send(i).await.unwrap();
        }
    });
    let mut sum = 0;
    for _ in 0..n {
        sum += rx.recv().await.unwrap();
    }
    assert_eq!(sum, n * (n - 1) / 2, "bufchan: wrong sum");
}

const RING: usize = 503;

pub struct Ring {
    first: Sender<usize>,
    done: Receiver<usize>,
}

impl Ring {
    pub fn new() -> Ring {
        let (done_tx, done) = channel(1);
        let (first, mut rx) = channel::<usize>(1);
        for me in 0..RING {
            let (tx, next_rx) = channel(1);
            let tx = if me == RING - 1 { first.clone() } else { tx };
            let done = done_tx.clone();
            spawn(async move {
                while let Some(v) = rx.recv().await {
                    if v == 0 {
                        done.send(me).await.unwrap();
                    } else {
                        tx.send(v - 1).await.unwrap();
                    }
                }
            });
            rx = next_rx;
        }
        Ring { first, done }
    }
}

pub async fn hops(ring: &Mutex<Ring>, n: usize) {
    let mut ring = ring.lock().await;
    ring.first.send(n).await.unwrap();
    assert_eq!(ring.done.recv().await, Some(n % RING), "ring: ended elsewhere");
}

fn sky(to: Sender<usize>, num: usize, size: usize) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if size == 1 {
            to.send(num).await.unwrap();
            return;
        }
        let (tx, mut rx) = channel(10);
        let mut sum = 0;
        for i in 0..10 {
            spawn(sky(tx.clone(), num + i * (size / 10), size / 10));
        }
        for _ in 0..10 {
            sum += rx.recv().await.unwrap();
        }
        to.send(sum).await.unwrap();
    })
}

pub async fn skynet(n: usize) {
    let (tx, mut rx) = channel(1);
    let t = Instant::now();
    spawn(sky(tx, 0, n));
    assert_eq!(rx.recv().await, Some(n * (n - 1) / 2), "skynet: wrong sum");
    report("skynet", "ms", nanos(t.elapsed()) / 1e6);
}

fn sender(count: usize) -> Receiver<usize> {
    let (tx, rx) = channel(1);
    spawn(async move {
        for i in 0..count {
            tx.send(i).await.unwrap();
        }
    });
    rx
}

pub async fn selects(n: usize) {
    let count = (n + 3) / 4;
    let (mut a, mut b, mut c, mut d) = (sender(count), sender(count), sender(count), sender(count));
    let mut sum = 0;
    for _ in 0..4 * count {
        // a sender that has ended: its branch is off
        sum += tokio::select! {
            Some(v) = a.recv() => v,
            Some(v) = b.recv() => v,
            Some(v) = c.recv() => v,
            Some(v) = d.recv() => v,
        };
    }
    assert_eq!(sum, 2 * count * (count - 1), "select: wrong sum");
}
