//! Programs that listen, networks to listen in, and what `check` says of both.

use std::fmt::Debug;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::thread;

use serde_json::Value;

pub(crate) const PORT502: &str = env!("CARGO_BIN_EXE_port502");

/// What a run of `check` gave.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Checked {
    fn from(output: Output) -> Self {
        Checked {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Checked {
    /// The objects of one kind that are about our own network namespace.
    pub(crate) fn kind(&self, kind: &str) -> Vec<Value> {
        let all = self.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        all.filter(|value| value["kind"] == kind && value.get("namespace").is_none_or(Value::is_null))
            .collect()
    }

    /// The findings as `port name`, those to be acted on with an exclamation mark. What other tests have in their networks is
    /// left out.
    pub(crate) fn findings(&self) -> Vec<String> {
        let mark = |finding: &Value| if finding["severity"] == "act" { "!" } else { "" };
        let all = self.kind("finding");
        let ours = all.iter().filter(|finding| finding["finding"] != "other-namespace");
        ours.map(|finding| {
            format!("{}{} {}", finding["port"], mark(finding), finding["finding"].as_str().unwrap())
        })
        .collect()
    }

    /// The only listener.
    #[track_caller]
    pub(crate) fn listener(&self) -> Value {
        let all = self.kind("listener");
        assert_eq!(all.len(), 1, "{self:#?}");
        all[0].clone()
    }

    #[track_caller]
    pub(crate) fn finds(&self, want: &[&str]) -> &Self {
        assert_eq!(self.findings(), want, "{self:#?}");
        let acts = want.iter().any(|finding| finding.contains('!'));
        assert_eq!((self.code, self.err.as_str()), (if acts { 10 } else { 0 }, ""), "{self:#?}");
        self
    }

    /// Every line fits a terminal of 80 columns.
    #[track_caller]
    pub(crate) fn fits(&self) {
        let wide: Vec<&str> = self.out.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(wide.is_empty() && !self.out.is_empty(), "{wide:#?}");
    }
}

/// Runs `check` as JSON.
pub(crate) fn check(arguments: &[&str]) -> Checked {
    run(Command::new(PORT502).args(["check", "--json"]).args(arguments))
}

/// Runs `check` for people.
pub(crate) fn page(arguments: &[&str]) -> Checked {
    run(Command::new(PORT502).arg("check").args(arguments))
}

pub(crate) fn run(command: &mut Command) -> Checked {
    command.stdin(Stdio::null()).output().unwrap().into()
}

// ---- listeners ----------------------------------------------------------------------------------------------------

/// A program that listens; it ends with this value.
pub(crate) struct Program {
    child: Child,
    /// It lives as long as this is open.
    stdin: Option<ChildStdin>,
    pub(crate) port: u16,
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    /// Starts it, and waits for the first line that begins so; the port is the last number of that line, where there is one.
    #[track_caller]
    pub(crate) fn start(command: &mut Command, begins: &str) -> Program {
        let shown = format!("{command:?}");
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let stdin = child.stdin.take();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with(begins) {
            line.clear();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "{shown} ended");
        }
        // What it goes on to print must not fill the pipe.
        thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        let port =
            line.trim().rsplit([':', ' ']).next().and_then(|text| text.parse().ok()).unwrap_or_default();
        Program { child, stdin, port }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Our own server.
#[track_caller]
pub(crate) fn serve(listen: &str) -> Program {
    Program::start(Command::new(PORT502).args(["serve", "--quiet", "--listen", listen]), "listening on ")
}

/// A listener in this process that does with each connection what it is told.
pub(crate) fn listener(at: &str, does: impl Fn(TcpStream) + Send + Clone + 'static) -> u16 {
    let listener = TcpListener::bind(at).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let does = does.clone();
            thread::spawn(move || does(stream));
        }
    });
    port
}

pub(crate) fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 256];
    while let Ok(len @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..len]).is_err() {
            break;
        }
    }
}

/// Whether this machine has IPv6.
pub(crate) fn has_v6() -> bool {
    let has = TcpListener::bind("[::1]:0").is_ok();
    if !has {
        println!("skipped in part: there is no IPv6 here");
    }
    has
}

// ---- peers --------------------------------------------------------------------------------------------------------

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/peers").canonicalize().unwrap()
}

/// A Python server of `tests/peers`, with the arguments of the program that runs it in front. `None` without the peers.
pub(crate) fn python(script: &str) -> Option<Vec<String>> {
    let directory = match std::env::var_os("PORT502_PEERS") {
        Some(directory) => PathBuf::from(directory),
        None if std::env::var_os("PORT502_REQUIRE_PEERS").is_some() => panic!("PORT502_PEERS is not set"),
        None => {
            println!("skipped: PORT502_PEERS is not set; `cargo xtask test` installs the peers");
            return None;
        }
    };
    let python = directory.join("venv/bin/python");
    assert!(python.exists(), "{}: run `cargo xtask peers`", python.display());
    Some(vec![python.display().to_string(), scripts().join(script).display().to_string()])
}

// ---- networks -----------------------------------------------------------------------------------------------------

/// Whether these tests may make networks.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    let root = String::from_utf8_lossy(&id.stdout).trim() == "0";
    if !root {
        println!("skipped: it needs root");
    }
    root
}

/// A machine of its own: network, processes and mounts. It ends with this value.
pub(crate) struct Machine {
    /// Its first process, as this machine numbers it.
    pid: u32,
    _first: Program,
}

impl Machine {
    /// Without a network but loopback.
    pub(crate) fn new() -> Machine {
        let unshare = "unshare --net --pid --mount --fork --kill-child --mount-proc";
        let mut command = Command::new("sh");
        // What it mounts is its own, and nobody else's: /srv holds the program, by a path that says nothing.
        let script = format!(
            "exec {unshare} sh -c 'ip link set lo up && mount -t tmpfs tmpfs /srv && touch /srv/port502 && \
             mount --bind {PORT502} /srv/port502 && echo ready && exec cat'"
        );
        let first = Program::start(command.args(["-c", &script]), "ready");
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", first.pid())).unwrap();
        Machine { pid: children.trim().parse().unwrap(), _first: first }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// A command that runs on it.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string(), "--net", "--pid", "--mount", program]);
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Lines of shell, each of which has to end well.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        let output = self.command("sh").args(["-ec", script]).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{script}\n{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn check(&self, arguments: &[&str]) -> Checked {
        run(self.command("/srv/port502").args(["check", "--json"]).args(arguments))
    }

    pub(crate) fn page(&self, arguments: &[&str]) -> Checked {
        run(self.command("/srv/port502").arg("check").args(arguments))
    }

    #[track_caller]
    pub(crate) fn serve(&self, listen: &str) -> Program {
        let mut command = self.command("/srv/port502");
        Program::start(command.args(["serve", "--quiet", "--listen", listen]), "listening on ")
    }

    /// A link to another machine: an interface here, and one with this name and address there.
    #[track_caller]
    pub(crate) fn link(&self, name: &str, address: &str, other: &Machine, there: &str) {
        // It is made from outside: the other's number is that of this machine's processes.
        let made = Command::new("ip")
            .args(["link", "add", name, "netns", &self.pid.to_string(), "type", "veth", "peer", "name", name])
            .args(["netns", &other.pid.to_string()])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        self.sh(&format!("ip addr add {address} dev {name}; ip link set {name} up"));
        other.sh(&format!("ip addr add {there} dev {name}; ip link set {name} up"));
    }
}
