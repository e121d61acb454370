//! Serial ports, as pseudo terminals are some.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use port502_net::client::{Client, Error, Options};
use port502_net::memory::MemoryDevice;
use port502_net::server::{self, Event, Server, Units, Unmapped};
use port502_wire::Table;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::link::{Line, Link as _, PATIENCE, rtu};
use crate::pty;
use crate::random::Random;

const fn value(unit: u8, address: u16) -> u16 {
    (address.rotate_left(5) ^ 0xA5C3).wrapping_add(unit as u16 * 257)
}

/// A device that holds [`value`]s.
fn device(unit: u8) -> MemoryDevice {
    let values: Vec<u16> = (0..=u16::MAX).map(|address| value(unit, address)).collect();
    MemoryDevice::full_builder().registers(Table::HoldingRegisters, 0, &values).build()
}

fn values(unit: u8, start: u16, count: usize) -> Vec<u16> {
    (start..).take(count).map(|address| value(unit, address)).collect()
}

async fn client(path: &str, options: Options) -> Client {
    Client::connect(format!("rtu://{path}?baud=115200").parse().unwrap(), options).await.unwrap()
}

/// A server that knows one request only, and finds it by its bytes: unit 4, function 3.
async fn raw_server(path: String) {
    let target = format!("rtu://{path}");
    let mut port = crate::pty::open(&target);
    let (mut heard, mut bytes) = (Vec::new(), [0; 600]);
    while let Ok(read @ 1..) = port.read(&mut bytes).await {
        for byte in &bytes[..read] {
            heard.push(*byte);
            let Some(last) = heard.len().checked_sub(8).map(|at| &heard[at..]) else { continue };
            if last[..2] == [4, 3] && last == rtu(4, &last[1..6]) {
                let (start, count) = (u16::from_be_bytes([last[2], last[3]]), last[5]);
                let values = values(4, start, count.into());
                let pdu: Vec<u8> =
                    [3, 2 * count].into_iter().chain(values.into_iter().flat_map(u16::to_be_bytes)).collect();
                heard.clear();
                port.write_all(&rtu(4, &pdu)).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn three_servers_on_one_bus_keep_out_of_each_others_way() {
    let paths = pty::bus(4, |_, bytes| bytes);
    // Two of them ours, one of which is two devices; and one that is not.
    let units = Units::new(Unmapped::Silence).with(1, device(1)).with(2, device(2));
    let third = device(3);
    pty::serve(&format!("rtu://{}?baud=115200", paths[0]), units.clone());
    pty::serve(
        &format!("rtu://{}?baud=115200", paths[1]),
        Units::new(Unmapped::Silence).with(3, third.clone()),
    );
    tokio::spawn(raw_server(paths[2].clone()));
    let client = client(&paths[3], Options::default().timeout(PATIENCE).retries(0)).await;
    let seed = 7;
    let mut random = Random::new(seed);
    for turn in 0..200u16 {
        let unit = [1, 2, 3, 4][random.below(4)];
        let (start, count) = (random.below(60_000) as u16, 1 + random.below(120));
        let got = client.unit(unit).read_holding_registers(start, count).await;
        assert_eq!(got.unwrap(), values(unit, start, count), "seed {seed}, turn {turn}, unit {unit}");
        if turn % 20 == 0 {
            client.unit(0).write_single_coil(turn, true).await.unwrap();
        }
    }
    // Each has obeyed the broadcasts, and counted what was said to others: far more than to itself.
    for unit in [1, 2, 3] {
        let unit = client.unit(unit);
        assert_eq!(unit.read_coils(180, 1).await.unwrap(), [true]);
        let own = unit.diagnostics(port502_wire::SubFunction::SERVER_MESSAGE_COUNT, &[0, 0]).await.unwrap();
        let bus = unit.diagnostics(port502_wire::SubFunction::BUS_MESSAGE_COUNT, &[0, 0]).await.unwrap();
        let number = |data: Vec<u8>| u16::from_be_bytes([data[0], data[1]]);
        assert!(number(bus) > 2 * number(own), "of others, too");
    }
    // Nobody is there.
    let gone = client.unit(9).with_timeout(Duration::from_millis(200)).read_coils(0, 1).await;
    assert!(matches!(gone, Err(Error::Timeout { sent: true, .. })), "{gone:?}");
}

#[tokio::test]
async fn noise_between_two_ports_brings_no_wrong_value_and_ends() {
    let seed = 502;
    let noise = Arc::new(Mutex::new((true, Random::new(seed))));
    let garbled = Arc::clone(&noise);
    let paths = pty::bus(2, move |_, mut bytes| {
        let (noisy, random) = &mut *garbled.lock().unwrap();
        if *noisy && random.below(3) == 0 {
            let at = random.below(bytes.len());
            match random.below(5) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, random.next() as u8),
                3 => bytes.truncate(at),
                // The head of a long frame, right in front of it.
                _ => drop(bytes.splice(0..0, [1, 23, 0xF0]).collect::<Vec<_>>()),
            }
        }
        bytes
    });
    pty::serve(&format!("rtu://{}?baud=115200", paths[0]), device(1));
    let client = client(&paths[1], Options::default().retries(0)).await;
    let noisy = client.unit(1).with_timeout(Duration::from_millis(250));
    let (mut right, mut none) = (0, 0);
    for turn in 0..40u16 {
        // No two in a row ask for as many: an answer that comes too late fits no other request.
        let (start, count) = (turn * 997, 1 + usize::from(turn) % 50);
        match noisy.read_holding_registers(start, count).await {
            Ok(got) => {
                assert_eq!(got, values(1, start, count), "seed {seed}, turn {turn}");
                right += 1;
            }
            Err(_) => none += 1,
        }
    }
    assert!(right > 0 && none > 0, "seed {seed}: {right} right and {none} lost: was that noise?");
    noise.lock().unwrap().0 = false;
    let calm = client.unit(1).with_timeout(Duration::from_secs(2));
    let mut lost = 0;
    for turn in 0..40u16 {
        match calm.read_holding_registers(turn, 1 + usize::from(turn)).await {
            Ok(got) => assert_eq!(got, values(1, turn, 1 + usize::from(turn)), "seed {seed}, turn {turn}"),
            Err(_) => lost += 1,
        }
    }
    assert!(lost <= 1, "seed {seed}: {lost} lost after the noise");
}

#[tokio::test]
async fn our_client_and_our_server_over_ascii() {
    let paths = pty::bus(2, |_, bytes| bytes);
    pty::serve(&format!("ascii://{}?baud=115200", paths[0]), device(1));
    let target = format!("ascii://{}?baud=115200", paths[1]).parse().unwrap();
    let client = Client::connect(target, Options::default().timeout(PATIENCE)).await.unwrap();
    let unit = client.unit(1);
    assert_eq!(unit.read_holding_registers(5, 300).await.unwrap(), values(1, 5, 300));
    // From here on another character ends the frames.
    unit.diagnostics(port502_wire::SubFunction::CHANGE_ASCII_DELIMITER, b"#\0").await.unwrap();
    assert_eq!(unit.read_holding_registers(7, 3).await.unwrap(), values(1, 7, 3));
}

#[tokio::test]
async fn a_line_that_echoes() {
    let paths = pty::bus(2, |_, bytes| bytes);
    // Between the client and the bus stands somebody who sends back what the client says.
    let served = Units::new(Unmapped::Silence).with(1, device(1));
    pty::serve(&format!("rtu://{}?baud=115200", paths[0]), served);
    let (mut near, far) = pty::pair();
    let mut bus = pty::open(&format!("rtu://{}", paths[1]));
    tokio::spawn(async move {
        let (mut asked, mut heard) = ([0; 600], [0; 600]);
        loop {
            tokio::select! {
                read = near.read(&mut asked) => {
                    let Ok(read @ 1..) = read else { return };
                    near.write_all(&asked[..read]).await.unwrap();
                    bus.write_all(&asked[..read]).await.unwrap();
                }
                read = bus.read(&mut heard) => {
                    let Ok(read @ 1..) = read else { return };
                    near.write_all(&heard[..read]).await.unwrap();
                }
            }
        }
    });
    let target = format!("rtu://{far}?baud=115200&echo=strip").parse().unwrap();
    let client = Client::connect(target, Options::default().timeout(PATIENCE).retries(0)).await.unwrap();
    let unit = client.unit(1);
    for at in 0..20 {
        unit.write_single_register(at, at * 3).await.unwrap();
        assert_eq!(unit.read_holding_registers(at, 1).await.unwrap(), [at * 3]);
    }
    // Where nobody answers, the echo of a write looks like its answer, and is none.
    let gone = client.unit(9).with_timeout(Duration::from_millis(200)).write_single_register(0, 1).await;
    assert!(matches!(gone, Err(Error::Timeout { sent: true, .. })), "{gone:?}");
}

/// A name for a serial port that can be given to another, as udev does.
struct Name(PathBuf);

impl Name {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("port502-{}-{test}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Name(path)
    }

    fn give_to(&self, port: &str) {
        let new = self.0.with_extension("new");
        symlink(port, &new).unwrap();
        std::fs::rename(new, &self.0).unwrap();
    }

    fn target(&self) -> String {
        format!("rtu://{}?baud=115200", self.0.display())
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_server_comes_back_with_its_adapter() {
    let name = Name::new("server");
    let (near, far) = pty::pair();
    name.give_to(&far);
    let (sender, mut events) = mpsc::unbounded_channel();
    let mut options = server::Options::default();
    options.observer = Some(Arc::new(move |event| {
        let _ = sender.send(event.clone()); // the test may have ended
    }));
    let stop = pty::serve_with(&name.target(), device(1), options);
    let mut link = Line::rtu(near);
    link.send(1, &[3, 0, 0, 0, 1]).await;
    assert!(link.receive().await.is_some());
    drop(link); // pulled out
    let lost = events.recv().await.unwrap();
    assert!(matches!(lost, Event::Ended { error: Some(_), requests: 1 }), "{lost:?}");
    let (near, far) = pty::pair();
    name.give_to(&far);
    assert_eq!(tokio::time::timeout(PATIENCE, events.recv()).await.unwrap(), Some(Event::PortBack));
    let mut link = Line::rtu(near);
    link.send(1, &[3, 0, 0, 0, 1]).await;
    assert!(link.receive().await.is_some());
    stop.stop();
    let ended = tokio::time::timeout(PATIENCE, events.recv()).await.unwrap();
    assert_eq!(ended, Some(Event::Ended { error: None, requests: 1 }));
}

#[tokio::test]
async fn a_client_comes_back_with_its_adapter() {
    let name = Name::new("client");
    let (near, far) = pty::pair();
    name.give_to(&far);
    let answer = |mut near: pty::Pty| {
        tokio::spawn(async move {
            let mut bytes = [0; 8];
            near.read_exact(&mut bytes).await.unwrap();
            near.write_all(&rtu(1, &[3, 2, 0, 42])).await.unwrap();
            near
        })
    };
    let options = Options::default().timeout(PATIENCE).retries(0);
    let client = Client::connect(name.target().parse().unwrap(), options).await.unwrap();
    let first = answer(near);
    assert_eq!(client.unit(1).read_holding_registers(0, 1).await.unwrap(), [42]);
    drop(first.await.unwrap()); // pulled out
    let mut state = client.state();
    let lost = state.wait_for(|state| *state != port502_net::client::State::Connected);
    drop(tokio::time::timeout(PATIENCE, lost).await.unwrap().unwrap());
    let (near, far) = pty::pair();
    name.give_to(&far);
    let _second = answer(near);
    assert_eq!(client.unit(1).read_holding_registers(0, 1).await.unwrap(), [42]);
}

#[tokio::test]
async fn ports_that_cannot_be_opened_say_what_to_try() {
    let (_near, far) = pty::pair();
    let target = format!("rtu://{far}");
    let _first = Server::bind(&target.parse().unwrap(), server::Options::default()).unwrap();
    for (target, want) in [
        (target.as_str(), "another program uses it"),
        ("rtu:///dev/port502-is-not-there", "there is no such port"),
        ("rtu:///dev/null", "it is no serial port"),
    ] {
        let error = Server::bind(&target.parse().unwrap(), server::Options::default()).unwrap_err();
        assert!(error.to_string().contains(want), "{target}: {error}");
        let error = Client::connect(target.parse().unwrap(), Options::default()).await.unwrap_err();
        assert!(
            matches!(error, Error::Connect { .. }) && error.to_string().contains(want),
            "{target}: {error}"
        );
    }
}
