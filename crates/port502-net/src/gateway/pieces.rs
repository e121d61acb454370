//! A read that is larger than its device takes, in pieces that it does.

use port502_wire::{ExceptionCode, PDU_MAX, Request};

use super::ask::Effect;
use super::options::DeviceOptions;

/// How far a large read has come.
#[derive(Debug)]
pub(super) struct Pieces {
    function: u8,
    start: u16,
    count: u16,
    /// What one request may ask for; of bits a multiple of eight, so that bytes of pieces can be joined.
    max: u16,
    done: u16,
    data: Vec<u8>,
    pdu: [u8; 5],
}

impl Pieces {
    /// `None` when the device takes the request as it is.
    ///
    /// # Errors
    /// What is owed for a request that cannot be taken to pieces: exception 03 for a write, which is all or nothing.
    pub(super) fn of(
        device: &DeviceOptions,
        pdu: &[u8],
        effect: &Effect,
    ) -> Result<Option<Box<Pieces>>, ExceptionCode> {
        let limit = |bits: bool| if bits { device.max_bits } else { device.max_registers };
        match effect {
            Effect::Read { table, start, count } => {
                let bits = table.is_bits();
                let Some(limit) = limit(bits).filter(|limit| limit < count) else { return Ok(None) };
                let max = if bits { limit / 8 * 8 } else { limit }.max(if bits { 8 } else { 1 });
                let function = pdu.first().copied().unwrap_or_default();
                let (start, count) = (*start, *count);
                let data = Vec::with_capacity(PDU_MAX);
                let pieces = Pieces { function, start, count, max, done: 0, data, pdu: [0; 5] };
                Ok(Some(Box::new(pieces)))
            }
            Effect::Write { table, addresses } => {
                let last = addresses.end() - addresses.start();
                let read = match Request::parse(pdu) {
                    Ok(Request::ReadWriteMultipleRegisters { read, .. }) => read.count(),
                    _ => 0,
                };
                match limit(table.is_bits()) {
                    Some(limit) if last >= limit || read > limit => Err(ExceptionCode::IllegalDataValue),
                    _ => Ok(None),
                }
            }
            Effect::Look | Effect::Unknown => Ok(None),
        }
    }

    /// The request for the next piece.
    pub(super) fn next(&mut self) -> &[u8] {
        let [s1, s0] = self.start.wrapping_add(self.done).to_be_bytes();
        let [c1, c0] = self.piece().to_be_bytes();
        self.pdu = [self.function, s1, s0, c1, c0];
        &self.pdu
    }

    fn piece(&self) -> u16 {
        (self.count - self.done).min(self.max)
    }

    /// Takes the answer to a piece, which is known to fit it. The whole answer, when that was the last, or an
    /// exception, which is the answer to all of it.
    pub(super) fn add(&mut self, pdu: &[u8]) -> Option<Vec<u8>> {
        let [function, _, data @ ..] = pdu else { return Some(pdu.to_vec()) };
        if *function != self.function {
            return Some(pdu.to_vec());
        }
        self.data.extend_from_slice(data);
        self.done += self.piece();
        if self.done < self.count {
            return None;
        }
        // At most 250 bytes: the request was one that the specification allows.
        let mut whole = vec![self.function, u8::try_from(self.data.len()).unwrap_or(u8::MAX)];
        whole.append(&mut self.data);
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ask::effect;
    use super::*;

    fn of(device: &DeviceOptions, pdu: &[u8]) -> Result<Option<Box<Pieces>>, ExceptionCode> {
        Pieces::of(device, pdu, &effect(pdu).unwrap())
    }

    #[test]
    fn registers_are_asked_in_pieces_and_put_together() {
        let device = DeviceOptions { max_registers: Some(2), ..DeviceOptions::default() };
        let mut pieces = of(&device, &[3, 0, 10, 0, 5]).unwrap().unwrap();
        assert_eq!(pieces.next(), [3, 0, 10, 0, 2]);
        assert_eq!(pieces.add(&[3, 4, 0, 1, 0, 2]), None);
        assert_eq!(pieces.next(), [3, 0, 12, 0, 2]);
        assert_eq!(pieces.add(&[3, 4, 0, 3, 0, 4]), None);
        assert_eq!(pieces.next(), [3, 0, 14, 0, 1]);
        assert_eq!(pieces.add(&[3, 2, 0, 5]), Some(vec![3, 10, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5]));
    }

    #[test]
    fn bits_are_cut_where_bytes_are() {
        let device = DeviceOptions { max_bits: Some(12), ..DeviceOptions::default() };
        let mut pieces = of(&device, &[1, 0, 3, 0, 13]).unwrap().unwrap();
        assert_eq!(pieces.next(), [1, 0, 3, 0, 8]);
        assert_eq!(pieces.add(&[1, 1, 0xA5]), None);
        assert_eq!(pieces.next(), [1, 0, 11, 0, 5]);
        assert_eq!(pieces.add(&[1, 1, 0x15]), Some(vec![1, 2, 0xA5, 0x15]));
    }

    #[test]
    fn an_exception_is_the_answer_to_all_of_it() {
        let device = DeviceOptions { max_registers: Some(2), ..DeviceOptions::default() };
        let mut pieces = of(&device, &[4, 0, 10, 0, 5]).unwrap().unwrap();
        assert_eq!(pieces.add(&[4, 4, 0, 1, 0, 2]), None);
        assert_eq!(pieces.add(&[0x84, 2]), Some(vec![0x84, 2]));
    }

    #[track_caller]
    fn check(pdu: &[u8], want: Result<bool, ExceptionCode>) {
        let device = DeviceOptions { max_registers: Some(2), max_bits: Some(16), ..DeviceOptions::default() };
        assert_eq!(of(&device, pdu).map(|pieces| pieces.is_some()), want, "request {pdu:02x?}");
    }

    #[test]
    fn what_is_cut_and_what_is_refused() {
        check(&[3, 0, 10, 0, 2], Ok(false));
        check(&[3, 0, 10, 0, 3], Ok(true));
        check(&[3, 0xFF, 0xFD, 0, 3], Ok(true));
        check(&[2, 0, 10, 0, 16], Ok(false));
        check(&[2, 0, 10, 0, 17], Ok(true));
        check(&[6, 0, 10, 0, 3], Ok(false));
        check(&[16, 0, 10, 0, 2, 4, 0, 0, 0, 0], Ok(false));
        check(&[16, 0, 10, 0, 3, 6, 0, 0, 0, 0, 0, 0], Err(ExceptionCode::IllegalDataValue));
        check(&[15, 0, 10, 0, 17, 3, 0, 0, 0], Err(ExceptionCode::IllegalDataValue));
        check(&[23, 0, 0, 0, 3, 0, 9, 0, 1, 2, 0, 1], Err(ExceptionCode::IllegalDataValue));
        check(&[23, 0, 0, 0, 2, 0, 9, 0, 1, 2, 0, 1], Ok(false));
        check(&[43, 14, 1, 0], Ok(false));
    }
}
