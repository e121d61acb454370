//! The client without an async runtime, in front of a server that has one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use port502_net::blocking::Client;
use port502_net::client::{Error, Limits, Options, RequestError, State};
use port502_net::memory::MemoryDevice;
use port502_net::server::{self, Event, Server};
use port502_wire::value::{Order, Value, ValueType};
use port502_wire::{FileRead, FileWrite, ReadDeviceIdCode, Registers, SubFunction, Table};
use tokio::runtime::{Builder, Runtime};

fn start(options: server::Options) -> (Runtime, SocketAddr) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let address = runtime.block_on(async { crate::link::serve(MemoryDevice::full(), options) });
    (runtime, address)
}

fn connect(address: SocketAddr, options: Options) -> Client {
    Client::connect(address.into(), options).unwrap()
}

#[test]
fn everything_that_can_be_asked() {
    let (_server, address) = start(server::Options::default());
    let unit = connect(address, Options::default()).unit(1);
    unit.write_single_register(1, 0x1234).unwrap();
    unit.write_multiple_registers(2, &[1, 2, 3]).unwrap();
    unit.mask_write_register(1, 0xFF00, 0x0056).unwrap();
    assert_eq!(unit.read_holding_registers(1, 4).unwrap(), [0x1256, 1, 2, 3]);
    assert_eq!(unit.read_input_registers(0, 300).unwrap(), [0; 300]);
    unit.write_single_coil(5, true).unwrap();
    unit.write_multiple_coils(6, &[true, false, true]).unwrap();
    assert_eq!(unit.read_coils(5, 5).unwrap(), [true, true, false, true, false]);
    assert_eq!(unit.read_discrete_inputs(0, 2).unwrap(), [false; 2]);
    assert_eq!(unit.read_write_multiple_registers(1, 2, 2, &[9]).unwrap(), [0x1256, 9]);
    assert_eq!(unit.read_fifo_queue(100).unwrap(), []);
    assert_eq!(unit.diagnostics(SubFunction::RETURN_QUERY_DATA, &[1, 2]).unwrap(), [1, 2]);
    assert_eq!(unit.report_server_id().unwrap(), b"port502\xFF");
    assert_eq!(unit.read_device_identification(ReadDeviceIdCode::Basic).unwrap().len(), 3);
    unit.write_value(10, ValueType::F32, Order::CDAB, Value::F32(1.5)).unwrap();
    let value = unit.read_value(Table::HoldingRegisters, 10, ValueType::F32, Order::CDAB).unwrap();
    assert_eq!(value, Value::F32(1.5));
    assert!(matches!(unit.read_coils(0xFFFF, 2), Err(Error::Request(_))));
    unit.write_text(20, 8, Order::ABCD, "PUMP").unwrap();
    assert_eq!(unit.read_text(Table::HoldingRegisters, 20, 8, Order::ABCD).unwrap(), "PUMP");
    assert_eq!(unit.read_exception_status().unwrap(), 0);
    let run = [FileWrite { file: 4, record: 7, registers: Registers::new(&[0, 1, 0, 2]).unwrap() }];
    unit.write_file_record(&run).unwrap();
    let run = FileRead { file: 4, record: 7, length: 2 };
    assert_eq!(unit.read_file_record(&[run]).unwrap(), [[1, 2]]);
    assert_eq!(unit.read_device_object(0).unwrap(), b"port502");
    let counted = unit.comm_event_counter().unwrap();
    let logged = unit.comm_event_log().unwrap();
    assert!(counted.events > 15 && logged.events == counted.events && !logged.log.is_empty());
    let small = unit.clone().with_limits(Limits { read_registers: 2, ..Limits::default() });
    // Function 12 was one more, function 11 is none.
    let (before, read) = (counted.events + 1, small.read_holding_registers(0, 5).unwrap());
    assert_eq!((small.id(), read), (1.into(), vec![0, 0x1256, 9, 2, 3]));
    assert_eq!(unit.comm_event_counter().unwrap().events, before + 3, "three requests");
}

#[test]
fn texts_stand_in_registers() {
    let (_server, address) = start(server::Options::default());
    let unit = connect(address, Options::default()).unit(1);
    let (table, order) = (Table::HoldingRegisters, Order::CDAB);
    for (length, text) in [(1, "A"), (4, "PUMP"), (5, "PU"), (250, ""), (250, &*"x".repeat(250)), (6, "für")]
    {
        unit.write_multiple_registers(0, &[0xFFFF; 126]).unwrap();
        unit.write_text(0, length, order, text).unwrap();
        assert_eq!(unit.read_text(table, 0, length, order).unwrap(), text);
        let behind = u16::from(length.div_ceil(2));
        assert_eq!(unit.read_holding_registers(behind, 1).unwrap(), [0xFFFF], "{length}");
    }
    unit.write_single_register(0, 0xFC00).unwrap();
    assert_eq!(unit.read_text(table, 0, 2, order).unwrap(), "ü"); // ISO 8859-1
    let refused = |error: Error| matches!(error, Error::Request(_)) && !error.maybe_executed();
    assert!(refused(unit.write_text(0, 4, order, "PUMPS").unwrap_err()));
    assert!(refused(unit.write_text(0, 0, order, "").unwrap_err()));
    assert!(refused(unit.read_text(table, 0, 251, order).unwrap_err()));
    let in_coils = unit.read_text(Table::Coils, 0, 4, order).unwrap_err();
    assert!(matches!(in_coils, Error::Request(RequestError::TextInBits { table: Table::Coils })));
}

/// One type of error is enough, the target's text included.
#[test]
fn a_target_that_is_none() {
    fn meter(target: &str) -> Result<Client, Error> {
        Client::connect(target.parse()?, Options::default())
    }
    let error = meter("tpc://plc").unwrap_err();
    assert!(matches!(error, Error::Target(_)) && !error.maybe_executed());
    assert!(error.to_string().starts_with("`tpc` is not a link"), "{error}");
}

#[test]
fn several_threads_share_a_connection() {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let mut options = server::Options::default();
    options.observer = Some(Arc::new(move |event| {
        count.fetch_add(usize::from(matches!(event, Event::Opened { .. })), SeqCst);
    }));
    let (_server, address) = start(options);
    let client = connect(address, Options::default().timeout(Duration::from_secs(20)));
    std::thread::scope(|scope| {
        for thread in 0..8u16 {
            let unit = client.clone().unit(1);
            scope.spawn(move || {
                for value in 0..50 {
                    unit.write_single_register(thread, value).unwrap();
                    assert_eq!(unit.read_holding_registers(thread, 1).unwrap(), [value]);
                }
            });
        }
    });
    assert_eq!(opened.load(SeqCst), 1);
}

/// Between two calls nobody looks at the socket; a write must not be lost to a connection that has long been
/// closed.
#[test]
fn a_connection_that_was_closed_between_calls() {
    let (closed, is_closed) = std::sync::mpsc::channel();
    let mut options = server::Options::default();
    options.limits.idle = Duration::from_millis(30);
    options.observer = Some(Arc::new(move |event| {
        if matches!(event, Event::Closed { .. }) {
            let _ = closed.send(()); // the test may be over
        }
    }));
    let (_server, address) = start(options);
    let unit = connect(address, Options::default()).unit(1);
    for value in 0..5 {
        unit.write_single_register(0, value).unwrap();
        is_closed.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}

#[test]
fn nobody_listens() {
    let listener = std::net::TcpListener::bind("127.0.0.4:0").unwrap();
    let target = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = Client::connect(target.parse().unwrap(), Options::default()).expect_err("nobody listens");
    assert!(matches!(error, Error::Connect { .. }) && !error.maybe_executed());
}

#[test]
fn a_server_that_goes_and_comes_back() {
    let (server, address) = start(server::Options::default());
    let options = Options::default().backoff(Duration::from_millis(5), Duration::from_millis(20));
    let client = connect(address, options);
    let unit = client.unit(1);
    unit.write_single_register(0, 1).unwrap();
    assert_eq!(client.state(), State::Connected);
    server.shutdown_timeout(Duration::from_secs(1));
    let error = unit.write_single_register(0, 2).expect_err("the server is gone");
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(
        matches!(client.state(), State::Waiting { .. } | State::Connecting { .. }),
        "{:?}",
        client.state()
    );
    let again = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    again.block_on(async {
        let target = address.to_string().parse().unwrap();
        let server = Server::bind(&target, server::Options::default()).unwrap();
        tokio::spawn(server.run(MemoryDevice::full()));
    });
    unit.write_single_register(0, 3).unwrap();
    assert_eq!(unit.read_holding_registers(0, 1).unwrap(), [3]);
}
