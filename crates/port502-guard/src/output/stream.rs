//! Messages of syslog over TCP, with their length in front (RFC 6587, 3.4.1).
//!
//! That a write succeeds says that the system has taken it, and nothing of the collector: one that was restarted meanwhile
//! has closed the connection, and what is written to it then is gone without an error; only the next write fails. So the
//! connection is looked at before each write, and now and then when nothing is written. What was written last is remembered,
//! as much as can be on its way, and sent again when the connection turns out broken: a message that comes twice is the same
//! to the byte, and one that never comes is a refusal that nobody learns of.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::{SYSLOG_WITHIN, resolve};
use crate::record::{Line, RETRY_MAX};

/// What may be on its way and not yet taken by the other system: the send buffer that is asked for, which Linux doubles.
const SEND_BUFFER_MAX: usize = 64 * 1024;

/// So much of what was written last is remembered, to be sent again: more than the system can have on its way.
pub const UNSURE_BYTES_MAX: usize = 256 * 1024;

/// After so long without an error, what was written before a collector closed in order has arrived. Of one that breaks the
/// connection nothing is known, however long ago it was.
pub const SURE_AFTER: Duration = Duration::from_secs(10);

/// So long the other system may leave unanswered what was sent; then the connection counts as broken.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// So long it is waited, when the guard ends, for the collector to close, which says that it has read to the end.
pub const CLOSED_WITHIN: Duration = Duration::from_secs(1);

/// The first pause after connections that ended as soon as they were made.
const PAUSE: Duration = Duration::from_millis(250);

/// Reads at one look: whoever sends us what nobody asked for does not keep us from writing.
const READS_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Stream {
    host: String,
    open: Option<Open>,
    /// What was written last, oldest first.
    unsure: VecDeque<Message>,
    /// Its length.
    bytes: usize,
    /// It may not have arrived: all of it is to be sent again.
    again: bool,
    /// Connections one after the other that ended soon after they were made.
    short: u32,
    not_before: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    stream: TcpStream,
    since: Instant,
}

#[derive(Debug)]
struct Message {
    framed: String,
    /// Records that it tells of.
    count: u64,
    at: Instant,
}

impl Stream {
    pub(super) fn new(host: String) -> Self {
        Stream {
            host,
            open: None,
            unsure: VecDeque::new(),
            bytes: 0,
            again: false,
            short: 0,
            not_before: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Records that were written, may not have arrived, and are not sent again yet.
    pub(super) fn owed(&self) -> u64 {
        if self.again { self.unsure.iter().map(|message| message.count).sum() } else { 0 }
    }

    /// Connects, where there is no connection.
    pub(super) fn connect(&mut self) -> io::Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        if self.not_before.is_some_and(|then| Instant::now() < then) {
            return Err(io::Error::other("it closes connections as soon as they are made"));
        }
        let stream = TcpStream::connect_timeout(&resolve(&self.host)?, SYSLOG_WITHIN)?;
        stream.set_write_timeout(Some(SYSLOG_WITHIN))?;
        let socket = socket2::SockRef::from(&stream);
        socket.set_send_buffer_size(SEND_BUFFER_MAX)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(ANSWERED_WITHIN))?;
        self.open = Some(Open { stream, since: Instant::now() });
        Ok(())
    }

    /// Sends what has to be sent again, and then these, over a connection that is there as far as anybody can tell.
    pub(super) fn send(&mut self, lines: &[Line]) -> io::Result<()> {
        self.look();
        self.connect()?;
        let now = Instant::now();
        let message = |line: &Line| Message {
            framed: format!("{} {}", line.text.len(), line.text),
            count: line.count,
            at: now,
        };
        let fresh: Vec<Message> = lines.iter().map(message).collect();
        let old = self.unsure.iter().filter(|_| self.again);
        let text: String = old.chain(&fresh).map(|message| message.framed.as_str()).collect();
        let Some(Open { stream, .. }) = &mut self.open else { return Err(ErrorKind::NotConnected.into()) };
        if let Err(error) = stream.write_all(text.as_bytes()) {
            self.lose(false);
            return Err(error);
        }
        if std::mem::take(&mut self.again) {
            self.unsure.iter_mut().for_each(|message| message.at = now);
        }
        self.bytes += fresh.iter().map(|message| message.framed.len()).sum::<usize>();
        self.unsure.extend(fresh);
        while self.bytes > UNSURE_BYTES_MAX {
            self.forget_oldest();
        }
        Ok(())
    }

    /// Sends what has to be sent again, tells the collector that this is the end, and waits a moment until it has read
    /// to there.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.look();
        // The second time for what the first connection turns out to have lost.
        for _ in 0..2 {
            if self.again {
                self.send(&[])?;
            }
            let Some(Open { stream, .. }) = &mut self.open else { return Ok(()) };
            match read_to_end(stream) {
                // One that does not close may have all of it, too: its system has not said otherwise.
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.lose(false);
                    if !self.again {
                        return Ok(());
                    }
                    tracing::debug!(%error, "what was written last is sent again");
                }
            }
        }
        Err(ErrorKind::ConnectionReset.into())
    }

    /// Looks whether the collector has closed, or broken, the connection.
    fn look(&mut self) {
        let Some(Open { stream, .. }) = &mut self.open else { return };
        match is_over(stream) {
            Ok(false) => {}
            Ok(true) => self.lose(true),
            Err(_) => self.lose(false),
        }
    }

    fn lose(&mut self, in_order: bool) {
        let Some(Open { since, .. }) = self.open.take() else { return };
        while in_order && self.unsure.front().is_some_and(|message| message.at.elapsed() >= SURE_AFTER) {
            self.forget_oldest();
        }
        self.again = !self.unsure.is_empty();
        // One that takes connections and ends them, as a forwarder does whose collector is gone, is not given the
        // same again and again without a pause.
        if since.elapsed() >= SURE_AFTER {
            (self.short, self.not_before) = (0, None);
            return;
        }
        self.short = self.short.saturating_add(1);
        if let Some(times) = self.short.checked_sub(2) {
            let pause = PAUSE.saturating_mul(1 << times.min(16)).min(RETRY_MAX);
            self.not_before = Some(Instant::now() + pause);
        }
    }

    fn forget_oldest(&mut self) {
        let length = self.unsure.pop_front().map_or(self.bytes, |message| message.framed.len());
        self.bytes = self.bytes.saturating_sub(length);
    }
}

/// Whether the peer has closed the connection in order; does not wait.
fn is_over(stream: &mut TcpStream) -> io::Result<bool> {
    stream.set_nonblocking(true)?;
    let mut over = Ok(false);
    for _ in 0..READS_MAX {
        // Nothing is expected: syslog over TCP knows no answers.
        match stream.read(&mut [0; 1024]) {
            Ok(0) => {
                over = Ok(true);
                break;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() != ErrorKind::Interrupted => {
                over = Err(error);
                break;
            }
            _ => {}
        }
    }
    stream.set_nonblocking(false)?;
    // Behind an end in order there may be the word that something came too late for it.
    match stream.take_error()? {
        Some(error) => Err(error),
        None => over,
    }
}

/// Says that nothing more comes, and waits for the peer to say the same, but not for ever.
fn read_to_end(stream: &mut TcpStream) -> io::Result<()> {
    let until = Instant::now() + CLOSED_WITHIN;
    stream.shutdown(Shutdown::Write)?;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return stream.take_error()?.map_or(Ok(()), Err),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(());
            }
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}
