//! What README.md and `docs/` say of the commands is true.
//!
//! - Every `console` block is run, in a folder that has `docs/`, `sites/`, a capture `plant.pcap` and a journal in `store`, and what it
//!   prints is compared with what stands there. `$ port502 serve` stays up for the rest of the file, on a port that the system chooses; its documented address
//!   stands for it in all that follows. In what is printed, a line `...` stands for any lines; times, durations,
//!   clients' ports, serial numbers and fingerprints may differ.
//! - A block that cannot run here (no such device, no end) is marked `console dry`: then the binary only takes the
//!   arguments in, with `--help` behind them.
//! - Every `port502 ...` between backticks names a command, and options, that there are.
//! - `docs/commands.md` has each command and each of its options, and no others.
//! - The limits in ARCHITECTURE.md are those of the code.
//!
//! A command that none of this knows how to check fails the test: nothing is passed over in silence.
//!
//! With `PORT502_DOCS=write` in the environment, what is printed takes the place of what stood there. Review that change
//! like code.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use port502_capture::Timestamp;
use port502_capture::synth::{self, Conversation};
use port502_store::{Entry, Journal, Kind};

/// A command in the documents must end by itself; far above what any of them needs.
const PATIENCE: Duration = Duration::from_secs(60);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// README.md and everything in `docs/`, by path.
fn documents() -> Vec<String> {
    let mut all = vec!["README.md".to_owned()];
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            all.push(format!("docs/{name}"));
        }
    }
    all.sort();
    all
}

fn port502() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_port502"));
    command.current_dir(root()).env("NO_COLOR", "1");
    command
}

// ---- blocks -------------------------------------------------------------------------------------------------------

/// A fenced block.
struct Block {
    /// Behind the opening fence.
    info: String,
    /// The number of the line of the opening fence.
    line: usize,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let (mut blocks, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for (index, line) in document.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(info), None) => {
                open = Some(Block { info: info.trim().to_owned(), line: index + 1, text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    blocks
}

/// A command with what it prints.
struct Step {
    line: usize,
    command: String,
    want: Vec<String>,
    /// The number of the line behind the command, where what it prints begins.
    output: usize,
}

fn steps(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, text) in block.text.lines().enumerate() {
        let line = block.line + 1 + index;
        match (text.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => {
                let (command, want, output) = (command.to_owned(), Vec::new(), line + 1);
                steps.push(Step { line, command, want, output });
            }
            (None, Some(step)) if step.command.ends_with('\\') => {
                step.command.pop();
                step.command.push_str(text.trim_start());
                step.output = line + 1;
            }
            (None, Some(step)) => step.want.push(text.trim_end().to_owned()),
            (None, None) => panic!("line {line}: a console block begins with `$ `"),
        }
    }
    steps
}

/// What is wrong with a command, and what it printed if that was it.
struct Wrong {
    message: String,
    printed: Option<Vec<String>>,
}

impl<T: Into<String>> From<T> for Wrong {
    fn from(message: T) -> Self {
        Wrong { message: message.into(), printed: None }
    }
}

#[test]
fn what_the_documents_print_is_what_is_printed() {
    let write = std::env::var("PORT502_DOCS").is_ok_and(|value| value == "write");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("documents");
    prepare(&folder);
    let (mut wrong, mut run, mut parsed) = (String::new(), 0, 0);
    for path in documents() {
        let mut stage = Stage { servers: Vec::new(), folder: folder.clone() };
        let text = read(&path);
        let mut lines: Vec<Vec<String>> = text.lines().map(|line| vec![line.to_owned()]).collect();
        for block in blocks(&text) {
            let check: fn(&mut Stage, &Step) -> Result<(), Wrong> = match block.info.as_str() {
                "console" => Stage::run,
                "console dry" => |_, step| Ok(takes(&step.command)?),
                _ if block.text.lines().any(|line| line.starts_with("$ ")) => {
                    panic!("{path}:{}: a block with `$ ` is marked console or console dry", block.line)
                }
                _ => continue,
            };
            for step in steps(&block) {
                *(if block.info == "console" { &mut run } else { &mut parsed }) += 1;
                match check(&mut stage, &step) {
                    Err(Wrong { printed: Some(printed), .. }) if write => {
                        // Lines are counted from 1; the one in front takes what is printed with it.
                        for line in &mut lines[step.output - 1..][..step.want.len()] {
                            line.clear();
                        }
                        lines[step.output - 2].extend(printed);
                    }
                    Err(Wrong { message, .. }) => {
                        let _ = writeln!(wrong, "{path}:{}: $ {}\n{message}", step.line, step.command);
                    }
                    Ok(()) => {}
                }
            }
        }
        let written = lines.concat().join("\n") + "\n";
        if write && written != text {
            std::fs::write(root().join(&path), written).unwrap();
        }
        for server in stage.servers {
            if let Err(error) = server.finish() {
                let _ = writeln!(wrong, "{path}: {error}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(
        run >= 20 && parsed >= 5,
        "only {run} commands were run and {parsed} parsed: are these the documents?"
    );
}

// ---- running ------------------------------------------------------------------------------------------------------

/// Where a document's commands run, and the servers that it has started.
struct Stage {
    servers: Vec<Server>,
    folder: PathBuf,
}

/// What the documents take to be there.
fn prepare(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    for shipped in ["docs", "sites"] {
        std::os::unix::fs::symlink(root().join(shipped), folder.join(shipped)).unwrap();
    }
    // A client reads, writes, and is refused.
    let mut talk = Conversation::v4("10.20.1.9:49210".parse().unwrap(), "10.20.1.11:502".parse().unwrap());
    talk.at(Timestamp::from_nanos(1_792_152_000_000_000_000)).every(Duration::from_millis(2)).handshake();
    let talk = talk
        .to_server(&[0, 1, 0, 0, 0, 6, 1, 3, 0, 100, 0, 2])
        .to_client(&[0, 1, 0, 0, 0, 7, 1, 3, 4, 0x41, 0xAC, 0, 0])
        .to_server(&[0, 2, 0, 0, 0, 6, 1, 6, 0, 200, 0, 42])
        .to_client(&[0, 2, 0, 0, 0, 6, 1, 6, 0, 200, 0, 42])
        .to_server(&[0, 3, 0, 0, 0, 6, 1, 4, 0x27, 0x0F, 0, 1])
        .to_client(&[0, 3, 0, 0, 0, 3, 1, 0x84, 2])
        .finish();
    std::fs::write(folder.join("plant.pcap"), synth::pcap(talk.frames())).unwrap();
    keep_a_journal(&folder.join("store"));
}

/// What a guard keeps of a client that writes too much, of one that is only noted, and of one that does not stop.
fn keep_a_journal(folder: &Path) {
    let entry = |seconds: i64, body| Entry {
        time: port502_store::Timestamp::from_unix_nanos((1_795_000_000 + seconds) * 1_000_000_000),
        kind: Kind::Verdict,
        source: "intake",
        body,
    };
    let mut journal = Journal::open(folder, port502_store::Options::default()).unwrap();
    journal
        .append(&[
            entry(0, r#"{"time":"2026-11-18T11:06:40.000000Z","conduit":"intake","verdict":"refused","answer":"exception:1","direction":"to-server","client":"10.20.0.7","port":49152,"subject":"CN=panel-3,O=Northfield","role":"operator","fingerprint":"0707070707070707070707070707070707070707070707070707070707070707","transaction":9,"unit":3,"function":6,"name":"WriteSingleRegister","table":"holding","address":200,"count":1,"item":200,"values":[600],"rule":"operators write","tag":"intake.speed_sp","limits":"200 to 500","value":600,"reason":"limits","detail":"the value is outside its limits","technique":"T0836","technique_name":"Modify Parameter","pdu":"0600c80258"}"#),
            entry(2, r#"{"time":"2026-11-18T11:06:42.000000Z","conduit":"intake","verdict":"alerted","direction":"to-server","client":"10.20.0.31","port":50211,"transaction":1,"unit":3,"function":3,"name":"ReadHoldingRegisters","table":"holding","address":0,"count":125,"item":20,"reason":"address","detail":"no rule allows the client this address","technique":"T0861","technique_name":"Point & Tag Identification","pdu":"030000007d"}"#),
            entry(5, r#"{"time":"2026-11-18T11:06:45.000000Z","conduit":"intake","verdict":"refused","answer":"exception:1","direction":"to-server","client":"192.0.2.66","port":40001,"transaction":2,"unit":3,"function":16,"name":"WriteMultipleRegisters","table":"holding","address":100,"count":12,"item":100,"values":[0,0,0,0,0,0,0,0,0,0,0,0],"reason":"client","detail":"no rule allows this client anything","technique":"T0848","technique_name":"Rogue Master","pdu":"100064000c18000000000000000000000000000000000000000000000000"}"#),
        ])
        .unwrap();
    let repeats = r#"{"time":"2026-11-18T11:07:45.000000Z","conduit":"intake","verdict":"repeats","client":"192.0.2.66","reason":"client","repeats":3349,"first":"2026-11-18T11:06:46.000000Z","last":"2026-11-18T11:07:44.000000Z"}"#;
    journal.append(&[entry(65, repeats)]).unwrap();
}

struct Server {
    process: Child,
    /// As the document writes it, and as it is: `127.0.0.1:1502`.
    documented: String,
    actual: String,
    said: Arc<Mutex<Vec<String>>>,
    want: Vec<String>,
    line: usize,
}

impl Stage {
    fn run(&mut self, step: &Step) -> Result<(), Wrong> {
        if step.command.starts_with("port502 serve ") {
            let server = Server::start(step, &self.folder)?;
            self.servers.retain(|other| other.documented != server.documented);
            self.servers.push(server);
            return Ok(());
        }
        if !step.command.starts_with("port502 ") {
            return Ok(takes(&step.command)?);
        }
        let script = self
            .servers
            .iter()
            .fold(step.command.clone(), |script, server| script.replace(&server.documented, &server.actual));
        let output = shell(&script, &self.folder)?;
        let output = self
            .servers
            .iter()
            .fold(output, |output, server| output.replace(&server.actual, &server.documented));
        compare(&step.want, &output.lines().map(str::to_owned).collect::<Vec<_>>())
    }
}

/// What a line of shell prints on both of its outputs. An error is one line, and so a part of what is compared.
fn shell(script: &str, folder: &Path) -> Result<String, String> {
    let binary = Path::new(env!("CARGO_BIN_EXE_port502"));
    let path =
        format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec 2>&1\n{script}")]).current_dir(folder);
    command.env("PATH", path).env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut output = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = std::io::Read::read_to_end(&mut output, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let began = Instant::now();
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            return Err(format!("it did not end within {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(reader.join().unwrap())
}

impl Server {
    /// Starts what a document serves, on a port that the system chooses.
    fn start(step: &Step, folder: &Path) -> Result<Server, String> {
        let mut words: Vec<String> = step.command.split_whitespace().skip(1).map(str::to_owned).collect();
        let documented = match words.iter().position(|word| word == "--listen") {
            Some(at) => {
                let url = words.get_mut(at + 1).ok_or("--listen without an address")?;
                let (scheme, rest) =
                    url.trim_matches('\'').split_once("://").ok_or("--listen without a scheme")?;
                // What stands behind `?`, as the certificate, stays.
                let (address, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
                let (documented, any) = (address.to_owned(), format!("{scheme}://127.0.0.1:0{query}"));
                *url = any;
                documented
            }
            None => return Err("a documented server has --listen, so that what follows can name it".into()),
        };
        let mut process = port502()
            .current_dir(folder)
            .args(words.iter().filter(|word| *word != "&"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = match lines.next() {
            Some(Ok(line)) => line,
            _ => return Err("it says nothing".into()),
        };
        let actual =
            first.rsplit("://").next().and_then(|rest| rest.split('?').next()).unwrap_or_default().to_owned();
        let said = Arc::new(Mutex::new(vec![first]));
        let log = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                log.lock().unwrap().push(line);
            }
        });
        let want = step.want.clone();
        Ok(Server { process, documented, actual, said, want, line: step.line })
    }

    /// Stops it, and compares what it said.
    fn finish(mut self) -> Result<(), String> {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let said: Vec<String> = self
            .said
            .lock()
            .unwrap()
            .iter()
            .map(|line| line.replace(&self.actual, &self.documented))
            .collect();
        // More clients come than a document shows.
        let want = [self.want.as_slice(), &["...".to_owned()]].concat();
        compare(&want, &said).map_err(|wrong| format!("line {}: {}", self.line, wrong.message))
    }
}

// ---- comparing ----------------------------------------------------------------------------------------------------

/// Whether the lines are those wanted, but for what differs from run to run.
fn compare(want: &[String], got: &[String]) -> Result<(), Wrong> {
    let plain = |lines: &[String]| lines.iter().map(|line| plain(line)).collect::<Vec<_>>();
    if matches(&plain(want), &plain(got)) {
        return Ok(());
    }
    let message =
        format!("it prints\n{}\n", got.iter().map(|line| format!("    {line}\n")).collect::<String>());
    Err(Wrong { message, printed: Some(got.to_vec()) })
}

fn matches(want: &[String], got: &[String]) -> bool {
    match (want.split_first(), got.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "..." => (0..=got.len()).any(|at| matches(rest, &got[at..])),
        (Some((first, want)), Some((line, got))) => first == line && matches(want, got),
        _ => false,
    }
}

/// A line without what differs from run to run.
fn plain(line: &str) -> String {
    let words = line.trim_end().split_inclusive(' ');
    let mut plain = String::new();
    for word in words {
        let (text, blank) = word.split_at(word.trim_end().len());
        plain.push_str(&plain_word(text));
        plain.push_str(blank);
    }
    // 0.42 ms, 31415/s: digits in front of a unit of time.
    let mut out: Vec<String> = Vec::new();
    for word in plain.split(' ') {
        let unit = word.trim_end_matches([',', ';', ')', ']']);
        if ["ns", "us", "µs", "ms", "s"].contains(&unit)
            && let Some(number) =
                out.last_mut().filter(|number| number.trim_start_matches('[').parse::<f64>().is_ok())
        {
            *number = "N".into();
        }
        let rate =
            word.trim_end_matches(',').strip_suffix("/s").is_some_and(|rate| rate.parse::<f64>().is_ok());
        out.push(if rate { "N/s".into() } else { word.to_owned() });
    }
    out.join(" ")
}

fn plain_word(word: &str) -> String {
    let mut text = String::new();
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let len = timestamp_len(rest).unwrap_or(0);
        text.push_str(if len == 0 { rest.get(..first.len_utf8()).unwrap_or_default() } else { "TIME" });
        rest = rest.get(len.max(first.len_utf8())..).unwrap_or_default();
    }
    // A client's port is above all that a document listens on.
    if let Some((host, port)) = text.split_once(':')
        && host == "127.0.0.1"
        && port.trim_end_matches([',', ':']).parse::<u16>().is_ok_and(|port| port >= 10_000)
    {
        text = "127.0.0.1:PORT".into();
    }
    // Serial numbers and fingerprints are made anew.
    let digits = text.trim_end_matches([',', ';', ')']);
    if digits.len() >= 32 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        text = text.replace(digits, "HEX");
    }
    text
}

/// The bytes of a time like 2026-11-20T10:15:01.123Z, where the text begins with one.
fn timestamp_len(text: &str) -> Option<usize> {
    let shape: String = text.chars().take(11).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    (shape == "0000-00-00T").then(|| text.find('Z').map(|at| at + 1))?
}

#[test]
fn only_what_differs_from_run_to_run_is_passed_over() {
    let same = |a: &str, b: &str| assert_eq!(plain(a), plain(b));
    let differ = |a: &str, b: &str| assert_ne!(plain(a), plain(b));
    same("2026-11-20T10:15:01.123Z  holding:0  1", "2026-12-21T11:16:02.456Z  holding:0  1");
    differ("2026-11-20T10:15:01.123Z  holding:0  1", "2026-11-20T10:15:01.123Z  holding:0  2");
    same(
        "{\"time\":\"2026-11-20T10:15:01.123Z\",\"unit\":1}",
        "{\"time\":\"2027-01-01T00:00:00.000Z\",\"unit\":1}",
    );
    same("latency min 0.42 ms median 0.45 ms", "latency min 1.42 ms median 11.45 ms");
    same("-> done [0.071 ms]", "-> done [12.5 ms]");
    differ("3 requests in 5 ms", "4 requests in 5 ms");
    same("100 answers in 0.01 s, 9000/s, 0 errors", "100 answers in 0.02 s, 5000/s, 0 errors");
    same("client 127.0.0.1:51234 connected", "client 127.0.0.1:40001 connected");
    differ("client 127.0.0.1:1502 connected", "client 127.0.0.1:1503 connected");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(matches(&lines("a\n...\nd"), &lines("a\nb\nc\nd")));
    assert!(!matches(&lines("a\n...\nd"), &lines("a\nb\nc")));
    assert!(!matches(&lines("a"), &lines("a\nb")));
}

// ---- arguments ----------------------------------------------------------------------------------------------------

/// Whether a command that is not run is one that there is, with options that there are.
fn takes(command: &str) -> Result<(), String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["port502", arguments @ ..] => arguments_are_taken(arguments),
        ["cargo", "run", "--release", "--", arguments @ ..] => arguments_are_taken(arguments),
        ["cargo", "run", "-p", "port502", "--example", name] => {
            exists(&format!("crates/port502/examples/{name}.rs"))
        }
        ["cargo", "xtask", chore, ..] => {
            let known = read("xtask/src/main.rs").contains(&format!("\n  {chore} "));
            if known { Ok(()) } else { Err(format!("xtask has no chore `{chore}`")) }
        }
        ["cargo", "install", "--locked", "--path", path] => exists(path),
        // Reads the hash of one entry, as an auditor would: crates/port502-store/tests/journal/chain.rs does the same.
        ["sqlite3", "-readonly", ..] => Ok(()),
        ["cargo", "add", "port502"] | ["cargo", "add", "tokio", ..] => Ok(()),
        _ => {
            Err("the test does not know how to check this command: see crates/port502-cli/tests/docs.rs"
                .into())
        }
    }
}

fn exists(path: &str) -> Result<(), String> {
    if root().join(path).exists() { Ok(()) } else { Err(format!("there is no {path}")) }
}

/// The binary takes the arguments in and looks at each, and stops at the `--help` behind them.
fn arguments_are_taken(arguments: &[&str]) -> Result<(), String> {
    let end =
        arguments.iter().position(|word| ["|", ">", "&", "#", ";"].contains(word)).unwrap_or(arguments.len());
    let arguments = arguments[..end].iter().map(|word| word.trim_matches('\''));
    let output = port502().args(arguments).arg("--help").output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The long options, and the short ones without a long one, in the help of a command and of what stands under it.
fn options(command: &str) -> BTreeSet<String> {
    let help = |words: &[&str]| {
        let output = port502().args(words).arg("--help").output().unwrap();
        assert!(output.status.success(), "port502 {words:?} --help");
        String::from_utf8(output.stdout).unwrap()
    };
    let own = help(&[command]);
    let below = listed(&own).into_iter().map(|below| help(&[command, &below]));
    let help: String = below.chain([own.clone()]).collect();
    help.lines()
        .map(str::trim_start)
        // Possible values are a list with `- ` in front.
        .filter(|line| line.starts_with('-') && !line.starts_with("- "))
        .filter_map(|line| {
            let mut words = line.split([' ', ',', '=', '<']).filter(|word| word.starts_with('-'));
            let first = words.next()?;
            Some(words.next().filter(|word| word.starts_with("--")).unwrap_or(first).to_owned())
        })
        .filter(|option| option != "--help" && option != "--version")
        .collect()
}

/// The commands in the help.
fn commands() -> BTreeSet<String> {
    let output = port502().arg("--help").output().unwrap();
    listed(&String::from_utf8(output.stdout).unwrap())
}

/// The commands that a help lists.
fn listed(help: &str) -> BTreeSet<String> {
    let Some(list) = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()) else {
        return BTreeSet::new();
    };
    // Longer descriptions go on in a line that is indented further.
    list.lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

#[test]
fn commands_between_backticks_are_there() {
    let (commands, mut wrong, mut seen) = (commands(), String::new(), 0);
    for path in
        [documents(), vec!["ARCHITECTURE.md".into(), "CONTRIBUTING.md".into(), "SECURITY.md".into()]].concat()
    {
        for (index, line) in read(&path).lines().enumerate() {
            for span in line.split('`').skip(1).step_by(2).filter(|span| span.starts_with("port502 ")) {
                seen += 1;
                let mut words = span.split_whitespace().skip(1);
                let command = words.next().unwrap_or_default();
                let known = match command.strip_prefix('-') {
                    Some(_) => ["--help", "--version"].contains(&command),
                    None => commands.contains(command),
                };
                let options =
                    if known && !command.starts_with('-') { options(command) } else { BTreeSet::new() };
                let unknown =
                    words.filter(|word| word.starts_with("--")).find(|word| !options.contains(*word));
                if !known || unknown.is_some() {
                    let _ = writeln!(wrong, "{path}:{}: `{span}`", index + 1);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(seen >= 5, "only {seen} commands between backticks");
}

#[test]
fn every_command_and_option_is_documented() {
    let text = read("docs/commands.md");
    let mut documented = BTreeSet::new();
    for section in text.split("\n## ").skip(1) {
        let heading = section.lines().next().unwrap_or_default();
        let Some(command) = heading.strip_prefix('`').and_then(|rest| rest.split('`').next()) else {
            continue;
        };
        documented.insert(command.to_owned());
        let there = options(command);
        // Options are the first cell of a table's row; a short form stands behind the long one.
        let cells =
            section.lines().filter(|line| line.starts_with("| `-")).filter_map(|line| line.split('|').nth(1));
        let spans = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let listed: BTreeSet<String> = spans
            .filter_map(|span| span.split(' ').next())
            .filter(|option| {
                option.starts_with("--") || !there.iter().any(|long| long.get(1..3) == option.get(0..2))
            })
            .map(str::to_owned)
            .collect();
        // What all commands that talk to a device have stands in one place.
        let common: BTreeSet<String> = ["--unit", "--timeout", "--retries"].map(str::to_owned).into();
        let talks = common.is_subset(&there);
        let want: BTreeSet<String> = there.into_iter().filter(|o| !talks || !common.contains(o)).collect();
        assert_eq!(listed, want, "the options of {command} in docs/commands.md, and those of its help");
    }
    assert_eq!(documented, commands(), "the sections of docs/commands.md, and the commands of the help");
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = String::new();
    let others = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned);
    for path in [documents(), others.to_vec()].concat() {
        let (text, file) = (read(&path), root().join(&path));
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (name, anchor) = target.split_once('#').unwrap_or((target, ""));
            let linked = if name.is_empty() { file.clone() } else { file.with_file_name(name) };
            let is_heading = |line: &str| {
                let heading = line.trim_start_matches('#').trim().to_lowercase();
                line.starts_with('#') && heading.replace(['`', '\'', ','], "").replace(' ', "-") == anchor
            };
            let found = match std::fs::read_to_string(&linked) {
                _ if name.contains("://") => true,
                Ok(text) => anchor.is_empty() || text.lines().any(is_heading),
                Err(_) => linked.is_dir(),
            };
            if !found {
                let _ = writeln!(wrong, "{path}: {target}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn every_json_is_documented() {
    let text = read("docs/json.md");
    for command in commands().into_iter().filter(|command| options(command).contains("--json")) {
        let headings = text.lines().filter(|line| line.starts_with("## "));
        let found = headings.into_iter().any(|line| line.starts_with(&format!("## `port502 {command} ")));
        assert!(found, "docs/json.md has no section for the --json of {command}");
    }
}

// ---- limits -------------------------------------------------------------------------------------------------------

#[test]
fn the_limits_of_the_architecture_are_those_of_the_code() {
    use port502_capture::{FragmentLimits, Limits as Capture};
    use port502_net::gateway::LaneOptions;
    use port502_net::{client, server};
    let lane = LaneOptions::default();
    let time = port502_session::duration::display;
    let whole = |duration: Duration| format!("{}s", duration.as_secs());
    let (c, s, l) = (client::Options::default(), server::Options::default(), client::Limits::default());
    let (capture, parts) = (Capture::default(), FragmentLimits::default());
    let fields = [
        ("client::Options::in_flight", c.in_flight.to_string()),
        ("client::Options::timeout", time(c.timeout)),
        ("client::Options::connect_timeout", time(c.connect_timeout)),
        ("client::Options::retries", c.retries.to_string()),
        ("client::Options::backoff", time(c.backoff)),
        ("client::Options::backoff_max", time(c.backoff_max)),
        (
            "client::Limits",
            format!("{}, {}, {}, {}", l.read_registers, l.read_bits, l.write_registers, l.write_bits),
        ),
        ("server::Options::connections", s.connections.to_string()),
        (
            "server::Options::per_peer",
            if s.per_peer == usize::MAX { "none".into() } else { s.per_peer.to_string() },
        ),
        ("server::Options::handshakes", s.handshakes.to_string()),
        ("server::Options::handshake", whole(s.handshake)),
        ("server::Limits::transactions", s.limits.transactions.to_string()),
        ("server::Limits::idle", whole(s.limits.idle)),
        ("server::Limits::frame", whole(s.limits.frame)),
        ("guard::Options::idle", whole(port502_guard::Options::default().idle)),
        ("gateway::LaneOptions::wait", time(lane.wait)),
        ("gateway::LaneOptions::timeout", time(lane.timeout)),
        ("gateway::LaneOptions::in_flight", lane.in_flight.to_string()),
        (
            "gateway::BreakerOptions",
            format!(
                "{}, {}, {}",
                lane.breaker.failures,
                time(lane.breaker.pause),
                whole(lane.breaker.pause_max)
            ),
        ),
        ("capture::Limits::connections", capture.connections.to_string()),
        ("capture::Limits::held_per_direction", capture.held_per_direction.to_string()),
        ("capture::Limits::held_total", capture.held_total.to_string()),
        ("capture::Limits::history", capture.history.to_string()),
        ("capture::Limits::window", capture.window.to_string()),
        ("capture::Limits::hold_for", whole(capture.hold_for)),
        ("capture::Limits::idle", whole(capture.idle)),
        ("capture::FragmentLimits", format!("{}, {}, {}", parts.packets, parts.parts, whole(parts.wait))),
    ];
    let text = read("ARCHITECTURE.md");
    let section = text.split("\n## Limits\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let constants = constants();
    let mut wrong = String::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (name, value) = (cells[1].trim_matches('`'), cells[2]);
        let want = match fields.iter().find(|(field, _)| *field == name) {
            Some((_, want)) => Some(want.clone()),
            None => match constants.iter().filter(|c| c.is_called(name)).collect::<Vec<_>>().as_slice() {
                [one] => number(&one.source, &constants),
                several => {
                    let _ = writeln!(wrong, "`{name}` is the name of {} constants", several.len());
                    continue;
                }
            },
        };
        if want.as_deref() != Some(value.replace(",", "").as_str()) && want.as_deref() != Some(value) {
            let _ = writeln!(wrong, "`{name}` is {want:?} in the code, and {value} in ARCHITECTURE.md");
        }
    }
    for (field, _) in &fields {
        if !section.contains(&format!("| `{field}` |")) {
            let _ = writeln!(wrong, "`{field}` has no row");
        }
    }
    // Those that are part of an interface must be there; others may. What the protocol fixes is named without its
    // module.
    let named: Vec<&str> = section.split('`').skip(1).step_by(2).collect();
    for constant in constants.iter().filter(|constant| constant.public && constant.is_limit()) {
        if !named.iter().any(|name| *name == constant.name || name.contains("::") && constant.is_called(name))
        {
            let _ = writeln!(wrong, "`{}::{}` is not named", constant.module.join("::"), constant.name);
        }
    }
    assert!(wrong.is_empty(), "the limits in ARCHITECTURE.md:\n{wrong}");
}

/// A constant in the sources of the crates.
struct Constant {
    /// Its crate, folders and file.
    module: Vec<String>,
    name: String,
    /// What stands behind its `=`.
    source: String,
    public: bool,
}

impl Constant {
    /// Whether `client::QUEUE_MAX` is this one: modules in front of a name may be left out, and none may be wrong.
    fn is_called(&self, path: &str) -> bool {
        let Some((module, name)) = path.rsplit_once("::") else { return false };
        let mut rest = self.module.iter();
        name == self.name && module.split("::").all(|part| rest.any(|module| module == part))
    }

    fn is_limit(&self) -> bool {
        ["_MAX", "_WITHIN", "_AFTER"].iter().any(|end| self.name.ends_with(end))
    }
}

#[test]
fn a_constant_is_called_by_its_module() {
    let module = ["net", "client", "connection"].map(str::to_owned).to_vec();
    let constant = Constant { module, name: "QUEUE_MAX".into(), source: "1".into(), public: true };
    for (path, want) in [
        ("client::QUEUE_MAX", true),
        ("net::connection::QUEUE_MAX", true),
        ("memory::QUEUE_MAX", false),
        ("connection::client::QUEUE_MAX", false),
        ("client::LINE_MAX", false),
        ("QUEUE_MAX", false),
    ] {
        assert_eq!(constant.is_called(path), want, "{path}");
    }
}

/// All of them, but for those of what only tests are made of.
fn constants() -> Vec<Constant> {
    let (mut found, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        folders.push(entry.unwrap().path().join("src"));
    }
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("synth.rs")
            {
                let text = std::fs::read_to_string(&path).unwrap();
                let module = module(&path);
                found.extend(text.lines().filter_map(|line| constant(&module, line)));
            }
        }
    }
    assert!(found.len() > 20, "only {} constants", found.len());
    found
}

/// `net`, `client`, `connection` of `crates/port502-net/src/client/connection.rs`.
fn module(path: &Path) -> Vec<String> {
    let parts = path.strip_prefix(root().join("crates")).unwrap().with_extension("");
    let parts = parts.iter().map(|part| part.to_str().unwrap().trim_start_matches("port502-").to_owned());
    parts.filter(|part| !["src", "mod", "lib"].contains(&part.as_str())).collect()
}

fn constant(module: &[String], line: &str) -> Option<Constant> {
    let line = line.trim_start();
    let public = line.starts_with("pub ");
    let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
    let (name, rest) = line.strip_prefix("const ")?.split_once(':')?;
    let (_, source) = rest.strip_suffix(';')?.split_once(" = ")?;
    Some(Constant { module: module.to_vec(), name: name.to_owned(), source: source.to_owned(), public })
}

/// The number that the expression of a constant is, or the time.
fn number(source: &str, constants: &[Constant]) -> Option<String> {
    let plain = |text: &str| text.trim().replace('_', "").parse::<u64>().ok();
    if let Some(seconds) = source.strip_prefix("Duration::from_secs(").and_then(|rest| rest.strip_suffix(')'))
    {
        return Some(format!("{}s", plain(seconds)?));
    }
    if let Some(millis) =
        source.strip_prefix("Duration::from_millis(").and_then(|rest| rest.strip_suffix(')'))
    {
        return Some(format!("{}ms", plain(millis)?));
    }
    // It may be another constant, or have one as a part.
    if let Some(other) = constants.iter().find(|c| c.name == source) {
        return number(&other.source, constants);
    }
    let named = |text: &str| constants.iter().find(|c| c.name == text).and_then(|other| plain(&other.source));
    let value = |text: &str| plain(text).or_else(|| named(text.trim()));
    let number = match (source.split_once("<<"), source.split_once('*')) {
        (Some((a, b)), _) => value(a)?.checked_shl(u32::try_from(value(b)?).ok()?)?,
        (None, Some((a, b))) => value(a)?.checked_mul(value(b)?)?,
        (None, None) => value(source)?,
    };
    Some(number.to_string())
}
