//! The client for programs without an async runtime.
//!
//! ```no_run
//! use port502_net::{blocking::Client, client::Options};
//!
//! let client = Client::connect("10.0.0.5".parse()?, Options::default())?;
//! let registers = client.unit(1).read_holding_registers(100, 4)?;
//! # Ok::<(), port502_net::client::Error>(())
//! ```

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use port502_wire::value::{Order, Value, ValueType};
use port502_wire::{FileRead, FileWrite, ReadDeviceIdCode, Request, SubFunction, Table, UnitId};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;

use crate::client::{self, CommEventCounter, CommEventLog, Error, Limits, Options, State};
use crate::{Pdu, Target};

/// A connection to a Modbus server; each call waits for its answer. Clones share the connection.
///
/// Calls from several threads take turns. To keep several requests in flight, use the async
/// [`client::Client`]. Not for use within an async runtime: a call there panics, as any blocking would stall it.
#[derive(Clone, Debug)]
pub struct Client {
    client: client::Client,
    runtime: Arc<Mutex<Runtime>>,
}

/// One device behind a connection.
#[derive(Clone, Debug)]
pub struct Unit {
    unit: client::Unit,
    runtime: Arc<Mutex<Runtime>>,
}

fn wait<F: Future>(runtime: &Mutex<Runtime>, future: F) -> F::Output {
    runtime.blocking_lock().block_on(async {
        // Between calls nobody looks at the socket. Once round the runtime, so that a connection that was
        // closed meanwhile is not taken for one to send a request on.
        tokio::task::yield_now().await;
        future.await
    })
}

impl Client {
    /// Connects, as [`client::Client::connect`].
    ///
    /// # Errors
    /// [`Error`]
    pub fn connect(target: Target, options: Options) -> Result<Client, Error> {
        let failed =
            |source: io::Error| Error::Connect { target: Box::new(target.clone()), source: Arc::new(source) };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let client = runtime.block_on(client::Client::connect(target, options))?;
        Ok(Client { client, runtime: Arc::new(Mutex::new(runtime)) })
    }

    /// The device with this unit id behind the connection.
    #[must_use]
    pub fn unit(&self, unit: impl Into<UnitId>) -> Unit {
        Unit { unit: self.client.unit(unit), runtime: Arc::clone(&self.runtime) }
    }

    /// Where the connection stands, as the last call left it: between calls nobody looks at the socket.
    #[must_use]
    pub fn state(&self) -> State {
        self.client.state().borrow().clone()
    }
}

impl Unit {
    /// The same device with smaller requests, as [`client::Unit::with_limits`].
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Unit { unit: self.unit.with_limits(limits), runtime: self.runtime }
    }

    /// The same device with another time for each request, as [`client::Unit::with_timeout`].
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Unit { unit: self.unit.with_timeout(timeout), runtime: self.runtime }
    }

    /// Its unit id.
    #[must_use]
    pub fn id(&self) -> UnitId {
        self.unit.id()
    }
}

/// The same method as the async unit's, waited for.
macro_rules! blocking {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $kind:ty),*) -> $out:ty;)*) => {
        impl Unit {$(
            $(#[$doc])*
            ///
            /// # Errors
            /// [`Error`]
            pub fn $name(&self, $($arg: $kind),*) -> Result<$out, Error> {
                wait(&self.runtime, self.unit.$name($($arg),*))
            }
        )*}
    };
}

blocking! {
    /// Any request, as [`client::Unit::call`].
    call(request: &Request<'_>) -> Pdu;
    /// 01: `count` coils.
    read_coils(start: u16, count: usize) -> Vec<bool>;
    /// 02: `count` discrete inputs.
    read_discrete_inputs(start: u16, count: usize) -> Vec<bool>;
    /// 03: `count` holding registers.
    read_holding_registers(start: u16, count: usize) -> Vec<u16>;
    /// 04: `count` input registers.
    read_input_registers(start: u16, count: usize) -> Vec<u16>;
    /// 05: one coil.
    write_single_coil(address: u16, value: bool) -> ();
    /// 06: one holding register.
    write_single_register(address: u16, value: u16) -> ();
    /// 15: coils.
    write_multiple_coils(start: u16, values: &[bool]) -> ();
    /// 16: holding registers.
    write_multiple_registers(start: u16, values: &[u16]) -> ();
    /// 22: bits of one holding register.
    mask_write_register(address: u16, and: u16, or: u16) -> ();
    /// 23: writes, then reads.
    read_write_multiple_registers(read_start: u16, read_count: u16, write_start: u16, values: &[u16]) -> Vec<u16>;
    /// 24: a queue.
    read_fifo_queue(address: u16) -> Vec<u16>;
    /// 20: the registers of each run of records.
    read_file_record(runs: &[FileRead]) -> Vec<Vec<u16>>;
    /// 21: all runs in one request.
    write_file_record(runs: &[FileWrite<'_>]) -> ();
    /// 07: eight bits whose meaning is the vendor's.
    read_exception_status() -> u8;
    /// 08: diagnostics.
    diagnostics(sub_function: SubFunction, data: &[u8]) -> Vec<u8>;
    /// 11: how many requests the device has carried out.
    comm_event_counter() -> CommEventCounter;
    /// 12: the same, and the last events.
    comm_event_log() -> CommEventLog;
    /// 17: the server's id.
    report_server_id() -> Vec<u8>;
    /// 43/14: the device's identification.
    read_device_identification(code: ReadDeviceIdCode) -> Vec<(u8, Vec<u8>)>;
    /// 43/14 with code 4: one object of it.
    read_device_object(object: u8) -> Vec<u8>;
    /// One typed value.
    read_value(table: Table, address: u16, value_type: ValueType, order: Order) -> Value;
    /// One typed value, to holding registers.
    write_value(address: u16, value_type: ValueType, order: Order, value: Value) -> ();
    /// A text in registers.
    read_text(table: Table, address: u16, length: u8, order: Order) -> String;
    /// A text, to holding registers.
    write_text(address: u16, length: u8, order: Order, text: &str) -> ();
}
