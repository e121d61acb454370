//! Recordings: what a server said is a capture, from which the same is said again.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use port502_net::Target;
use port502_net::client::{Client, Error, Options as ClientOptions};
use port502_net::fault::{Faults, Faulty};
use port502_net::memory::MemoryDevice;
use port502_net::server::{Context, Options, Outcome, Reply, Server, Service};
use port502_plant::record::{Ended, FILE_MAX, Recorder, TALKS_MAX};
use port502_plant::replay::{self, Replay};
use port502_wire::mbap::{Frame, TransactionId};
use port502_wire::{PDU_MAX, Table, UnitId};

/// A file in memory that others look at while it grows, and that takes so many bytes.
#[derive(Clone)]
struct Memory(Arc<Mutex<Vec<u8>>>, usize);

impl Memory {
    fn new() -> Self {
        Memory(Arc::default(), usize::MAX)
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap();
        if all.len() + bytes.len() > self.1 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn nobody(ended: &Ended) {
    panic!("it ended: {ended}");
}

fn device() -> MemoryDevice {
    MemoryDevice::full_builder().registers(Table::HoldingRegisters, 100, &[7, 8, 9]).build()
}

async fn client(target: &Target) -> Client {
    let options = ClientOptions::default().timeout(Duration::from_secs(20)).retries(0);
    Client::connect(target.clone(), options).await.unwrap()
}

/// What a device says to some questions.
async fn conversation(target: &Target) -> Vec<String> {
    let client = client(target).await;
    let unit = client.unit(3);
    let shown = |result: Result<Vec<u16>, Error>| match result {
        Ok(values) => format!("{values:?}"),
        Err(Error::Exception { code, .. }) => format!("exception {}", code.code()),
        Err(other) => panic!("{other}"),
    };
    let mut said = vec![shown(unit.read_holding_registers(100, 3).await)];
    unit.write_single_register(101, 42).await.unwrap();
    said.push(shown(unit.read_holding_registers(100, 3).await));
    said.push(format!("{:?}", unit.read_coils(0, 9).await.unwrap()));
    said
}

/// Records a conversation on this link, and has it again with what was recorded.
async fn check(listen: &str, faults: &str, called: &str) {
    let faults = if faults.is_empty() { Faults::default() } else { faults.parse().unwrap() };
    let memory = Memory::new();
    let recorder = Recorder::new(memory.clone(), FILE_MAX, Box::new(nobody)).unwrap();
    let listen: Target = listen.parse().unwrap();
    // Two servers at one address: the second is called otherwise in the file.
    let first = Server::bind(&Target::tcp("127.0.0.1", 0), Options::default()).unwrap();
    let _ = recorder.server(&first);
    let server = Server::bind(&listen, Options::default()).unwrap();
    let target = server.target().clone();
    let recorded = recorder.server(&server);
    assert_eq!(recorder.servers()[1], (target.clone(), called.parse().unwrap()));
    let service = Faulty::new(device(), faults, 1);
    let running = tokio::spawn(server.run(recorded.service(service)));
    let said = conversation(&target).await;
    assert_eq!((recorder.requests(), &said[0][..], &said[1][..]), (4, "[7, 8, 9]", "[7, 42, 9]"));
    running.abort();

    // Nobody has ended the file.
    let mut found = replay::read(memory.bytes().as_slice(), &[502]).unwrap();
    assert_eq!(found.len(), 1, "{listen}");
    let recording = found.remove(&called.parse::<SocketAddr>().unwrap()).unwrap();
    assert_eq!(recording.transactions, 4);
    let server = Server::bind(&Target::tcp("127.0.0.1", 0), Options::default()).unwrap();
    let target = server.target().clone();
    tokio::spawn(server.run(Replay::new(recording)));
    assert_eq!(conversation(&target).await, said, "{listen}");
}

#[tokio::test]
async fn what_was_recorded_is_said_again() {
    check("tcp://127.0.0.1:0", "", "198.18.0.2:502").await;
    check("tcp://127.0.0.1:0", "delay=2ms", "198.18.0.2:502").await;
    check("rtu+tcp://127.0.0.1:0", "", "198.18.0.2:502").await;
    check("udp://127.0.0.1:0", "", "198.18.0.2:502").await;
    check("tcp://127.0.0.2:0", "", "127.0.0.2:502").await;
    check("tcp://0.0.0.0:0", "", "198.18.0.2:502").await;
}

/// Asks a recorded device, as a server would for this client.
fn ask(service: &impl Service, peer: SocketAddr, transaction: u16) {
    let frame = Frame { transaction: TransactionId(transaction), unit: UnitId(1), pdu: &[3, 0, 100, 0, 3] };
    let mut out = [0; PDU_MAX];
    let outcome = service.call(&Context::new(Some(peer), UnitId(1)), &frame, &mut out);
    assert!(matches!(outcome, Outcome::Now(Reply::Response { len: 8 })));
}

fn recorded(memory: Memory, max: u64) -> (Recorder, impl Service, Arc<Mutex<Vec<String>>>) {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let teller = Arc::clone(&told);
    let tell = move |ended: &Ended| teller.lock().unwrap().push(ended.to_string());
    let recorder = Recorder::new(memory, max, Box::new(tell)).unwrap();
    let server = Server::bind(&Target::tcp("127.0.0.1", 0), Options::default()).unwrap();
    let service = recorder.server(&server).service(device());
    (recorder, service, told)
}

#[tokio::test]
async fn a_recording_ends_and_the_server_goes_on() {
    let peer: SocketAddr = "127.0.0.1:50122".parse().unwrap();
    // The header, the handshake's three frames of 60 bytes, and one question of 66 with its answer of 69: and not a byte more.
    let whole: u64 = 24 + 3 * 76 + 82 + 85;
    for (max, transactions) in [(whole - 1, 0), (whole, 1), (whole + 1, 1), (whole + 82 + 85, 2)] {
        let memory = Memory::new();
        let (_, service, told) = recorded(memory.clone(), max);
        (1..=3).for_each(|transaction| ask(&service, peer, transaction));
        let bytes = memory.bytes();
        assert!(bytes.len() as u64 <= max, "{} of {max}", bytes.len());
        assert_eq!(*told.lock().unwrap(), ["it has the 0 MiB that a recording may have; begin another"]);
        let found = replay::read(bytes.as_slice(), &[502]).unwrap();
        assert_eq!(
            found.values().map(|recording| recording.transactions).sum::<u64>(),
            transactions,
            "{max}"
        );
    }
    // A disk that is full.
    let memory = Memory(Arc::default(), 400);
    let (_, service, told) = recorded(memory.clone(), FILE_MAX);
    (1..=3).for_each(|transaction| ask(&service, peer, transaction));
    let told = told.lock().unwrap();
    assert!(told.len() == 1 && told[0].starts_with("it cannot be written ("), "{told:?}");
}

#[tokio::test]
async fn clients_that_left_and_clients_without_number() {
    let memory = Memory::new();
    let (recorder, service, told) = recorded(memory.clone(), FILE_MAX);
    let peer = |k: usize| SocketAddr::from(([127, 1, (k / 200) as u8, (k % 200) as u8], 40_000));
    for k in 0..TALKS_MAX + 100 {
        ask(&service, peer(k), 1);
    }
    // The first is pushed out, and comes again; the last has left, and comes again.
    ask(&service, peer(0), 2);
    recorder.closed(peer(TALKS_MAX + 99));
    ask(&service, peer(TALKS_MAX + 99), 2);
    let found = replay::read(memory.bytes().as_slice(), &[502]).unwrap();
    let transactions: u64 = found.values().map(|recording| recording.transactions).sum();
    assert_eq!(transactions, TALKS_MAX as u64 + 102);
    assert_eq!(recorder.requests(), transactions);
    assert!(told.lock().unwrap().is_empty());
}
