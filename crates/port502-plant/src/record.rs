//! What clients ask of a server and what they get, written to a capture as it happens: `replay` reads it again.
//!
//! Whatever link a request came by, the capture has it as Modbus/TCP, in the clear, at port 502, so that every tool reads
//! it. Each server has an address of its own there: where it has none that is free, one of 198.18.0.0/15 or 2001:db8::/32,
//! which belong to nobody (RFC 2544, RFC 3849).
//!
//! ```text
//!   client ──► Recorded ──► service         request:  SYN, SYN+ACK, ACK for the first of a client, then its ADU
//!                 │                         answer:   its ADU, when it goes out
//!                 └───────► Recorder ──► file         the end of a connection: FIN, FIN+ACK, ACK
//! ```

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use port502_capture::synth::{Conversation, PcapWriter, Resolution};
use port502_capture::{LinkType, Timestamp};
use port502_net::Target;
use port502_net::server::{Context, Late, LineEvent, Outcome, Server, Service, Step};
use port502_session::target::Framing;
use port502_wire::mbap::{self, Frame, TransactionId};
use port502_wire::{PDU_MAX, UnitId};

/// Bytes of a recording: it ends in front of the frame that would go beyond, and that is told.
pub const FILE_MAX: u64 = 1 << 30;

/// Clients whose connections are continued in a recording; of one more, the one that has been silent for longest ends.
pub const TALKS_MAX: usize = 4_096;

/// Where Modbus is at home: tools that read the recording look for it there.
const PORT: u16 = 502;

/// In front of the addresses of servers that have none of their own.
const NOBODYS_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
const NOBODYS_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, 0);

/// The client of a serial line, where nobody has an address.
const ON_A_LINE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(198, 19, 255, 254)), 49_152);

/// Bytes in front of each frame of the file.
const RECORD_HEADER: u64 = 16;

/// Bytes in front of all of them.
const FILE_HEADER: u64 = 24;

/// Why nothing more is recorded, though the server goes on.
#[derive(Debug)]
pub enum Ended {
    /// It has as many bytes as it may have.
    Full {
        /// How many.
        max: u64,
    },
    /// It cannot be written.
    Failed(io::Error),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Full { max } => {
                write!(f, "it has the {} MiB that a recording may have; begin another", max >> 20)
            }
            Ended::Failed(error) => write!(f, "it cannot be written ({error})"),
        }
    }
}

/// Is told, once, that nothing more is recorded.
pub type Tell = Box<dyn Fn(&Ended) + Send>;

/// A recording in the making, which several servers share.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Book>>);

struct Book {
    /// `None` when it has ended.
    file: Option<PcapWriter<Box<dyn Write + Send>>>,
    tell: Tell,
    written: u64,
    max: u64,
    requests: u64,
    servers: Vec<Named>,
    talks: HashMap<(usize, Option<SocketAddr>), Talk>,
    /// Frames in their order, to find who has been silent for longest.
    clock: u64,
}

/// What a server is called in the file, by clients of both kinds of addresses.
struct Named {
    target: Target,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    /// Which of them its own address is.
    is_v6: bool,
}

impl Named {
    fn address(&self, is_v6: bool) -> SocketAddr {
        SocketAddr::new(if is_v6 { self.v6.into() } else { self.v4.into() }, PORT)
    }
}

struct Talk {
    conversation: Conversation,
    /// Requests that have no transaction ids get these.
    next: u16,
    last: u64,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    /// Records into `file`, at most `max` bytes. Each frame is handed on at once: what is lost when the process ends
    /// badly is the frame that was being written.
    ///
    /// # Errors
    /// A file that takes not even its header.
    pub fn new(file: impl Write + Send + 'static, max: u64, tell: Tell) -> io::Result<Self> {
        let file: Box<dyn Write + Send> = Box::new(io::BufWriter::new(file));
        let mut file = PcapWriter::new(file, LinkType::Ethernet, Resolution::Nanoseconds)?;
        file.flush()?;
        Ok(Recorder(Arc::new(Mutex::new(Book {
            file: Some(file),
            tell,
            written: FILE_HEADER,
            max,
            requests: 0,
            servers: Vec::new(),
            talks: HashMap::new(),
            clock: 0,
        }))))
    }

    /// A server whose requests are recorded from now on.
    #[must_use]
    pub fn server(&self, server: &Server) -> RecordedServer {
        let local = server.local_addr().map(|local| local.ip().to_canonical());
        let own = local.filter(|ip| !ip.is_unspecified());
        let mut book = self.lock();
        let number = book.servers.len();
        let nth = u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1);
        let mut named = Named {
            target: server.target().clone(),
            v4: Ipv4Addr::from(u32::from(NOBODYS_V4).saturating_add(nth)),
            v6: Ipv6Addr::from(u128::from(NOBODYS_V6).saturating_add(nth.into())),
            is_v6: local.is_some_and(|ip| ip.is_ipv6()),
        };
        match own {
            Some(IpAddr::V4(own)) if book.servers.iter().all(|other| other.v4 != own) => named.v4 = own,
            Some(IpAddr::V6(own)) if book.servers.iter().all(|other| other.v6 != own) => named.v6 = own,
            _ => {}
        }
        book.servers.push(named);
        RecordedServer { recorder: self.clone(), number }
    }

    /// Where each server is, and what it is called in the file; by clients with addresses of the other kind it is called
    /// otherwise.
    #[must_use]
    pub fn servers(&self) -> Vec<(Target, SocketAddr)> {
        let book = self.lock();
        book.servers.iter().map(|named| (named.target.clone(), named.address(named.is_v6))).collect()
    }

    /// A client has left.
    pub fn closed(&self, peer: SocketAddr) {
        let mut book = self.lock();
        let left: Vec<_> = book.talks.keys().filter(|(_, of)| *of == Some(peer)).copied().collect();
        for key in left {
            book.finish(key);
        }
    }

    /// How many requests it has so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.lock().requests
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        // A frame is whole in the file or not there: nothing in it is left half done where something panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// A request; the transaction id that it has in the file.
    fn request(&mut self, server: usize, peer: Option<SocketAddr>, frame: &Frame<'_>) -> TransactionId {
        if self.file.is_none() {
            return frame.transaction;
        }
        self.requests += 1;
        let key = (server, peer);
        if !self.talks.contains_key(&key) {
            self.begin(key);
        }
        let Some(talk) = self.talks.get_mut(&key) else { return frame.transaction };
        // Other frames have no transaction ids, and tools match answers by them.
        let has_ids =
            self.servers.get(server).is_some_and(|named| named.target.link().framing() == Framing::Mbap);
        let transaction = if has_ids {
            frame.transaction
        } else {
            talk.next = talk.next.wrapping_add(1);
            TransactionId(talk.next)
        };
        let adu = adu(transaction, frame.unit, frame.pdu);
        self.put(key, |conversation| {
            conversation.to_server(&adu);
        });
        transaction
    }

    fn answer(&mut self, server: usize, peer: Option<SocketAddr>, bytes: &[u8]) {
        self.put((server, peer), |conversation| {
            conversation.to_client(bytes);
        });
    }

    /// The first frames of a client.
    fn begin(&mut self, key: (usize, Option<SocketAddr>)) {
        if self.talks.len() >= TALKS_MAX {
            let oldest = self.talks.iter().min_by_key(|(_, talk)| talk.last).map(|(key, _)| *key);
            oldest.into_iter().for_each(|oldest| self.finish(oldest));
        }
        let Some(named) = self.servers.get(key.0) else { return };
        let peer = key.1.unwrap_or(ON_A_LINE);
        let client = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let server = named.address(client.is_ipv6());
        let Some(mut conversation) = Conversation::between(client, server) else { return };
        // Other numbers than the last connection of this client had: else tools take this one for that, sent again.
        let number = u32::try_from(self.clock & 0xFFFF).unwrap_or(0) << 16;
        conversation.every(Duration::ZERO).sequences(number, number ^ 0x8000_0000);
        self.talks.insert(key, Talk { conversation, next: 0, last: 0 });
        self.put(key, |conversation| {
            conversation.handshake();
        });
    }

    fn finish(&mut self, key: (usize, Option<SocketAddr>)) {
        self.put(key, |conversation| {
            conversation.finish();
        });
        self.talks.remove(&key);
    }

    /// Makes frames of a client's conversation, and writes them.
    fn put(&mut self, key: (usize, Option<SocketAddr>), make: impl FnOnce(&mut Conversation)) {
        let (Some(talk), Some(file)) = (self.talks.get_mut(&key), &mut self.file) else { return };
        self.clock += 1;
        talk.last = self.clock;
        talk.conversation.at(now());
        make(&mut talk.conversation);
        let frames = talk.conversation.take_frames();
        let bytes: u64 = frames
            .iter()
            .map(|frame| RECORD_HEADER + u64::try_from(frame.bytes.len()).unwrap_or(u64::MAX))
            .sum();
        let ended = if self.written.saturating_add(bytes) > self.max {
            Ended::Full { max: self.max }
        } else {
            self.written += bytes;
            let mut all = frames.iter().map(|frame| file.write(frame.at, &frame.bytes));
            match all.find(Result::is_err).unwrap_or(Ok(())).and_then(|()| file.flush()) {
                Ok(()) => return,
                Err(error) => Ended::Failed(error),
            }
        };
        self.file = None;
        self.talks.clear();
        (self.tell)(&ended);
    }
}

fn adu(transaction: TransactionId, unit: UnitId, pdu: &[u8]) -> Vec<u8> {
    [&mbap::header(transaction, unit, pdu.len()), pdu].concat()
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// One of the servers of a recording.
#[derive(Clone, Debug)]
pub struct RecordedServer {
    recorder: Recorder,
    number: usize,
}

impl RecordedServer {
    /// A service as it was, of which all is recorded.
    pub fn service<S: Service>(self, service: S) -> Recorded<S> {
        Recorded { service, server: self }
    }

    fn answer(&self, peer: Option<SocketAddr>, bytes: &[u8]) {
        self.recorder.lock().answer(self.number, peer, bytes);
    }
}

/// A service of which all is recorded.
#[derive(Clone, Debug)]
pub struct Recorded<S> {
    service: S,
    server: RecordedServer,
}

impl<S: Service> Service for Recorded<S> {
    fn call(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        let transaction = self.server.recorder.lock().request(self.server.number, cx.peer, frame);
        let (unit, peer) = (frame.unit, cx.peer);
        match self.service.call(cx, frame, out) {
            Outcome::Now(reply) => {
                if let Some(pdu) = reply.emit(frame.pdu.first().copied().unwrap_or_default(), out) {
                    self.server.answer(peer, &adu(transaction, unit, pdu));
                }
                Outcome::Now(reply)
            }
            Outcome::Later(late) => {
                let function = frame.pdu.first().copied().unwrap_or_default();
                let server = self.server.clone();
                Outcome::Later(Box::pin(async move {
                    let late = late.await;
                    server.late(peer, transaction, unit, function, &late);
                    late
                }))
            }
        }
    }

    fn serves(&self, unit: UnitId) -> bool {
        self.service.serves(unit)
    }

    fn broadcast(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        self.server.recorder.lock().request(self.server.number, cx.peer, frame);
        self.service.broadcast(cx, frame, out)
    }

    fn overheard(&self, event: LineEvent) {
        self.service.overheard(event);
    }
}

impl RecordedServer {
    /// An answer that took time, as it goes out.
    fn late(
        &self,
        peer: Option<SocketAddr>,
        transaction: TransactionId,
        unit: UnitId,
        function: u8,
        late: &Late,
    ) {
        match late {
            Late::Response(pdu) => self.answer(peer, &adu(transaction, unit, pdu.as_bytes())),
            Late::Exception(code) => {
                self.answer(peer, &adu(transaction, unit, &[function | 0x80, code.code()]))
            }
            Late::Silence => {}
            Late::Amiss(amiss) => {
                let transaction = amiss.transaction.unwrap_or(transaction);
                self.answer(peer, &adu(transaction, unit, amiss.pdu.as_bytes()));
            }
            Late::Script(steps) => {
                for step in steps {
                    match step {
                        Step::Send(bytes) => self.answer(peer, bytes),
                        Step::Close => self.recorder.lock().finish((self.number, peer)),
                        Step::Wait(_) => {}
                    }
                }
            }
        }
    }
}
