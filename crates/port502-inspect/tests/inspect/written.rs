//! Evidence as it is written, parsed back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use port502_inspect::conduit::{Direction, Event, Inline, Outcome, Output, Sanity};
use port502_inspect::evidence::{
    Evidence, FIELDS, LINE_MAX, Line, NAME_MAX, Record, Repeats, Syslog, Time, VALUES_MAX,
};
use port502_inspect::policy::{Effect, Envelope, Places, Refusal, Writable};
use port502_inspect::{Engine, Objection, Peer, Reason, State};
use port502_session::server::Identity;
use port502_wire::mbap::TransactionId;
use port502_wire::value::{Value, ValueType};
use port502_wire::{FunctionCode, UnitId};
use serde_json::Value as Json;

use crate::generate::{Chance, moment};
use crate::table::{allow, hex, holding, peer, policy};

/// 2026-11-23T06:33:17.25Z.
const AT: u64 = 1_795_415_597_250_000_000;

const FROM: Syslog<'_> = Syslog { facility: 10, hostname: "guard-1", process: 4711, enterprise: 32473 };

fn line(write: impl FnOnce(&mut Line<'_>) -> std::fmt::Result) -> String {
    let mut room = [0; LINE_MAX];
    let mut line = Line::new(&mut room);
    write(&mut line).expect("a line is never longer than LINE_MAX");
    line.as_str().to_owned()
}

fn json(record: &Record<'_>) -> Json {
    let line = line(|out| record.write_json(out));
    assert!(!line.contains('\n'));
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"))
}

/// Header fields, structured data and message of RFC 5424.
fn syslog(text: &str) -> (Vec<String>, BTreeMap<String, String>, String) {
    let (header, rest) = text.split_once(" [").unwrap();
    let header: Vec<String> = header.split(' ').map(str::to_owned).collect();
    let (id, mut rest) = rest.split_once(' ').unwrap();
    let (mut fields, mut all) = (BTreeMap::new(), header);
    all.push(id.to_owned());
    loop {
        let (name, behind) = rest.split_once("=\"").unwrap();
        assert!(!name.is_empty() && name.len() <= 32 && !name.contains([' ', ']', '=', '"']), "{name}");
        let (mut value, mut characters) = (String::new(), behind.char_indices());
        let end = loop {
            match characters.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => {
                    let (_, escaped) = characters.next().unwrap();
                    assert!(matches!(escaped, '"' | '\\' | ']'), "\\{escaped}");
                    value.push(escaped);
                }
                (_, bare) => {
                    assert!(bare != ']' && !bare.is_control(), "bare {bare:?}");
                    value.push(bare);
                }
            }
        };
        assert!(fields.insert(name.to_owned(), value).is_none(), "{name} twice");
        match behind[end + 1..].split_at(1) {
            (" ", next) => rest = next,
            ("]", message) => return (all, fields, message.trim_start().to_owned()),
            other => panic!("{other:?}"),
        }
    }
}

/// Header and extension of CEF.
fn cef(text: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let (mut header, mut field, mut characters) = (Vec::new(), String::new(), text.char_indices());
    let behind = loop {
        match characters.next().unwrap() {
            (_, '\\') => field.push(characters.next().unwrap().1),
            (at, '|') => {
                header.push(std::mem::take(&mut field));
                if header.len() == 7 {
                    break at + 1;
                }
            }
            (_, other) => field.push(other),
        }
    };
    // A key is a word in front of a bare =; its value reaches to the blank in front of the next key.
    let extension: Vec<char> = text[behind..].chars().collect();
    let (mut fields, mut key, mut value, mut at) = (BTreeMap::new(), None::<String>, String::new(), 0);
    while at < extension.len() {
        match extension[at] {
            '\\' => {
                at += 1;
                value.push(match extension[at] {
                    'n' => '\n',
                    'r' => '\r',
                    other => {
                        assert!(matches!(other, '\\' | '='), "\\{other}");
                        other
                    }
                });
            }
            '=' => {
                let word = value.split(' ').next_back().unwrap().to_owned();
                assert!(word.chars().all(char::is_alphanumeric) && !word.is_empty(), "key {word:?}");
                let text = value[..value.len() - word.len()].trim_end_matches(' ').to_owned();
                if let Some(key) = key.replace(word) {
                    assert!(fields.insert(key, text).is_none());
                }
                value.clear();
            }
            other => {
                assert!(!other.is_control(), "bare {other:?}");
                value.push(other);
            }
        }
        at += 1;
    }
    fields.insert(key.unwrap(), value);
    (header, fields)
}

/// As its value stands in a format without types.
fn as_text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Array(all) => all.iter().map(Json::to_string).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A time of a record as CEF has it, of the days that these tests know.
fn millis(time: &Json) -> Option<String> {
    let time = time.as_str()?.strip_suffix('Z')?;
    let (day, clock) = time.split_once('T')?;
    let days = match day {
        "1970-01-01" => 0_u64,
        "2026-11-18" => 20_775,
        "2026-11-23" => 20_780,
        "2554-07-21" => 213_503,
        _ => panic!("{day}: how many days is that after 1970-01-01?"),
    };
    let (seconds, micros) = clock.split_once('.')?;
    let seconds = seconds.split(':').fold(0, |all, part| all * 60 + part.parse::<u64>().unwrap());
    Some(((days * 86_400 + seconds) * 1_000 + micros.parse::<u64>().ok()? / 1_000).to_string())
}

/// All three say the same.
fn agree(record: &Record<'_>) -> Json {
    let json = json(record);
    let object = json.as_object().unwrap();
    let text = line(|out| record.write_syslog(&FROM, out));
    let (header, fields, _) = syslog(&text);
    assert_eq!(header.len(), 7, "{text}");
    assert_eq!(header[1..4], [object["time"].as_str().unwrap(), "guard-1", "port502"]);
    assert_eq!(header[5], object["reason"].as_str().unwrap());
    let clean =
        |text: String| text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect::<String>();
    assert_eq!(fields.len(), object.len());
    for (name, value) in object {
        match value.as_f64() {
            Some(number) => assert_eq!(fields[name].parse::<f64>().map_err(drop), Ok(number), "{name}"),
            None => assert_eq!(fields[name], clean(as_text(value)), "{name}"),
        }
    }
    let text = line(|out| record.write_cef(out));
    let (header, fields) = cef(&text);
    assert_eq!(header[..3], ["CEF:0", "port502", "guard"], "{text}");
    for facts in FIELDS {
        let Some(value) = object.get(facts.name) else { continue };
        if let "time" | "first" | "last" = facts.name {
            assert_eq!(Some(fields[facts.cef].trim_end()), millis(value).as_deref(), "{}", facts.name);
            continue;
        }
        let lines = |c: char| if c.is_control() && c != '\n' && c != '\r' { '\u{FFFD}' } else { c };
        let want: String = as_text(value).chars().map(lines).collect();
        if let Some(number) = value.as_f64() {
            assert_eq!(
                fields[facts.cef].trim_end().parse::<f64>().map_err(drop),
                Ok(number),
                "{}",
                facts.name
            );
        } else {
            assert_eq!(fields[facts.cef].trim_end(), want.trim_end(), "{}: {text}", facts.name);
        }
        if let Some(label) = fields.get(&format!("{}Label", facts.cef)) {
            assert_eq!(label, facts.name);
        }
    }
    json
}

fn engine() -> Engine {
    let policy = policy();
    Engine::compile(&policy, &policy.conduits[0]).unwrap()
}

/// The events of one client's bytes, each as its JSON; all formats agree on them.
fn told(peer: &Peer, unit: u8, pdu: &str) -> Json {
    let engine = Arc::new(engine());
    let mut state = State::new(Arc::clone(&engine));
    let mut inline = Inline::new(Sanity::default(), peer.clone());
    let (mut output, mut told, pdu) = (Output::default(), Vec::new(), hex(pdu));
    let mut adu = vec![0, 9, 0, 0, 0, u8::try_from(pdu.len() + 1).unwrap(), unit];
    adu.extend(pdu);
    let mut sink = |event: Event<'_>| {
        let client = SocketAddr::new(peer.address, 40_000);
        let identity = peer.identity.as_ref();
        let time = Time::from_unix_nanos(AT);
        told.push(agree(&Record::Evidence(Evidence { time, engine: &engine, client, identity, event })));
    };
    let _ = inline.from_client(&mut state, moment(0), &adu, &mut output, &mut sink);
    assert_eq!(told.len(), 1);
    told.remove(0)
}

#[test]
fn a_value_outside_its_limits() {
    let got =
        told(&peer("10.99.0.2", Some(("CN=desk, O=\"North\\field\"", Some("operator")))), 3, "06 00C8 0258");
    let want = serde_json::json!({
        "time": "2026-11-23T06:33:17.250000Z",
        "conduit": "intake",
        "verdict": "refused",
        "answer": "exception:1",
        "direction": "to-server",
        "client": "10.99.0.2",
        "port": 40000,
        "subject": "CN=desk, O=\"North\\field\"",
        "role": "operator",
        "fingerprint": "07".repeat(32),
        "transaction": 9,
        "unit": 3,
        "function": 6,
        "name": "WriteSingleRegister",
        "table": "holding",
        "address": 200,
        "count": 1,
        "item": 200,
        "values": [600],
        "rule": "operator-writes",
        "tag": "tag-200",
        "limits": "200 to 500",
        "value": 600,
        "reason": "limits",
        "detail": "the value is outside its limits",
        "technique": "T0836",
        "technique_name": "Modify Parameter",
        "pdu": "0600c80258",
    });
    assert_eq!(got, want);
}

#[test]
fn collectors_get_times_that_cef_knows_and_the_worse_severity_for_what_passed() {
    let engine = Arc::new(engine());
    let mut inline = Inline::new(Sanity::default(), peer("192.0.2.1", None));
    let (mut state, mut output, mut seen) = (State::new(Arc::clone(&engine)), Output::default(), Vec::new());
    let mut sink = |event: Event<'_>| {
        let alerted = Event { outcome: Outcome::Alerted, ..event };
        let noted = Event { outcome: Outcome::Noted, ..event };
        for event in [event, alerted, noted] {
            let client = SocketAddr::from(([192, 0, 2, 1], 40_000));
            let time = Time::from_unix_nanos(AT);
            let record = Record::Evidence(Evidence { time, engine: &engine, client, identity: None, event });
            seen.push((line(|out| record.write_syslog(&FROM, out)), line(|out| record.write_cef(out))));
        }
    };
    let adu = [0, 9, 0, 0, 0, 6, 3, 6, 0, 0, 0, 1];
    let _ = inline.from_client(&mut state, moment(0), &adu, &mut output, &mut sink);
    let severity = |(text, event): &(String, String)| {
        let (header, fields) = cef(event);
        assert_eq!(fields["rt"], "1795415597250", "{event}");
        // Of syslog's, without its facility.
        let priority: u8 = text[1..text.find('>').unwrap()].parse().unwrap();
        (header[6].parse::<u8>().unwrap(), priority % 8)
    };
    let all: Vec<(u8, u8)> = seen.iter().map(severity).collect();
    // Refused, passed with an alert, noted.
    assert_eq!(all, [(5, 4), (8, 3), (3, 6)]);
    let [time, first, last] = [0, 1, 2].map(|step| Time::from_unix_nanos(AT + step * 1_000_000_000));
    let repeats = Repeats {
        time,
        conduit: "intake",
        client: None,
        rule: None,
        function: None,
        reason: "limits",
        count: 7,
        first,
        last,
    };
    let (header, fields) = cef(&line(|out| Record::Repeats(repeats).write_cef(out)));
    assert_eq!(header[6], "6");
    assert_eq!((fields["rt"].as_str(), fields["start"].as_str()), ("1795415597250", "1795415598250"));
    assert_eq!(fields["end"], "1795415599250");
}

#[test]
fn values_that_were_refused_are_kept() {
    let client = peer("192.0.2.1", None);
    for (pdu, address, values) in [
        ("05 0001 FF00", 1, "[1]"),
        ("05 0001 0000", 1, "[0]"),
        ("0F 0001 000A 02 5502", 1, "[1,0,1,0,1,0,1,0,0,1]"),
        ("10 0001 0002 04 0102 FFFF", 1, "[258,65535]"),
        ("16 0001 00FF 0100", 1, "[255,256]"),
        ("17 0064 0001 00C8 0002 04 0001 0002", 200, "[1,2]"),
    ] {
        let got = told(&client, 3, pdu);
        assert_eq!(
            (got["address"].as_u64(), got["values"].to_string().as_str()),
            (Some(address), values),
            "{pdu}"
        );
        assert_eq!(hex(got["pdu"].as_str().unwrap()), hex(pdu));
        assert!(got.get("values_left_out").is_none());
    }
    let got = told(&client, 3, "17 0064 0005 00C8 0002 04 0001 0002");
    assert_eq!((&got["read_address"], &got["read_count"]), (&Json::from(100), &Json::from(5)));
    let many = told(&client, 3, &format!("0F 0000 07B0 F6 {}", "FF".repeat(246)));
    assert_eq!(many["values"].as_array().unwrap().len(), VALUES_MAX);
    assert_eq!(many["values_left_out"], 1968 - VALUES_MAX);
    let limited = told(&peer("10.80.0.1", None), 3, "06 0000 0015");
    assert_eq!((&limited["limits"], &limited["value"]), (&Json::from("10 to 20"), &Json::from(21)));
    // Of bytes that are no request, what can be read of them.
    let broken = told(&client, 3, "10 0001 0002 04 0102 FF");
    assert_eq!((&broken["reason"], &broken["answer"]), (&Json::from("malformed"), &Json::from("reset")));
    assert_eq!(broken["values"].to_string(), "[258]");
    assert_eq!(told(&client, 3, "08 0004 0000")["technique"], "T0816");
    assert_eq!(told(&client, 3, "2B 0E 01 00")["sub"], 14);
    assert!(told(&client, 3, "5A 00")["values"].is_null());
}

/// Text that would end a field, a line or a record where it is not escaped.
const NASTY: [&str; 9] = [
    "\"",
    "\\",
    "]",
    "a=b",
    "|",
    "line\nCEF:0|fake|",
    "tab\t\r\u{0}\u{1b}[31m\u{7f}\u{85}",
    "\u{2028}ü€😀",
    "} , {\"x\":1",
];

fn with_names(name: &str, subject: &str) -> (Engine, Identity) {
    let mut policy = policy();
    policy.conduits[0].name = name.into();
    let tag =
        Writable { name: name.into(), ..holding(200, ValueType::F64, Envelope::OneOf(vec![i128::MIN; 300])) };
    policy.conduits[0].rules = vec![port502_inspect::policy::Rule {
        effect: Effect::Allow,
        ..allow(name, &[(3, 3)], &[16], Places::Values(vec![tag]))
    }];
    let identity = Identity {
        subject: subject.into(),
        fingerprint: [0xFF; 32],
        role: Some(subject.into()),
        role_fault: None,
    };
    (Engine::compile(&policy, &policy.conduits[0]).unwrap(), identity)
}

fn evidence<'a>(engine: &'a Engine, identity: &'a Identity, reason: Reason, pdu: &'a [u8]) -> Record<'a> {
    Record::Evidence(Evidence {
        time: Time::from_unix_nanos(u64::MAX),
        engine,
        client: "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap(),
        identity: Some(identity),
        event: Event {
            direction: Direction::ToServer,
            outcome: Outcome::Refused(Refusal::Exception(255)),
            objection: Objection { rule: Some(0), tag: Some(0), ..Objection::of(reason) },
            transaction: Some(TransactionId(0xFFFF)),
            unit: Some(UnitId(255)),
            pdu,
        },
    })
}

#[test]
fn names_from_files_and_certificates_break_no_line() {
    let mut chance = Chance::new(7);
    for round in 0..200 {
        let mut text = || (0..1 + chance.below(4)).map(|_| chance.pick(&NASTY)).collect::<Vec<_>>().concat();
        let (name, subject) = (text(), text());
        let (engine, identity) = with_names(&name, &subject);
        let got = agree(&evidence(&engine, &identity, Reason::WriteRate, &[16, 0, 200]));
        let clipped = |text: &str| text.chars().take(NAME_MAX).collect::<String>();
        assert_eq!(got["rule"], clipped(&name), "round {round}");
        assert_eq!(got["subject"], clipped(&subject), "round {round}");
    }
}

#[test]
fn no_line_is_longer_than_it_may_be() {
    for character in ["\u{1}", "\"", "😀", "\\"] {
        let name = character.repeat(1_000);
        let (engine, identity) = with_names(&name, &name);
        let pdu = [&[16, 0xFF, 0xFF, 0xFF, 0xFF, 246][..], &[0xFF; 247]].concat();
        for value in
            [Value::F64(f64::MIN), Value::F64(f64::NAN), Value::F32(f32::INFINITY), Value::Signed(i64::MIN)]
        {
            agree(&evidence(&engine, &identity, Reason::StepUnknown { value }, &pdu));
        }
        let repeats = Repeats {
            time: Time::default(),
            conduit: &name,
            client: "::1".parse().ok(),
            rule: Some(&name),
            function: Some(FunctionCode(6)),
            reason: "denied",
            count: u64::MAX,
            first: Time::default(),
            last: Time::default(),
        };
        assert_eq!(agree(&Record::Repeats(repeats))["repeats"], u64::MAX);
    }
    // A buffer that is too small is an error, and what was written is text.
    let mut room = [0; 40];
    let (engine, identity) = with_names("ü", "ü");
    let mut line = Line::new(&mut room);
    assert!(evidence(&engine, &identity, Reason::Denied, &[3]).write_json(&mut line).is_err());
    assert!(line.as_str().starts_with("{\"time\":\""));
}

#[test]
fn syslog_headers_hold_what_may_stand_there() {
    let engine = engine();
    let identity = Identity { subject: "CN=a".into(), fingerprint: [0; 32], role: None, role_fault: None };
    let record = evidence(&engine, &identity, Reason::Denied, &[3, 0, 0, 0, 1]);
    for (hostname, want) in [("plc.example", "plc.example"), ("", "-"), ("two words", "-"), ("hößt", "-")] {
        let from = Syslog { hostname, facility: 99, ..FROM };
        let text = line(|out| record.write_syslog(&from, out));
        let (header, ..) = syslog(&text);
        assert_eq!((header[0].as_str(), header[2].as_str()), ("<188>1", want));
    }
    assert_eq!(syslog(&line(|out| record.write_syslog(&FROM, out))).0[0], "<84>1");
}

#[test]
fn times() {
    for (seconds, want) in [
        (0, "1970-01-01T00:00:00.000000Z"),
        (951_782_399, "2000-02-28T23:59:59.000000Z"),
        (951_782_400, "2000-02-29T00:00:00.000000Z"),
        (951_868_800, "2000-03-01T00:00:00.000000Z"),
        (1_709_164_800, "2024-02-29T00:00:00.000000Z"),
        (1_735_689_599, "2024-12-31T23:59:59.000000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        (18_446_744_073, "2554-07-21T23:34:33.000000Z"),
    ] {
        assert_eq!(Time::from_unix_nanos(seconds * 1_000_000_000).to_string(), want);
    }
}

#[test]
fn fields_have_names_of_their_own() {
    for facts in FIELDS {
        assert_eq!((facts.field.name(), facts.field.cef()), (facts.name, facts.cef));
        let same = FIELDS.iter().filter(|other| other.name == facts.name || other.cef == facts.cef).count();
        assert_eq!(same, 1, "{}", facts.name);
        assert!(facts.meaning.ends_with('.'), "{}", facts.name);
    }
}
