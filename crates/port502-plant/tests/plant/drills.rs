//! Drills: each is seen at the device, each is bounded, and none goes anywhere else.

use std::net::SocketAddr;
use std::time::Duration;

use port502_net::Target;
use port502_net::server::{Options, Server};
use port502_plant::drill::{self, Aim, Drill, DrillError, SOURCE};
use port502_plant::plants::{self, PLANTS};
use port502_plant::running::{Running, gather};
use port502_plant::service::Shared;
use port502_plant::simulation::Seen;
use port502_wire::UnitId;

use crate::sites::{ask, simulation};

struct Stage {
    own: port502_plant::running::Own,
    aims: Vec<Aim>,
    simulation: Shared,
    writes: Vec<drill::Write>,
}

/// A plant on a port that the system chooses, whose time stands still: nothing but the drill happens.
fn stage(name: &str) -> Stage {
    let simulation = simulation(name, 1, "");
    let places = gather(&simulation, &Target::tcp("127.0.0.1", 0)).unwrap();
    let running = Running::bind(simulation, &places, &Options::default(), 0.0).unwrap();
    let own = running.own();
    let shared = running.simulation();
    let address = own.addresses()[0];
    let aims = {
        let simulation = shared.lock();
        (0..simulation.lanes().len())
            .flat_map(|lane| {
                simulation.units(lane).map(|(unit, _)| Aim { address, unit }).collect::<Vec<_>>()
            })
            .collect()
    };
    tokio::spawn(running.run());
    let writes = drill::writes(plants::find(name).unwrap().drill_list).unwrap();
    Stage { own, aims, simulation: shared, writes }
}

impl Stage {
    async fn run(&self, drill: Drill) -> (drill::Report, Vec<Seen>) {
        let report = drill::run(drill, &self.own, &self.aims, &self.writes).await.unwrap();
        let (seen, _) = self.simulation.lock().take_seen();
        (report, seen)
    }
}

/// The function codes of what the attacker sent.
fn functions(seen: &[Seen]) -> Vec<u8> {
    seen.iter().filter(|s| s.peer.unwrap().ip() == SOURCE).map(|s| s.pdu[0]).collect()
}

#[tokio::test]
async fn a_rogue_write_is_one_write_that_acts() {
    let stage = stage("water");
    let (report, seen) = stage.run(Drill::RogueWrite).await;
    assert_eq!((report.requests, report.done), (1, 1));
    assert_eq!(functions(&seen), [6]);
    assert_eq!(seen[0].device.as_deref(), Some("tank"));
    assert_eq!(stage.simulation.lock().shown("tank.outlet_sp"), Some(0.0));
}

#[tokio::test]
async fn frostygoop_reads_and_then_writes_from_its_list() {
    for plant in &PLANTS {
        let stage = stage(plant.name);
        let (report, seen) = stage.run(Drill::FrostyGoop).await;
        let functions = functions(&seen);
        let count = stage.writes.len();
        assert_eq!(functions.len(), 2 * count, "{}", plant.name);
        assert!(functions[..count].iter().all(|f| *f == 3), "{}: {functions:?}", plant.name);
        assert!(functions[count..].iter().all(|f| [5, 6, 16].contains(f)));
        // Every write of the list is one that the devices take.
        let refused: Vec<String> =
            seen[count..].iter().map(Seen::line).filter(|line| !line.ends_with("done")).collect();
        assert!(refused.is_empty(), "{}: {refused:?}", plant.name);
        assert_eq!(report.requests, 2 * count as u64);
    }
}

#[tokio::test]
async fn a_register_walk_finds_the_map() {
    let stage = stage("power");
    let (report, seen) = stage.run(Drill::RegisterWalk).await;
    assert_eq!(report.requests, 4 * 4 * 250);
    assert!(report.done > 30 && report.refused > 1000, "{report}");
    assert!(!seen.iter().any(Seen::is_write), "it only reads");
}

#[tokio::test]
async fn an_enumeration_tries_every_function() {
    let stage = stage("water");
    let (_, seen) = stage.run(Drill::FunctionEnumeration).await;
    let mut tried = functions(&seen);
    tried.dedup();
    assert_eq!(tried, (1..=127).collect::<Vec<u8>>());
}

#[tokio::test]
async fn a_sweep_asks_every_unit() {
    let stage = stage("water");
    let (report, seen) = stage.run(Drill::UnitSweep).await;
    let units: Vec<UnitId> = seen.iter().map(|seen| seen.unit).collect();
    assert_eq!(units, (0..=255).map(UnitId).collect::<Vec<_>>());
    assert_eq!(report.requests, 256);
    assert!(report.refused >= 250);
}

#[tokio::test]
async fn a_flood_ends_by_itself() {
    let stage = stage("water");
    let (report, seen) = stage.run(Drill::Flood).await;
    assert!(report.requests > 100 && report.requests <= drill::REQUESTS_MAX, "{report}");
    assert_eq!(report.connections, drill::CONNECTIONS_MAX as u64);
    assert!(!seen.is_empty());
    assert_eq!(stage.simulation.lock().clients()[&SOURCE.into()].reads, report.requests);
}

#[tokio::test]
async fn a_replay_is_the_same_bytes_from_somebody_else() {
    let stage = stage("water");
    let (report, seen) = stage.run(Drill::Replay).await;
    assert_eq!((report.requests, report.done), (11, 11));
    assert!(seen.iter().all(|other| other.pdu == seen[0].pdu));
    assert_ne!(seen[0].peer.unwrap().ip(), SOURCE);
    assert!(seen[1..].iter().all(|seen| seen.peer.unwrap().ip() == SOURCE));
}

#[tokio::test]
async fn a_drip_never_becomes_a_request() {
    let stage = stage("water");
    let (report, seen) = stage.run(Drill::SlowDrip).await;
    assert_eq!((report.requests, report.unanswered), (16, 16));
    assert!(seen.is_empty(), "{seen:?}");
}

#[tokio::test]
async fn nothing_but_the_own_plant_is_attacked() {
    let stage = stage("water");
    // Somebody else's server on this machine, and addresses elsewhere.
    let stranger = Server::bind(&Target::tcp("127.0.0.1", 0), Options::default()).unwrap();
    let elsewhere =
        ["10.20.1.11:502", "192.0.2.1:502", "[::1]:502"].map(|text| text.parse::<SocketAddr>().unwrap());
    for address in elsewhere.into_iter().chain(stranger.local_addr()) {
        for (_, drill, _) in Drill::ALL {
            // One good aim does not carry a bad one.
            let aims = [stage.aims[0], Aim { address, unit: UnitId(1) }];
            let error = drill::run(drill, &stage.own, &aims, &stage.writes).await.unwrap_err();
            assert!(matches!(error, DrillError::NotOurs { address: at } if at == address), "{error}");
        }
    }
    assert!(stage.simulation.lock().take_seen().0.is_empty(), "and nothing was sent to the good one");
}

#[tokio::test]
async fn a_plant_that_is_not_on_loopback_is_not_attacked_even_if_it_is_ones_own() {
    let simulation = simulation("water", 1, "");
    let places = gather(&simulation, &Target::tcp("0.0.0.0", 0)).unwrap();
    let running = Running::bind(simulation, &places, &Options::default(), 0.0).unwrap();
    let own = running.own();
    let aims = [Aim { address: own.addresses()[0], unit: UnitId(1) }];
    let error = drill::run(Drill::UnitSweep, &own, &aims, &[]).await.unwrap_err();
    assert!(error.to_string().contains("a drill goes against nothing else"), "{error}");
}

#[test]
fn a_list_is_read_or_refused_with_its_place() {
    #[track_caller]
    fn check(text: &str, want: &str) {
        let error = drill::writes(text).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    let row = r#"{ "unit": 1, "function": 6, "address": 2, "values": [3] }"#;
    assert_eq!(drill::writes(&format!("[{row}]")).unwrap().len(), 1);
    check("{", "line 1");
    check(&format!("[{row}, {}]", row.replace('6', "3")), "row 2: want function 5, 6 or 16");
    check(&format!("[{}]", row.replace("[3]", "[]")), "row 1: functions 5 and 6 write one value");
    check(&format!("[{}]", row.replace("\"unit\": 1", "\"unit\": 300")), "300");
    check(&format!("[{}]", row.replace("unit", "slave")), "slave");
    check(&format!("[{}]", vec![row; 1001].join(",")), "more than 1000 writes");
}

/// The attacker's lists are bytes; what they mean stands in their notes.
#[test]
fn the_lists_do_what_their_notes_say() {
    for plant in &PLANTS {
        let mut s = simulation(plant.name, 1, "");
        let rows: serde_json::Value = serde_json::from_str(plant.drill_list).unwrap();
        for (write, row) in drill::writes(plant.drill_list).unwrap().iter().zip(rows.as_array().unwrap()) {
            let note = row["note"].as_str().unwrap();
            let (tag, value) = note.split_once(" = ").unwrap();
            let values: Vec<u8> = write.values.iter().flat_map(|value| value.to_be_bytes()).collect();
            let [high, low] = write.address.to_be_bytes();
            let pdu = match write.function {
                5 => vec![5, high, low, if write.values[0] == 0 { 0 } else { 0xFF }, 0],
                6 => vec![6, high, low, values[0], values[1]],
                _ => {
                    [&[16, high, low, 0, write.values.len() as u8, values.len() as u8][..], &values].concat()
                }
            };
            let answer = ask(&mut s, write.unit.get(), &pdu);
            assert_eq!(answer[0], write.function, "{}: {note}: {answer:02x?}", plant.name);
            assert_eq!(s.shown(tag), Some(value.parse().unwrap()), "{}: {note}", plant.name);
        }
    }
}

#[test]
fn every_drill_is_short() {
    assert!(drill::DRILL_MAX <= Duration::from_secs(30));
    for (name, drill, what) in Drill::ALL {
        assert_eq!((Drill::find(name), drill.name()), (Some(drill), name));
        assert!(!what.is_empty());
    }
}
