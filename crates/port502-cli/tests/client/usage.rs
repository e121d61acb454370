use super::support::port502;

/// Nothing listens at this target: it is wrong before that matters.
const NOBODY: &str = "127.0.0.1:1";

#[test]
fn bad_input_is_one_line_that_says_what_to_try() {
    let rows: &[(&[&str], &str)] = &[
        (&["raed", NOBODY], "unrecognized subcommand 'raed'; a similar subcommand exists: 'read'"),
        (&["read", NOBODY], "the following required arguments were not provided: <POINT>...; see --help"),
        (
            &["read", NOBODY, "h:0", "--jsn"],
            "unexpected argument '--jsn' found; a similar argument exists: '--json'",
        ),
        (&["read", NOBODY, "h:0", "--frob"], "unexpected argument '--frob' found; see --help"),
        (
            &["read", NOBODY, "h:0", "--json", "--csv"],
            "the argument '--json' cannot be used with '--csv'; see --help",
        ),
        // Targets
        (
            &["read", "tpc://plc", "h:0"],
            "invalid value 'tpc://plc' for '<TARGET>': `tpc` is not a link: use one of tcp, tls, udp, \
             rtu, ascii, rtu+tcp, ascii+tcp, rtu+udp",
        ),
        (
            &["read", "plc:99999", "h:0"],
            "invalid value 'plc:99999' for '<TARGET>': `99999` is not a port: use a number from 1 to 65535, as in \
             host:502",
        ),
        (
            &["read", "fe80::1", "h:0"],
            "invalid value 'fe80::1' for '<TARGET>': `fe80::1` has more than one colon: write an IPv6 address in \
             brackets, as in [fe80::1]:502",
        ),
        (
            &["read", "tcp://u@plc", "h:0"],
            "invalid value 'tcp://u@plc' for '<TARGET>': `tcp://u@plc` names no host: write tcp://host:port",
        ),
        (
            &["write", "plc:0", "h:0=1"],
            "invalid value 'plc:0' for '<TARGET>': nothing listens at port 0: use a number from 1 to 65535, as in \
             host:502",
        ),
        // Points
        (
            &["read", NOBODY, "h:0", "100"],
            "invalid value '100' for '<POINT>...': \"100\" names no table; write holding:100, or 40101 as manuals \
             count",
        ),
        (
            &["read", NOBODY, "h:1:f31"],
            "invalid value 'h:1:f31' for '<POINT>...': \"f31\" is not a type; did you mean f32?",
        ),
        (
            &["poll", NOBODY, "c:1*65536"],
            "invalid value 'c:1*65536' for '<POINT>...': \"65536\" reaches past address 65535; at most *65535 fit \
             there",
        ),
        // Values
        (
            &["write", NOBODY, "h:1"],
            "invalid value 'h:1' for '<POINT=VALUE>...': a value is missing; write POINT=VALUE, as \
             holding:100=1234",
        ),
        (
            &["write", NOBODY, "h:1=1", "h:2=70000"],
            "invalid value 'h:2=70000' for '<POINT=VALUE>...': 70000 is not within 0 to 65535, which is what u16 \
             holds; u32 would hold it",
        ),
        (
            &["write", NOBODY, "i:1=1"],
            "input:1: no request writes the table input; only coil and holding are written",
        ),
        (
            &["write", NOBODY, "h:1:bit3=1", "--fc", "6"],
            "holding:1:bit3: function 6 WriteSingleRegister would overwrite the other bits; use 22, or write the \
             whole register as u16",
        ),
        (
            &["write", NOBODY, "c:1=1", "--fc", "16"],
            "coil:1: function 16 WriteMultipleRegisters writes the table holding; leave it out, and the right one \
             is chosen",
        ),
        (
            &["write", NOBODY, "h:1=1", "--fc", "3"],
            "invalid value '3' for '--fc <N>': the functions that write are 5, 6, 15, 16, 22 and 23",
        ),
        // Options
        (
            &["read", NOBODY, "h:0", "--unit", "256"],
            "invalid value '256' for '--unit <N>': want a unit id from 0 to 255",
        ),
        (
            &["read", NOBODY, "h:0", "--timeout", "5"],
            "invalid value '5' for '--timeout <D>': the unit is missing: write 5s or 5ms",
        ),
        (
            &["read", NOBODY, "h:0", "--timeout", "0s"],
            "invalid value '0s' for '--timeout <D>': nothing answers in no time; write 500ms or 2s",
        ),
        (
            &["read", NOBODY, "h:0", "--every", "1min"],
            "invalid value '1min' for '--every <D>': \"min\" is not a unit of time: ms, s, m, h and d are",
        ),
        (
            &["poll", NOBODY, "h:0"],
            "poll: the output is not a terminal, and it would never end; say when with -n N or --for D, or use \
             `port502 read --every`",
        ),
        (&["read", NOBODY, "h:0", "-n", "0"], "invalid value '0' for '-n <N>': want a count of 1 or more"),
        (
            &["serve", "--idle", "0"],
            "invalid value '0' for '--idle <DURATION>': every client would be closed at once; write 300s, or 365d for \
             those that keep silent",
        ),
        (
            &["serve", "--connections", "0"],
            "invalid value '0' for '--connections <N>': want a count of 1 or more",
        ),
        (
            &["serve", "--unit", "1", "--unit", "2", "--unit", "0x1"],
            "--unit 1 stands there twice; remove one",
        ),
        (
            &["serve", "--fault", "wrong-tid=1%,wrong-tid=2%"],
            "invalid value 'wrong-tid=1%,wrong-tid=2%' for '--fault <FAULTS>': fault `wrong-tid=2%`: its kind stands \
             there already; remove one",
        ),
        (
            &["bench", NOBODY, "--for", "0s"],
            "invalid value '0s' for '--for <D>': nothing is measured in no time; write 5s",
        ),
        (
            &["completions", "fsh"],
            "invalid value 'fsh' for '<SHELL>'; [possible values: bash, elvish, fish, powershell, zsh]; a similar \
             value exists: 'fish'",
        ),
    ];
    for (args, line) in rows {
        let out = port502(args).fails(2, line);
        assert_eq!(out, "", "{args:?}");
    }
}

#[test]
fn a_link_that_is_not_there() {
    port502(&["read", NOBODY, "h:0"]).fails(
        3,
        "could not connect to tcp://127.0.0.1:1: Connection refused (os error 111); check the address, and that the \
         device is on",
    );
}

#[test]
fn help_names_every_command() {
    let help = port502(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    for command in ["read", "write", "poll", "identify", "completions", "man"] {
        assert!(help.out.lines().any(|line| line.trim_start().starts_with(command)), "{command}");
        let of_command = port502(&[command, "--help"]);
        assert_eq!(of_command.code, 0, "{command}");
        assert!(of_command.out.contains(&format!("Usage: port502 {command}")), "{command}");
    }
    assert!(help.out.contains("Exit codes: 0 done"));
    // Without a command there is nothing to do: the help goes where errors go.
    let nothing = port502(&[]);
    assert_eq!((nothing.code, nothing.out.as_str()), (2, ""));
    assert!(nothing.err.contains("Usage: port502 <COMMAND>"));
}

#[test]
fn completions_come_from_the_tree() {
    for (shell, piece) in [
        ("bash", "_port502() {"),
        ("zsh", "#compdef port502"),
        ("fish", "complete -c port502"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer[port502]"),
    ] {
        let completions = port502(&["completions", shell]);
        assert_eq!((completions.code, completions.err.as_str()), (0, ""), "{shell}");
        assert!(completions.out.contains(piece), "{shell}");
        assert!(completions.out.contains("dry-run"), "{shell}");
    }
}

#[test]
fn manual_pages_come_from_the_tree() {
    let directory =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("man-{}", std::process::id()));
    let man = port502(&["man", directory.to_str().unwrap()]);
    assert_eq!((man.code, man.err.as_str()), (0, ""));
    for (page, piece) in
        [("port502", "port502\\-read(1)"), ("port502-read", "POINT"), ("port502-man", "DIRECTORY")]
    {
        let path = directory.join(format!("{page}.1"));
        assert!(man.out.contains(path.to_str().unwrap()), "{page}");
        assert!(std::fs::read_to_string(&path).unwrap().contains(piece), "{page}");
    }
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(port502(&["man"]).out.contains(".TH port502 1"));
    port502(&["man", "/dev/null/man"]).fails(
        1,
        "cannot write /dev/null/man: Not a directory (os error 20); name a directory that you may write to",
    );
}
