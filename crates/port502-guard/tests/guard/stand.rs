//! A guard, set up: the site file of the tests, a conduit, clients with addresses of their own, and its evidence.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use port502_guard::record::{Format, Line, Origin};
use port502_guard::{Clock, Conduit, Options, Recorder, Sink, Upstream};
use port502_inspect::policy::Policy;
use port502_inspect::{Engine, WeekMinute};
use port502_net::gateway::{Lane, LaneOptions};
use port502_net::server::{self, Server, Stop};
use port502_net::{Dialler, Target};
use port502_site::compile::compile;
use port502_site::profiles;
use port502_site::site::{Site, SourceFile};
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// A pump whose speed operators may set, and whose valve may be shut only while it stands still.
pub const SITE: &str = r#"
[site]
name = "Test works"
[role.operator]
may = ["write"]
[zone.control]
networks = ["127.0.0.1"]
[zone.operators]
networks = ["127.0.0.2"]
roles = ["operator"]
[device.pump]
connect = "tcp://127.0.0.1:1"
unit = 3
fill = 0
[device.pump.tag]
level = { at = "holding:100", type = "u16" }
speed = { at = "holding:200", type = "u16", range = [0, 500], write = { roles = ["operator"], min = 20, max = 500, max_step = 100 } }
running = { at = "coil:1" }
valve = { at = "coil:2", write = { roles = ["operator"], after = { tag = "pump.running", is = false } } }
[guard.pump]
listen = ["tcp://127.0.0.1:1502"]
to = "pump"
allow = [{ from = ["control", "operators"], do = "derived" }]
"#;

/// The policy of a site file.
pub fn policy(text: &str) -> Policy {
    let file = SourceFile { name: "site.toml", text };
    let site = Site::parse(&[file], profiles::built_in()).unwrap_or_else(|e| panic!("{e:?}"));
    compile(&site).policy
}

/// [`SITE`] with lines more in its conduit.
pub fn with(lines: &str) -> Policy {
    policy(&format!("{SITE}{lines}\n"))
}

pub fn engine(policy: &Policy) -> Arc<Engine> {
    Arc::new(Engine::compile(policy, &policy.conduits[0]).unwrap())
}

/// Hands on what it is to keep.
pub struct Kept(pub Sender<Json>);

impl Sink for Kept {
    fn name(&self) -> String {
        "the test".to_owned()
    }

    fn format(&self) -> Format {
        Format::Json
    }

    fn keep(&mut self, lines: &[Line]) -> Result<(), String> {
        for line in lines {
            let _ = self.0.send(serde_json::from_str(&line.text).unwrap());
        }
        Ok(())
    }
}

/// How a client's requests reach the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Own,
    Shared,
}

pub fn upstream(way: Way, target: Target) -> Upstream {
    match way {
        Way::Own => Upstream::Own(Dialler::new(target, Duration::from_secs(3), None).unwrap()),
        Way::Shared => {
            let mut options = LaneOptions::default();
            (options.in_flight, options.inspected) = (16, true);
            Upstream::Shared(Lane::new("pump", target, options).unwrap())
        }
    }
}

/// A guard at work.
pub struct Stand {
    pub address: SocketAddr,
    pub conduit: Arc<Conduit>,
    pub recorder: Arc<Recorder>,
    pub evidence: Receiver<Json>,
    pub stop: Stop,
    pub served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Stand {
    pub fn new(policy: &Policy, way: Way, device: SocketAddr) -> Self {
        let target: Target = device.to_string().parse().unwrap();
        Self::over(engine(policy), upstream(way, target))
    }

    pub fn over(engine: Arc<Engine>, upstream: Upstream) -> Self {
        Self::of(engine, upstream, |conduit| conduit)
    }

    /// With a conduit that somebody changes before it stands.
    pub fn of(engine: Arc<Engine>, upstream: Upstream, change: impl FnOnce(Conduit) -> Conduit) -> Self {
        let (kept, evidence) = channel();
        let recorder = Recorder::start(vec![Box::new(Kept(kept))], Origin::default(), None).unwrap();
        let (recorder, clock) = (Arc::new(recorder), Arc::new(Clock::new(WeekMinute::default())));
        let conduit = Conduit::new(engine, upstream, Options::default(), clock, Arc::clone(&recorder));
        let conduit = Arc::new(change(conduit));
        let mut options = server::Options::default();
        options.connections = 4_096;
        let server = Server::bind(&"tcp://127.0.0.1:0".parse().unwrap(), options).unwrap();
        let (address, stop) = (server.local_addr().unwrap(), server.stop_handle());
        let served = tokio::spawn(server.relay(Arc::clone(&conduit)));
        Stand { address, conduit, recorder, evidence, stop, served }
    }

    /// The next record, which is there soon.
    #[track_caller]
    pub fn told(&self) -> Json {
        self.evidence.recv_timeout(Duration::from_secs(20)).expect("a record")
    }

    /// The next record's verdict and reason.
    #[track_caller]
    pub fn reason(&self) -> (String, String) {
        let told = self.told();
        let word = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
        (word("verdict"), word("reason"))
    }

    /// That nothing is recorded that was not asked for.
    #[track_caller]
    pub fn silent(&self) {
        self.recorder.finish();
        let more: Vec<Json> = self.evidence.try_iter().collect();
        assert!(more.is_empty(), "{more:?}");
    }
}

/// A client.
pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    /// From 127.0.0.`host`.
    pub async fn connect(to: SocketAddr, host: u8) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(IpAddr::from([127, 0, 0, host]), 0)).unwrap();
        let stream = socket.connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// The next frame: id, unit, PDU; `None` when the connection has ended.
    pub async fn receive(&mut self) -> Option<(u16, u8, Vec<u8>)> {
        let mut header = [0; 7];
        self.stream.read_exact(&mut header).await.ok()?;
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let mut pdu = vec![0; length - 1];
        self.stream.read_exact(&mut pdu).await.ok()?;
        Some((u16::from_be_bytes([header[0], header[1]]), header[6], pdu))
    }

    /// Asks unit 3, and waits for the answer.
    pub async fn ask(&mut self, id: u16, pdu: &[u8]) -> Option<Vec<u8>> {
        self.send(&crate::link::mbap(id, 3, pdu)).await;
        let (got, unit, pdu) = self.receive().await?;
        assert_eq!((got, unit), (id, 3));
        Some(pdu)
    }

    /// How the connection has ended: with a reset, or as connections do; `None` if it has not.
    pub async fn ended(&mut self) -> Option<Ended> {
        for _ in 0..20 {
            crate::clock::settle().await;
            match self.stream.try_read(&mut [0; 512]) {
                Ok(0) => return Some(Ended::Closed),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return Some(Ended::Reset),
            }
        }
        None
    }

    /// Waits for the end.
    pub async fn end(&mut self) -> Ended {
        let mut room = [0; 512];
        loop {
            match self.stream.read(&mut room).await {
                Ok(0) => return Ended::Closed,
                Ok(_) => {}
                Err(_) => return Ended::Reset,
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    Closed,
    Reset,
}
