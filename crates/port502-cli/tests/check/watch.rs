//! `--watch`: what comes and goes, until Ctrl-C.

use std::io::{BufRead as _, BufReader, Lines};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::support::{PORT502, echo, listener};

struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(port: u16, json: bool) -> Watch {
        let mut command = Command::new(PORT502);
        command.args(["check", "--watch", "--every", "100ms", "--port", &port.to_string()]);
        if json {
            command.arg("--json");
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Watch { child, lines }
    }

    /// The next line of which this is true.
    #[track_caller]
    fn until(&mut self, is: impl Fn(&str) -> bool) -> String {
        loop {
            let line = self.lines.next().unwrap().unwrap();
            if is(&line) {
                return line;
            }
        }
    }

    #[track_caller]
    fn until_json(&mut self, kind: &str, change: &str) -> Value {
        let is = |line: &str| {
            let value: Value = serde_json::from_str(line).unwrap();
            value["kind"] == kind && value["change"] == change
        };
        serde_json::from_str(&self.until(is)).unwrap()
    }

    /// Ctrl-C; the exit code, and what else it says.
    fn end(mut self) -> (i32, Vec<String>) {
        assert!(
            Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success()
        );
        let rest = self.lines.map(Result::unwrap).collect();
        (self.child.wait().unwrap().code().unwrap(), rest)
    }
}

#[test]
fn what_comes_and_goes_is_told() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    drop(held);
    let mut watch = Watch::start(port, true);
    watch.until(|line| line.contains("\"summary\""));

    let server = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(watch.until_json("listener", "new")["port"], port);
    assert_eq!(watch.until_json("finding", "new")["port"], port);
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let accepted = server.accept().unwrap();
    let peer = watch.until_json("peer", "new");
    assert!(peer["local"].as_str().unwrap().ends_with(&port.to_string()), "{peer}");
    drop((client, accepted));
    watch.until_json("peer", "gone");
    drop(server);
    assert_eq!(watch.until_json("listener", "gone")["port"], port);
    let (code, rest) = watch.end();
    assert_eq!(code, 0, "{rest:?}");
}

#[test]
fn the_last_look_gives_the_exit_code() {
    let port = listener("127.0.0.1:0", echo);
    let mut watch = Watch::start(port, false);
    watch.until(|line| line == "There is 1 thing to act on.");
    let (code, rest) = watch.end();
    assert_eq!(code, 10);
    assert!(rest.last().unwrap().ends_with(", 0 changes"), "{rest:?}");
}
