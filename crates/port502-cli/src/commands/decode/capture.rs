//! A capture file, read packet by packet: every connection to a Modbus port gets a tap.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;

use port502_capture::{
    Capture, CaptureError, CloseReason, ConnectionId, Counters, Datagram, Direction, End, Event, FormatError,
    Limits, Opening, Reassembler, StreamEvent, StreamEventKind, Timestamp, Unsliced,
};
use port502_session::Instant;
use port502_session::tap::{self, Observation, Skipped, Start, Tap, Transaction};

use port502_wire::mbap;

use crate::failure::Failure;

/// What is told while the capture is read.
pub(super) trait Report {
    fn transaction(&mut self, connection: &Connection, transaction: &Transaction<'_>) -> io::Result<()>;
    fn skipped(&mut self, connection: &Connection, skipped: &Skipped) -> io::Result<()>;
    /// A connection to a Modbus port.
    fn opened(&mut self, _connection: &Connection) {}
    /// Bytes of a connection that the capture lacks.
    fn gap(&mut self, _bytes: u64) {}
    /// A packet of IP that cannot be read.
    fn unreadable(&mut self) {}
    /// A datagram to or from a Modbus port that is not made of whole frames.
    fn datagram(&mut self) {}
    /// A packet. Times come with it as fine as the capture has them.
    fn packet(&mut self, at: Timestamp);
}

/// Who talks.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    /// The two as text, so that it is made once.
    pub(super) names: [String; 2],
}

/// How the reading went.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) counters: Counters,
    /// Where the file stops within a record.
    pub(super) cut: Option<u64>,
}

struct Watched {
    connection: Connection,
    tap: Tap,
    /// The client of the TCP connection is the server: it sends from a Modbus port.
    turned: bool,
}

/// Conversations in datagrams at once; one more, and the one that has been silent for longest is told as it stands.
const TALKS_MAX: usize = 4096;

/// Numbers of conversations in datagrams, which are no connections, begin behind all that connections have.
const TALKS_FROM: u64 = 1 << 32;

/// Two that send each other datagrams.
struct Talk {
    watched: Watched,
    last: Instant,
}

struct Watch<'r, R> {
    ports: &'r [u16],
    connections: HashMap<ConnectionId, Watched>,
    /// By client and server.
    talks: HashMap<(SocketAddr, SocketAddr), Talk>,
    talks_seen: u64,
    report: &'r mut R,
    /// The first failure to write; nothing is told after it.
    failed: io::Result<()>,
}

/// Captures know times before 1970, sessions do not: half of the range is before.
const EPOCH: u64 = 1 << 63;

fn instant(at: Timestamp) -> Instant {
    Instant::from_nanos(at.nanos().cast_unsigned() ^ EPOCH)
}

/// The capture's time of what a tap tells.
pub(super) fn timestamp(at: Instant) -> Timestamp {
    Timestamp::from_nanos((at.as_nanos() ^ EPOCH).cast_signed())
}

/// Reads `path`, or standard input for `-`, to its end.
pub(super) fn read(path: &Path, ports: &[u16], report: &mut impl Report) -> Result<Outcome, Failure> {
    if path.as_os_str() == "-" {
        return read_from(Capture::new(io::stdin().lock()), "standard input", ports, report);
    }
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => read_from(Capture::new(file), &name, ports, report),
        Err(error) => Err(Failure::other(format!("{name}: cannot open it: {error}"))),
    }
}

fn read_from<S: Read>(
    mut capture: Capture<S>,
    name: &str,
    ports: &[u16],
    report: &mut impl Report,
) -> Result<Outcome, Failure> {
    let served = ports.to_vec();
    let mut streams = Reassembler::new(Limits::default(), move |port| served.contains(&port));
    let mut watch = Watch {
        ports,
        connections: HashMap::new(),
        talks: HashMap::new(),
        talks_seen: 0,
        report,
        failed: Ok(()),
    };
    let end = loop {
        match capture.next_record() {
            Ok(Some(record)) => {
                watch.report.packet(record.at);
                streams.push_record(&record, &mut |event| watch.event(&event));
                std::mem::replace(&mut watch.failed, Ok(()))?;
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    // What came before the trouble counts.
    streams.finish(&mut |event| watch.event(&event));
    watch.finish_talks();
    watch.failed?;
    end.map_err(|error| failure(name, &error))?;
    let cut = match capture.end() {
        End::Cut { offset, .. } => Some(offset),
        _ => None,
    };
    Ok(Outcome { counters: streams.counters(), cut })
}

/// What, where, and what to try.
fn failure(name: &str, error: &CaptureError) -> Failure {
    let advice = match error {
        CaptureError::Io { source, .. } if source.kind() == io::ErrorKind::IsADirectory => {
            "; name a capture file in it"
        }
        CaptureError::Format(FormatError::NotACapture { first }) => match first {
            [b'P', b'K', ..] => "; it is a zip archive: unpack it first",
            [0x1F, 0x8B, ..] => "; it is compressed: gunzip it first",
            [0x28, 0xB5, 0x2F, 0xFD] => "; it is compressed: unzstd it first",
            _ => "; frames as hexadecimal text are read without --pcap",
        },
        CaptureError::Io { .. } | CaptureError::Format(FormatError::TooShort { .. }) => "",
        CaptureError::Format(_) => "; what came before it was decoded",
    };
    Failure::other(format!("{name}: {error}{advice}"))
}

/// Tells what a tap sees, until that fails.
fn sink<'r>(
    connection: &'r Connection,
    report: &'r mut impl Report,
    failed: &'r mut io::Result<()>,
) -> impl FnMut(Observation<'_>) + 'r {
    move |observation| {
        if failed.is_ok() {
            *failed = match &observation {
                Observation::Transaction(transaction) => report.transaction(connection, transaction),
                Observation::Skipped(skipped) => report.skipped(connection, skipped),
            };
        }
    }
}

impl<R: Report> Watch<'_, R> {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Stream(event) => self.stream(event),
            Event::Datagram(datagram) => self.datagram(datagram),
            // Other protocols beside IP are none of ours.
            Event::NotSliced { why: Unsliced::NotIp { .. }, .. } => {}
            Event::NotSliced { .. } => self.report.unreadable(),
        }
    }

    fn stream(&mut self, event: &StreamEvent<'_>) {
        if let StreamEventKind::Opened { client, server, opening, .. } = event.kind {
            return self.open(event.connection, client, server, opening);
        }
        let Some(Watched { connection, tap, turned }) = self.connections.get_mut(&event.connection) else {
            return;
        };
        let direction = match (event.direction, *turned) {
            (Direction::ToServer, false) | (Direction::ToClient, true) => tap::Direction::ToServer,
            (Direction::ToClient, false) | (Direction::ToServer, true) => tap::Direction::ToClient,
        };
        let report = &mut *self.report;
        let mut sink = sink(connection, &mut *report, &mut self.failed);
        match event.kind {
            StreamEventKind::Data(bytes) => tap.observe(direction, bytes, instant(event.at), &mut sink),
            StreamEventKind::Gap { bytes } => {
                tap.gap(direction, instant(event.at), &mut sink);
                drop(sink);
                report.gap(bytes);
            }
            StreamEventKind::Closed { reason } => {
                match reason {
                    CloseReason::Finished | CloseReason::Reset | CloseReason::Refused => {
                        tap.finish(&mut sink)
                    }
                    CloseReason::Superseded
                    | CloseReason::Idle
                    | CloseReason::Evicted
                    | CloseReason::CaptureEnded => tap.interrupt(instant(event.at), &mut sink),
                }
                drop(sink);
                self.connections.remove(&event.connection);
            }
            StreamEventKind::Opened { .. }
            | StreamEventKind::Conflict { .. }
            | StreamEventKind::Stray { .. } => {}
        }
    }

    /// Modbus over UDP: what the two say to each other is one conversation, in whole frames.
    fn datagram(&mut self, datagram: &Datagram<'_>) {
        let (client, server, direction) = match datagram.direction {
            Some(Direction::ToServer) => (datagram.source, datagram.destination, tap::Direction::ToServer),
            Some(Direction::ToClient) => (datagram.destination, datagram.source, tap::Direction::ToClient),
            None => return,
        };
        if datagram.missing != 0 || !mbap::are_frames(datagram.payload) {
            return self.report.datagram();
        }
        let now = instant(datagram.at);
        if !self.talks.contains_key(&(client, server)) {
            if self.talks.len() >= TALKS_MAX
                && let Some(oldest) =
                    self.talks.iter().min_by_key(|(_, talk)| talk.last).map(|(peers, _)| *peers)
                && let Some(talk) = self.talks.remove(&oldest)
            {
                self.finish_talk(talk);
            }
            let names = [client.to_string(), server.to_string()];
            let connection = Connection { number: TALKS_FROM + self.talks_seen, client, server, names };
            self.talks_seen += 1;
            self.report.opened(&connection);
            // What came before the capture is not known.
            let watched = Watched { connection, tap: Tap::new(Start::Midway), turned: false };
            self.talks.insert((client, server), Talk { watched, last: now });
        }
        let Some(Talk { watched, last }) = self.talks.get_mut(&(client, server)) else { return };
        *last = now;
        let mut sink = sink(&watched.connection, &mut *self.report, &mut self.failed);
        watched.tap.observe(direction, datagram.payload, now, &mut sink);
    }

    fn finish_talks(&mut self) {
        let mut talks: Vec<Talk> = std::mem::take(&mut self.talks).into_values().collect();
        talks.sort_by_key(|talk| talk.watched.connection.number);
        talks.into_iter().for_each(|talk| self.finish_talk(talk));
    }

    fn finish_talk(&mut self, Talk { mut watched, last }: Talk) {
        let mut sink = sink(&watched.connection, &mut *self.report, &mut self.failed);
        watched.tap.interrupt(last, &mut sink);
    }

    fn open(&mut self, id: ConnectionId, client: SocketAddr, server: SocketAddr, opening: Opening) {
        let modbus = |peer: SocketAddr| self.ports.contains(&peer.port());
        // The port says who is the server, whoever opened the connection: devices that answer without having
        // been asked, and forged answers, come from port 502.
        let turned = match (modbus(client), modbus(server)) {
            (_, true) => false,
            (true, false) => true,
            (false, false) => return,
        };
        let (client, server) = if turned { (server, client) } else { (client, server) };
        let start = match opening {
            Opening::Handshake => Start::Handshake,
            Opening::SynOnly | Opening::MidConnection(_) => Start::Midway,
        };
        let names = [client.to_string(), server.to_string()];
        let connection = Connection { number: id.number(), client, server, names };
        self.report.opened(&connection);
        self.connections.insert(id, Watched { connection, tap: Tap::new(start), turned });
    }
}
