// SPDX-License-Identifier: MIT

//! The echo server of ../../io_bench.py: prints "port N", serves 127.0.0.1 until SIGTERM.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn echo(mut c: TcpStream) {
    let mut buf = [0u8; 4096];
    loop {
        match c.read(&mut buf).await {
            Ok(0) | Err(_) => return,
            Ok(n) => {
                if c.write_all(&buf[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}

pub async fn serve() {
    let l = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("port {}", l.local_addr().unwrap().port());
    loop {
        if let Ok((c, _)) = l.accept().await {
            let _ = c.set_nodelay(true);
            tokio::spawn(echo(c));
        }
    }
}
