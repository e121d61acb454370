//! Capture files, packet slicing and TCP streams: from bytes in a file to bytes in the order in which a host read them.
//!
//! This crate knows TCP/IP and capture files. It does not know Modbus: it asks its caller which ports are served.
//!
//! ```text
//!   file                 record               packet                    events
//!   pcap, pcapng  --->   time, link, bytes -> VLAN, IP, TCP, UDP  --->  Opened, Data, Gap, Conflict, Stray, Closed
//!   [Capture]            [Record]             [slice()]                 [Reassembler]
//! ```
//!
//! Nothing here reads a clock: time is the [`Timestamp`] of the packet. Nothing panics on any input, and whatever can
//! grow has a limit with a name ([`Limits`], [`CAPTURED_MAX`], [`BLOCK_MAX`], ...).
//!
//! The common loop, here over a capture made in memory:
//!
//! ```
//! use port502_capture::{Capture, Event, Limits, Reassembler, StreamEventKind, synth};
//!
//! let mut talk = synth::Conversation::v4("10.0.0.9:50123".parse()?, "10.0.0.3:502".parse()?);
//! talk.handshake().to_server(b"question").to_client(b"answer").finish();
//! let file = synth::pcap(talk.frames());
//!
//! let mut capture = Capture::new(file.as_slice()); // any `Read`; `Capture::open(path)` for a file
//! let mut streams = Reassembler::new(Limits::default(), |port| port == 502);
//! let mut seen = Vec::new();
//! let mut sink = |event: Event<'_>| {
//!     if let Event::Stream(event) = event
//!         && let StreamEventKind::Data(bytes) = event.kind
//!     {
//!         seen.push((event.direction, bytes.to_vec()));
//!     }
//! };
//! while let Some(record) = capture.next_record()? {
//!     streams.push_record(&record, &mut sink);
//! }
//! streams.finish(&mut sink);
//!
//! use port502_capture::Direction::{ToClient, ToServer};
//! assert_eq!(seen, [(ToServer, b"question".to_vec()), (ToClient, b"answer".to_vec())]);
//! assert_eq!(capture.end(), port502_capture::End::Whole);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod file;
mod fragment;
mod link;
mod packet;
mod stream;
pub mod synth;
mod timestamp;

pub use file::{
    BLOCK_MAX, CAPTURED_MAX, Capture, CaptureBytes, CaptureError, End, FormatError, INTERFACES_MAX, Record,
};
pub use fragment::{Defragmenter, FragmentLimits, Whole};
pub use link::LinkType;
pub use packet::{
    Fragment, IPV6_EXTENSIONS_MAX, Layer, Macs, SlicedPacket, TcpFlags, TcpSegment, Transport, UdpDatagram,
    Unsliced, VLAN_TAGS_MAX, VlanTags, slice,
};
pub use stream::{
    CloseReason, ConnectionId, Counters, Datagram, Direction, Event, HELD_OVERHEAD, Limits, Opening,
    OverlapPolicy, Reassembler, ServerBy, ServerRule, Stray, StreamEvent, StreamEventKind, VlanKey,
};
pub use timestamp::Timestamp;
