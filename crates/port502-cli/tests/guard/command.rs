//! Arguments, evidence, and site files that are read again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::site::{device, free_port, scrape, signal, site};
use crate::support::{Folder, Running};

#[test]
fn what_is_wrong_is_said_before_anything_listens() {
    let folder = Folder::new();
    let run = |line: &str| folder.run(&format!("port502 guard {line}"));
    let missing = run("nowhere.toml");
    assert!(missing.code == 1 && missing.err.contains("nowhere.toml"), "{missing:?}");

    folder.write("none.toml", "[site]\nname = \"x\"\n[device.a]\nconnect = \"tcp://127.0.0.1:1\"\n");
    let none = run("none.toml");
    assert_eq!(none.code, 2);
    assert!(none.err.contains("none.toml: there is no [guard.NAME] section, which says"), "{none:?}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("tcp://{}", taken.local_addr().unwrap());
    folder.write("site.toml", &site("tcp://127.0.0.1:1", &listen, ""));
    let busy = run("site.toml");
    assert_eq!(busy.code, 1);
    assert!(busy.err.contains("another program listens there"), "{busy:?}");
    let unknown = run("site.toml --only pmup");
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("pmup is not a conduit; did you mean pump?"), "{unknown:?}");

    folder.write("site.toml", &site("tcp://127.0.0.1:1", "tcp://127.0.0.1:1502", "mode = \"allert\""));
    let wrong = run("site.toml");
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("site.toml:") && wrong.err.contains("allert"), "{wrong:?}");
    let address = run("site.toml --syslog 10.0.0.1");
    assert!(address.code == 2 && address.err.contains("write udp://HOST[:514]"), "{address:?}");
}

#[test]
fn one_line_of_json_for_each_refusal_and_a_journal_of_them() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    folder.write("site.toml", &site(&target, &format!("tcp://127.0.0.1:{port}"), ""));
    let arguments = [
        "guard",
        "site.toml",
        "--json",
        "--evidence",
        "evidence.jsonl",
        "--journal",
        "kept",
        "--metrics",
        "127.0.0.1:0",
    ];
    let mut guard = Running::start(folder.command("port502", &arguments));
    guard.says("listening on");
    let metrics = guard.says("metrics on http://");
    let at = format!("127.0.0.1:{port} --unit 3");
    assert_eq!(folder.run(&format!("port502 write {at} h:200=42")).code, 0);
    let refused = folder.run(&format!("port502 write {at} h:200=501"));
    assert_eq!(refused.code, 5, "{refused:?}");
    let object: serde_json::Value = serde_json::from_str(&guard.says("{")).unwrap();
    assert_eq!((&object["reason"], &object["values"]), (&"limits".into(), &serde_json::json!([501])));
    assert_eq!((&object["conduit"], &object["client"]), (&"pump".into(), &"127.0.0.1".into()));
    // The poller does not notice.
    let read = folder.must(&format!("port502 read {at} h:200"));
    assert!(read.contains("42"), "{read}");

    let page = scrape(&metrics);
    for line in [
        "port502_guard_refused_total{conduit=\"pump\"} 1",
        "port502_guard_objections_total{conduit=\"pump\",reason=\"limits\"} 1",
        "port502_guard_enforcing{conduit=\"pump\"} 1",
        "port502_guard_output_failing{output=\"the journal kept\"} 0",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }

    signal(&guard, Signal::TERM);
    guard.says("pump: ");
    assert!(guard.child.wait().unwrap().success());
    let line = folder.read("evidence.jsonl");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), object);
    let kept = folder.must("port502 journal kept");
    assert!(kept.contains("limits") && kept.contains("= 501"), "{kept}");
    assert!(folder.must("port502 journal kept --verify").contains("whole, 1 entry"), "{kept}");
}

#[test]
fn syslog_and_cef_reach_their_servers() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let (port, syslog) = (free_port(), std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let cef = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    folder.write("site.toml", &site(&target, &format!("tcp://127.0.0.1:{port}"), ""));
    let urls = [&syslog, &cef].map(|socket| format!("udp://{}", socket.local_addr().unwrap()));
    let arguments = ["guard", "site.toml", "--syslog", &urls[0], "--cef", &urls[1]];
    let guard = Running::start(folder.command("port502", &arguments));
    guard.says("listening on");
    assert_eq!(folder.run(&format!("port502 read 127.0.0.1:{port} --unit 9 h:0")).code, 5);
    let receive = |socket: &std::net::UdpSocket| {
        let mut room = [0; 8192];
        let count = socket.recv(&mut room).unwrap();
        String::from_utf8_lossy(&room[..count]).into_owned()
    };
    let line = receive(&syslog);
    assert!(line.starts_with("<84>1 20") && line.contains(" reason=\"unit\" "), "{line}");
    let line = receive(&cef);
    assert!(line.contains(" cef - CEF:0|port502|guard|") && line.contains(" reason=unit "), "{line}");
    // For people, too.
    assert!(guard.says("no rule allows the client anything of this unit").contains("pump: refused"));
}

#[test]
fn a_site_is_read_again_without_losing_a_client() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    let listen = format!("tcp://127.0.0.1:{port}");
    folder.write("site.toml", &site(&target, &listen, ""));
    let guard = Running::start(folder.command("port502", &["guard", "site.toml"]));
    guard.says("listening on");
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut ask = |pdu: &[u8]| {
        let frame = [&[0, 7, 0, 0, 0, u8::try_from(pdu.len() + 1).unwrap(), 3], pdu].concat();
        client.write_all(&frame).unwrap();
        let mut header = [0; 7];
        client.read_exact(&mut header).unwrap();
        let mut answer = vec![0; usize::from(header[5]) - 1];
        client.read_exact(&mut answer).unwrap();
        answer
    };
    let write = [6, 0, 200, 1, 0xF4];
    assert_eq!(ask(&write), write);
    folder.write("site.toml", &site(&target, &listen, "").replace("max = 500 }", "max = 400 }"));
    signal(&guard, Signal::HUP);
    guard.says("the site was read again");
    assert_eq!(ask(&write), [0x86, 1]);
    // A file that is wrong is refused as a whole, and all of it is told.
    folder.write("site.toml", &site(&target, &listen, "mode = \"alrt\"\nconections = 3"));
    signal(&guard, Signal::HUP);
    guard.says("that is wrong; everything stays as it was");
    assert_eq!(ask(&write), [0x86, 1]);
    assert_eq!(ask(&[6, 0, 200, 1, 0x90]), [6, 0, 200, 1, 0x90]);
    // A second place, and the first one no more: its clients are let go when they have their answers.
    let other = free_port();
    folder.write("site.toml", &site(&target, &format!("tcp://127.0.0.1:{other}"), ""));
    signal(&guard, Signal::HUP);
    guard.says(&format!("listening on tcp://127.0.0.1:{port} no more"));
    assert_eq!(folder.run(&format!("port502 write 127.0.0.1:{other} --unit 3 h:200=500")).code, 0);
    assert_eq!(folder.run(&format!("port502 read 127.0.0.1:{port} --unit 3 h:200")).code, 3);
}

#[test]
fn alert_lets_pass_and_says_so() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    folder.write("site.toml", &site(&target, &format!("tcp://127.0.0.1:{port}"), ""));
    let guard = Running::start(folder.command("port502", &["guard", "site.toml", "--alert"]));
    guard.says("listening on");
    guard.says("pump: ALERT: nothing is refused");
    assert_eq!(folder.run(&format!("port502 write 127.0.0.1:{port} --unit 7 h:0=1")).code, 0);
    guard.says("pump: alerted 127.0.0.1");
}

#[test]
fn what_was_seen_is_proposed_and_then_enforced() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    let listen = format!("tcp://127.0.0.1:{port}");
    let before = site(&target, &listen, "");
    folder.write("site.toml", &before);
    folder.write("there.toml", "");
    let there = folder.run("port502 guard site.toml --learn 1h --learn-to there.toml");
    assert!(there.code == 1 && there.err.contains("move it away"), "{there:?}");

    let guard = Running::start(folder.command("port502", &["guard", "site.toml", "--learn", "3s"]));
    guard.says("listening on");
    let ask = |what: &str| folder.run(&format!("port502 {what}")).code;
    let at = format!("127.0.0.1:{port} --unit 3");
    // Within what the tags need; beyond it; and what nobody should do.
    assert_eq!(ask(&format!("read {at} h:100")), 0);
    assert_eq!(ask(&format!("write {at} h:300=7")), 0);
    assert_eq!(ask(&format!("identify {at}")), 0);
    guard.says("what 1 client asked for is proposed as rules in learned.toml");
    assert_eq!(ask(&format!("write {at} h:301=7")), 0, "everything passes as before");
    drop(guard);

    let learned = folder.read("learned.toml");
    assert!(learned.contains("[guard.pump]") && learned.contains("written: holding:300 = 7"), "{learned}");
    let start = before.find("[guard.pump]").unwrap();
    folder.write("site.toml", &format!("{}{learned}", &before[..start]));
    let guard = Running::start(folder.command("port502", &["guard", "site.toml"]));
    guard.says("listening on");
    for (what, code) in [("read", "h:100"), ("write", "h:300=7"), ("identify", "")].into_iter().zip([0; 3]) {
        assert_eq!(ask(&format!("{} {at} {}", what.0, what.1)), code, "{what:?}\n{learned}");
    }
    assert_eq!(ask(&format!("write {at} h:300=8")), 5, "{learned}");
    assert_eq!(ask(&format!("write {at} h:301=7")), 5, "{learned}");
}

#[test]
fn it_gives_up_what_it_does_not_need() {
    let folder = Folder::new();
    folder.write("site.toml", &site("tcp://127.0.0.1:1", &format!("tcp://127.0.0.1:{}", free_port()), ""));
    let guard = Running::start(folder.command("port502", &["guard", "site.toml"]));
    guard.says("leads to pump");
    let tasks = format!("/proc/{}/task", guard.child.id());
    // It does so right behind its first lines.
    let confined = || {
        let all: Vec<String> = std::fs::read_dir(&tasks)
            .unwrap()
            .map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default())
            .collect();
        all.iter().all(|status| status.contains("Seccomp:\t2"))
    };
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !confined() && std::time::Instant::now() < until {}
    assert!(confined(), "some thread of it may still start programs");
}

/// Does with the guard's port what is refused, as often as it says.
fn refused(port: u16, count: u32) {
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    for function in (0..count).map(|at| u8::try_from(65 + at % 8).unwrap()) {
        client.write_all(&[0, 1, 0, 0, 0, 2, 3, function]).unwrap();
        let mut answer = [0; 9];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer[7..], [function | 0x80, 1]);
    }
}

/// Asks a program to end, and waits until it has; its exit code.
fn ended(mut child: std::process::Child) -> Option<i32> {
    let id = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, Signal::TERM).unwrap();
    let until = std::time::Instant::now() + crate::support::PATIENCE;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status.code(),
            None if std::time::Instant::now() > until => {
                child.kill().unwrap();
                panic!("it does not end");
            }
            None => std::thread::yield_now(),
        }
    }
}

#[test]
fn it_ends_though_nobody_reads_what_it_says() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    folder.write("site.toml", &site(&target, &format!("tcp://127.0.0.1:{port}"), ""));
    // One pipe for all that it says, which is full before it begins to end.
    let (mut reader, writer) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let mut command = folder.command("port502", &["guard", "site.toml"]);
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let child = command.spawn().unwrap();
    drop(command);
    let mut first = [0; 12];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"listening on");
    for _ in 0..50 {
        refused(port, 8);
    }
    assert_eq!(ended(child), Some(1), "records are lost");
}

/// Starts a guard whose output is read up to a line with `until` in it, and refuses after that what `after` says; its exit
/// code and what it says on the error output.
#[track_caller]
fn read_up_to(until: &str, arguments: &[&str], before: u32, after: u32) -> (Option<i32>, String) {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    folder.write("site.toml", &site(&target, &format!("tcp://127.0.0.1:{port}"), ""));
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = folder.command("port502", arguments);
    command.stdout(writer).stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut error = child.stderr.take().unwrap();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {}
    refused(port, before);
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    while !line.contains(until) {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "it never said {until:?}");
    }
    drop(reader);
    refused(port, after);
    let code = ended(child);
    let mut text = String::new();
    error.read_to_string(&mut text).unwrap();
    (code, text)
}

#[test]
fn a_reader_that_has_seen_enough_is_told_of_with_what_it_has_not_seen() {
    let (code, text) = read_up_to("{", &["guard", "site.toml", "--json", "--quiet"], 1, 4);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("the standard output fails: nobody reads it any more"), "{text}");
    assert!(text.contains("the standard output: 4 records could not be kept: nobody reads it"), "{text}");
    // The same of lines for people, some of which were on their way when the reader went.
    let (code, text) = read_up_to("listening on", &["guard", "site.toml"], 0, 5);
    assert_eq!(code, Some(1), "{text}");
    let lost = |what: &str| {
        let line = text.lines().find(|line| line.contains("the output: ") && line.contains(what));
        line.map_or(0, |line| line.split(' ').find_map(|word| word.parse::<u32>().ok()).unwrap())
    };
    assert_eq!(lost("could not be kept") + lost("could not be printed"), 5, "{text}");
    // Nobody is told of a reader who has missed nothing.
    let (code, text) = read_up_to("connected", &["guard", "site.toml"], 0, 0);
    assert!(code == Some(0) && !text.contains("the output"), "{text}");
}

#[test]
fn lines_about_connections_are_bounded_and_connections_are_counted_by_reason() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    folder.write("site.toml", &site(&target, &format!("tcp://127.0.0.1:{port}"), ""));
    let arguments = ["guard", "site.toml", "--connections", "4", "--metrics", "127.0.0.1:0"];
    let guard = Running::start(folder.command("port502", &arguments));
    let metrics = guard.says("metrics on http://");
    for _ in 0..300 {
        refused(port, 1);
    }
    // Three quarters of the places are for one address; from elsewhere come more than there are.
    let from = |last: u8| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let local = std::net::SocketAddr::from(([127, 0, 0, last], 0));
        socket.bind(&local.into()).unwrap();
        let there = std::net::SocketAddr::from(([127, 0, 0, 1], port));
        socket.connect(&there.into()).unwrap();
        let mut client = TcpStream::from(socket);
        client.write_all(&[0, 1, 0, 0, 0, 2, 3, 65]).unwrap();
        client.read_exact(&mut [0; 9]).unwrap();
        client
    };
    let _clients: Vec<TcpStream> = (10..16).map(from).collect();
    let made_room = || {
        let page = scrape(&metrics);
        let name = "port502_guard_closed_total{conduit=\"pump\",reason=\"made-room\"} ";
        let line = page.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        line.map_or(0, |count| count.parse::<u32>().unwrap())
    };
    let until = std::time::Instant::now() + crate::support::PATIENCE;
    while made_room() < 2 {
        assert!(std::time::Instant::now() < until, "{}", scrape(&metrics));
    }
    signal(&guard, Signal::TERM);
    let mut told = 0;
    let line = loop {
        let line = guard.says("connected");
        if line.contains("more than are told") {
            break line;
        }
        told += 1;
    };
    assert!(told == 100 && line.contains("pump: more") && line.contains("206 clients connected"), "{line}");
}

#[test]
fn connections_to_devices_count_among_the_files_that_may_be_open() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    folder.write("site.toml", &site(&target, &format!("tcp://127.0.0.1:{port}"), ""));
    let start = |limits: &str| {
        let script = format!("{limits}; exec \"$0\" guard site.toml --connections 80");
        Running::start(folder.command("sh", &["-c", &script, env!("CARGO_BIN_EXE_port502")]))
    };
    // Enough for 80 clients, and not for as many connections to the device.
    let guard = start("ulimit -Sn 200");
    guard.says("listening on");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", guard.child.id())).unwrap();
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let soft = soft.split_whitespace().next().unwrap();
    assert!(soft == "unlimited" || soft.parse::<u64>().unwrap() >= 308, "{limits}");
    drop(guard);
    // What cannot be raised is told, with what to do.
    let guard = start("ulimit -n 200");
    let told = guard.says("open files");
    assert!(told.contains("need 308 open files") && told.contains("32 are taken at each"), "{told}");
    assert!(told.contains("LimitNOFILE="), "{told}");
    let mut clients = Vec::new();
    for number in 0..80 {
        let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // Of the device: each of them has a connection to it.
        client.write_all(&[0, 1, 0, 0, 0, 6, 3, 3, 0, 100, 0, 1]).unwrap();
        let mut answer = [0; 11];
        client.read_exact(&mut answer).unwrap_or_else(|error| panic!("client {number}: {error}"));
        assert_eq!(answer[7..9], [3, 2]);
        clients.push(client);
        // Three quarters of the places are for one address.
        clients.drain(..clients.len().saturating_sub(20));
    }
}

#[test]
fn whoever_asks_it_twice_to_end_is_not_kept_waiting() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    folder.write("site.toml", &site(&target, &format!("tcp://127.0.0.1:{port}"), ""));
    let (_reader, writer) = std::io::pipe().unwrap();
    rustix::pipe::fcntl_setpipe_size(&writer, 4096).unwrap();
    let mut command = folder.command("port502", &["guard", "site.toml", "--json", "--quiet"]);
    command.stdout(writer).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    drop(command);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {}
    refused(port, 40);
    // Its objects are in a pipe that is full: it would give them all their time.
    let id = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    let asked = std::time::Instant::now();
    let status = loop {
        rustix::process::kill_process(id, Signal::TERM).unwrap();
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::yield_now();
    };
    assert_eq!(status.code(), Some(1));
    assert!(asked.elapsed() < port502_guard::record::FINISH_WITHIN, "{:?}", asked.elapsed());
}

#[test]
fn an_output_that_fails_is_told_though_nothing_is_to_be_shown() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    folder.write("site.toml", &site(&target, &format!("tcp://127.0.0.1:{port}"), ""));
    let nobody = format!("tcp://127.0.0.1:{}", free_port());
    let arguments = ["guard", "site.toml", "--quiet", "--evidence", "/dev/full", "--syslog", &nobody];
    let mut guard = Running::start(folder.command("port502", &arguments));
    // Before there is a record, and perhaps before it listens.
    guard.says(&format!("syslog {nobody} fails: Connection refused"));
    while TcpStream::connect(("127.0.0.1", port)).is_err() {}
    for _ in 0..50 {
        refused(port, 40);
    }
    guard.says("the file /dev/full fails: No space left on device");
    signal(&guard, Signal::TERM);
    // Those that were only counted are among them.
    guard.says("the file /dev/full: 2000 records could not be kept: No space left on device");
    guard.says(&format!("syslog {nobody}: 2000 records could not be kept: Connection refused"));
    assert_eq!(guard.child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_site_that_cannot_be_read_to_its_end_holds_up_nobody() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    let text = site(&target, &format!("tcp://127.0.0.1:{port}"), "");
    folder.write("site.toml", &text);
    let guard = Running::start(folder.command("port502", &["guard", "site.toml"]));
    guard.says("listening on");
    // In the place of a disk that hangs.
    let path = folder.0.join("site.toml");
    std::fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    signal(&guard, Signal::HUP);
    let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
    let begun = || loop {
        // There is a reader from when the guard has it open.
        if let Ok(writer) = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()) {
            break std::fs::File::from(writer);
        }
    };
    let mut writer = begun();
    let at = format!("127.0.0.1:{port} --unit 3");
    assert_eq!(folder.run(&format!("port502 write {at} h:200=42")).code, 0);
    signal(&guard, Signal::HUP);
    guard.says("the site is still being read; it is read once more after that");
    writer.write_all(text.as_bytes()).unwrap();
    drop(writer);
    guard.says("the site was read again");
    // And once more, and to no end: asked to end, it ends.
    let _writer = begun();
    assert_eq!(folder.run(&format!("port502 write {at} h:200=43")).code, 0);
    let mut guard = guard;
    signal(&guard, Signal::TERM);
    guard.says("pump: ");
    assert_eq!(guard.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_start_that_fails_leaves_no_proposal_behind() {
    let folder = Folder::new();
    let names = || {
        let files = std::fs::read_dir(&folder.0).unwrap();
        let mut names: Vec<String> =
            files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("tcp://{}", taken.local_addr().unwrap());
    folder.write("site.toml", &site("tcp://127.0.0.1:1", &listen, ""));
    for _ in 0..2 {
        let busy = folder.run("port502 guard site.toml --learn 1h");
        assert!(busy.code == 1 && busy.err.contains("another program listens there"), "{busy:?}");
        assert_eq!(names(), ["site.toml"]);
    }
    drop(taken);
    // One that was killed is in nobody's way either.
    let arguments = ["guard", "site.toml", "--learn", "1h"];
    let mut killed = Running::start(folder.command("port502", &arguments));
    killed.says("learning until ");
    killed.child.kill().unwrap();
    killed.child.wait().unwrap();
    assert_eq!(names(), ["learned.toml.part", "site.toml"]);
    let mut guard = Running::start(folder.command("port502", &arguments));
    guard.says("Z, to learned.toml");
    // What somebody else has written meanwhile stays, and so does what was learned.
    folder.write("learned.toml", "theirs");
    // It listens to signals when it has answered somebody, or has hung up, as there is no device.
    let mut client = TcpStream::connect(listen.trim_start_matches("tcp://")).unwrap();
    client.write_all(&[0, 1, 0, 0, 0, 2, 3, 7]).unwrap();
    let _ = client.read(&mut [0]);
    signal(&guard, Signal::TERM);
    guard.says(
        "cannot write the proposal to learned.toml: File exists (os error 17); it is in learned.toml.part",
    );
    assert_eq!(guard.child.wait().unwrap().code(), Some(1));
    assert_eq!(folder.read("learned.toml"), "theirs");
    assert!(folder.read("learned.toml.part").contains("[guard.pump]"));
}

#[test]
fn a_mode_that_changes_is_told_and_lines_say_when_and_where() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    let with = |more: &str| {
        folder.write("site.toml", &site(&target, &format!("tcp://127.0.0.1:{port}"), more));
    };
    with("deny = [{ functions = [90], mode = \"alert\" }]");
    let guard = Running::start(folder.command("port502", &["guard", "site.toml"]));
    guard.says("pump: ALERT: nothing is refused by 1 rule");
    with("mode = \"alert\"");
    signal(&guard, Signal::HUP);
    guard.says("pump: ALERT: nothing is refused");
    with("");
    signal(&guard, Signal::HUP);
    guard.says("pump: what no rule allows is refused");
    assert_eq!(folder.run(&format!("port502 read 127.0.0.1:{port} --unit 3 h:200")).code, 0);
    let line = guard.says("connected");
    let (time, rest) = line.split_once(' ').unwrap();
    assert!(time.len() == 27 && time.ends_with('Z') && rest.starts_with("pump: client 127.0.0.1:"), "{line}");
    let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    guard.says("connected");
    signal(&guard, Signal::TERM);
    guard.says("closed: the server stops, 0 requests");
}

#[test]
fn a_conduit_may_be_called_otherwise_while_it_works() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let port = free_port();
    let text = site(&target, &format!("tcp://127.0.0.1:{port}"), "");
    folder.write("site.toml", &text);
    let guard = Running::start(folder.command("port502", &["guard", "site.toml"]));
    guard.says("listening on");
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    folder.write("site.toml", &text.replace("[guard.pump]", "[guard.station]"));
    signal(&guard, Signal::HUP);
    guard.says("pump is called station now");
    guard.says("the site was read again");
    // On the connection from before, too.
    client.write_all(&[0, 1, 0, 0, 0, 2, 3, 90]).unwrap();
    let mut answer = [0; 9];
    client.read_exact(&mut answer).unwrap();
    guard.says("station: refused");
    drop(client);
    guard.says("station: client 127.0.0.1:");
    // A place that becomes another conduit's is still the first one's.
    let taken = text.replace("[guard.pump]", "[guard.other]").replace(&format!(":{port}"), ":0");
    let two = &taken[taken.find("[guard.other]").unwrap()..];
    let other = free_port();
    let moved =
        text.replace("[guard.pump]", "[guard.station]").replace(&format!(":{port}"), &format!(":{other}"));
    folder.write("site.toml", &format!("{moved}\n{}", two.replace(":0\"", &format!(":{port}\""))));
    signal(&guard, Signal::HUP);
    guard.says(&format!("this guard itself listens on tcp://127.0.0.1:{port}, for station; start anew"));
}

#[test]
fn what_clients_of_a_conduit_that_goes_are_refused_is_recorded() {
    let folder = Folder::new();
    let (_device, target) = device(&folder);
    let (port, other) = (free_port(), free_port());
    let text = site(&target, &format!("tcp://127.0.0.1:{port}"), "");
    folder.write("site.toml", &text);
    let guard = Running::start(folder.command("port502", &["guard", "site.toml", "--json"]));
    guard.says("listening on");
    // More than is recorded one by one.
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let frame = [0, 1, 0, 0, 0, 2, 3, 90];
    for _ in 0..150 {
        client.write_all(&frame).unwrap();
        client.read_exact(&mut [0; 9]).unwrap();
    }
    let there =
        text.replace("[guard.pump]", "[guard.other]").replace(&format!(":{port}"), &format!(":{other}"));
    folder.write("site.toml", &there);
    signal(&guard, Signal::HUP);
    // Whatever was not recorded one by one is told when its last client has gone.
    let (mut told, mut gone) = (0, false);
    while told < 150 || !gone {
        let line = guard.says("");
        gone |= line.ends_with("pump guards no more");
        if let Ok(line) = serde_json::from_str::<serde_json::Value>(&line) {
            told += line["repeats"].as_u64().unwrap_or(1);
        }
    }
    assert_eq!(told, 150);
}
