//! Plants behind sockets: all units on one port, faults as a client meets them, replays.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use port502_capture::synth::{self, Conversation};
use port502_net::client::{Client, Error, Options as ClientOptions};
use port502_net::server::{Options, Server};
use port502_net::{Link, Target};
use port502_plant::map::{Device, Map, Tag};
use port502_plant::replay::{self, Replay};
use port502_plant::running::{PlaceError, Running, gather};
use port502_plant::{Schedule, Simulation};
use port502_wire::{ExceptionCode, UnitId};

use crate::sites::simulation;

fn serve(
    simulation: Simulation,
    target: &Target,
    speed: f64,
) -> (Vec<Target>, port502_plant::service::Shared) {
    let places = gather(&simulation, target).unwrap();
    let running = Running::bind(simulation, &places, &Options::default(), speed).unwrap();
    let targets = running.targets().map(|(target, _)| target.clone()).collect();
    let shared = running.simulation();
    tokio::spawn(running.run());
    (targets, shared)
}

fn local() -> Target {
    Target::tcp("127.0.0.1", 0)
}

async fn client(target: &Target) -> Client {
    let options = ClientOptions::default().timeout(Duration::from_millis(400)).retries(0);
    Client::connect(target.clone(), options).await.unwrap()
}

#[tokio::test]
async fn a_plant_is_one_port_with_all_of_its_units() {
    for plant in &port502_plant::plants::PLANTS {
        let simulation = simulation(plant.name, 1, "");
        let units: Vec<UnitId> = (0..simulation.lanes().len())
            .flat_map(|lane| simulation.units(lane).map(|(unit, _)| unit).collect::<Vec<_>>())
            .collect();
        let (targets, _) = serve(simulation, &local(), 0.0);
        assert_eq!(targets.len(), 1, "{}", plant.name);
        let client = client(&targets[0]).await;
        for unit in units {
            let name = client.unit(unit).report_server_id().await;
            assert!(name.is_ok(), "{}: unit {unit}: {name:?}", plant.name);
        }
        let nobody = client.unit(200).read_holding_registers(0, 1).await.unwrap_err();
        assert!(matches!(nobody, Error::Exception { code: ExceptionCode::GatewayTargetFailedToRespond, .. }));
    }
}

/// A device with one register that holds its own number.
fn numbered(number: u16, lane: usize, unit: u8) -> Device {
    let tag = Tag {
        initial: Some(number.into()),
        writable: true,
        ..Tag::new("number", "holding:0".parse().unwrap())
    };
    Device::new(format!("d{number}"), lane, UnitId(unit), vec![tag])
}

#[tokio::test]
async fn a_thousand_units_on_one_port() {
    // 250 units on each of four lanes: a unit id is a byte, so that the lanes are told apart by their addresses.
    let devices = (0..1000).map(|at| numbered(at, usize::from(at / 250), (at % 250) as u8)).collect();
    let lanes = (0..4).map(|lane| format!("lane-{lane}")).collect();
    let map = Map { name: "many".to_owned(), lanes, devices };
    // A port that is free on all four addresses, most likely: what is free on one is on the others.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let simulation = Simulation::new(&map, None, &Schedule::default(), 1).unwrap();
    let (targets, _) = serve(simulation, &Target::tcp("127.0.0.1", port), 1.0);
    let addresses: BTreeSet<String> = targets.iter().map(ToString::to_string).collect();
    assert_eq!(addresses.len(), 4);
    assert!(targets.iter().all(|target| target.port() == port));
    let mut seen = BTreeSet::new();
    for (lane, target) in (0..).zip(&targets) {
        let client = client(target).await;
        for unit in 0..250_u8 {
            let registers = client.unit(unit).read_holding_registers(0, 1).await.unwrap();
            assert_eq!(registers, [lane * 250 + u16::from(unit)]);
            seen.insert(registers[0]);
        }
    }
    assert_eq!(seen.len(), 1000);
}

#[test]
fn lanes_that_no_address_can_tell_apart_are_refused() {
    let map = Map {
        name: "twins".to_owned(),
        lanes: vec!["a".to_owned(), "b".to_owned()],
        devices: vec![numbered(1, 0, 5), numbered(2, 1, 5)],
    };
    let simulation = Simulation::new(&map, None, &Schedule::default(), 1).unwrap();
    let everywhere = Target::tcp("0.0.0.0", 1502);
    let error = gather(&simulation, &everywhere).unwrap_err();
    assert!(matches!(&error, PlaceError::SameUnit { unit: UnitId(5), .. }));
    assert!(error.to_string().contains("d1 and d2 both are unit 5"), "{error}");
    let last = Target::tcp("127.255.255.255", 1502);
    assert!(matches!(gather(&simulation, &last), Err(PlaceError::TooMany { .. })));
    let places = gather(&simulation, &Target::tcp("127.0.0.1", 1502)).unwrap();
    let at: Vec<String> = places.iter().map(|place| place.target.to_string()).collect();
    assert_eq!(at, ["tcp://127.0.0.1:1502", "tcp://127.0.0.2:1502"]);
    assert!(places.iter().all(|place| place.target.link() == Link::Tcp));
}

#[tokio::test]
async fn a_client_meets_every_fault() {
    let schedule = "0s 1h intake timeout\n0s 1h filter exception=6\n0s 1h tank wrong-tid\n0s 1h booster half-close\n\
                    0s 1h dosing garbage\n0s 1h meter drip=1ms\n";
    let (targets, _) = serve(simulation("water", 1, schedule), &local(), 0.0);
    let ask = async |unit: u8, input: bool| {
        let client = client(&targets[0]).await;
        let unit = client.unit(unit);
        if input { unit.read_input_registers(0, 1).await } else { unit.read_holding_registers(0, 1).await }
    };
    assert!(matches!(ask(1, false).await, Err(Error::Timeout { .. })));
    let busy = ask(2, true).await.unwrap_err();
    assert!(matches!(busy, Error::Exception { code: ExceptionCode::ServerDeviceBusy, .. }));
    assert!(matches!(ask(3, false).await, Err(Error::Timeout { .. })), "an answer to nobody is none");
    let half = ask(4, false).await.unwrap_err();
    assert!(matches!(half, Error::Transport { .. }), "{half:?}");
    let garbage = ask(5, true).await.unwrap_err();
    assert!(!matches!(garbage, Error::Exception { .. }), "{garbage:?}");
    assert_eq!(ask(6, true).await.unwrap().len(), 1, "drop by drop, and whole in the end");
}

#[tokio::test]
async fn time_passes_as_fast_as_it_is_told_to() {
    let (_, shared) = serve(simulation("water", 1, ""), &local(), 1000.0);
    let began = tokio::time::Instant::now();
    loop {
        let seconds = shared.lock().seconds();
        if seconds >= 200.0 {
            // Not faster than asked for, however slow the machine is.
            assert!(seconds <= began.elapsed().as_secs_f64() * 1000.0 + 300.0);
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{seconds} s");
        tokio::task::yield_now().await;
    }
}

// ---- replays ------------------------------------------------------------------------------------------------------

fn adu(transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let length = (pdu.len() + 1) as u16;
    [&transaction.to_be_bytes()[..], &[0, 0], &length.to_be_bytes(), &[unit], pdu].concat()
}

/// A capture of these questions and answers of one unit.
fn capture(talk: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut conversation =
        Conversation::v4("10.20.1.9:49210".parse().unwrap(), "10.20.1.11:502".parse().unwrap());
    conversation.handshake();
    for (transaction, (request, response)) in (1..).zip(talk) {
        conversation.to_server(&adu(transaction, 7, request)).to_client(&adu(transaction, 7, response));
    }
    conversation.finish();
    synth::pcap(conversation.frames())
}

#[tokio::test]
async fn a_device_answers_as_it_did() {
    let file = capture(&[
        (&[3, 0, 100, 0, 2], &[3, 4, 0, 1, 0, 2]),
        (&[3, 0, 100, 0, 2], &[3, 4, 0, 3, 0, 4]),
        (&[3, 0, 102, 0, 1], &[3, 2, 0, 9]),
        (&[4, 0, 0, 0, 1], &[0x84, 4]),
        (&[1, 0, 0, 0, 3], &[1, 1, 0b101]),
        (&[6, 0, 200, 0, 42], &[6, 0, 200, 0, 42]),
    ]);
    let mut found = replay::read(file.as_slice(), &[502]).unwrap();
    let server: SocketAddr = "10.20.1.11:502".parse().unwrap();
    let recording = found.remove(&server).unwrap();
    assert_eq!((recording.transactions, recording.left_out), (6, 0));
    assert_eq!(recording.units().collect::<Vec<_>>(), [UnitId(7)]);

    let listening = Server::bind(&local(), Options::default()).unwrap();
    let target = listening.target().clone();
    tokio::spawn(listening.run(Replay::new(recording)));
    let client = client(&target).await;
    let device = client.unit(7);
    // In the order in which it answered, and then the last again.
    assert_eq!(device.read_holding_registers(100, 2).await.unwrap(), [1, 2]);
    assert_eq!(device.read_holding_registers(100, 2).await.unwrap(), [3, 4]);
    assert_eq!(device.read_holding_registers(100, 2).await.unwrap(), [3, 4]);
    // What was never asked so, from what was.
    assert_eq!(device.read_holding_registers(101, 2).await.unwrap(), [4, 9]);
    assert_eq!(device.read_coils(1, 2).await.unwrap(), [false, true]);
    assert_eq!(device.read_holding_registers(200, 1).await.unwrap(), [42]);
    device.write_single_register(200, 42).await.unwrap();
    let code = |error: Error| match error {
        Error::Exception { code, .. } => code.code(),
        other => panic!("{other}"),
    };
    assert_eq!(code(device.read_input_registers(0, 1).await.unwrap_err()), 4, "as it was refused");
    assert_eq!(
        code(device.read_holding_registers(50, 1).await.unwrap_err()),
        2,
        "nobody knows what is there"
    );
    assert_eq!(
        code(device.write_single_register(200, 43).await.unwrap_err()),
        2,
        "and this was never written"
    );
    assert_eq!(code(device.read_discrete_inputs(0, 1).await.unwrap_err()), 1);
    assert_eq!(code(client.unit(8).read_holding_registers(100, 1).await.unwrap_err()), 0x0B);
}

#[test]
fn what_is_no_capture_is_refused_and_an_empty_one_has_nobody() {
    assert!(replay::read(&b"this is no capture, and long enough to say so"[..], &[502]).is_err());
    let file = capture(&[(&[3, 0, 0, 0, 1], &[3, 2, 0, 1])]);
    assert!(replay::read(file.as_slice(), &[1502]).unwrap().is_empty());
}
