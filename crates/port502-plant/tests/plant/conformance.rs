//! What a server owes for each request, asked of simulated devices: the rows of `port502-net`, which are about PDUs.

use port502_net::memory::MemoryDevice;
use port502_net::server::{Context, Reply};
use port502_plant::simulation::Manner;
use port502_plant::{Map, Schedule, Simulation};
use port502_wire::{PDU_MAX, UnitId};

#[path = "../../../port502-net/tests/net/conformance/tables.rs"]
#[allow(dead_code, unreachable_pub, reason = "rows about units without a device are the server's")]
mod tables;

/// The one right outcome of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Want {
    Answer(Vec<u8>),
    Exception(u8),
    Silence,
}

/// A request and what it is owed.
pub(crate) struct Row {
    pub(crate) unit: u8,
    pub(crate) pdu: Vec<u8>,
    pub(crate) want: Want,
}

/// Rows that are asked one after the other, of a device that remembers.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) device: MemoryDevice,
    pub(crate) rows: Vec<Row>,
}

/// Bytes in hexadecimal, with blanks wherever they help; `AB*3` stands for AB AB AB.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let (digits, times) = word.split_once('*').map_or((word, 1), |(d, n)| (d, n.parse().unwrap()));
        let word: Vec<u8> = (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect();
        bytes.extend(word.repeat(times));
    }
    bytes
}

pub(crate) fn ok(request: &str, answer: &str) -> Row {
    Row { unit: 1, pdu: hex(request), want: Want::Answer(hex(answer)) }
}

pub(crate) fn echo(request: &str) -> Row {
    ok(request, request)
}

pub(crate) fn refused(request: &str, exception: u8) -> Row {
    Row { unit: 1, pdu: hex(request), want: Want::Exception(exception) }
}

pub(crate) fn silent(request: &str) -> Row {
    Row { unit: 1, pdu: hex(request), want: Want::Silence }
}

/// Asks a row; what is wrong with the answer.
fn difference(simulation: &mut Simulation, row: &Row) -> Option<String> {
    let mut out = [0; PDU_MAX];
    let unit = UnitId(row.unit);
    let (reply, manner) = simulation.answer(0, &Context::new(None, unit), unit, &row.pdu, &mut out);
    assert_eq!(manner, Manner::Right);
    let got = reply.emit(row.pdu[0], &mut out).map(<[u8]>::to_vec);
    let want = match &row.want {
        Want::Answer(pdu) => Some(pdu.clone()),
        Want::Exception(code) => Some(vec![row.pdu[0] | 0x80, *code]),
        Want::Silence => None,
    };
    (got != want).then(|| format!("unit {unit} {:02X?}\n  want {want:02X?}\n   got {got:02X?}", row.pdu))
}

#[test]
fn every_row_through_a_simulation() {
    let mut wrong = Vec::new();
    let mut asked = 0;
    for group in tables::groups() {
        let mut simulation = Simulation::new(&Map::default(), None, &Schedule::default(), 1).unwrap();
        for unit in 0..=255 {
            simulation.insert(0, UnitId(unit), group.name, group.device.clone());
        }
        for row in &group.rows {
            simulation.step();
            wrong.extend(difference(&mut simulation, row).map(|text| format!("{}: {text}", group.name)));
            asked += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked > 1000, "{asked} rows");
}

/// A real device of a plant: those rows that hold whatever the addresses are. Structure, quantities and unknown functions
/// come before addresses, and the counters are the line's.
#[test]
fn rows_that_hold_of_every_device_hold_of_a_plants() {
    const ANY: [&str; 6] = [
        "functions that nobody offers",
        "diagnostics",
        "counters",
        "event log",
        "listen-only mode",
        "one byte short, one byte long",
    ];
    let mut asked = 0;
    for group in tables::groups().into_iter().filter(|group| ANY.contains(&group.name)) {
        let mut simulation = crate::sites::simulation("water", 1, "");
        let lane = (0..simulation.lanes().len()).find(|lane| simulation.serves(*lane, UnitId(1))).unwrap();
        // A group goes on where a row has left the device: it ends at the first that needs an address.
        for row in &group.rows {
            if touches_addresses(row) {
                if group.name == "one byte short, one byte long" {
                    continue;
                }
                break;
            }
            simulation.step();
            let mut out = [0; PDU_MAX];
            let (reply, _) =
                simulation.answer(lane, &Context::new(None, UnitId(1)), UnitId(1), &row.pdu, &mut out);
            let got = reply.emit(row.pdu[0], &mut out).map(<[u8]>::to_vec);
            let want = match &row.want {
                Want::Answer(pdu) => Some(pdu.clone()),
                Want::Exception(code) => Some(vec![row.pdu[0] | 0x80, *code]),
                Want::Silence => None,
            };
            assert_eq!(got, want, "{}: {:02X?}", group.name, row.pdu);
            assert!(!matches!(reply, Reply::Response { len: 0 }));
            asked += 1;
        }
    }
    assert!(asked > 300, "{asked} rows");
}

/// Whether the outcome depends on what addresses there are.
fn touches_addresses(row: &Row) -> bool {
    matches!(row.want, Want::Answer(_)) && !matches!(row.pdu[0], 7 | 8 | 11 | 12)
        || row.want == Want::Exception(2)
}
