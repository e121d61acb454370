//! A gateway over real sockets and pseudo terminals. What it does in all its cases is tested in simulated time, in
//! `src/gateway/tests.rs`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use port502_net::Target;
use port502_net::gateway::{BreakerState, Gateway, Lane, LaneOptions, Routes};
use port502_net::memory::MemoryDevice;
use port502_net::server::{Authorized, Options, Units, Unmapped};
use port502_site::Rights;
use port502_wire::{Table, UnitId};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::link::{Link as _, Mbap, serve};
use crate::pty;

fn device(of: u16) -> MemoryDevice {
    let values: Vec<u16> = (0..1000).map(|address| address ^ of << 8).collect();
    MemoryDevice::full_builder().registers(Table::HoldingRegisters, 0, &values).build()
}

fn front(lane: &Lane) -> SocketAddr {
    serve(Gateway::new(Routes::new().with_rest(lane)), Options::default())
}

fn lane(target: &str, options: LaneOptions) -> Lane {
    Lane::new("bus", target.parse::<Target>().unwrap(), options).unwrap()
}

#[tokio::test]
async fn sixteen_requests_at_once_and_the_seventeenth_is_told_to_wait() {
    // A device that never answers: a socket that nobody reads.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = format!("tcp://{}", silent.local_addr().unwrap());
    let mut client = Mbap::connect(front(&lane(&to, LaneOptions::default()))).await;
    for start in 0..17 {
        client.send(1, &[3, 0, start, 0, 1]).await;
    }
    assert_eq!(client.receive().await, Some((1, vec![0x83, 6])));
}

#[tokio::test]
async fn many_clients_share_one_connection() {
    let upstream = serve(device(1), Options::default());
    let mut options = LaneOptions::default();
    options.in_flight = 16;
    let lane = lane(&format!("tcp://{upstream}"), options);
    let address = front(&lane);
    let clients: Vec<_> = (0..20_u8)
        .map(|n| {
            tokio::spawn(async move {
                let mut client = Mbap::connect(address).await;
                for round in 0..20_u8 {
                    let frame = |k| [0, k, 0, 0, 0, 6, n, 3, 0, n * 10 + k, 0, 1];
                    client.send_raw(&(0..8).flat_map(frame).collect::<Vec<_>>()).await;
                    for k in 0..8 {
                        let want = Some((u16::from(k), n, vec![3, 2, 1, n * 10 + k]));
                        assert_eq!(client.receive_raw().await, want, "client {n}, round {round}");
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    let status = lane.status();
    assert_eq!((status.requests, status.answered, status.connects), (3200, status.sent, 1));
    assert_eq!(status.sent + status.coalesced, 3200);
}

#[tokio::test]
async fn what_rights_let_pass_goes_on_as_a_burst() {
    let upstream = serve(device(1), Options::default());
    let lane = lane(&format!("tcp://{upstream}"), LaneOptions::default());
    let rights = Rights::parse("role,access,table,address\n-,read,holding,0-9\n").unwrap();
    let service = Authorized::new(Gateway::new(Routes::new().with_rest(&lane)), rights);
    let mut client = Mbap::connect(serve(service, Options::default())).await;
    client.send_raw(&[0, 1, 0, 0, 0, 6, 1, 3, 0, 5, 0, 1, 0, 2, 0, 0, 0, 6, 1, 3, 0, 50, 0, 1]).await;
    assert_eq!(client.receive_raw().await, Some((2, 1, vec![0x83, 1])), "known at once");
    assert_eq!(client.receive_raw().await, Some((1, 1, vec![3, 2, 1, 5])));
}

/// Carries bytes between two ends; as fast as a line of this target does, if that is wanted.
async fn wire(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, pace: Option<Target>) {
    let mut room = [0; 512];
    let mut free = Instant::now();
    while let Ok(n @ 1..) = from.read(&mut room).await {
        if let Some(serial) = pace.as_ref().and_then(Target::serial) {
            // A character is there when its last bit is, and the next cannot begin before.
            free = free.max(Instant::now()) + serial.transmission(n);
            // A line is never a millisecond late, as a timer of the runtime is.
            let left = free.saturating_duration_since(Instant::now());
            tokio::task::spawn_blocking(move || std::thread::sleep(left)).await.unwrap();
        }
        if to.write_all(&room[..n]).await.is_err() {
            return;
        }
    }
}

/// A bus with units 1 to 5 behind a serial port, whose path this is.
fn bus(pace: Option<&str>) -> String {
    let ((near, path), (far, device_path)) = (pty::pair(), pty::pair());
    let pace: Option<Target> = pace.map(|pace| pace.parse().unwrap());
    let (from_client, to_client) = tokio::io::split(near);
    let (from_device, to_device) = tokio::io::split(far);
    tokio::spawn(wire(from_client, to_device, pace.clone()));
    tokio::spawn(wire(from_device, to_client, pace));
    let units = (1..=5)
        .fold(Units::new(Unmapped::Silence), |units, unit: u8| units.with(UnitId(unit), device(unit.into())));
    pty::serve(&format!("rtu://{device_path}?baud=19200"), units);
    path
}

#[tokio::test]
async fn tcp_clients_on_a_serial_bus() {
    let mut options = LaneOptions::default();
    options.timeout = Duration::from_millis(300);
    let lane = lane(&format!("rtu://{}?baud=19200", bus(None)), options);
    let mut client = Mbap::connect(front(&lane)).await;
    for unit in 1..=5 {
        client.send(unit, &[3, 0, 7, 0, 2]).await;
        assert_eq!(client.receive().await, Some((unit, vec![3, 4, unit, 7, unit, 8])));
    }
    // Nobody answers a broadcast, and everybody obeys it.
    client.send(0, &[6, 0, 9, 0, 42]).await;
    client.send(3, &[3, 0, 9, 0, 1]).await;
    assert_eq!(client.receive().await, Some((3, vec![3, 2, 0, 42])));
    for _ in 0..4 {
        client.send(9, &[3, 0, 7, 0, 2]).await;
        assert_eq!(client.receive().await, Some((9, vec![0x83, 0x0B])));
    }
    assert_eq!(lane.status().units[&UnitId(9)].breaker, BreakerState::Open);
    client.send(1, &[3, 0, 7, 0, 1]).await;
    assert_eq!(client.receive().await, Some((1, vec![3, 2, 1, 7])));
}

#[tokio::test]
async fn a_serial_port_goes_to_the_next_lane_though_idle_clients_stay() {
    let ends = pty::bus(2, |_, bytes| bytes);
    let (path, options) = (&ends[0], LaneOptions::default());
    let units = (1..=3)
        .fold(Units::new(Unmapped::Silence), |units, unit: u8| units.with(UnitId(unit), device(unit.into())));
    pty::serve(&format!("rtu://{}?baud=19200", ends[1]), units);
    let old = lane(&format!("rtu://{path}?baud=19200"), options.clone());
    let gateway = Gateway::new(Routes::new().with_rest(&old));
    let address = serve(gateway.clone(), Options::default());
    let mut idle = Mbap::connect(address).await;
    idle.send(1, &[3, 0, 7, 0, 1]).await;
    assert_eq!(idle.receive().await, Some((1, vec![3, 2, 1, 7])));
    // The port is open with its old settings, and is for one alone.
    let target = format!("rtu://{path}?baud=9600").parse().unwrap();
    let new = Lane::new_after("bus", target, options, vec![old.clone()]).unwrap();
    gateway.reroute(Routes::new().with_rest(&new));
    old.close();
    let mut client = Mbap::connect(address).await;
    client.send(2, &[3, 0, 7, 0, 1]).await;
    assert_eq!(client.receive().await, Some((2, vec![3, 2, 2, 7])));
    idle.send(3, &[3, 0, 7, 0, 1]).await;
    assert_eq!(idle.receive().await, Some((3, vec![3, 2, 3, 7])));
    assert_eq!((old.status().sent, new.status().sent, new.status().connect_failures), (1, 2, 0));
}

/// A connect that nobody answers: the backlog of this listener is full.
#[tokio::test]
async fn a_line_over_tcp_gives_up_connecting_when_the_lane_says_so() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let fill = || std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200));
    let _full: Vec<_> = std::iter::from_fn(|| fill().ok()).take(64).collect();
    let mut options = LaneOptions::default();
    options.timeout = Duration::from_millis(500);
    options.connect_timeout = Duration::from_millis(20);
    let lane = lane(&format!("rtu+tcp://{address}"), options);
    let mut client = Mbap::connect(front(&lane)).await;
    client.send(1, &[3, 0, 7, 0, 1]).await;
    assert_eq!(client.receive().await, Some((1, vec![0x83, 0x0A])));
    assert_eq!(lane.status().connect_failures, 1);
}

/// The test of shares in `src/gateway/tests.rs`, with a real serial port and real time:
/// `cargo test --release -p port502-net --test net -- --ignored --nocapture fifty`.
#[tokio::test]
#[ignore = "takes half a minute of real time, and says how it went"]
async fn fifty_clients_on_a_bus_of_19200_baud_in_real_time() {
    const PACE: &str = "rtu:///dev/line?baud=19200";
    let mut options = LaneOptions::default();
    (options.timeout, options.coalesce) = (Duration::from_millis(300), false);
    let lane = lane(&format!("rtu://{}?baud=19200", bus(Some(PACE))), options);
    let address = front(&lane);
    let clients: Vec<_> = (0..50_u8)
        .map(|n| {
            tokio::spawn(async move {
                let mut client = TcpStream::connect(address).await.unwrap();
                let (mut answers, mut frame) = (0_u32, [0; 64]);
                let start = Instant::now();
                while start.elapsed() < Duration::from_secs(40) {
                    // One of them asks a unit that is not there.
                    let unit = if n == 7 { 9 } else { 1 + n % 5 };
                    client.write_all(&[0, n, 0, 0, 0, 6, unit, 3, 0, n, 0, 10]).await.unwrap();
                    client.read_exact(&mut frame[..9]).await.unwrap();
                    if frame[7] == 3 {
                        client.read_exact(&mut frame[9..29]).await.unwrap();
                        assert_eq!((frame[1], frame[9], frame[10]), (n, unit, n));
                        answers += u32::from(start.elapsed() > Duration::from_secs(10));
                    }
                    if unit == 9 {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
                answers
            })
        })
        .collect();
    let mut shares = Vec::new();
    for client in clients {
        shares.push(client.await.unwrap());
    }
    shares.remove(7);
    let sum: u32 = shares.iter().sum();
    let serial = PACE.parse::<Target>().unwrap().serial().unwrap();
    let turn = serial.transmission(8 + 25) + port502_wire::serial::t3_5(serial.baud) * 2;
    let possible = 30.0 / turn.as_secs_f64();
    let part = f64::from(sum) / possible;
    let (least, most) = (*shares.iter().min().unwrap(), *shares.iter().max().unwrap());
    println!("shares {least} to {most} of {sum}; {:.1} % of {possible:.0}", part * 100.0);
    let mean = f64::from(sum) / 49.0;
    assert!(f64::from(least) > mean * 0.8 && f64::from(most) < mean * 1.2, "{shares:?}");
    // The rest is how late a busy machine wakes whom.
    assert!(part > 0.8, "{part}");
}
