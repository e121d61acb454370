//! What a server owes for each request, from its raw bytes: the rows of the conformance list and their kin.
//!
//! A row is a PDU and its outcome, so it holds on every link; [`tcp`] has those about the MBAP header. The
//! expected bytes are written out, or put together here, never by the crate under test.

mod tables;
mod tcp;

use std::fmt::Write as _;

use port502_net::memory::MemoryDevice;
use port502_net::server::{Options, Units};

use crate::link::{Link, Mbap, serve};

/// The one right outcome of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Want {
    /// This PDU.
    Answer(Vec<u8>),
    /// This exception under the request's function.
    Exception(u8),
    /// No answer, and the connection stays usable: the next row's answer comes next.
    Silence,
}

/// A request and what it is owed.
pub struct Row {
    pub unit: u8,
    pub pdu: Vec<u8>,
    pub want: Want,
}

/// Rows that are asked one after the other, of a device that remembers.
pub struct Group {
    pub name: &'static str,
    pub device: MemoryDevice,
    pub rows: Vec<Row>,
}

/// Bytes in hexadecimal, with blanks wherever they help; `AB*3` stands for AB AB AB.
pub fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in text.split_whitespace() {
        let (digits, times) = word.split_once('*').map_or((word, 1), |(d, n)| (d, n.parse().unwrap()));
        let digits: Vec<u8> = digits.chars().map(|c| c.to_digit(16).unwrap() as u8).collect();
        let word: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] * 16 + pair[1]).collect();
        assert_eq!(word.len() * 2, digits.len(), "{text}");
        bytes.extend(word.repeat(times));
    }
    bytes
}

/// A row of unit 1 with a normal answer.
pub fn ok(request: &str, answer: &str) -> Row {
    Row { unit: 1, pdu: hex(request), want: Want::Answer(hex(answer)) }
}

/// A row whose answer repeats the request.
pub fn echo(request: &str) -> Row {
    ok(request, request)
}

/// A row with an exception.
pub fn refused(request: &str, exception: u8) -> Row {
    Row { unit: 1, pdu: hex(request), want: Want::Exception(exception) }
}

/// A row without an answer.
pub fn silent(request: &str) -> Row {
    Row { unit: 1, pdu: hex(request), want: Want::Silence }
}

/// Asks every row and returns those that have another outcome, as text.
async fn differences(link: &mut impl Link, name: &str, rows: &[Row]) -> String {
    let mut wrong = String::new();
    // Shows silence of the last row, too. No device offers it.
    let last = refused("6E", 1);
    for row in rows.iter().chain([&last]) {
        link.send(row.unit, &row.pdu).await;
        let want = match &row.want {
            Want::Silence => continue,
            Want::Answer(pdu) => pdu.clone(),
            Want::Exception(code) => vec![row.pdu[0] | 0x80, *code],
        };
        match link.receive().await {
            Some((unit, got)) if unit == row.unit && got == want => {}
            Some((unit, got)) => {
                let asked = &row.pdu;
                writeln!(
                    wrong,
                    "{name}: unit {} {asked:02X?}\n  want {want:02X?}\n   got {got:02X?} of unit {unit}",
                    row.unit
                )
                .unwrap();
            }
            None => {
                writeln!(wrong, "{name}: {:02X?} closed the connection", row.pdu).unwrap();
                return wrong;
            }
        }
    }
    wrong
}

#[tokio::test]
async fn every_row_over_tcp() {
    let mut wrong = String::new();
    for group in tables::groups() {
        let mut link = Mbap::connect(serve(group.device, Options::default())).await;
        wrong += &differences(&mut link, group.name, &group.rows).await;
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn units_without_a_device() {
    for (unmapped, rows) in tables::unmapped_units() {
        let units = [1, 17]
            .into_iter()
            .fold(Units::new(unmapped), |units, unit| units.with(unit, MemoryDevice::full()));
        let mut link = Mbap::connect(serve(units, Options::default())).await;
        let wrong = differences(&mut link, &format!("{unmapped:?}"), &rows).await;
        assert!(wrong.is_empty(), "{wrong}");
    }
}
