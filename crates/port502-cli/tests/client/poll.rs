use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::support::{Ran, command, port502, serve, without_times};

#[test]
fn plain_lines_where_there_is_no_terminal() {
    let served = serve("holding,0,,,2,7\n");
    let ran = port502(&["poll", &served.target, "h:0*2", "--every", "10ms", "-n", "2"]);
    let rows = "TIME  holding:0  40001      7      0007\nTIME  holding:1  40002      7      0007\n";
    assert_eq!(
        without_times(&ran.out),
        format!("TIME                      POINT      REFERENCE  VALUE  RAW\n{rows}{rows}")
    );
    let summary = format!("{}: 2 requests, 0 errors, latency min ", served.target);
    assert!(ran.code == 0 && ran.err.starts_with(&summary), "{ran:?}");
}

#[test]
fn it_ends_after_its_time() {
    let served = serve("holding,0\n");
    let ran = port502(&["poll", &served.target, "h:0", "--every", "20ms", "--for", "100ms"]);
    assert!(ran.code == 0 && (2..=7).contains(&ran.out.lines().count()), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_with_a_summary() {
    let served = serve("holding,0\n");
    for args in [&["poll", "-n", "1000"][..], &["read"]] {
        let mut child = command(args)
            .args([&served.target, "h:0", "--every", "10ms"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        for _ in 0..3 {
            out.read_line(&mut String::new()).unwrap();
        }
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        std::io::copy(&mut out, &mut std::io::sink()).unwrap();
        let ended = Ran::from(child.wait_with_output().unwrap());
        assert!(ended.code == 0 && ended.err.contains(" requests, 0 errors, latency min "), "{ended:?}");
    }
}

/// Runs a command line on a terminal of its own; `None` where there is no `script` to do so.
fn on_a_terminal(line: &str) -> Option<String> {
    let output = Command::new("script")
        .args(["-qefc", line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output();
    Some(String::from_utf8(output.ok()?.stdout).unwrap().replace("\r\n", "\n"))
}

#[test]
fn a_table_that_is_drawn_over_itself() {
    let served = serve("holding,0,,,2,7\n");
    let program = env!("CARGO_BIN_EXE_port502");
    let line = format!("{program} poll {} h:0*2 c:5 --every 10ms -n 2", served.target);
    let Some(shown) = on_a_terminal(&line) else {
        println!("skipped: there is no `script`");
        return;
    };
    let (first, second) = shown.split_once("\x1b[5A\r\x1b[J").unwrap_or_else(|| panic!("{shown:?}"));
    let lines: Vec<&str> = first.lines().collect();
    assert_eq!(
        lines[1..],
        [
            "  POINT      REFERENCE  VALUE  AGE    CHANGES  ERROR",
            "  holding:0  40001      7             0",
            "  holding:1  40002      7             0",
            "  coil:5     00006             never  0        exception 02 illegal data address",
        ]
    );
    assert!(lines[0].starts_with(&format!("{} unit 1  every 10ms  2 requests, 1 error", served.target)));
    assert!(second.contains("holding:1  40002      7"));
}
