//! The gateway as people start it: arguments, a file that is read again under load, metrics, and its end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::support::{Ran, Served, command, port502, serve};

/// Nothing here takes longer, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running gateway; it ends with this.
struct Gateway {
    child: Child,
    lines: Receiver<String>,
    target: String,
    metrics: Option<String>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gateway {
    fn start(args: &[&str]) -> Gateway {
        let mut child =
            command(&["gateway"]).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut gateway = Gateway { child, lines, target: String::new(), metrics: None };
        gateway.target = gateway.wait_for("listening on ");
        gateway
    }

    /// What follows `start` in the next line that begins with it.
    #[track_caller]
    fn wait_for(&self, start: &str) -> String {
        let mut all = String::new();
        loop {
            let line =
                self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no `{start}` in:\n{all}"));
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
            all += &(line + "\n");
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    fn scrape(&self, path: &str) -> String {
        let address =
            self.metrics.as_deref().unwrap().trim_start_matches("http://").trim_end_matches("/metrics");
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }

    /// Ends it by Ctrl-C, and what it says then.
    fn interrupt(mut self) -> Ran {
        self.signal("-INT");
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let code = self.child.wait().unwrap().code().unwrap();
        Ran { code, out: String::new(), err }
    }
}

fn device(value: u16) -> Served {
    serve(&format!("holding,0,u16,,,{value},rw\nholding,1,u16,,99,,rw\n"))
}

#[track_caller]
fn holds(gateway: &Gateway, unit: &str, want: &str) {
    let ran = port502(&["read", &gateway.target, "h:0", "--unit", unit, "--csv"]);
    let value = ran.out.lines().nth(1).and_then(|line| line.split(',').nth(8).map(str::to_owned));
    assert_eq!(value.as_deref(), Some(want), "unit {unit}: {ran:?}");
}

#[test]
fn units_lead_where_the_arguments_say_and_the_end_comes_with_a_summary() {
    let (a, b) = (device(111), device(222));
    let to = [format!("1-5={}", a.target), format!("6,7={}", b.target)];
    let args = ["--listen", "tcp://127.0.0.1:0", "--to", &to[0], "--to", &to[1], "--map", "50=6"];
    let mut gateway = Gateway::start(&[&args[..], &["--metrics", "127.0.0.1:0"]].concat());
    gateway.metrics = Some(gateway.wait_for("metrics on "));
    for (unit, value) in [("1", "111"), ("5", "111"), ("6", "222"), ("7", "222"), ("50", "222")] {
        holds(&gateway, unit, value);
    }
    let lost = port502(&["read", &gateway.target, "h:0", "--unit", "8"]);
    assert_eq!(lost.code, 5);
    assert!(lost.err.contains("exception 0A gateway path unavailable"), "{lost:?}");

    let page = gateway.scrape("/metrics");
    let link = a.target.clone();
    for want in [
        "HTTP/1.1 200 OK".to_owned(),
        "# TYPE port502_gateway_requests counter".to_owned(),
        format!("port502_gateway_requests_total{{link=\"{link}\"}} 2"),
        format!("port502_gateway_answered_total{{link=\"{link}\"}} 2"),
        format!("port502_gateway_connected{{link=\"{link}\"}} 1"),
        format!("port502_gateway_unit_breaker{{link=\"{link}\",unit=\"5\",state=\"closed\"}} 1"),
        "port502_gateway_unrouted_total 1".to_owned(),
        "# EOF".to_owned(),
    ] {
        assert!(page.contains(&want), "want {want} in:\n{page}");
    }
    assert!(gateway.scrape("/").starts_with("HTTP/1.1 404"));
    // Those who say nothing hold nobody up: the oldest go.
    let address =
        gateway.metrics.as_deref().unwrap()["http://".len()..].trim_end_matches("/metrics").to_owned();
    let mut silent: Vec<_> = (0..20).map(|_| TcpStream::connect(&address).unwrap()).collect();
    assert!(gateway.scrape("/metrics").starts_with("HTTP/1.1 200"));
    silent[0].set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(silent[0].read(&mut [0]).unwrap(), 0);

    let ended = gateway.interrupt();
    assert_eq!(ended.code, 0, "{ended:?}");
    let want = format!(
        "passed on 6 requests\n{}: 2 requests sent, 2 answered\n{}: 3 requests sent, 3 answered\n",
        a.target, b.target
    );
    assert_eq!(ended.err, want);
}

#[test]
fn an_upstream_that_is_not_there_is_told_at_once() {
    // A port that was just free, and on which nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let to = format!("tcp://{free}");
    let gateway = Gateway::start(&["--listen", "tcp://127.0.0.1:0", "--to", &to]);
    let lost = port502(&["read", &gateway.target, "h:0", "--timeout", "30s"]);
    assert_eq!(lost.code, 5, "{lost:?}");
    assert!(lost.err.contains("exception 0A gateway path unavailable"), "{lost:?}");
}

/// Clients that ask without a pause, until they are stopped. Whatever is not the value of a known device is a failure.
struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    clients: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(target: &str, values: &'static [u16]) -> Load {
        let (stop, answers) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let address = target.trim_start_matches("tcp://").to_owned();
        let client = |n: u16| {
            let (stop, answers, address) = (Arc::clone(&stop), Arc::clone(&answers), address.clone());
            std::thread::spawn(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut k = 0_u16;
                while !stop.load(Relaxed) {
                    k = k.wrapping_add(1);
                    let [t1, t0] = (k ^ n << 8).to_be_bytes();
                    stream.write_all(&[t1, t0, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]).unwrap();
                    let mut frame = [0; 11];
                    stream.read_exact(&mut frame).expect("a client was dropped");
                    assert_eq!(frame[..9], [t1, t0, 0, 0, 0, 5, 1, 3, 2], "{frame:02x?}");
                    let value = u16::from_be_bytes([frame[9], frame[10]]);
                    assert!(values.contains(&value), "{value}");
                    answers.fetch_add(1, Relaxed);
                }
            })
        };
        let clients = (0..8).map(client).collect();
        Load { stop, answers, clients }
    }

    /// Waits until so many more answers have come.
    fn goes_on(&self) {
        let start = self.answers.load(Relaxed);
        while self.answers.load(Relaxed) < start + 200 {
            assert!(self.clients.iter().all(|client| !client.is_finished()), "a client has ended");
            std::thread::yield_now();
        }
    }

    fn end(self) {
        self.stop.store(true, Relaxed);
        for client in self.clients {
            client.join().expect("no client lost anything");
        }
    }
}

#[test]
fn a_file_is_read_again_under_load_without_a_client_noticing() {
    let (a, b) = (device(111), device(222));
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-gateway.toml", std::process::id()));
    let write = |links: &str| {
        let text = format!("[gateway]\nlisten = [\"tcp://127.0.0.1:0\"]\n\n{links}");
        std::fs::write(&path, text).unwrap();
    };
    let first = format!("[link.a]\nconnect = \"{}\"\nunits = \"1\"\n", a.target);
    write(&first);
    let gateway = Gateway::start(&[path.to_str().unwrap()]);
    let load = Load::start(&gateway.target, &[111, 222]);
    load.goes_on();

    // Another link, and other options of the one that is there.
    write(&format!("{first}timeout = \"5s\"\nin_flight = 8\n\n[link.b]\nconnect = \"{}\"\n", b.target));
    gateway.signal("-HUP");
    gateway.wait_for("the file was read again");
    holds(&gateway, "2", "222");
    load.goes_on();

    // What is wrong is refused as a whole.
    write(&format!("[link.a]\nconnect = \"{}\"\nunits = \"1\"\ntimeout = \"5\"\n", b.target));
    gateway.signal("-HUP");
    gateway.wait_for("that is wrong; everything stays as it was");
    holds(&gateway, "1", "111");
    holds(&gateway, "2", "222");
    load.goes_on();

    // The device of the link that everybody uses is another one.
    write(&format!("[link.a]\nconnect = \"{}\"\nunits = \"1\"\n", b.target));
    gateway.signal("-HUP");
    gateway.wait_for("the file was read again");
    load.goes_on();
    holds(&gateway, "1", "222");
    load.end();

    let ended = gateway.interrupt();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("gateway.toml:7:11: "), "where it is wrong: {ended:?}");
    std::fs::remove_file(path).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_read_to_its_end_holds_up_nobody() {
    let a = device(111);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-pipe.toml", std::process::id()));
    let text = format!(
        "[gateway]\nlisten = [\"tcp://127.0.0.1:0\"]\n\n[link.a]\nconnect = \"{}\"\nunits = \"1\"\n",
        a.target
    );
    std::fs::write(&path, text).unwrap();
    let gateway = Gateway::start(&[path.to_str().unwrap()]);
    // In the place of a disk that hangs.
    std::fs::remove_file(&path).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    gateway.signal("-HUP");
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
    // There is a reader from when the gateway has it open.
    let _writer = loop {
        if let Ok(writer) = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()) {
            break writer;
        }
    };
    holds(&gateway, "1", "111");
    let ended = gateway.interrupt();
    assert_eq!(ended.code, 0, "{ended:?}");
    std::fs::remove_file(path).unwrap();
}

/// A device that counts its connections, and says when one ends.
fn counting_device() -> (String, Arc<AtomicU64>, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp://{}", listener.local_addr().unwrap());
    let count = Arc::<AtomicU64>::default();
    let ((sender, ends), counted) = (channel(), Arc::clone(&count));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Relaxed);
            let sender = sender.clone();
            std::thread::spawn(move || {
                let mut frame = [0; 12];
                while stream.read_exact(&mut frame).is_ok() {
                    let [t1, t0] = [frame[0], frame[1]];
                    stream.write_all(&[t1, t0, 0, 0, 0, 5, frame[6], 3, 2, 0, 77]).unwrap();
                }
                let _ = sender.send(());
            });
        }
    });
    (target, count, ends)
}

#[test]
fn a_link_that_is_dropped_is_closed_and_one_that_is_renamed_stays_though_idle_clients_stay() {
    let (a, b) = (counting_device(), device(222));
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-renamed.toml", std::process::id()));
    let write = |name: &str, target: &str| {
        let text =
            format!("[gateway]\nlisten = [\"tcp://127.0.0.1:0\"]\n\n[link.{name}]\nconnect = \"{target}\"\n");
        std::fs::write(&path, text).unwrap();
    };
    write("old", &a.0);
    let gateway = Gateway::start(&[path.to_str().unwrap()]);
    // It has asked once, and stays.
    let mut idle = TcpStream::connect(gateway.target.trim_start_matches("tcp://")).unwrap();
    idle.write_all(&[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]).unwrap();
    idle.read_exact(&mut [0; 11]).unwrap();

    // All addresses of a port that it has on one: it is in its own way.
    let text = std::fs::read_to_string(&path).unwrap();
    let all = gateway.target.replace("127.0.0.1", "0.0.0.0");
    std::fs::write(&path, text.replace("tcp://127.0.0.1:0", &all)).unwrap();
    gateway.signal("-HUP");
    gateway.wait_for("that is wrong; everything stays as it was");

    write("new", &a.0);
    gateway.signal("-HUP");
    gateway.wait_for("the file was read again");
    holds(&gateway, "1", "77");
    assert_eq!(a.1.load(Relaxed), 1, "connections to the device");

    write("new", &b.target);
    gateway.signal("-HUP");
    gateway.wait_for("the file was read again");
    a.2.recv_timeout(PATIENCE).expect("the connection to the device is closed");
    holds(&gateway, "1", "222");
    drop(idle);
    std::fs::remove_file(path).unwrap();
    let own = format!("cannot listen on {all}: this gateway itself listens on {}", gateway.target);
    let ended = gateway.interrupt();
    assert!(ended.err.contains(&own), "{ended:?}");
}

#[test]
fn what_is_wrong_is_said_before_anything_is_done() {
    let to = "tcp://127.0.0.1:1502";
    port502(&["gateway", "--to", to, "--to", "tcp://127.0.0.1:1503"]).fails(
        2,
        "--to tcp://127.0.0.1:1503: only one link can have all other units: say which units this one has",
    );
    port502(&["gateway", "--to", "1-3=tcp://127.0.0.1:1502", "--map", "9=7"])
        .fails(2, "--map 9=7: no --to has unit 7; add it to one");
    port502(&["gateway", "--to", "1=tcp://127.0.0.1:1502", "--to", "1=tcp://127.0.0.1:1503"])
        .fails(2, "--to tcp://127.0.0.1:1503: unit 1 is on another link too: which one is meant?");
    let ran = port502(&["gateway"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("--to"), "{ran:?}");
}
