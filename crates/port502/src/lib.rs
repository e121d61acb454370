//! Modbus client and server.
//!
//! A [`Client`] is one connection with any number of handles: clone it, share it between tasks, put many
//! requests in flight. It reconnects by itself, and a late answer is never taken for the next one's. A
//! [`Server`](server::Server) answers many clients from a [`Device`](server::Device): your own, or a
//! [`MemoryDevice`](memory::MemoryDevice). Both speak over TCP, TLS, UDP and serial ports; a [`Target`] says which.
//!
//! # A client
//!
//! ```
//! use port502::{Client, Options, Target};
//!
//! async fn read(host: &str, port: u16) -> Result<(), port502::Error> {
//!     let client = Client::connect(Target::tcp(host, port), Options::default()).await?;
//!     let meter = client.unit(1);
//!     let registers = meter.read_holding_registers(100, 4).await?;
//!     println!("{registers:?}");
//!     meter.write_single_register(200, 42).await?;
//!     Ok(())
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #     let server = port502::server::Server::bind(&Target::tcp("127.0.0.1", 0), Default::default())?;
//! #     let port = server.target().port();
//! #     tokio::spawn(server.run(port502::memory::MemoryDevice::full()));
//! #     Ok(read("127.0.0.1", port).await?)
//! # }
//! ```
//!
//! [`Client::unit`] is a view of one device behind the connection, with a method for what devices offer and
//! [`call`](Unit::call) for any request there is. A target may come from text, too: `"plc-7".parse()?`,
//! `"tcp://[fe80::1]:1502".parse()?`, whose error is an [`Error`] as well, or from a `SocketAddr`.
//! [`Client::lazy`] is a client for a device that is not there yet.
//!
//! # A server
//!
//! ```
//! use port502::memory::MemoryDevice;
//! use port502::server::{Options, Server};
//! use port502::{Table, Target};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let meter = MemoryDevice::builder()
//!     .registers(Table::InputRegisters, 0, &[230, 231, 229])
//!     .registers(Table::HoldingRegisters, 100, &[0; 10])
//!     .build();
//! let server = Server::bind(&Target::tcp("127.0.0.1", 0), Options::default())?;
//! println!("listening on {}", server.target());
//! # server.stop_handle().stop();
//! server.run(meter.clone()).await?; // until it is stopped
//! # Ok(()) }
//! ```
//!
//! The clone shares its data with the server: [`set_registers`](memory::MemoryDevice::set_registers) is what the
//! process behind the device does, [`changes`](memory::MemoryDevice::changes) tells what clients wrote. A
//! device of your own implements [`Device`](server::Device), which is called in blocks and only with requests
//! that the parser has read to the end.
//!
//! # When it goes wrong
//!
//! There is one error type for `?`, and it tells apart what a program has to tell apart: the device refused,
//! nothing was heard, the connection broke, the peer does not speak Modbus, the request was never possible.
//! [`Error::maybe_executed`] answers the question that matters after a write.
//!
//! ```
//! use port502::{Error, ExceptionCode, Unit};
//!
//! async fn start_pump(plc: &Unit) -> Result<(), Error> {
//!     match plc.write_single_coil(7, true).await {
//!         Err(Error::Exception { code: ExceptionCode::ServerDeviceBusy, .. }) => {
//!             println!("busy: somebody should ask again later");
//!             Ok(())
//!         }
//!         Err(error) if error.maybe_executed() => {
//!             // No answer, but the request went out: look before writing again.
//!             let runs = plc.read_coils(7, 1).await?;
//!             println!("{error}; the pump is {}", if runs == [true] { "on" } else { "off" });
//!             Ok(())
//!         }
//!         other => other,
//!     }
//! }
//! ```
//!
//! Reads are asked again once by default, writes never, unless [`Options`] say so.
//!
//! # Several requests in flight
//!
//! [`Options::in_flight`] is how many requests are under way on the connection at once: 1 unless changed,
//! because many devices can only do one. Futures that are awaited together then share the waiting.
//!
//! ```
//! use port502::{Client, Error, Options, Target};
//!
//! async fn overview(target: Target) -> Result<(), Error> {
//!     let client = Client::connect(target, Options::default().in_flight(16)).await?;
//!     let (boiler, pumps) = (client.unit(1), client.unit(2));
//!     let (temperatures, speeds, alarms) = tokio::try_join!(
//!         boiler.read_input_registers(0, 8),
//!         pumps.read_holding_registers(40, 4),
//!         pumps.read_coils(0, 16),
//!     )?;
//!     println!("{temperatures:?} {speeds:?} {alarms:?}");
//!     Ok(())
//! }
//! ```
//!
//! Dropping a future gives its request up. The connection stays usable, and should the answer come it is
//! discarded.
//!
//! # Typed values
//!
//! Wider values are a convention of the device: a [`ValueType`] says how registers are read, an [`Order`] how
//! their bytes stand, by letters as in manuals (`abcd`, `cdab`, `badc`, `dcba`).
//!
//! ```
//! use port502::{Error, Order, Table, Unit, Value, ValueType};
//!
//! async fn level(plc: &Unit) -> Result<(), Error> {
//!     let level = plc.read_value(Table::InputRegisters, 100, ValueType::F32, Order::CDAB).await?;
//!     println!("{level} m");
//!     println!("{}", plc.read_text(Table::HoldingRegisters, 300, 16, Order::ABCD).await?);
//!     plc.write_value(200, ValueType::I32, Order::ABCD, Value::Signed(-40)).await
//! }
//! ```
//!
//! With the feature `site`, the text that people write for all of this (`input:100:f32:cdab`) is a
//! `site::Point`.
//!
//! # Without async
//!
//! ```no_run
//! use port502::{Options, Target, blocking};
//!
//! let client = blocking::Client::connect(Target::tcp("10.0.0.5", 502), Options::default())?;
//! let registers = client.unit(1).read_holding_registers(100, 4)?;
//! # Ok::<(), port502::Error>(())
//! ```
//!
//! # Underneath
//!
//! Bytes and time go in, values come out: everything that knows Modbus does so without a socket or a clock,
//! and can be used alone. [`wire`] is the grammar (`no_std`, nothing allocated), [`session`] the conversation:
//! client, server and a tap that watches both. The client and the server here are these two with tokio around
//! them; `examples/session_by_hand.rs` does without.
//!
//! # Features
//!
//! Features only add, none is on by default, and none brings dependencies of weight.
//!
//! | feature | what it adds |
//! |---|---|
//! | `site` | `site`: points as text, values as text, register maps as CSV, plans of few requests for many points |
//! | `capture` | `capture`: pcap and pcapng files, packets, TCP streams put in order |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc(inline)]
pub use port502_net::client::{Client, Error, Options, Unit};
#[doc(inline)]
pub use port502_net::{Link, Pdu, Target, TargetError};
#[doc(inline)]
pub use port502_wire::value::{Order, Value, ValueType};
#[doc(inline)]
pub use port502_wire::{ExceptionCode, FunctionCode, Request, Response, Table, UnitId};

#[cfg(feature = "capture")]
#[doc(inline)]
pub use port502_capture as capture;
#[doc(inline)]
pub use port502_session as session;
#[cfg(feature = "site")]
#[doc(inline)]
pub use port502_site as site;
#[doc(inline)]
pub use port502_wire as wire;

#[doc(inline)]
pub use port502_net::{blocking, client, fault, memory, server};

/// The Rust in the README is compiled with the examples above.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
