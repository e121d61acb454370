use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::support::{command, port502};

/// The first lines of a server, which is then ended.
fn says(args: &[&str], lines: usize) -> Vec<String> {
    let mut child = command(&[&["serve", "--listen", "tcp://127.0.0.1:0"], args].concat())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap()).lines().take(lines);
    let out = out.map(Result::unwrap).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    out
}

#[test]
fn it_says_where_it_listens_and_what_it_serves() {
    for (args, want) in [
        (&[][..], "serving every unit id: all addresses, zeros"),
        (
            &["--preset", "bench"],
            "serving every unit id: all addresses, the pattern in the holding registers",
        ),
        (&["--unit", "3", "--fault", "dribble"], "serving unit 3: all addresses, zeros, with faults"),
        (
            &["--unit", "1", "--unit", "2", "--unit", "9"],
            "serving units 1, 2 and 9, each on its own: all addresses, zeros",
        ),
    ] {
        let lines = says(args, 2);
        assert!(lines[0].starts_with("listening on tcp://127.0.0.1:"), "{lines:?}");
        assert_eq!(lines[1], want);
    }
    assert_eq!(says(&["--listen", "tcp://127.0.0.1:0"], 3)[2], "serving every unit id: all addresses, zeros");
}

/// As a supervisor starts it, or a script that looks at its first line only.
#[cfg(unix)]
#[test]
fn nothing_to_read_from_and_nobody_who_listens_end_nothing() {
    let closed = "exec \"$0\" \"$@\" <&- >&- 2>&-";
    for (script, leaves) in [(closed, false), ("exec \"$0\" \"$@\"", true)] {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let mut server = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_port502"), "serve", "--listen", &free])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        if leaves {
            drop(server.stdout.take());
        }
        // Until it listens nobody answers; then reading works, and again after it had a line to say.
        let first = (0..500).map(|_| port502(&["read", &free, "h:0"])).find(|ran| ran.code != 3);
        assert_eq!(first.map(|ran| ran.code), Some(0), "{script}");
        assert_eq!(port502(&["read", &free, "h:0"]).code, 0, "{script}");
        server.kill().unwrap();
        server.wait().unwrap();
    }
}

#[cfg(unix)]
#[test]
fn counts_are_written_as_people_do() {
    let mut child = command(&["serve", "--listen", "tcp://127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let target = lines.next().unwrap().replace("listening on ", "");
    assert_eq!(port502(&["read", &target, "h:0"]).code, 0);
    assert!(lines.any(|line| line.ends_with(" closed by the client, 1 request")));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "served 1 request\n");
}

#[test]
fn a_bad_map_is_told_with_its_place_and_not_for_ever() {
    let path =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bad-{}.csv", std::process::id()));
    let file = path.to_str().unwrap();
    let tell = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        port502(&["serve", "--listen", "tcp://127.0.0.1:0", "--map", file])
    };
    let latin = b"table,address,name,unit\nholding,0,\xC3\xA4,\xB0C\n";
    tell(latin).fails(2, &format!("{file}:2:13: a byte that is not UTF-8; save the map as CSV UTF-8"));
    tell(b"table;address\nholding;0\n")
        .fails(2, &format!("{file}:1:1: the columns are separated by semicolons; separate them by commas"));
    for (rows, lines) in [(20, 20), (21, 21), (1000, 21)] {
        let ran = tell(("table,address\n".to_owned() + &"holding,x\n".repeat(rows)).as_bytes());
        assert_eq!((ran.code, ran.err.lines().count()), (2, lines), "{rows} rows");
        let end = format!("port502: {file}: ... and {} more\n", rows - 20);
        assert_eq!(ran.err.ends_with(&end), rows > 20, "{}", ran.err);
    }
    // The rest of an endless one is left alone.
    let header = b"table,address\nholding,0\n#";
    let padded = [&header[..], &vec![b' '; (1 << 24) - header.len() + 1]].concat();
    let more = |file: &str| format!("{file}: more than 16 MiB, which no map needs; name a CSV file");
    tell(&padded).fails(2, &more(file));
    #[cfg(unix)]
    port502(&["serve", "--map", "/dev/zero"]).fails(2, &more("/dev/zero"));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn each_write_is_a_line() {
    use std::io::{Read as _, Write as _};
    let mut child =
        command(&["serve", "--listen", "tcp://127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let address = lines.next().unwrap().replace("listening on tcp://", "");
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    // A request that is answered, or for 8/4 is not, and what the server says of it.
    let rows: &[(&[u8], usize, &str)] = &[
        (&[5, 0, 7, 0xFF, 0], 5, "write PEER unit 1 FC5 coil:7 (00008) = 1"),
        (&[16, 0, 100, 0, 2, 4, 0, 1, 0, 2], 5, "write PEER unit 1 FC16 holding:100 (40101) = 1 2"),
        (&[22, 0, 100, 0, 0, 0, 9], 7, "write PEER unit 1 FC22 holding:100 (40101) = 9"),
        (&[21, 9, 6, 0, 1, 0, 3, 0, 1, 0, 5], 11, "write PEER unit 1 FC21 file 1 record 3: 1 register"),
        (&[8, 0, 10, 0, 0], 5, "diagnostics PEER unit 1 FC8/10 ClearCounters"),
        (&[8, 0, 4, 0, 0], 0, "diagnostics PEER unit 1 FC8/4 ForceListenOnlyMode"),
    ];
    let peer = stream.local_addr().unwrap().to_string();
    for (pdu, answer, want) in rows {
        let len = u8::try_from(pdu.len() + 1).unwrap();
        stream.write_all(&[&[0, 1, 0, 0, 0, len, 1], *pdu].concat()).unwrap();
        if *answer != 0 {
            stream.read_exact(&mut vec![0; 7 + answer]).unwrap();
        }
        let said = lines.by_ref().find(|line| line.starts_with("write") || line.starts_with("diag")).unwrap();
        assert_eq!(said.replace(&peer, "PEER"), *want);
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_is_recorded_is_there_after_ctrl_c_and_is_never_written_over() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("{}-recorded.pcap", std::process::id()));
    let file = path.to_str().unwrap();
    let mut child = command(&["serve", "--listen", "tcp://127.0.0.1:0", "--record", file])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let target = out.next().unwrap().trim_start_matches("listening on ").to_owned();
    assert_eq!(out.next().unwrap(), "serving every unit id: all addresses, zeros");
    assert_eq!(out.next().unwrap(), format!("recording to {file}: {target} as 127.0.0.1:502"));
    assert_eq!(port502(&["write", &target, "h:5=17"]).code, 0);
    assert!(port502(&["read", &target, "h:5"]).out.contains("17"));

    // While it is recorded, it can be read; and nobody writes over it.
    let shown = port502(&["decode", "--pcap", file]);
    assert!(
        shown.out.contains("WriteSingleRegister") && shown.out.contains("ReadHoldingRegisters"),
        "{shown:?}"
    );
    let again = port502(&["serve", "--listen", "tcp://127.0.0.1:0", "--record", file]);
    again.fails(2, &format!("{file} is there already; name another file to record to, or remove it"));

    let id = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let lines: Vec<String> = out.collect();
    assert!(lines.iter().any(|line| line.contains(" connected")), "{lines:?}");
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(err, format!("served 2 requests\nrecorded 2 requests to {file}\n"));

    // A folder that there is not.
    let nowhere = folder.join("nowhere/a.pcap");
    let ran = port502(&["serve", "--listen", "tcp://127.0.0.1:0", "--record", nowhere.to_str().unwrap()]);
    assert!(ran.code == 1 && ran.err.contains("cannot record to "), "{ran:?}");
    std::fs::remove_file(path).unwrap();
}
