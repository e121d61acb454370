//! What a server counts of its conversation, and what it can be told about it: functions 08, 11 and 12
//! (V1.1b3, 6.8 to 6.10).

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, Ordering::Relaxed};

use port502_wire::{ExceptionCode, FunctionCode, SubFunction};

use crate::server::{DeviceResult, LineEvent, Reply};

/// Events that function 12 returns at most (V1.1b3, 6.10).
const LOG_MAX: usize = 64;

/// Counters, event log and listen-only mode of one server. Shared between connections without a lock: the
/// counters of two requests that are answered at the same time may be read in between.
///
/// Every request passes here, so one counter moves for each: what went well is what came, less what did not.
#[derive(Debug, Default)]
pub struct Communication {
    /// Requests since the start of time.
    messages: AtomicU32,
    /// [`Self::messages`] when the counters were last cleared.
    counted_from: AtomicU32,
    /// [`Self::messages`] when the log was last cleared.
    logged_from: AtomicU32,
    exceptions: AtomicU16,
    no_response: AtomicU16,
    /// Requests for the event counter, which it does not count.
    fetches: AtomicU16,
    /// 1 when the request that cleared the counters has itself been answered since.
    cleared: AtomicU16,
    naks: AtomicU16,
    busy: AtomicU16,
    /// Frames on the line that were none of ours.
    others: AtomicU16,
    /// Frames on the line whose check was wrong.
    check_errors: AtomicU16,
    register: AtomicU16,
    delimiter: AtomicU8,
    listen_only: AtomicBool,
    log: EventLog,
}

/// The events of the latest messages, up to three to each: that it was received, what the server noted of itself
/// meanwhile, and what was sent. 0 is none.
#[derive(Debug)]
struct EventLog([AtomicU32; LOG_MAX]);

impl Default for EventLog {
    fn default() -> Self {
        EventLog([const { AtomicU32::new(0) }; LOG_MAX])
    }
}

// Event bytes, V1.1b3, 6.10.
const RECEIVED: u8 = 0x80;
const RECEIVED_IN_LISTEN_ONLY: u8 = 0x20;
const SENT: u8 = 0x40;
const ENTERED_LISTEN_ONLY: u8 = 0x04;
const RESTARTED: u8 = 0x00;
/// Stands for [`RESTARTED`] in the log, where 0 is nothing.
const RESTARTED_MARK: u8 = 0x01;

impl Communication {
    /// Counts one request and its reply around `answer`, and keeps it silent in listen-only mode.
    #[inline]
    pub fn around(&self, pdu: &[u8], answer: impl FnOnce() -> Reply) -> Reply {
        let message = self.messages.fetch_add(1, Relaxed);
        if self.listen_only.load(Relaxed) {
            return self.listen(message, pdu, answer);
        }
        // Before the answer, which may be the log.
        self.log(message, [RECEIVED, 0, 0]);
        let reply = answer();
        match reply {
            Reply::Response { .. } if pdu.first() != Some(&FunctionCode::GET_COMM_EVENT_COUNTER.0) => {
                self.log_sent(message, SENT);
            }
            Reply::Response { .. } => {
                self.fetches.fetch_add(1, Relaxed);
                self.log_sent(message, SENT);
            }
            Reply::Exception(code) => self.refused(message, code),
            Reply::Silence => {
                self.no_response.fetch_add(1, Relaxed);
            }
        }
        reply
    }

    /// Counts what came on a serial line and was no request to this server.
    pub fn overheard(&self, event: LineEvent) {
        let counter = match event {
            LineEvent::CheckError => &self.check_errors,
            LineEvent::OthersFrame => &self.others,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Listens only: nothing is carried out or answered, but for the restart that ends it, silently too.
    #[cold]
    fn listen(&self, message: u32, pdu: &[u8], restart: impl FnOnce() -> Reply) -> Reply {
        self.log(message, [RECEIVED | RECEIVED_IN_LISTEN_ONLY, 0, 0]);
        self.no_response.fetch_add(1, Relaxed);
        let [function, high, low] = [FunctionCode::DIAGNOSTICS.0, 0, 1];
        if pdu.starts_with(&[function, high, low]) {
            restart();
        }
        Reply::Silence
    }

    #[cold]
    fn refused(&self, message: u32, code: ExceptionCode) {
        self.exceptions.fetch_add(1, Relaxed);
        let bit = match code.code() {
            4 => 0x02,
            5 | 6 => 0x04,
            7 => 0x08,
            _ => 0x01,
        };
        match code {
            ExceptionCode::ServerDeviceBusy => self.busy.fetch_add(1, Relaxed),
            ExceptionCode::NegativeAcknowledge => self.naks.fetch_add(1, Relaxed),
            _ => 0,
        };
        self.log_sent(message, SENT | bit);
    }

    #[inline]
    fn log(&self, message: u32, [received, noted, sent]: [u8; 3]) {
        if let Some(slot) = self.log.0.get(message as usize % LOG_MAX) {
            slot.store(u32::from_be_bytes([0, received, noted, sent]), Relaxed);
        }
    }

    #[inline]
    fn log_sent(&self, message: u32, sent: u8) {
        if let Some(slot) = self.log.0.get(message as usize % LOG_MAX) {
            slot.store(slot.load(Relaxed) | u32::from(sent), Relaxed);
        }
    }

    /// Notes an event of the server itself with the message that is being answered.
    fn note(&self, received: u8, noted: u8) {
        self.log(self.messages.load(Relaxed).wrapping_sub(1), [received, noted, 0]);
    }

    /// Messages to this server since the counters were cleared.
    fn bus_messages(&self) -> u16 {
        let [_, _, high, low] =
            self.messages.load(Relaxed).wrapping_sub(self.counted_from.load(Relaxed)).to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// Requests that ended well, without the one that asks.
    fn events(&self) -> u16 {
        [1, self.exceptions.load(Relaxed), self.no_response.load(Relaxed), self.fetches.load(Relaxed)]
            .into_iter()
            .fold(self.bus_messages().wrapping_add(self.cleared.load(Relaxed)), u16::wrapping_sub)
    }

    /// 08: the data of the response; `None` for silence. A sub-function that the specification reserves is
    /// refused.
    ///
    /// # Errors
    /// Exception 01 for such a sub-function.
    pub fn diagnostics<'b>(
        &self,
        sub_function: SubFunction,
        data: &[u8],
        out: &'b mut [u8],
    ) -> DeviceResult<Option<&'b [u8]>> {
        let counter = match sub_function {
            SubFunction::RETURN_QUERY_DATA => return Ok(copy(data, out)),
            SubFunction::RESTART_COMMUNICATIONS => {
                let silent = self.restart(data.first() == Some(&0xFF));
                return Ok(if silent { None } else { copy(data, out) });
            }
            SubFunction::CHANGE_ASCII_DELIMITER => {
                self.delimiter.store(data.first().copied().unwrap_or_default(), Relaxed);
                return Ok(copy(data, out));
            }
            SubFunction::FORCE_LISTEN_ONLY => {
                self.listen_only.store(true, Relaxed);
                self.note(RECEIVED, ENTERED_LISTEN_ONLY);
                return Ok(None);
            }
            SubFunction::CLEAR_COUNTERS => {
                self.clear_counters();
                self.register.store(0, Relaxed);
                return Ok(copy(data, out));
            }
            // What the system loses between a UART and us it does not tell; its check is wrong then.
            SubFunction::CLEAR_OVERRUN_COUNTER => return Ok(copy(data, out)),
            SubFunction::BUS_CHARACTER_OVERRUN_COUNT => 0,
            SubFunction::BUS_COMMUNICATION_ERROR_COUNT => self.check_errors.load(Relaxed),
            SubFunction::RETURN_DIAGNOSTIC_REGISTER => self.register.load(Relaxed),
            SubFunction::SERVER_MESSAGE_COUNT => self.bus_messages(),
            // On a network, all messages that come are for this server.
            SubFunction::BUS_MESSAGE_COUNT => self.bus_messages().wrapping_add(self.others.load(Relaxed)),
            SubFunction::BUS_EXCEPTION_COUNT => self.exceptions.load(Relaxed),
            SubFunction::SERVER_NO_RESPONSE_COUNT => self.no_response.load(Relaxed),
            SubFunction::SERVER_NAK_COUNT => self.naks.load(Relaxed),
            SubFunction::SERVER_BUSY_COUNT => self.busy.load(Relaxed),
            _ => return Err(ExceptionCode::IllegalFunction),
        };
        Ok(copy(&counter.to_be_bytes(), out))
    }

    /// Ends listen-only mode; whether it was on, in which case no answer is sent.
    fn restart(&self, clear_log: bool) -> bool {
        let silent = self.listen_only.swap(false, Relaxed);
        self.clear_counters();
        self.cleared.store(u16::from(!silent), Relaxed);
        if clear_log {
            self.logged_from.store(self.messages.load(Relaxed).wrapping_sub(1), Relaxed);
        }
        let received = if silent { RECEIVED | RECEIVED_IN_LISTEN_ONLY } else { RECEIVED };
        self.note(if clear_log { 0 } else { received }, RESTARTED_MARK);
        silent
    }

    fn clear_counters(&self) {
        self.counted_from.store(self.messages.load(Relaxed), Relaxed);
        let line = [&self.others, &self.check_errors];
        let own = [&self.exceptions, &self.no_response, &self.fetches, &self.naks, &self.busy];
        for counter in own.into_iter().chain(line) {
            counter.store(0, Relaxed);
        }
        self.cleared.store(1, Relaxed);
    }

    /// 11: status and event count. No program command is ever being processed here.
    #[must_use]
    pub fn event_counter(&self) -> (u16, u16) {
        (0, self.events())
    }

    /// 12: status, event count, message count; the events into `log`, the newest first, and how many.
    #[must_use]
    pub fn event_log(&self, log: &mut [u8; LOG_MAX]) -> (u16, u16, u16, usize) {
        let messages = self.messages.load(Relaxed);
        let since = messages.wrapping_sub(self.logged_from.load(Relaxed)) as usize;
        let events = (1..).take(since.min(LOG_MAX)).flat_map(|age| {
            let at = messages.wrapping_sub(age) as usize % LOG_MAX;
            let [_, received, noted, sent] =
                self.log.0.get(at).map_or([0; 4], |slot| slot.load(Relaxed).to_be_bytes());
            [sent, noted, received]
        });
        let events = events.filter(|event| *event != 0);
        let mut len = 0;
        for (room, event) in log.iter_mut().zip(events) {
            *room = if event == RESTARTED_MARK { RESTARTED } else { event };
            len += 1;
        }
        (0, self.events(), self.bus_messages(), len)
    }
}

fn copy<'b>(data: &[u8], out: &'b mut [u8]) -> Option<&'b [u8]> {
    let room = out.get_mut(..data.len())?;
    room.copy_from_slice(data);
    Some(room)
}
