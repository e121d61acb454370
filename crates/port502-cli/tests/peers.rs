//! Real Modbus programs talk with ours, both ways: their clients with `port502 serve`, our `read` and `write` with
//! their servers.
//!
//! `cargo xtask test` installs the peers and sets `PORT502_PEERS` to where they are and `PORT502_REQUIRE_PEERS=1`, so
//! that a missing one is a failure. Without them, as under a bare `cargo test`, each test here says that it is skipped.
//! To run this file alone:
//!
//! ```sh
//! PORT502_PEERS=$(cargo xtask peers | tail -1) cargo test -p port502-cli --test peers
//! ```
//!
//! The scripts lie in `tests/peers` of the workspace. What a foreign client checks of our server stands there; what our
//! client must make of a foreign server stands here, in [`READS`] and below it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

// ---- the peers ----------------------------------------------------------------------------------------------------

/// A library with a client that checks our server, and a server that holds [the pattern](holds).
struct Peer {
    client: Program,
    server: Program,
    /// The vendor its server tells with function 43/14, where it knows that function.
    vendor: Option<&'static str>,
}

/// How a program of a peer is started.
#[derive(Clone, Copy)]
enum Program {
    Python(&'static str),
    Node(&'static str),
    /// Built from `tests/peers/c`.
    Built(&'static str),
}

const PYMODBUS: Peer = Peer {
    client: Program::Python("pymodbus_client.py"),
    server: Program::Python("pymodbus_server.py"),
    vendor: Some("pymodbus peer"),
};

const LIBMODBUS: Peer = Peer {
    client: Program::Built("libmodbus_client"),
    server: Program::Built("libmodbus_server"),
    vendor: None,
};

const MODBUS_SERIAL: Peer = Peer {
    client: Program::Node("modbus_serial_client.js"),
    server: Program::Node("modbus_serial_server.js"),
    vendor: Some("modbus-serial peer"),
};

#[test]
fn pymodbus_is_served() {
    is_served(&PYMODBUS, "tcp");
}

#[test]
fn libmodbus_is_served() {
    is_served(&LIBMODBUS, "tcp");
}

#[test]
fn modbus_serial_is_served_with_20_requests_in_flight() {
    is_served(&MODBUS_SERIAL, "tcp");
}

#[test]
fn pymodbus_is_served_behind_a_gateway() {
    is_served_by(&PYMODBUS, "tcp", &None, &behind_a_gateway(), BEHIND_A_GATEWAY);
}

#[test]
fn libmodbus_is_served_behind_a_gateway() {
    is_served_by(&LIBMODBUS, "tcp", &None, &behind_a_gateway(), &[]);
}

#[test]
fn pymodbus_serves_us() {
    serves_us(&PYMODBUS, "tcp");
}

#[test]
fn pymodbus_is_served_over_udp() {
    is_served(&PYMODBUS, "udp");
}

#[test]
fn pymodbus_serves_us_over_udp() {
    serves_us(&PYMODBUS, "udp");
}

#[test]
fn pymodbus_is_served_over_rtu_in_a_stream() {
    is_served(&PYMODBUS, "rtu+tcp");
}

#[test]
fn pymodbus_serves_us_over_rtu_in_a_stream() {
    serves_us(&PYMODBUS, "rtu+tcp");
}

#[cfg(unix)]
#[test]
fn pymodbus_is_served_over_rtu() {
    is_served(&PYMODBUS, "rtu");
}

#[cfg(unix)]
#[test]
fn pymodbus_serves_us_over_rtu() {
    serves_us(&PYMODBUS, "rtu");
}

#[cfg(unix)]
#[test]
fn pymodbus_is_served_over_ascii() {
    is_served(&PYMODBUS, "ascii");
}

#[cfg(unix)]
#[test]
fn pymodbus_serves_us_over_ascii() {
    serves_us(&PYMODBUS, "ascii");
}

#[cfg(unix)]
#[test]
fn libmodbus_is_served_over_rtu() {
    is_served(&LIBMODBUS, "rtu");
}

#[cfg(unix)]
#[test]
fn libmodbus_serves_us_over_rtu() {
    serves_us(&LIBMODBUS, "rtu");
}

#[test]
fn pymodbus_is_served_over_tls() {
    is_served(&PYMODBUS, "tls");
}

#[test]
fn pymodbus_serves_us_over_tls() {
    serves_us(&PYMODBUS, "tls");
}

#[test]
fn libmodbus_serves_us() {
    serves_us(&LIBMODBUS, "tcp");
}

#[test]
fn modbus_serial_serves_us() {
    serves_us(&MODBUS_SERIAL, "tcp");
}

// ---- their clients, our water works ------------------------------------------------------------------------------

/// `port502 serve --site sites/waterworks.toml`, whose time passes 200 times as fast as ours.
fn our_waterworks() -> Server {
    let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sites/waterworks.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_port502"));
    command.args(["serve", "--listen", "tcp://127.0.0.1:0", "--speed", "200x", "--site"]).arg(site);
    Server::start(&mut command, "listening on tcp://127.0.0.1:")
}

#[test]
fn pymodbus_steers_the_water_works() {
    let Some(peers) = Peers::find() else { return };
    let server = our_waterworks();
    let mut client = peers.command(&Program::Python("pymodbus_waterworks.py"));
    let done = finish(client.args(["127.0.0.1", &server.port.to_string()]));
    let wrong: Vec<&str> = done.stdout.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(wrong.is_empty() && done.status.success(), "{}\n{done:?}\n{}", wrong.join("\n"), server.said());
    assert!(done.stdout.lines().filter(|line| line.starts_with("ok ")).count() >= 15, "{done:?}");
}

#[test]
fn mbpoll_steers_the_water_works() {
    if Peers::find().is_none() {
        return;
    }
    let server = our_waterworks();
    let mbpoll = |arguments: &str, expected: i32| -> String {
        let mut command = Command::new("mbpoll");
        command.args(["-m", "tcp", "-p", &server.port.to_string(), "-0", "-1"]);
        let (options, values) = arguments.split_once(" = ").unwrap_or((arguments, ""));
        command.args(options.split_whitespace()).arg("127.0.0.1").args(values.split_whitespace());
        let done = finish(&mut command);
        assert_eq!(done.status.code(), Some(expected), "mbpoll {arguments}: {done:?}");
        let value = done.stdout.lines().find_map(|line| line.strip_prefix('[')?.split_once("]:"));
        value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let level: f64 = mbpoll("-a 3 -t 4:float -B -r 0 -c 1", 0).parse().unwrap();
    assert!((2.0..5.5).contains(&level), "{level} m");
    assert_eq!(mbpoll("-a 3 -t 4 -r 11 -c 1", 0), "1000");
    mbpoll("-a 3 -t 4 -r 11 = 0", 0);
    assert_eq!(mbpoll("-a 3 -t 4 -r 11 -c 1", 0), "0");
    let began = std::time::Instant::now();
    while mbpoll("-a 3 -t 4:float -B -r 0 -c 1", 0).parse::<f64>().unwrap() < level + 0.2 {
        assert!(began.elapsed() < PATIENCE, "the level does not rise");
    }
    mbpoll("-a 3 -t 4 -r 11 = 1001", 1);
    mbpoll("-a 3 -t 4:float -B -r 0 = 1.5", 1);
    // A switch: the booster stops, and the town's pressure goes.
    assert_eq!(mbpoll("-a 4 -t 0 -r 0 -c 1", 0), "1");
    mbpoll("-a 4 -t 0 -r 0 = 0", 0);
    while mbpoll("-a 4 -t 1 -r 0 -c 1", 0) != "0" {
        assert!(began.elapsed() < PATIENCE, "the booster does not stop");
    }
}

// ---- their clients, our server ------------------------------------------------------------------------------------

/// The peer's client finds nothing wrong with our server on a link.
fn is_served(peer: &Peer, link: &str) {
    if Peers::find().is_some() {
        let wire = Wire::for_link(link);
        is_served_by(peer, link, &wire, &our_server(link, &wire), &[]);
    }
}

/// What a gateway changes: it answers what breaks the specification itself, so that the device counts one exception less
/// and logs one event less, and it says 0B where a device keeps silent.
const BEHIND_A_GATEWAY: &[&str] = &[
    "diag_read_bus_exception_error_count counts exceptions",
    "diag_get_comm_event_log",
    "diag_force_listen_only silences the server until diag_restart_communication",
];

/// Checks that come out `otherwise` are passed over.
fn is_served_by(peer: &Peer, link: &str, wire: &Option<Wire>, server: &Server, otherwise: &[&str]) {
    let Some(peers) = Peers::find() else { return };
    let mut client = peers.command(&peer.client);
    match wire {
        None => client.args(["127.0.0.1", &server.port.to_string()]),
        Some(wire) => client.arg(wire.far()),
    };
    match (peer.client, link, wire) {
        (_, "tcp", _) => {}
        (Program::Built(_), _, Some(_)) => drop(client.arg(link)),
        (_, _, Some(_)) => drop(client.args(["0", link])),
        _ => drop(client.arg(link)),
    }
    let done = finish(&mut client);
    let wrong: Vec<&str> = done
        .stdout
        .lines()
        .filter(|line| line.starts_with("FAIL") && !otherwise.iter().any(|check| line.contains(check)))
        .collect();
    assert!(
        wrong.is_empty() && (done.status.success() || !otherwise.is_empty()),
        "{}\n{}\n{}\nour server said:\n{}",
        wrong.join("\n"),
        done.status,
        if wrong.is_empty() { &done.stdout } else { &done.stderr },
        server.said(),
    );
    assert!(done.stdout.lines().any(|line| line.starts_with("ok ")), "it checked nothing: {done:?}");
}

#[test]
fn mbpoll_is_served() {
    mbpoll_finds_nothing_wrong("tcp");
}

#[cfg(unix)]
#[test]
fn mbpoll_is_served_over_rtu() {
    mbpoll_finds_nothing_wrong("rtu");
}

#[test]
fn mbpoll_is_served_behind_a_gateway() {
    if Peers::find().is_some() {
        mbpoll_is_served_by(&None, &behind_a_gateway());
    }
}

/// mbpoll is a program of its own, with nothing of ours around it.
fn mbpoll_finds_nothing_wrong(link: &str) {
    if Peers::find().is_some() {
        let wire = Wire::for_link(link);
        mbpoll_is_served_by(&wire, &our_server(link, &wire));
    }
}

fn mbpoll_is_served_by(wire: &Option<Wire>, server: &Server) {
    let mbpoll = |arguments: &str, expected: i32| {
        let mut command = Command::new("mbpoll");
        let place = match wire {
            None => {
                command.args(["-m", "tcp", "-p", &server.port.to_string()]);
                "127.0.0.1"
            }
            Some(wire) => {
                command.args(["-m", "rtu", "-b", "115200", "-P", "none"]);
                wire.far()
            }
        };
        command.args(["-a", "1", "-0", "-1"]);
        let (options, values) = arguments.split_once(" = ").unwrap_or((arguments, ""));
        command.args(options.split_whitespace()).arg(place).args(values.split_whitespace());
        let done = finish(&mut command);
        assert_eq!(done.status.code(), Some(expected), "mbpoll {arguments}: {done:?}");
        done
    };
    // It prints each value as `[100]: <tab>1234`, and from 32768 on the signed value behind it.
    let values = |done: &Done| -> Vec<(u32, String)> {
        let lines = done.stdout.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]:"));
        lines.map(|(at, value)| (at.parse().unwrap(), value.trim().to_owned())).collect()
    };
    #[track_caller]
    fn same(got: Vec<(u32, String)>, first: u32, want: &[&str]) {
        let want: Vec<(u32, String)> = (first..).zip(want.iter().map(|&value| value.to_owned())).collect();
        assert_eq!(got, want);
    }

    same(values(&mbpoll("-t 4 -r 100 -c 3", 0)), 100, &["0", "0", "0"]);
    mbpoll("-t 4 -r 100 = 1234 65535", 0);
    mbpoll("-t 4 -r 200 = 7", 0);
    same(values(&mbpoll("-t 4 -r 99 -c 4", 0)), 99, &["0", "1234", "65535 (-1)", "0"]);
    same(values(&mbpoll("-t 4:hex -r 100 -c 2", 0)), 100, &["0x04D2", "0xFFFF"]);
    same(values(&mbpoll("-t 4:float -B -r 300 -c 1", 0)), 300, &["0"]);
    mbpoll("-t 4:float -B -r 300 = 1.5", 0);
    same(values(&mbpoll("-t 4:float -B -r 300 -c 1", 0)), 300, &["1.5"]);
    same(values(&mbpoll("-t 4:hex -r 300 -c 2", 0)), 300, &["0x3FC0", "0x0000"]);
    mbpoll("-t 0 -r 10 = 1 0 1", 0);
    mbpoll("-t 0 -r 20 = 1", 0);
    same(values(&mbpoll("-t 0 -r 9 -c 5", 0)), 9, &["0", "1", "0", "1", "0"]);
    same(values(&mbpoll("-t 0 -r 20 -c 1", 0)), 20, &["1"]);
    same(values(&mbpoll("-t 1 -r 0 -c 3", 0)), 0, &["0", "0", "0"]);
    same(values(&mbpoll("-t 3 -r 0 -c 125", 0)), 0, &["0"; 125]);
    let refused = mbpoll("-t 4 -r 65535 -c 2", 1);
    assert!(refused.stderr.contains("Illegal data address"), "{refused:?}");
}

// ---- our client, their servers ------------------------------------------------------------------------------------

/// What a peer's server holds at the addresses 0 to 1023.
fn holds(table: &str, address: u64) -> u64 {
    match table {
        "holding" => address ^ 0xA5C3,
        "input" => address,
        "coil" => u64::from(address.is_multiple_of(3)),
        "discrete" => u64::from(address.is_multiple_of(5)),
        other => panic!("no table is called {other}"),
    }
}

/// A table, the first address, and how many.
type Range = (&'static str, u64, u64);

/// Points to read together, and each range that they mean.
const READS: &[(&str, &[Range])] = &[
    ("h:100", &[("holding", 100, 1)]),
    ("h:100*10 c:0*16", &[("holding", 100, 10), ("coil", 0, 16)]),
    ("h:0*3 i:0*3 c:0*3 d:0*3", &[("holding", 0, 3), ("input", 0, 3), ("coil", 0, 3), ("discrete", 0, 3)]),
    (
        "holding:1023 input:1023 coil:1023 discrete:1023",
        &[("holding", 1023, 1), ("input", 1023, 1), ("coil", 1023, 1), ("discrete", 1023, 1)],
    ),
    // At the limit of one request, over it, and over it twice.
    ("h:3*125", &[("holding", 3, 125)]),
    ("h:3*126", &[("holding", 3, 126)]),
    ("i:0*1024", &[("input", 0, 1024)]),
    ("c:1*1023", &[("coil", 1, 1023)]),
    // Reference notation: 1-based.
    (
        "40101 30008 400101 4x101",
        &[("holding", 100, 1), ("input", 7, 1), ("holding", 100, 1), ("holding", 100, 1)],
    ),
    // The same place twice is told twice.
    ("h:5 h:5", &[("holding", 5, 1), ("holding", 5, 1)]),
];

/// One point of a type, and its value. Input register a holds a.
const TYPED: &[(&str, i64)] = &[
    ("i:1:u16", 1),
    ("i:1:u32", 0x0001_0002),
    ("i:1:u32:cdab", 0x0002_0001),
    ("i:1:u32:badc", 0x0100_0200),
    ("i:1:u32:dcba", 0x0200_0100),
    ("i:1:i32", 0x0001_0002),
    ("i:1:u64", 0x0001_0002_0003_0004),
    // Holding register 0 holds 0xA5C3.
    ("h:0:i16", 0xA5C3 - 0x1_0000),
];

/// Our client reads, writes and is refused by the peer's server as it should be.
fn serves_us(peer: &Peer, link: &str) {
    let Some(peers) = Peers::find() else { return };
    let wire = Wire::for_link(link);
    let server = peers.server(&peer.server, link, &wire);
    let target = match &wire {
        None => format!("{link}://127.0.0.1:{}{}", server.port, shown(link, "client")),
        Some(wire) => format!("{link}://{}?baud=115200", wire.near()),
    };
    let run = |verb: &str, rest: &str, expected: i32| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_port502"));
        command.args([verb, &target]).args(rest.split_whitespace());
        let done = finish(&mut command);
        assert_eq!(done.status.code(), Some(expected), "port502 {verb} {target} {rest}: {done:?}");
        done
    };
    let read = |points: &str| read_values(&run("read", &format!("{points} --unit 1 --json"), 0).stdout);

    for (points, ranges) in READS {
        let want: Vec<Read> = ranges
            .iter()
            .flat_map(|&(table, start, count)| (start..start + count).map(move |address| (table, address)))
            .map(|(table, address)| (table.to_owned(), address, holds(table, address).cast_signed()))
            .collect();
        assert_eq!(read(points), want, "read {points}");
    }
    for &(point, want) in TYPED {
        let got: Vec<i64> = read(point).into_iter().map(|(_, _, value)| value).collect();
        assert_eq!(got, [want], "read {point}");
    }

    run("write", "h:200=1234 c:5=1 --unit 1 --verify", 0);
    run("write", "h:300:i16=-2 h:301=0xBEEF c:6=0 --unit 1", 0);
    let row = |table: &str, address, value| (table.to_owned(), address, value);
    assert_eq!(read("h:200 c:5 c:6"), [row("holding", 200, 1234), row("coil", 5, 1), row("coil", 6, 0)]);
    assert_eq!(read("h:300*2"), [row("holding", 300, 0xFFFE), row("holding", 301, 0xBEEF)]);
    // The neighbours keep what they held.
    assert_eq!(
        read("h:199 h:201 h:302").iter().map(|read| read.2).collect::<Vec<_>>(),
        [
            holds("holding", 199).cast_signed(),
            holds("holding", 201).cast_signed(),
            holds("holding", 302).cast_signed(),
        ]
    );
    // --dry-run sends nothing.
    run("write", "h:200=4321 --unit 1 --dry-run", 0);
    assert_eq!(read("h:200"), [row("holding", 200, 1234)]);

    // An exception has its own exit code, and says where and which.
    for beyond in ["h:1024", "i:60000", "h:1000*100"] {
        let refused = run("read", &format!("{beyond} --unit 1"), 5);
        assert!(refused.stderr.contains("llegal data address"), "read {beyond}: {refused:?}");
        assert_eq!(refused.stderr.trim_end().lines().count(), 1, "one line: {refused:?}");
    }
    run("write", "h:1024=1 --unit 1", 5);

    if let Some(vendor) = peer.vendor {
        let identity = run("identify", "--unit 1", 0);
        assert!(identity.stdout.contains(vendor), "{identity:?}");
    }
}

/// Table, address and value, as one line of `read --json` tells them.
type Read = (String, u64, i64);

/// The lines of `read --json`. A bit is 0 or 1 here, however it is written.
#[track_caller]
fn read_values(stdout: &str) -> Vec<Read> {
    let value = |line: &str| -> Option<Read> {
        let object: Value = serde_json::from_str(line).ok()?;
        let value = object.get("value")?;
        let number = value.as_bool().map(i64::from).or_else(|| value.as_i64())?;
        Some((object.get("table")?.as_str()?.to_owned(), object.get("address")?.as_u64()?, number))
    };
    stdout
        .lines()
        .map(|line| value(line).unwrap_or_else(|| panic!("table, address and value in {line}")))
        .collect()
}

// ---- running programs ---------------------------------------------------------------------------------------------

/// Nothing here takes longer, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Where the peers were made ready.
struct Peers {
    directory: PathBuf,
}

impl Peers {
    /// `None`, with a word about it, when they are not there and need not be.
    fn find() -> Option<Self> {
        match std::env::var_os("PORT502_PEERS") {
            Some(directory) => Some(Self { directory: directory.into() }),
            None if std::env::var_os("PORT502_REQUIRE_PEERS").is_some_and(|required| required == "1") => {
                panic!("PORT502_REQUIRE_PEERS=1, but PORT502_PEERS does not say where they are")
            }
            None => {
                eprintln!(
                    "skipped: PORT502_PEERS is not set; `cargo xtask test` installs the peers and runs this"
                );
                None
            }
        }
    }

    fn command(&self, program: &Program) -> Command {
        let mut command = self.plain_command(program);
        command.env("PORT502_PKI", pki());
        command
    }

    fn plain_command(&self, program: &Program) -> Command {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers");
        match program {
            Program::Python(script) => {
                let mut command = Command::new(self.directory.join("venv/bin/python"));
                // Without .pyc files beside the sources.
                command.arg("-B").arg(sources.join(script));
                command
            }
            Program::Node(script) => {
                let mut command = Command::new("node");
                command
                    .env("NODE_PATH", self.directory.join("node/node_modules"))
                    .arg(sources.join("node").join(script));
                command
            }
            Program::Built(name) => Command::new(self.directory.join(name)),
        }
    }

    /// A peer's server, which says `listening PORT` and ends when its standard input does.
    fn server(&self, program: &Program, link: &str, wire: &Option<Wire>) -> Server {
        let mut command = self.command(program);
        command.arg(wire.as_ref().map_or("0", |wire| wire.far()));
        if link != "tcp" {
            command.arg(link);
        }
        Server::start(&mut command, "listening ")
    }
}

/// `port502 serve`, which offers every unit, 65,536 of each table, and all functions.
fn our_server(link: &str, wire: &Option<Wire>) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_port502"));
    let (place, announcement) = match wire {
        None => {
            let place = format!("{link}://127.0.0.1:0{}", shown(link, "server"));
            (place, format!("listening on {link}://127.0.0.1:"))
        }
        Some(wire) => {
            let place = format!("{link}://{}?baud=115200", wire.near());
            let announcement = format!("listening on {place}");
            (place, announcement)
        }
    };
    command.args(["serve", "--listen", &place, "--preset", "full"]);
    if link == "tls" {
        command.arg("--rights").arg(pki().join("rights.csv"));
    }
    Server::start(&mut command, &announcement)
}

/// The query of a target with which one of the certificates is shown; empty for links without TLS.
fn shown(link: &str, who: &str) -> String {
    match link {
        "tls" => format!("?cert={}", pki().join(format!("{who}.pem")).display()),
        _ => String::new(),
    }
}

/// A folder that `port502 cert` has filled, once for this process, with rights to do everything.
fn pki() -> &'static Path {
    static PKI: OnceLock<PathBuf> = OnceLock::new();
    PKI.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("peers-pki-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        for (rest, out) in [
            ("ca", ""),
            ("server --ip 127.0.0.1", "server.pem"),
            ("client --name panel --role operator", "client.pem"),
        ] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_port502"));
            command.arg("cert").args(rest.split(' ')).arg("--dir").arg(&folder);
            if !out.is_empty() {
                command.arg("--out").arg(folder.join(out));
            }
            let done = finish(&mut command);
            assert!(done.status.success(), "{done:?}");
        }
        std::fs::write(folder.join("rights.csv"), "role,access\noperator,rw\n").unwrap();
        folder
    })
}

/// Two serial ports, joined by a wire: pseudo terminals, whose other ends are copied to each other.
struct Wire {
    ends: [String; 2],
}

impl Wire {
    /// What a link needs beside the network.
    fn for_link(link: &str) -> Option<Wire> {
        matches!(link, "rtu" | "ascii").then(Wire::lay)
    }

    /// The end at which we are, and that of the peer.
    fn near(&self) -> &str {
        &self.ends[0]
    }

    fn far(&self) -> &str {
        &self.ends[1]
    }

    #[cfg(not(unix))]
    fn lay() -> Wire {
        panic!("pseudo terminals are only there on Unix")
    }

    #[cfg(unix)]
    fn lay() -> Wire {
        use std::fs::File;
        use std::io::{Read as _, Write as _};

        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

        let end = || {
            let inner = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
            grantpt(&inner).unwrap();
            unlockpt(&inner).unwrap();
            let path = ptsname(&inner, Vec::new()).unwrap().into_string().unwrap();
            // Held open, so that the wire stays when a program goes; raw, so that nothing is echoed before it comes.
            let held = File::options().read(true).write(true).open(&path).unwrap();
            let mut settings = tcgetattr(&held).unwrap();
            settings.make_raw();
            tcsetattr(&held, OptionalActions::Now, &settings).unwrap();
            (File::from(inner), held, path)
        };
        let ((a, a_held, a_path), (b, b_held, b_path)) = (end(), end());
        let copy = |mut from: File, mut to: File, held: File| {
            // It ends with the test's process.
            thread::spawn(move || {
                let _held = held;
                let mut bytes = [0; 1024];
                while let Ok(read @ 1..) = from.read(&mut bytes) {
                    to.write_all(bytes.get(..read).unwrap_or_default()).unwrap();
                }
            });
        };
        copy(a.try_clone().unwrap(), b.try_clone().unwrap(), a_held);
        copy(b, a, b_held);
        Wire { ends: [a_path, b_path] }
    }
}

/// The same server, and `port502 gateway` in front of it.
fn behind_a_gateway() -> Server {
    let device = our_server("tcp", &None);
    let mut command = Command::new(env!("CARGO_BIN_EXE_port502"));
    let to = format!("tcp://127.0.0.1:{}", device.port);
    command.args(["gateway", "--listen", "tcp://127.0.0.1:0", "--to", &to]);
    let mut gateway = Server::start(&mut command, "listening on tcp://127.0.0.1:");
    gateway.behind = Some(Box::new(device));
    gateway
}

/// A running server. Dropped, it is gone.
struct Server {
    port: u16,
    /// What it needs, and what ends with it.
    behind: Option<Box<Server>>,
    child: Child,
    /// Open for as long as the server shall live.
    _stdin: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
}

impl Server {
    /// Starts it and waits for its first line, which is `announcement` and the port.
    #[track_caller]
    fn start(command: &mut Command, announcement: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let said = Arc::new(Mutex::new(String::new()));
        let (first, port) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = BufReader::new(child.stderr.take().unwrap());
        // Both are read to their ends: a server whose pipe is full stands still.
        let log = Arc::clone(&said);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = first.send(line.clone());
                *log.lock().unwrap() += &(line + "\n");
            }
        });
        let log = Arc::clone(&said);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                *log.lock().unwrap() += &(line + "\n");
            }
        });
        let mut server = Self { port: 0, behind: None, _stdin: child.stdin.take(), child, said };
        let first = port.recv_timeout(PATIENCE);
        // Behind a serial port stands no number.
        let announced = first.as_deref().ok().and_then(|line| match line.strip_prefix(announcement)? {
            "" => Some(0),
            // Behind the port may stand which certificate it shows.
            port => port.split('?').next()?.parse().ok(),
        });
        server.port = announced.unwrap_or_else(|| {
            panic!(
                "the first line of {command:?}: want `{announcement}PORT`, got {first:?}\n{}",
                server.said()
            )
        });
        server
    }

    fn said(&self) -> String {
        let behind = self.behind.as_ref().map(|server| server.said()).unwrap_or_default();
        self.said.lock().unwrap().clone() + &behind
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a program ended and what it said.
#[derive(Debug)]
struct Done {
    status: ExitStatus,
    stdout: String,
    stderr: String,
}

/// Runs a program to its end, and no longer than [`PATIENCE`].
#[track_caller]
fn finish(command: &mut Command) -> Done {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let (stdout, stdout_all) = collect(child.stdout.take().unwrap());
    let (stderr, stderr_all) = collect(child.stderr.take().unwrap());
    // Its output ends when it does.
    let in_time = stdout_all.recv_timeout(PATIENCE).is_ok() && stderr_all.recv_timeout(PATIENCE).is_ok();
    if !in_time {
        let _ = child.kill();
    }
    let status = child.wait().unwrap();
    let done = Done { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() };
    assert!(in_time, "{command:?} did not end within {PATIENCE:?}: {done:?}");
    done
}

/// Reads a pipe to its end, and tells when that is reached.
fn collect(mut pipe: impl std::io::Read + Send + 'static) -> (JoinHandle<String>, Receiver<()>) {
    let (ended, end) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = ended.send(());
        String::from_utf8_lossy(&bytes).into_owned()
    });
    (reader, end)
}
