//! The site of these tests, and a guard for it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::support::{Folder, Running};

/// A pump whose speed this machine may set, behind a conduit.
pub(crate) fn site(device: &str, listen: &str, more: &str) -> String {
    format!(
        r#"[site]
name = "Test works"
[role.operator]
may = ["write"]
[zone.control]
networks = ["127.0.0.1"]
roles = ["operator"]
[device.pump]
connect = "{device}"
unit = 3
fill = 0
[device.pump.tag]
level = {{ at = "holding:100", type = "u16" }}
speed = {{ at = "holding:200", type = "u16", range = [0, 500], write = {{ roles = ["operator"], min = 20, max = 500 }} }}
[guard.pump]
listen = ["{listen}"]
to = "pump"
allow = [{{ from = "control", do = "derived" }}]
{more}
"#
    )
}

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A device that holds whatever is written.
pub(crate) fn device(folder: &Folder) -> (Running, String) {
    let device = Running::start(folder.command("port502", &["serve", "--listen", "tcp://127.0.0.1:0"]));
    let line = device.says("listening on");
    let target = line.trim_start_matches("listening on ").trim().to_owned();
    (device, target)
}

/// The page of a guard that has said where its metrics are.
pub(crate) fn scrape(metrics: &str) -> String {
    let address = metrics.split("http://").nth(1).unwrap().trim_end_matches("/metrics");
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

/// What the system tells a process.
pub(crate) fn signal(running: &Running, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_raw(running.child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}
