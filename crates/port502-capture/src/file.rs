//! Capture files: records out of pcap and pcapng, from any reader or from a whole file in memory.
//!
//! One decoder, which owns no bytes, is driven by two thin readers: [`Capture`] keeps a bounded buffer in front of any
//! `Read` (a file of many gigabytes, or a pipe from `tcpdump -w -`), and [`CaptureBytes`] lends straight from a slice.
//!
//! ```
//! use port502_capture::{CaptureBytes, End, synth};
//!
//! let mut talk = synth::Conversation::v4("10.0.0.9:50123".parse()?, "10.0.0.3:502".parse()?);
//! talk.handshake();
//! let mut file = synth::pcap(talk.frames());
//! file.truncate(file.len() - 7); // the disk was full
//!
//! let mut capture = CaptureBytes::new(&file);
//! let whole = capture.by_ref().collect::<Result<Vec<_>, _>>()?;
//! assert_eq!(whole.len(), 2);
//! assert_eq!(capture.end(), End::Cut { offset: 176, bytes: 69 });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod pcap;
mod pcapng;

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use crate::packet::{SlicedPacket, Unsliced, slice};
use crate::{LinkType, Timestamp};

/// The most bytes of one packet that a record may hold: tcpdump's own limit.
///
/// A length above it means that the file is damaged or no capture at all; believing it would allocate what it says.
pub const CAPTURED_MAX: usize = 262_144;

/// The longest pcapng block that is held in memory. Blocks that are skipped may be of any length.
pub const BLOCK_MAX: usize = 1 << 20;

/// The most interfaces that one pcapng section may describe.
pub const INTERFACES_MAX: usize = 4096;

/// What a reader asks of its source at once, and the size of its buffer in the ordinary case.
const BUFFER_LEN: usize = 1 << 18;

/// One packet as it stands in a capture file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// When it was captured. A pcapng Simple Packet Block carries no time: it takes that of the record before it,
    /// because a stream needs an order more than a date.
    pub at: Timestamp,
    /// How `bytes` begin.
    pub link: LinkType,
    /// What was kept of the packet.
    pub bytes: &'a [u8],
    /// How long the packet was on the wire; more than `bytes` if the capture's snap length cut it.
    pub original_len: u32,
    /// Which interface of the pcapng section; 0 in a classic file.
    pub interface: u32,
    /// 1 for the first packet: the frame number that other tools print.
    pub number: u64,
    /// Where the record starts in the file.
    pub offset: u64,
}

impl<'a> Record<'a> {
    /// The packet taken apart down to TCP or UDP.
    pub fn slice(&self) -> Result<SlicedPacket<'a>, Unsliced> {
        slice(self.link, self.bytes, usize::try_from(self.original_len).unwrap_or(usize::MAX))
    }
}

/// How a capture ended. A file cut off in the middle is no error: all that is whole has been delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// There may be more records.
    NotReached,
    /// The last byte of the file was the last byte of a record.
    Whole,
    /// The file stops inside a record (or its own header) that starts at `offset`; `bytes` of it are there.
    Cut {
        /// Where in the file the incomplete record starts.
        offset: u64,
        /// How many bytes of it there are.
        bytes: u64,
    },
    /// An error was reported for what starts at `offset`; nothing behind it can be told apart.
    Broken {
        /// Where in the file the trouble starts.
        offset: u64,
    },
}

/// What is wrong with the bytes of a capture file. `offset` is where in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// Not even the four bytes that tell the format.
    #[error("not a capture file: it has only {bytes} bytes")]
    TooShort {
        /// How many there are.
        bytes: u64,
    },
    /// The first four bytes are none of pcap's or pcapng's.
    #[error("not a pcap or pcapng file: it begins with the bytes {first:02x?}")]
    NotACapture {
        /// The bytes that are there instead.
        first: [u8; 4],
    },
    /// A whole classic file of packets that this crate cannot slice.
    #[error("byte {offset}: link type {link_type} is none that is understood")]
    UnknownLinkType {
        /// Where the number stands.
        offset: u64,
        /// Its number in the registry.
        link_type: u16,
    },
    /// A record claims more than [`CAPTURED_MAX`] bytes of packet.
    #[error(
        "byte {offset}: a record claims {claims} bytes of packet; more than {CAPTURED_MAX} is taken for damage"
    )]
    PacketTooLong {
        /// Where the record starts.
        offset: u64,
        /// The length in its header.
        claims: u32,
    },
    /// A packet block whose packet would reach past the end of the block.
    #[error("byte {offset}: a block with room for {room} bytes of packet claims {claims}")]
    PacketPastBlock {
        /// Where the block starts.
        offset: u64,
        /// The captured length in its header.
        claims: u32,
        /// What the block has left for it.
        room: usize,
    },
    /// A pcapng block length that cannot be: below the least, or no multiple of four.
    #[error(
        "byte {offset}: block type {block_type:#x} claims a length of {claims}, which no such block can have"
    )]
    BlockLength {
        /// Where the block starts.
        offset: u64,
        /// Its type.
        block_type: u32,
        /// The length it claims.
        claims: u32,
    },
    /// A block that would have to be held is longer than [`BLOCK_MAX`].
    #[error(
        "byte {offset}: block type {block_type:#x} claims {claims} bytes; more than {BLOCK_MAX} is taken for damage"
    )]
    BlockTooLong {
        /// Where the block starts.
        offset: u64,
        /// Its type.
        block_type: u32,
        /// The length it claims.
        claims: u32,
    },
    /// The length at the end of a block is not the one at its start.
    #[error("byte {offset}: a block of {start} bytes says at its end that it has {end}")]
    BlockLengthsDiffer {
        /// Where the block starts.
        offset: u64,
        /// The length in front.
        start: u32,
        /// The length behind.
        end: u32,
    },
    /// A section header whose byte-order magic is neither order.
    #[error("byte {offset}: a section header without the byte-order magic; there is {found:02x?}")]
    ByteOrder {
        /// Where the section header starts.
        offset: u64,
        /// The bytes instead of the magic.
        found: [u8; 4],
    },
    /// More than [`INTERFACES_MAX`] interfaces in one section.
    #[error("byte {offset}: more than {INTERFACES_MAX} interfaces in one section")]
    TooManyInterfaces {
        /// Where the description of the one too many starts.
        offset: u64,
    },
    /// A packet from an interface that its section has not described.
    #[error("byte {offset}: a packet of interface {interface}, which the section does not describe")]
    UnknownInterface {
        /// Where the packet block starts.
        offset: u64,
        /// The interface it names.
        interface: u32,
    },
}

/// Why no further record could be read. What was read before stands.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The source refused to be read.
    #[error("reading the capture at byte {offset}: {source}")]
    Io {
        /// How far reading had come.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not those of a capture file.
    #[error(transparent)]
    Format(#[from] FormatError),
}

/// A capture read from a file, a pipe or any other `Read`, with a bounded buffer.
///
/// The buffer holds [`BLOCK_MAX`] bytes at most, whatever the file claims.
#[derive(Debug)]
pub struct Capture<R> {
    source: R,
    buffer: Vec<u8>,
    /// The bytes read and not yet used: `buffer[window]`.
    window: Range<usize>,
    cursor: Cursor,
}

impl Capture<File> {
    /// Opens a file. Its first bytes are looked at by the first [`next_record`](Self::next_record).
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        File::open(path).map(Self::new)
    }
}

impl<R: Read> Capture<R> {
    /// A capture from a reader. There is no need to wrap it in a `BufReader`.
    pub fn new(source: R) -> Self {
        Self { source, buffer: vec![0; BUFFER_LEN], window: 0..0, cursor: Cursor::default() }
    }

    /// The next packet, or `None` when there is no further one; then [`end`](Self::end) says how the file ended.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, CaptureError> {
        let found = loop {
            if self.cursor.end != End::NotReached {
                return Ok(None);
            }
            let bytes = self.buffer.get(self.window.clone()).unwrap_or_default();
            match self.cursor.step(bytes)? {
                Step::Packet(found) => break found,
                Step::Skip(bytes) => self.skip(bytes)?,
                Step::Need(bytes) => {
                    if !self.fill(bytes)? {
                        self.cursor.stop(self.window.len() as u64)?;
                    }
                }
            }
        };
        let start = self.window.start;
        self.window.start = start.saturating_add(found.used).min(self.window.end);
        let data = start.saturating_add(found.data.start)..start.saturating_add(found.data.end);
        let bytes = self.buffer.get(data).unwrap_or_default();
        Ok(Some(self.cursor.deliver(&found, bytes)))
    }

    /// How the capture ended, once [`next_record`](Self::next_record) has returned `None` or an error.
    pub fn end(&self) -> End {
        self.cursor.end
    }

    /// Reads until the window holds `bytes`; false if the source ends before.
    fn fill(&mut self, bytes: usize) -> Result<bool, CaptureError> {
        while self.window.len() < bytes {
            if self.window.start.saturating_add(bytes) > self.buffer.len() {
                self.buffer.copy_within(self.window.clone(), 0);
                self.window = 0..self.window.len();
                if bytes > self.buffer.len() {
                    // The decoder has checked `bytes` against BLOCK_MAX before it asked.
                    self.buffer.resize(bytes, 0);
                }
            }
            let read = self.read()?;
            if read == 0 {
                return Ok(false);
            }
            self.window.end += read;
        }
        Ok(true)
    }

    /// Passes over `bytes` without holding them.
    fn skip(&mut self, bytes: u64) -> Result<(), CaptureError> {
        let mut left = bytes;
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.window.len());
            self.window.start += here;
            left -= here as u64;
            if left == 0 {
                self.cursor.offset += bytes;
                return Ok(());
            }
            self.window = 0..0;
            let read = self.read()?;
            if read == 0 {
                return Ok(self.cursor.stop(bytes - left)?);
            }
            self.window.end = read;
        }
    }

    fn read(&mut self) -> Result<usize, CaptureError> {
        let room = self.buffer.get_mut(self.window.end..).unwrap_or_default();
        loop {
            match self.source.read(room) {
                // A reader may lie about how much it read; no more than the room is believed.
                Ok(read) => return Ok(read.min(room.len())),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let offset = self.cursor.offset.saturating_add(self.window.len() as u64);
                    self.cursor.end = End::Broken { offset };
                    return Err(CaptureError::Io { offset, source });
                }
            }
        }
    }
}

/// A capture that is already in memory. An iterator whose records borrow from the file itself: nothing is copied.
#[derive(Debug, Clone)]
pub struct CaptureBytes<'a> {
    rest: &'a [u8],
    cursor: Cursor,
}

impl<'a> CaptureBytes<'a> {
    /// A capture from the bytes of a whole file.
    pub fn new(file: &'a [u8]) -> Self {
        Self { rest: file, cursor: Cursor::default() }
    }

    /// How the capture ended, once the iterator has.
    pub fn end(&self) -> End {
        self.cursor.end
    }
}

impl<'a> Iterator for CaptureBytes<'a> {
    type Item = Result<Record<'a>, FormatError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.cursor.end == End::NotReached {
            match self.cursor.step(self.rest) {
                Err(error) => return Some(Err(error)),
                Ok(Step::Packet(found)) => {
                    let bytes = self.rest.get(found.data.clone()).unwrap_or_default();
                    self.rest = self.rest.get(found.used..).unwrap_or_default();
                    return Some(Ok(self.cursor.deliver(&found, bytes)));
                }
                Ok(Step::Skip(bytes)) => {
                    if let Some(rest) = usize::try_from(bytes).ok().and_then(|bytes| self.rest.get(bytes..)) {
                        self.rest = rest;
                        self.cursor.offset += bytes;
                        continue;
                    }
                }
                Ok(Step::Need(_)) => {}
            }
            // The file ends before what the decoder asked for.
            if let Err(error) = self.cursor.stop(self.rest.len() as u64) {
                return Some(Err(error));
            }
        }
        None
    }
}

/// What the decoder makes of the bytes in front of it. Ranges instead of slices, so that a reader may move its buffer.
enum Step {
    /// Nothing can be said before this many bytes are there.
    Need(usize),
    /// The next bytes, some of which may not be there yet, hold nothing to deliver.
    Skip(u64),
    Packet(Found),
}

/// A whole packet record within the bytes given.
struct Found {
    at: Timestamp,
    link: LinkType,
    data: Range<usize>,
    original_len: u32,
    interface: u32,
    /// Length of the record with all its headers.
    used: usize,
}

/// Where in which kind of file the reader is.
#[derive(Debug, Clone)]
struct Cursor {
    format: Format,
    offset: u64,
    /// Records delivered so far.
    number: u64,
    /// Time of the last record.
    at: Timestamp,
    end: End,
}

#[derive(Debug, Clone)]
enum Format {
    NotKnownYet,
    Pcap(pcap::Header),
    Pcapng(pcapng::Section),
}

impl Default for Cursor {
    fn default() -> Self {
        Self { format: Format::NotKnownYet, offset: 0, number: 0, at: Timestamp::EPOCH, end: End::NotReached }
    }
}

impl Cursor {
    fn step(&mut self, bytes: &[u8]) -> Result<Step, FormatError> {
        let step = match &mut self.format {
            Format::NotKnownYet => self.recognise(bytes),
            Format::Pcap(header) => header.step(bytes, self.offset),
            Format::Pcapng(section) => section.step(bytes, self.offset, self.at),
        };
        if step.is_err() {
            self.end = End::Broken { offset: self.offset };
        }
        step
    }

    fn recognise(&mut self, bytes: &[u8]) -> Result<Step, FormatError> {
        let Some(first) = bytes.first_chunk::<4>() else { return Ok(Step::Need(4)) };
        if *first == pcapng::SECTION_HEADER {
            self.format = Format::Pcapng(pcapng::Section::default());
            return Ok(Step::Skip(0));
        }
        let Some(variant) = pcap::Variant::from_magic(*first) else {
            return Err(FormatError::NotACapture { first: *first });
        };
        let Some(header) = bytes.first_chunk::<{ pcap::HEADER_LEN }>() else {
            return Ok(Step::Need(pcap::HEADER_LEN));
        };
        self.format = Format::Pcap(pcap::Header::parse(variant, header)?);
        Ok(Step::Skip(pcap::HEADER_LEN as u64))
    }

    fn deliver<'a>(&mut self, found: &Found, bytes: &'a [u8]) -> Record<'a> {
        let offset = self.offset;
        self.offset += found.used as u64;
        self.number += 1;
        self.at = found.at;
        let Found { at, link, original_len, interface, .. } = *found;
        Record { at, link, bytes, original_len, interface, number: self.number, offset }
    }

    /// The source has ended with `bytes` that are no whole record.
    fn stop(&mut self, bytes: u64) -> Result<(), FormatError> {
        if matches!(self.format, Format::NotKnownYet) && bytes < 4 {
            self.end = End::Broken { offset: 0 };
            return Err(FormatError::TooShort { bytes });
        }
        self.end = if bytes == 0 { End::Whole } else { End::Cut { offset: self.offset, bytes } };
        Ok(())
    }
}

/// Byte order of a file or section: that of the machine which wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }

    fn u64(self, bytes: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(bytes),
            Self::Big => u64::from_be_bytes(bytes),
        }
    }
}
