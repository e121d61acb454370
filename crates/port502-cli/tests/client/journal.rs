//! The journal as a person, a script or an auditor asks for it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use port502_store::{Entry, Journal, Kind, Options, Timestamp};

use super::support::{command, port502};

/// A folder for one test.
struct Folder(PathBuf);

impl Folder {
    fn fresh(name: &str) -> Folder {
        let path =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}-journal", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Folder(path)
    }

    /// A journal with these entries, one a second.
    fn with(name: &str, entries: &[(Kind, &str, &str)]) -> Folder {
        let folder = Folder::fresh(name);
        append(&folder.0, 0, entries);
        folder
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn append(folder: &Path, first: i64, entries: &[(Kind, &str, &str)]) {
    let mut journal = Journal::open(folder, Options::default()).unwrap();
    let entries: Vec<Entry<'_>> = entries
        .iter()
        .zip(first..)
        .map(|(&(kind, source, body), second)| Entry {
            time: Timestamp::from_unix_nanos((1_795_000_000 + second) * 1_000_000_000 + 125_000_000),
            kind,
            source,
            body,
        })
        .collect();
    journal.append(&entries).unwrap();
}

const LIMITS: &str = r#"{"time":"2026-11-18T11:06:40.125000Z","conduit":"intake","verdict":"refused","client":"10.20.0.7","unit":3,"function":6,"name":"WriteSingleRegister","table":"holding","address":200,"count":1,"values":[600],"rule":"operator-writes","tag":"speed_sp","limits":"200 to 500","reason":"limits","detail":"the value is outside its limits","pdu":"0600c80258"}"#;
const COILS: &str = r#"{"conduit":"intake","verdict":"alerted","client":"2001:db8::1","unit":3,"function":15,"name":"WriteMultipleCoils","table":"coil","address":10000,"count":200,"values":[1,0,1,1,0,0,1,0,1,1],"values_left_out":190,"reason":"connections-of-client"}"#;
const BOTH: &str = r#"{"verdict":"refused","client":"10.20.0.7","unit":3,"function":23,"name":"ReadWriteMultipleRegisters","table":"holding","address":200,"count":2,"read_address":100,"read_count":5,"values":[1,2],"reason":"function","rule":"a rule with a name that is so long that the line has to be broken"}"#;
const FRAME: &str = r#"{"verdict":"refused","client":"10.20.0.7","reason":"frame-length","detail":"no frame has this length: 3","pdu":"474554"}"#;
const REPEATS: &str = r#"{"verdict":"repeats","client":"10.20.0.7","reason":"limits","repeats":3349,"first":"2026-11-18T11:05:40.000000Z","last":"2026-11-18T11:06:39.000000Z"}"#;

fn everything(name: &str) -> Folder {
    Folder::with(
        name,
        &[
            (Kind::Verdict, "intake", LIMITS),
            (Kind::Verdict, "intake", COILS),
            (Kind::Verdict, "intake", BOTH),
            (Kind::Verdict, "booster-station", FRAME),
            (Kind::Verdict, "intake", REPEATS),
            (Kind::Alarm, "tank", r#"{"text":"level high\u001b[31m"}"#),
            (Kind::Audit, "admin", r#"{"did":"reload","files":["a","b"],"role":"\u001b[2J\n,"}"#),
            (Kind::Finding, "watch", "{}"),
        ],
    )
}

#[test]
fn people_get_two_lines_for_an_entry() {
    let folder = everything("page");
    let want = "\
TIME                  SOURCE     VERDICT  CLIENT           REASON
2026-11-18T11:06:40Z  intake     refused  10.20.0.7        limits
  WriteSingleRegister unit 3 holding:200 (40201) = 600; speed_sp may be 200 to
    500; rule operator-writes
2026-11-18T11:06:41Z  intake     alerted  2001:db8::1      connections-of-client
  WriteMultipleCoils unit 3 coil:10000*200 (010001) = 1 0 1 1 0 0 1 0 and 192
    more
2026-11-18T11:06:42Z  intake     refused  10.20.0.7        function
  ReadWriteMultipleRegisters unit 3 holding:200*2 (40201) = 1 2, reading
    holding:100*5 (40101); rule a rule with a name that is so long that the line
    has to be broken
2026-11-18T11:06:43Z  booster-station  refused  10.20.0.7        frame-length
  no frame has this length: 3
2026-11-18T11:06:44Z  intake     repeats  10.20.0.7        limits
  3349 more, from 2026-11-18T11:05:40.000000Z to 2026-11-18T11:06:39.000000Z
2026-11-18T11:06:45Z  tank       alarm
  level high\u{FFFD}[31m
2026-11-18T11:06:46Z  admin      audit
  did=reload files=a b role=\u{FFFD}[2J\u{FFFD},
2026-11-18T11:06:47Z  watch      finding
";
    port502(&["journal", folder.name(), "--oldest-first"]).prints(want);
    for line in want.lines().filter(|line| !line.contains("booster-station")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn programs_get_what_was_kept() {
    let folder = everything("lines");
    let ran = port502(&["journal", folder.name(), "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 8);
    assert_eq!(
        lines[0],
        r#"{"id":8,"kind":"finding","source":"watch","time":"2026-11-18T11:06:47.125000Z"}"#
    );
    assert_eq!(
        lines[2],
        r#"{"id":6,"kind":"alarm","source":"tank","time":"2026-11-18T11:06:45.125000Z","text":"level high\u001b[31m"}"#
    );
    // Its own time stands where it stood.
    assert_eq!(lines[7], format!(r#"{{"id":1,"kind":"verdict","source":"intake",{}"#, &LIMITS[1..]));
    for line in lines {
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line).unwrap();
    }

    let ran = port502(&["journal", folder.name(), "--csv", "--oldest-first"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let lines: Vec<&str> = ran.out.lines().collect();
    let names: Vec<&str> = lines[0].split(',').collect();
    assert_eq!(&names[..6], ["id", "time", "kind", "source", "conduit", "verdict"]);
    assert_eq!(names.last(), Some(&"rest"));
    let cell = |line: usize, name: &str| {
        let at = names.iter().position(|other| *other == name).unwrap();
        lines[line].split(',').nth(at).unwrap()
    };
    assert_eq!((cell(1, "id"), cell(1, "values"), cell(1, "address")), ("1", "600", "200"));
    assert_eq!((cell(2, "values"), cell(2, "values_left_out")), ("1 0 1 1 0 0 1 0 1 1", "190"));
    assert!(lines[7].ends_with(r#","{""did"":""reload"",""files"":[""a"",""b""]}""#), "{}", lines[7]);
    assert!(lines[7].contains(",\"\u{FFFD}[2J\u{FFFD},\","), "{}", lines[7]);
    assert_eq!((cell(8, "rest"), lines.len()), ("", 9));
}

#[track_caller]
fn finds(folder: &Folder, args: &[&str], want: &[u64]) {
    let ran = port502(&[&["journal", folder.name(), "--json"], args].concat());
    let ids: Vec<u64> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap())
        .collect();
    assert_eq!((ids.as_slice(), ran.code), (want, 0), "{args:?}: {}", ran.err);
    assert_eq!(ran.err.is_empty(), !want.is_empty(), "{}", ran.err);
}

#[test]
fn what_is_asked_for_is_found() {
    let folder = everything("found");
    finds(&folder, &["-n", "2"], &[8, 7]);
    finds(&folder, &["-n", "2", "--oldest-first"], &[1, 2]);
    finds(&folder, &["--kind", "alarm"], &[6]);
    finds(&folder, &["--source", "booster-station"], &[4]);
    finds(&folder, &["--reason", "limits"], &[5, 1]);
    finds(&folder, &["--client", "2001:DB8:0::1"], &[2]);
    finds(
        &folder,
        &["--client", "::ffff:10.20.0.7", "--reason", "limits", "--until", "2026-11-18T11:06:41Z"],
        &[1],
    );
    finds(&folder, &["--since", "2026-11-18T12:06:46+01:00"], &[8, 7]);
    finds(&folder, &["--since", "2026-11-18T11:06:41.125Z", "--until", "2026-11-18T11:06:43.125Z"], &[3, 2]);
    finds(&folder, &["--until", "36500d"], &[]);
    finds(&folder, &["--reason", "limit"], &[]);
}

#[test]
fn nothing_is_no_failure_and_more_is_told() {
    let folder = everything("nothing");
    let ran = port502(&["journal", folder.name(), "--kind", "alarm", "--source", "intake"]);
    let hint = "nothing found; `port502 journal` without options shows the newest of all";
    assert_eq!((ran.out.as_str(), ran.err, ran.code), ("", format!("{}: {hint}\n", folder.name()), 0));
    let empty = Folder::with("empty", &[]);
    let ran = port502(&["journal", empty.name(), "--json"]);
    assert_eq!((ran.out.as_str(), ran.code), ("", 0));
    assert_eq!(ran.err, format!("{}: nothing is kept there yet\n", empty.name()));
    // A table ends where a person stops reading.
    append(&folder.0, 8, &[(Kind::Alarm, "tank", r#"{"text":"level high"}"#); 13]);
    let ran = port502(&["journal", folder.name()]);
    let entries = ran.out.lines().filter(|line| line.starts_with("2026")).count();
    assert_eq!((entries, ran.code), (20, 0));
    assert_eq!(ran.err, format!("{}: these are the newest 20; -n shows as many as it says\n", folder.name()));
    let ran = port502(&["journal", folder.name(), "-n", "21"]);
    assert_eq!((ran.err.as_str(), ran.code), ("", 0));
}

#[test]
fn a_chain_is_whole_or_broken_at_an_entry() {
    let folder = everything("chain");
    let hash = Journal::verify(&folder.0).unwrap().hash_text();
    port502(&["journal", folder.name(), "--verify"]).prints(&format!(
        "{}: whole, 8 entries: 1 to 8, the oldest of 2026-11-18T11:06:40Z\nhash of entry 8: {hash}\n",
        folder.name()
    ));
    port502(&["journal", folder.name(), "--verify", "--json"]).prints(&format!(
        "{{\"whole\":true,\"removed\":0,\"entries\":8,\"oldest\":\"2026-11-18T11:06:40.125000Z\",\"last\":8,\"hash\":\"{hash}\",\"entry\":null,\"what\":null}}\n"
    ));
    let empty = Folder::with("chain-empty", &[]);
    port502(&["journal", empty.name(), "--verify"])
        .prints(&format!("{}: whole, without entries\n", empty.name()));
    // One letter of what stands in the file.
    let file = port502_store::journal::path(&folder.0);
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(12).position(|bytes| bytes == b"frame-length").unwrap();
    bytes[at] = b'F';
    std::fs::write(&file, bytes).unwrap();
    let line = format!(
        "{}: entry 4 is not what was kept, or not in its place; in front of it 3 entries are as kept; \
         compare the others with a copy that nobody here could change",
        folder.name()
    );
    assert_eq!(port502(&["journal", folder.name(), "--verify"]).fails(1, &line), "");
    let out = port502(&["journal", folder.name(), "--verify", "--json"]).fails(1, &line);
    assert!(out.starts_with("{\"whole\":false,\"removed\":0,\"entries\":3,"), "{out}");
    assert!(out.ends_with(",\"entry\":4,\"what\":\"changed\"}\n"), "{out}");
}

#[test]
fn what_is_no_journal_is_told_in_a_line() {
    let folder = Folder::fresh("absent");
    let name = folder.name();
    port502(&["journal", name])
        .fails(1, &format!("{name}: no such folder; name the one in which the journal is kept"));
    std::fs::create_dir_all(&folder.0).unwrap();
    let line = format!("{name}: there is no journal.db in it; name the folder in which the journal is kept");
    for args in [&["--verify"][..], &["--follow"], &[]] {
        port502(&[&["journal", name], args].concat()).fails(1, &line);
    }
    std::fs::write(folder.0.join("journal.db"), "something else ".repeat(100)).unwrap();
    let line = format!("{name}/journal.db: not a journal; move it away, or name another folder");
    port502(&["journal", name]).fails(1, &line);
    // The file is not the folder.
    let file = format!("{name}/journal.db");
    port502(&["journal", &file])
        .fails(1, &format!("{file}: no such folder; name the one in which the journal is kept"));
}

#[test]
fn arguments_are_looked_at_first() {
    let moment = "want a time with its zone, as 2026-11-18T11:00:00Z, or how long ago, as 24h";
    for (args, want) in [
        (["--since", "yesterday"], format!("invalid value 'yesterday' for '--since <T>': {moment}")),
        (["--since", "2026-11-18"], format!("invalid value '2026-11-18' for '--since <T>': {moment}")),
        (["--until", "24"], format!("invalid value '24' for '--until <T>': {moment}")),
        (
            ["--since", "9999-01-01T00:00:00Z"],
            "invalid value '9999-01-01T00:00:00Z' for '--since <T>': want a year from 1678 to 2261".into(),
        ),
        (
            ["--kind", "alert"],
            "invalid value 'alert' for '--kind <KIND>': want verdict, finding, alarm, audit".into(),
        ),
        (
            ["--client", "plc"],
            "invalid value 'plc' for '--client <IP>': want an address, as 10.20.0.7 or fd00::7".into(),
        ),
    ] {
        port502(&["journal", "nowhere", args[0], args[1]]).fails(2, &want);
    }
    let folder = everything("usage");
    port502(&["journal", folder.name(), "--follow", "-n", "10001"])
        .fails(2, "-n 10001: --follow begins with 10000 at most; leave --follow out to see more");
}

#[test]
fn what_comes_is_followed() {
    let folder = everything("follow");
    let mut child = command(&["journal", folder.name(), "--follow", "--json", "-n", "1", "--kind", "alarm"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let id = |line: Option<String>| {
        serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap()["id"].clone()
    };
    assert_eq!(id(lines.next()), 6);
    let text = r#"{"text":"level high"}"#;
    append(&folder.0, 8, &[(Kind::Audit, "admin", "{}"), (Kind::Alarm, "tank", text)]);
    assert_eq!(id(lines.next()), 10);
    append(&folder.0, 2, &[(Kind::Alarm, "tank", text), (Kind::Alarm, "tank", text)]);
    assert_eq!((id(lines.next()), id(lines.next())), (11.into(), 12.into()));
    child.kill().unwrap();
    child.wait().unwrap();
}
