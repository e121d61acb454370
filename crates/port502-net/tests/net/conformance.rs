//! What a server owes for each request, from its raw bytes: the rows of the conformance list and their kin.
//!
//! A row is a PDU and its outcome, so it holds on every link; [`tcp`] has those about the MBAP header. The
//! expected bytes are written out, or put together here, never by the crate under test.

mod tables;
mod tcp;

use std::fmt::Write as _;
use std::future::Future;

use port502_net::memory::MemoryDevice;
use port502_net::server::{Options, Units};
use tokio::net::TcpStream;

use crate::link::{Datagrams, Line, Link, Mbap, MbapDatagrams, RtuDatagrams, rtu, serve, serve_at};
use crate::pki::Pki;
#[cfg(unix)]
use crate::pty;

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

/// A row as it stands on a line. There unit 0 is the broadcast: everybody obeys and nobody answers (Serial Line
/// V1.02, 2.2). The rest holds as it is: reserved unit ids are answered by a device that answers all.
fn on_a_line(rows: Vec<Row>) -> Vec<Row> {
    let silent_broadcast = |row: Row| if row.unit == 0 { Row { want: Want::Silence, ..row } } else { row };
    rows.into_iter().map(silent_broadcast).collect()
}

/// The rows that RTU cannot express where frames end by their length and not by the end of a datagram, and why.
const NOT_IN_RTU: [(&str, &str); 1] = [(
    "0C 00",
    "its frame is 01 0C 00 25 F0, and 01 0C 00 25 is the whole frame of 0C: a byte too many is noise behind it",
)];

/// A row as it stands on a line where RTU frames come without ends.
fn on_an_rtu_line(rows: Vec<Row>) -> Vec<Row> {
    let tellable = |row: &Row| !NOT_IN_RTU.iter().any(|(request, _)| row.pdu == hex(request));
    on_a_line(rows).into_iter().filter(tellable).collect()
}

#[test]
fn rows_that_rtu_cannot_express_begin_with_a_whole_frame() {
    for (request, why) in NOT_IN_RTU {
        let (adu, inner) = (rtu(1, &hex(request)), rtu(1, &hex(request)[..1]));
        assert!(adu.starts_with(&inner), "{request}: {adu:02X?} and {inner:02X?}: {why}");
    }
}

/// Asks every group, all at once, through what `open` makes of a device.
async fn every_row<L: Link + 'static, O: Future<Output = L> + 'static>(
    rows: impl Fn(Vec<Row>) -> Vec<Row>,
    open: impl Fn(MemoryDevice) -> O,
) {
    let all = tokio::task::LocalSet::new();
    let mut wrong = String::new();
    let asked: Vec<_> = tables::groups()
        .into_iter()
        .map(|Group { name, device, rows: of_group }| {
            let (rows, link) = (rows(of_group), open(device));
            all.spawn_local(async move { differences(&mut link.await, name, &rows).await })
        })
        .collect();
    all.run_until(async {
        for group in asked {
            wrong += &group.await.unwrap();
        }
    })
    .await;
    assert!(wrong.is_empty(), "{wrong}");
}

/// What a request without a length rule costs: the silence that ends it. Short, for there are more than a thousand.
const QUIET: &str = "quiet=5ms";

#[tokio::test]
async fn every_row_over_rtu_in_a_stream() {
    every_row(on_an_rtu_line, async |device| {
        let address = serve_at(&format!("rtu+tcp://127.0.0.1:0?{QUIET}"), device, Options::default());
        Line::rtu(TcpStream::connect(address).await.unwrap())
    })
    .await;
}

#[tokio::test]
async fn every_row_over_ascii_in_a_stream() {
    every_row(on_a_line, async |device| {
        let address = serve_at("ascii+tcp://127.0.0.1:0", device, Options::default());
        Line::ascii(TcpStream::connect(address).await.unwrap())
    })
    .await;
}

#[tokio::test]
async fn every_row_over_udp() {
    every_row(std::convert::identity, async |device| {
        MbapDatagrams::connect(serve_at("udp://127.0.0.1:0", device, Options::default())).await
    })
    .await;
}

#[tokio::test]
async fn every_row_over_rtu_in_datagrams() {
    every_row(on_a_line, async |device| {
        let address = serve_at("rtu+udp://127.0.0.1:0", device, Options::default());
        RtuDatagrams(Datagrams::connect(address).await)
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn every_row_over_rtu_on_a_serial_port() {
    every_row(on_an_rtu_line, async |device| {
        let (near, far) = pty::pair();
        pty::serve(&format!("rtu://{far}?baud=115200&{QUIET}"), device);
        Line::rtu(near)
    })
    .await;
}

#[cfg(unix)]
#[tokio::test]
async fn every_row_over_ascii_on_a_serial_port() {
    every_row(on_a_line, async |device| {
        let (near, far) = pty::pair();
        pty::serve(&format!("ascii://{far}?baud=115200"), device);
        Line::ascii(near)
    })
    .await;
}

#[tokio::test]
async fn every_row_over_tls() {
    let pki = Pki::new();
    pki.server("server");
    pki.client("client", Some("conformance"));
    let mut wrong = String::new();
    for group in tables::groups() {
        let (address, _) = pki.serve(group.device, Options::default());
        let mut link = Mbap::new(pki.connect(address, "client").await.unwrap());
        wrong += &differences(&mut link, group.name, &group.rows).await;
    }
    for (unmapped, rows) in tables::unmapped_units() {
        let units = Units::new(unmapped).with(1, MemoryDevice::full()).with(17, MemoryDevice::full());
        let (address, _) = pki.serve(units, Options::default());
        let mut link = Mbap::new(pki.connect(address, "client").await.unwrap());
        wrong += &differences(&mut link, &format!("{unmapped:?}"), &rows).await;
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

/// On a line there are others: who is not there keeps silent, whatever it would say behind a gateway.
#[tokio::test]
async fn units_without_a_device_on_a_line() {
    for (unmapped, rows) in tables::unmapped_units() {
        let served =
            |row: Row| if [1, 17].contains(&row.unit) { row } else { Row { want: Want::Silence, ..row } };
        let rows: Vec<Row> = rows.into_iter().map(served).collect();
        let units = [1, 17]
            .into_iter()
            .fold(Units::new(unmapped), |units, unit| units.with(unit, MemoryDevice::full()));
        let address = serve_at(&format!("rtu+tcp://127.0.0.1:0?{QUIET}"), units.clone(), Options::default());
        let mut link = Line::rtu(TcpStream::connect(address).await.unwrap());
        let mut wrong = differences(&mut link, "rtu+tcp", &rows).await;
        let address = serve_at("rtu+udp://127.0.0.1:0", units, Options::default());
        let mut link = RtuDatagrams(Datagrams::connect(address).await);
        wrong += &differences(&mut link, "rtu+udp", &rows).await;
        assert!(wrong.is_empty(), "{wrong}");
    }
}
