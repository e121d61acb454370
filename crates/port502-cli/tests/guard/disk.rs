//! A disk that is full: the guard goes on, and what it could not keep meanwhile is kept, or told as counts.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use rustix::process::Signal;

use crate::site::{device, free_port, site};
use crate::support::{Folder, Running};

#[test]
fn a_full_disk_stops_no_traffic_and_forgets_no_refusal() {
    let can = Command::new("unshare").args(["-m", "true"]).status().is_ok_and(|status| status.success());
    if !can {
        println!("skipped: no right to make a mount namespace (root has it)");
        return;
    }
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    folder.write("site.toml", &site(&target, &format!("tcp://127.0.0.1:{port}"), ""));
    std::fs::create_dir(folder.0.join("small")).unwrap();
    // A disk of its own, nearly full from the beginning.
    let script = "mount -t tmpfs -o size=640k tmpfs small && dd if=/dev/zero of=small/ballast bs=1k count=420 \
                  2>/dev/null; \"$0\" guard site.toml --quiet --journal small/kept --metrics 127.0.0.1:0; \
                  \"$0\" journal small/kept --json --oldest-first";
    let guard =
        Running::start(folder.command("unshare", &["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_port502")]));
    guard.says("listening on");
    let metrics = guard.says("metrics on http://");
    let scrape = || {
        let address = metrics.split("http://").nth(1).unwrap().trim_end_matches("/metrics").to_owned();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let value = |name: &str| {
            let line = page.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
        };
        (value("port502_guard_output_failing{"), value("port502_guard_refused_total{"))
    };
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut refused = 0_u64;
    let mut failing = false;
    // Different functions are recorded apart from each other, a hundred writes of each.
    for function in [5_u8, 6, 16, 22, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99] {
        for _ in 0..100 {
            let pdu: &[u8] = match function {
                16 => &[16, 0, 0, 0, 1, 2, 0, 1],
                22 => &[22, 0, 0, 0, 1, 0, 1],
                5 => &[5, 0, 0, 0xFF, 0],
                function => &[function, 0, 0, 0, 1],
            };
            let frame = [&[0, 1, 0, 0, 0, u8::try_from(pdu.len() + 1).unwrap(), 3], pdu].concat();
            client.write_all(&frame).unwrap();
            let mut answer = [0; 9];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer[7..], [function | 0x80, 1]);
            refused += 1;
        }
        failing |= scrape().0 == 1;
    }
    while !failing {
        failing = scrape().0 == 1;
    }
    assert_eq!(scrape(), (1, refused), "it is full, and still every refusal is counted");
    // Traffic does not know of it.
    let read = folder.must(&format!("port502 read 127.0.0.1:{port} --unit 3 h:100"));
    assert!(read.contains("holding:100"), "{read}");

    let shell = guard.child.id();
    std::fs::remove_file(format!("/proc/{shell}/root{}/small/ballast", folder.0.display())).unwrap();
    while scrape().0 == 1 {}
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    let id = rustix::process::Pid::from_raw(children.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(id, Signal::TERM).unwrap();
    // Its disk ends with the shell, which shows the journal before.
    let mut told = 0;
    while told < refused {
        let line: serde_json::Value = serde_json::from_str(&guard.says("{")).unwrap();
        told += line["repeats"].as_u64().unwrap_or(1);
    }
    assert_eq!(told, refused);
}
