use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::support::{Does, answer, command, device, port502, serve, serve_with, without_times};

const MAP: &str = "holding,100,f32,cdab,,21.5\nholding,102,,,3,\"1,2,3\"\nholding,110,str8,,,PUMP\n\
    holding,120,bcd16,,,1234\nholding,130,f64,,,nan\ncoil,0,,,16,on\ninput,7,i16,,2,-5\nholding,9999,,,,7\n";

#[test]
fn a_table_shows_address_and_reference() {
    let served = serve(MAP);
    let points =
        ["h:100:f32:cdab", "40103*3", "h:110:str8", "h:120:bcd16", "h:130:f64", "c:0*2", "i:7:i16", "h:9999"];
    port502(&[&["read", &served.target], &points[..]].concat()).prints(
        "\
POINT                 REFERENCE  VALUE   RAW
holding:100:f32:cdab  40101      21.5    0000 41AC
holding:102           40103      1       0001
holding:103           40104      2       0002
holding:104           40105      3       0003
holding:110:str8      40111      \"PUMP\"  5055 4D50 0000 0000
holding:120:bcd16     40121      1234    1234
holding:130:f64       40131      NaN     7FF8 0000 0000 0000
coil:0                00001      true    1
coil:1                00002      true    1
input:7:i16           30008      -5      FFFB
holding:9999          410000     7       0007
",
    );
}

#[test]
fn a_bad_point_does_not_hide_the_others() {
    let served = serve(MAP);
    let ran = port502(&["read", &served.target, "h:101", "h:102", "h:105", "h:104", "d:0", "h:101:bcd16"]);
    let out = ran.fails(
        5,
        &format!(
            "3 of 6 values failed: {} unit 1: holding:105: exception 02 illegal data address; the device has no such \
             address; addresses count from 0, 40001 is holding:0",
            served.target
        ),
    );
    assert_eq!(
        out,
        "\
POINT              REFERENCE  VALUE  RAW
holding:101        40102      16812  41AC
holding:102        40103      1      0001
holding:105        40106      exception 02 illegal data address
holding:104        40105      3      0003
discrete:0         10001      exception 02 illegal data address
holding:101:bcd16  40102      digit 3 is 0xA, which is not decimal
"
    );
}

#[test]
fn a_neighbour_with_any_exception_hides_nobody() {
    let served = serve_with("holding,9,,,3,\"1,2,3\"\n", &["--fault", "exception=6@holding:10"]);
    let ran = port502(&["read", &served.target, "h:9", "h:10", "h:11", "-n", "2"]);
    let rows = "TIME  holding:9   40010      1      0001\n\
                TIME  holding:10  40011      exception 06 server device busy\n\
                TIME  holding:11  40012      3      0003\n";
    assert_eq!(
        without_times(&ran.out),
        format!("TIME                      POINT       REFERENCE  VALUE  RAW\n{rows}{rows}")
    );
    // Busy now is not busy for ever: the second round asks for all three together again.
    assert!(ran.err.starts_with("8 requests, 4 errors, "), "{ran:?}");
}

#[test]
fn a_unit_that_is_not_there_is_asked_once() {
    let served = serve_with(MAP, &["--unit", "3"]);
    let ran = port502(&["read", &served.target, "h:102", "h:103", "-n", "2"]);
    assert!(ran.err.starts_with("2 requests, 2 errors, "), "{ran:?}");
}

#[test]
fn what_is_not_of_its_type_is_told() {
    let served = serve(MAP);
    port502(&["read", &served.target, "h:101:bcd16"]).fails(
        1,
        &format!(
            "{} unit 1: holding:101:bcd16: digit 3 is 0xA, which is not decimal; try another type or order",
            served.target
        ),
    );
}

#[test]
fn json_has_the_documented_fields() {
    let served = serve(MAP);
    let ran = port502(&[
        "read",
        &served.target,
        "h:130:f64",
        "h:100:f32:cdab",
        "h:110:str8",
        "c:0",
        "i:7:i16",
        "h:105",
        "--json",
    ]);
    assert_eq!(ran.code, 5);
    let target = &served.target;
    let object = |rest: &str| format!("{{\"time\":\"TIME\",\"target\":\"{target}\",\"unit\":1,{rest}}}");
    let want = [
        object(
            r#""point":"holding:130:f64","table":"holding","address":130,"reference":"40131","type":"f64","value":"NaN""#,
        ),
        object(
            r#""point":"holding:100:f32:cdab","table":"holding","address":100,"reference":"40101","type":"f32","value":21.5"#,
        ),
        object(
            r#""point":"holding:110:str8","table":"holding","address":110,"reference":"40111","type":"str8","value":"PUMP""#,
        ),
        object(
            r#""point":"coil:0","table":"coil","address":0,"reference":"00001","type":"bool","value":true"#,
        ),
        object(
            r#""point":"input:7:i16","table":"input","address":7,"reference":"30008","type":"i16","value":-5"#,
        ),
        object(
            r#""point":"holding:105","table":"holding","address":105,"reference":"40106","type":"u16","value":null,"error":"exception 02 illegal data address""#,
        ),
    ];
    let lines: Vec<String> = ran.out.lines().map(timeless).collect();
    assert_eq!(lines, want);
}

/// The line with its time checked and taken out.
fn timeless(line: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(line).unwrap();
    let time = value["time"].as_str().unwrap();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z");
    line.replace(time, "TIME")
}

#[test]
fn csv_has_a_header() {
    let served = serve("holding,110,str8,,,\"a,\"\"b\"\n");
    let ran = port502(&["read", &served.target, "h:110:str8", "h:0", "--csv", "-n", "2"]);
    let row = |rest: &str| format!("TIME,{},1,{rest}\n", served.target);
    let rows = row("holding:110:str8,holding,110,40111,str8,\"a,\"\"b\",")
        + &row("holding:0,holding,0,40001,u16,,exception 02 illegal data address");
    let got: String = ran
        .out
        .lines()
        .map(|line| match line.split_once(',') {
            Some((time, rest)) if time.ends_with('Z') => format!("TIME,{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_eq!(got, format!("time,target,unit,point,table,address,reference,type,value,error\n{rows}{rows}"));
}

#[test]
fn again_and_again_with_a_summary() {
    let served = serve(MAP);
    let ran = port502(&["read", &served.target, "h:102", "--every", "10ms", "-n", "3"]);
    let row = "TIME  holding:102  40103      1      0001\n";
    assert_eq!(
        without_times(&ran.out),
        format!("TIME                      POINT        REFERENCE  VALUE  RAW\n{row}{row}{row}")
    );
    assert_eq!(ran.code, 0);
    assert!(ran.err.starts_with("3 requests, 0 errors, latency min "), "{}", ran.err);
}

#[test]
fn the_unit_is_the_one_asked_for() {
    let served = serve_with(MAP, &["--unit", "3"]);
    assert_eq!(port502(&["read", &served.target, "h:102", "--unit", "0x3"]).code, 0);
    let ran = port502(&["read", &served.target, "h:102", "--unit", "4"]);
    let line = format!(
        "{} unit 4: holding:102: exception 0B gateway target device failed to respond; nothing answers behind the \
         gateway, try another --unit",
        served.target
    );
    ran.fails(5, &line);
}

#[test]
fn each_way_to_fail_has_its_exit_code() {
    let silent = device(|_| Does::Nothing);
    port502(&["read", &silent, "h:0", "--timeout", "50ms", "--retries", "0"]).fails(
        4,
        &format!(
            "{silent} unit 1: holding:0: no answer within 50ms; try another --unit, or a longer --timeout"
        ),
    );
    let closing = device(|_| Does::Closes);
    let ran = port502(&["read", &closing, "h:0", "--retries", "0"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let broke = format!("port502: {closing} unit 1: holding:0: the connection broke: ");
    assert!(ran.err.starts_with(&broke), "{ran:?}");
    let hint = "; the device ended it: try another --unit, or fewer clients on it\n";
    assert!(ran.err.ends_with(hint), "{ran:?}");
    let wrong = device(|request| answer(request, &[4, 2, 0, 0]));
    let ran = port502(&["read", &wrong, "h:0", "--timeout", "200ms", "--retries", "0"]);
    assert_eq!(ran.code, 6, "{ran:?}");
    assert!(
        ran.err.starts_with(&format!("port502: {wrong} unit 1: holding:0: the device broke the protocol: "))
    );
    let busy = device(|request| answer(request, &[0x83, 6]));
    port502(&["read", &busy, "h:0"]).fails(
        5,
        &format!("{busy} unit 1: holding:0: exception 06 server device busy; it is busy, try again later"),
    );
    // The worst of several: 04 for one, silence for the other.
    let both = device(|request| if request[7] == 3 { answer(request, &[0x83, 4]) } else { Does::Nothing });
    let ran = port502(&["read", &both, "h:0", "i:0", "--timeout", "50ms", "--retries", "0"]);
    assert_eq!(ran.code, 4, "{ran:?}");
}

#[test]
fn a_retry_gets_through() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    let requests = Arc::new(AtomicU32::new(0));
    let flaky = device(move |request| match requests.fetch_add(1, Ordering::Relaxed) {
        0 => Does::Nothing,
        _ => answer(request, &[3, 2, 0, 9]),
    });
    let ran = port502(&["read", &flaky, "h:0", "--timeout", "100ms", "--retries", "1"]);
    assert_eq!((ran.code, ran.out.lines().nth(1)), (0, Some("holding:0  40001      9      0009")), "{ran:?}");
}

#[test]
fn text_from_a_device_does_not_steer_the_terminal() {
    let hostile = device(|request| answer(request, b"\x03\x08\x1b[2J\r\n\x07x"));
    let ran = port502(&["read", &hostile, "h:0:str8"]);
    assert!(ran.out.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", ran.out);
    assert!(ran.out.contains("\\u{1b}[2J"), "{:?}", ran.out);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let served = serve(MAP);
    let mut child = command(&["read", &served.target, "h:102", "--every", "1ms", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
}
