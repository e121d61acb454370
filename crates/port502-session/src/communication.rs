//! What a server counts of its conversation, and what it can be told about it: functions 08, 11 and 12
//! (V1.1b3, 6.8 to 6.10).

use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicUsize, Ordering::Relaxed};

use port502_wire::{ExceptionCode, FunctionCode, SubFunction};

use crate::server::{DeviceResult, Reply};

/// Events kept for function 12 (V1.1b3, 6.10).
const LOG_MAX: usize = 64;

/// Counters, event log and listen-only mode of one server. Shared between connections without a lock: the
/// counters of two requests that are answered at the same time may be read in between.
#[derive(Debug, Default)]
pub struct Communication {
    bus_messages: AtomicU16,
    server_messages: AtomicU16,
    exceptions: AtomicU16,
    no_response: AtomicU16,
    naks: AtomicU16,
    busy: AtomicU16,
    /// Requests that ended well, for function 11.
    events: AtomicU16,
    register: AtomicU16,
    delimiter: AtomicU8,
    listen_only: AtomicBool,
    logged: AtomicUsize,
    log: EventLog,
}

#[derive(Debug)]
struct EventLog([AtomicU8; LOG_MAX]);

impl Default for EventLog {
    fn default() -> Self {
        EventLog([const { AtomicU8::new(0) }; LOG_MAX])
    }
}

// Event bytes, V1.1b3, 6.10.
const RECEIVED: u8 = 0x80;
const RECEIVED_IN_LISTEN_ONLY: u8 = 0x20;
const SENT: u8 = 0x40;
const ENTERED_LISTEN_ONLY: u8 = 0x04;
const RESTARTED: u8 = 0x00;

impl Communication {
    /// Counts one request and its reply around `answer`, and keeps it silent in listen-only mode.
    #[inline]
    pub fn around(&self, pdu: &[u8], answer: impl FnOnce() -> Reply) -> Reply {
        self.bus_messages.fetch_add(1, Relaxed);
        self.server_messages.fetch_add(1, Relaxed);
        if self.listen_only.load(Relaxed) {
            return self.listen(pdu, answer);
        }
        self.event(RECEIVED);
        let reply = answer();
        match reply {
            Reply::Response { .. } => {
                // Fetching the counter does not change it.
                if pdu.first() != Some(&FunctionCode::GET_COMM_EVENT_COUNTER.0) {
                    self.events.fetch_add(1, Relaxed);
                }
                self.event(SENT);
            }
            Reply::Exception(code) => self.refused(code),
            Reply::Silence => {
                self.no_response.fetch_add(1, Relaxed);
            }
        }
        reply
    }

    /// Listens only: nothing is carried out or answered, but for the restart that ends it, silently too.
    #[cold]
    fn listen(&self, pdu: &[u8], restart: impl FnOnce() -> Reply) -> Reply {
        self.event(RECEIVED | RECEIVED_IN_LISTEN_ONLY);
        self.no_response.fetch_add(1, Relaxed);
        let [function, high, low] = [FunctionCode::DIAGNOSTICS.0, 0, 1];
        if pdu.starts_with(&[function, high, low]) {
            restart();
        }
        Reply::Silence
    }

    #[cold]
    fn refused(&self, code: ExceptionCode) {
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
        self.event(SENT | bit);
    }

    #[inline]
    fn event(&self, event: u8) {
        let at = self.logged.fetch_add(1, Relaxed) % LOG_MAX;
        if let Some(slot) = self.log.0.get(at) {
            slot.store(event, Relaxed);
        }
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
                self.event(ENTERED_LISTEN_ONLY);
                return Ok(None);
            }
            SubFunction::CLEAR_COUNTERS => {
                self.clear_counters();
                self.register.store(0, Relaxed);
                return Ok(copy(data, out));
            }
            // Nothing is lost between the bytes of a TCP stream; a serial link counts for itself.
            SubFunction::CLEAR_OVERRUN_COUNTER => return Ok(copy(data, out)),
            SubFunction::BUS_COMMUNICATION_ERROR_COUNT | SubFunction::BUS_CHARACTER_OVERRUN_COUNT => 0,
            SubFunction::RETURN_DIAGNOSTIC_REGISTER => self.register.load(Relaxed),
            SubFunction::BUS_MESSAGE_COUNT => self.bus_messages.load(Relaxed),
            SubFunction::BUS_EXCEPTION_COUNT => self.exceptions.load(Relaxed),
            SubFunction::SERVER_MESSAGE_COUNT => self.server_messages.load(Relaxed),
            SubFunction::SERVER_NO_RESPONSE_COUNT => self.no_response.load(Relaxed),
            SubFunction::SERVER_NAK_COUNT => self.naks.load(Relaxed),
            SubFunction::SERVER_BUSY_COUNT => self.busy.load(Relaxed),
            _ => return Err(ExceptionCode::IllegalFunction),
        };
        Ok(copy(&counter.to_be_bytes(), out))
    }

    /// Ends listen-only mode; whether it was on, in which case no answer is sent.
    fn restart(&self, clear_log: bool) -> bool {
        self.clear_counters();
        if clear_log {
            self.logged.store(0, Relaxed);
        }
        self.event(RESTARTED);
        self.listen_only.swap(false, Relaxed)
    }

    fn clear_counters(&self) {
        for counter in [
            &self.bus_messages,
            &self.server_messages,
            &self.exceptions,
            &self.no_response,
            &self.naks,
            &self.busy,
            &self.events,
        ] {
            counter.store(0, Relaxed);
        }
    }

    /// 11: status and event count. No program command is ever being processed here.
    #[must_use]
    pub fn event_counter(&self) -> (u16, u16) {
        (0, self.events.load(Relaxed))
    }

    /// 12: status, event count, message count; the events into `log`, the newest first, and how many.
    #[must_use]
    pub fn event_log(&self, log: &mut [u8; LOG_MAX]) -> (u16, u16, u16, usize) {
        let logged = self.logged.load(Relaxed);
        let len = logged.min(LOG_MAX);
        for (age, event) in log.iter_mut().take(len).enumerate() {
            let at = logged.wrapping_sub(1 + age) % LOG_MAX;
            *event = self.log.0.get(at).map_or(0, |slot| slot.load(Relaxed));
        }
        (0, self.events.load(Relaxed), self.bus_messages.load(Relaxed), len)
    }
}

fn copy<'b>(data: &[u8], out: &'b mut [u8]) -> Option<&'b [u8]> {
    let room = out.get_mut(..data.len())?;
    room.copy_from_slice(data);
    Some(room)
}
