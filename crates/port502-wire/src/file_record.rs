//! File records, functions 20 and 21 (V1.1b3, 6.14 and 6.15): a PDU carries several sub-requests.

use crate::{EmitError, PduError, Registers, Writer};

/// Records are numbered 0 to 9999 in each file (V1.1b3, 6.14).
pub const RECORDS_PER_FILE: u16 = 10_000;

/// Bytes in front of the registers of a sub-request: reference type, file, record, length.
const HEADER: usize = 7;
/// The only reference type that the specification defines.
const REFERENCE_TYPE: u8 = 6;

/// One run of records that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileRead {
    /// The file, 1 to 0xFFFF.
    pub file: u16,
    /// The first record, 0 to 9999.
    pub record: u16,
    /// How many registers.
    pub length: u16,
}

/// One run of records that is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileWrite<'a> {
    /// The file, 1 to 0xFFFF.
    pub file: u16,
    /// The first record, 0 to 9999.
    pub record: u16,
    /// What is written there.
    pub registers: Registers<'a>,
}

/// What a Read File Record request asks for: at least one run, and an answer that fits a PDU.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileReads<'a> {
    bytes: &'a [u8],
}

/// What a Write File Record request writes: at least one run.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileWrites<'a> {
    bytes: &'a [u8],
}

/// What a Read File Record response returns: a run of registers for each that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordsRead<'a> {
    bytes: &'a [u8],
}

/// Whether a run names records that can exist. Reached once the structure is known to be right: a wrong
/// structure is exception 03, a wrong reference 02, in this order (figures 24 and 25).
fn reference_ok(kind: u8, file: u16, record: u16, length: usize) -> bool {
    kind == REFERENCE_TYPE && file != 0 && usize::from(record) + length <= usize::from(RECORDS_PER_FILE)
}

/// Splits a run's header from what follows it.
fn header(bytes: &[u8]) -> Option<(u8, u16, u16, u16, &[u8])> {
    match *bytes {
        [kind, f1, f0, r1, r0, l1, l0, ref rest @ ..] => Some((
            kind,
            u16::from_be_bytes([f1, f0]),
            u16::from_be_bytes([r1, r0]),
            u16::from_be_bytes([l1, l0]),
            rest,
        )),
        _ => None,
    }
}

impl<'a> FileReads<'a> {
    /// From the body of a request: the byte count and the runs.
    pub(crate) fn parse(function: u8, body: &'a [u8]) -> Result<Self, PduError> {
        let bytes = counted(function, body, HEADER, 0xF5)?;
        if bytes.len() % HEADER != 0 {
            let whole = bytes.len() / HEADER * HEADER;
            return Err(PduError::Truncated { function, offset: 2 + whole });
        }
        let (mut response, mut offset, mut bad) = (2, 2, None);
        for run in bytes.chunks_exact(HEADER) {
            let Some((kind, file, record, length, _)) = header(run) else { continue };
            response += 2 + 2 * usize::from(length);
            if length == 0 || response > crate::PDU_MAX {
                return Err(PduError::Quantity { function, got: length, max: 124 });
            }
            if !reference_ok(kind, file, record, usize::from(length)) {
                bad = bad.or(Some(offset));
            }
            offset += HEADER;
        }
        match bad {
            Some(offset) => Err(PduError::FileReference { function, offset }),
            None => Ok(FileReads { bytes }),
        }
    }

    /// Writes `runs` into `scratch` as they stand in a request.
    ///
    /// # Errors
    /// The [`PduError`] that a server would find; `Truncated` when `scratch` is too small.
    pub fn encode(runs: &[FileRead], scratch: &'a mut [u8]) -> Result<Self, PduError> {
        let function = crate::FunctionCode::READ_FILE_RECORD.0;
        let full = |_| PduError::Truncated { function, offset: 1 };
        let mut out = Writer::new(scratch);
        out.u8(0).map_err(full)?;
        for run in runs {
            let fields = |out: &mut Writer<'_>| -> Result<(), EmitError> {
                out.u8(REFERENCE_TYPE)?.u16(run.file)?.u16(run.record)?.u16(run.length)?;
                Ok(())
            };
            fields(&mut out).map_err(full)?;
        }
        FileReads::parse(function, with_count(out, function)?)
    }

    /// The runs, first to last.
    pub fn iter(self) -> impl ExactSizeIterator<Item = FileRead> + Clone + 'a {
        self.bytes.chunks_exact(HEADER).map(|run| match header(run) {
            Some((_, file, record, length, _)) => FileRead { file, record, length },
            None => FileRead { file: 0, record: 0, length: 0 }, // a chunk of seven has a header
        })
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> FileWrites<'a> {
    /// From the body of a request, or of the response that echoes it.
    pub(crate) fn parse(function: u8, body: &'a [u8]) -> Result<Self, PduError> {
        // Figure 25 says 0xF5 where the table in 6.15 says 0xFB; what fits a PDU is taken.
        let bytes = counted(function, body, HEADER + 2, 0xFB)?;
        let (mut rest, mut offset, mut bad) = (bytes, 2, None);
        while !rest.is_empty() {
            let cut = PduError::Truncated { function, offset };
            let (kind, file, record, length, tail) = header(rest).ok_or(cut)?;
            let data = 2 * usize::from(length);
            if length == 0 {
                return Err(PduError::Quantity { function, got: length, max: 122 });
            }
            rest = tail.get(data..).ok_or(cut)?;
            if !reference_ok(kind, file, record, usize::from(length)) {
                bad = bad.or(Some(offset));
            }
            offset += HEADER + data;
        }
        match bad {
            Some(offset) => Err(PduError::FileReference { function, offset }),
            None => Ok(FileWrites { bytes }),
        }
    }

    /// Writes `runs` into `scratch` as they stand in a request.
    ///
    /// # Errors
    /// The [`PduError`] that a server would find; `Truncated` when `scratch` is too small.
    pub fn encode(runs: &[FileWrite<'_>], scratch: &'a mut [u8]) -> Result<Self, PduError> {
        let function = crate::FunctionCode::WRITE_FILE_RECORD.0;
        let full = |_| PduError::Truncated { function, offset: 1 };
        let mut out = Writer::new(scratch);
        out.u8(0).map_err(full)?;
        for run in runs {
            let length = u16::try_from(run.registers.len()).unwrap_or(u16::MAX);
            let fields = |out: &mut Writer<'_>| -> Result<(), EmitError> {
                out.u8(REFERENCE_TYPE)?.u16(run.file)?.u16(run.record)?.u16(length)?;
                out.bytes(run.registers.bytes())?;
                Ok(())
            };
            fields(&mut out).map_err(full)?;
        }
        FileWrites::parse(function, with_count(out, function)?)
    }

    /// The runs, first to last.
    pub fn iter(self) -> impl Iterator<Item = FileWrite<'a>> + Clone {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (_, file, record, length, tail) = header(rest)?;
            let (data, tail) = tail.split_at_checked(2 * usize::from(length))?;
            rest = tail;
            Some(FileWrite { file, record, registers: Registers::new(data)? })
        })
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }
}

impl<'a> RecordsRead<'a> {
    /// From the body of a response: the byte count, then for each run its length, the reference type and data.
    pub(crate) fn parse(function: u8, body: &'a [u8]) -> Result<Self, PduError> {
        let bytes = counted(function, body, 4, 0xFB)?;
        let (mut rest, mut offset) = (bytes, 2);
        while let Some((&len, tail)) = rest.split_first() {
            let cut = PduError::Truncated { function, offset };
            let (run, tail) = tail.split_at_checked(usize::from(len)).ok_or(cut)?;
            match run {
                [REFERENCE_TYPE, data @ ..] if !data.is_empty() && data.len().is_multiple_of(2) => {}
                [REFERENCE_TYPE, ..] | [] => {
                    return Err(PduError::ByteCount {
                        function,
                        got: len.into(),
                        implied: u16::from(len) | 1,
                    });
                }
                _ => return Err(PduError::FileReference { function, offset }),
            }
            rest = tail;
            offset += 1 + usize::from(len);
        }
        Ok(RecordsRead { bytes })
    }

    /// What a server writes: `bytes` are the runs as they stand in a response, without the byte count.
    ///
    /// # Errors
    /// The [`PduError`] that a client would find.
    pub fn new(bytes: &'a [u8]) -> Result<Self, PduError> {
        let function = crate::FunctionCode::READ_FILE_RECORD.0;
        let count = u8::try_from(bytes.len());
        let count = count.map_err(|_| PduError::ByteCount { function, got: u16::MAX, implied: 0xFB })?;
        let mut body = [0; crate::PDU_MAX];
        let mut out = Writer::new(&mut body);
        let full = |_| PduError::ByteCount { function, got: count.into(), implied: 0xFB };
        out.u8(count).and_then(|out| out.bytes(bytes)).map_err(full)?;
        RecordsRead::parse(function, out.finish()).map(|_| RecordsRead { bytes })
    }

    /// The registers of each run, first to last.
    pub fn iter(self) -> impl Iterator<Item = Registers<'a>> + Clone {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (&len, tail) = rest.split_first()?;
            let (run, tail) = tail.split_at_checked(usize::from(len))?;
            rest = tail;
            Registers::new(run.get(1..)?)
        })
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }
}

/// The bytes behind a byte count that must be within `min` and `max` and equal what is there.
fn counted(function: u8, body: &[u8], min: usize, max: usize) -> Result<&[u8], PduError> {
    let Some((&count, bytes)) = body.split_first() else {
        return Err(PduError::Truncated { function, offset: 1 });
    };
    let got = usize::from(count);
    let implied = if got < min || bytes.len() < min {
        min
    } else if got > max {
        max
    } else {
        bytes.len()
    };
    if got == implied && got == bytes.len() {
        return Ok(bytes);
    }
    let implied = u16::try_from(implied).unwrap_or(u16::MAX);
    Err(PduError::ByteCount { function, got: count.into(), implied })
}

/// Puts the byte count in front of what was written behind its place.
fn with_count<'a>(out: Writer<'a>, function: u8) -> Result<&'a [u8], PduError> {
    let body = out.finish_mut();
    let len = body.len() - 1;
    let got = u16::try_from(len).unwrap_or(u16::MAX);
    let count = u8::try_from(len).map_err(|_| PduError::ByteCount { function, got, implied: 0xFB })?;
    if let Some(first) = body.first_mut() {
        *first = count;
    }
    Ok(body)
}

impl core::fmt::Debug for FileReads<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl core::fmt::Debug for FileWrites<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl core::fmt::Debug for RecordsRead<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
