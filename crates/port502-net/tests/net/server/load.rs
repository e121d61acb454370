//! Bursts larger than any buffer, clients that never read, and too few files.

use std::process::Command;
use std::time::Duration;

use port502_net::memory::MemoryDevice;
use port502_net::server::{Closed, Event, Options};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::{Pattern, observed, pattern};
use crate::conformance::hex;
use crate::link::{Link, Mbap, PATIENCE, mbap, serve};

#[tokio::test]
async fn a_burst_larger_than_all_buffers_is_answered_in_order() {
    const REQUESTS: u16 = 5_000;
    let address = serve(Pattern, Options::default());
    for (receive_buffer, step) in [(4096, 97), (1 << 20, 100_000)] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(receive_buffer).unwrap();
        let stream = socket.connect(address).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let burst: Vec<u8> = (0..REQUESTS).flat_map(|id| mbap(id, 7, &pattern(id, 125).0)).collect();
        let want: Vec<u8> = (0..REQUESTS).flat_map(|id| mbap(id, 7, &pattern(id, 125).1)).collect();
        let writing = tokio::spawn(async move { write.write_all(&burst).await.map(|()| write) });
        let (mut got, mut piece) = (Vec::new(), vec![0; step]);
        while got.len() < want.len() {
            let n = tokio::time::timeout(PATIENCE, read.read(&mut piece)).await.unwrap().unwrap();
            assert!(n != 0, "closed after {} of {} bytes", got.len(), want.len());
            got.extend_from_slice(&piece[..n]);
        }
        assert!(got == want);
        drop(writing.await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn who_never_reads_is_not_read_from_and_others_are_served() {
    let address = serve(Pattern, Options::default());
    let greedy = TcpStream::connect(address).await.unwrap();
    let mut other = Mbap::connect(address).await;
    let burst: Vec<u8> = (0..1000).flat_map(|id| mbap(id, 1, &pattern(id, 125).0)).collect();
    let (mut written, mut refused) = (0, 0);
    // Full when it stays so while the server answers somebody else, several times over.
    while refused < 20 {
        match greedy.try_write(&burst) {
            Ok(n) => (written, refused) = (written + n, 0),
            Err(_) => refused += 1,
        }
        other.send(1, &pattern(1, 1).0).await;
        assert_eq!(other.receive().await, Some((1, pattern(1, 1).1)));
        // The sockets' buffers grow to some megabytes; each request brings 22 times its size.
        assert!(written < 32 << 20, "{written} bytes were taken from a client that reads nothing");
    }
}

/// The check below, in a process of its own: its limit on open files must not hold for other tests.
#[tokio::test]
#[ignore = "run in a process of its own by the test below"]
async fn with_few_files() {
    let maximum = Some(120);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let (options, mut events) = observed();
    let address = serve(MemoryDevice::full(), options);
    let mut steady = Mbap::connect(address).await;
    let mut others = Vec::new();
    // The clients' ends take as many of the files as the server's. When all are taken, the server closes the
    // oldest idle connection and serves the newest.
    assert!(matches!(events.next().await, Event::Opened { .. }));
    let closed = loop {
        let mut newest = Mbap::connect(address).await;
        for client in [&mut newest, &mut steady] {
            client.send(1, &hex("07")).await;
            assert_eq!(client.receive().await, Some((1, hex("07 00"))));
        }
        others.push(newest);
        match events.next().await {
            Event::Opened { .. } => {}
            Event::Closed { peer, why: Closed::ToMakeRoom, .. } => break peer,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(closed, others[0].stream.local_addr().unwrap());
    assert!(others[0].is_closed_by_peer().await);
    assert!(others.len() > 30, "{} connections", others.len());
    println!("served with {:?}", getrlimit(Resource::Nofile));
}

#[tokio::test]
async fn without_a_free_file_the_oldest_idle_connection_goes() {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "server::load::with_few_files", "--ignored", "--nocapture"]);
    let run = tokio::task::spawn_blocking(move || child.output().unwrap());
    let output = tokio::time::timeout(Duration::from_secs(20), run).await.unwrap().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
