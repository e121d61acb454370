//! The six site files, and the plants behind them.

use std::collections::BTreeSet;

use port502_net::server::{Context, Reply};
use port502_plant::plants::{PLANTS, Plant};
use port502_plant::{Map, Schedule, Simulation};
use port502_site::Site;
use port502_site::site::{Profiles, SourceFile, render};
use port502_wire::{PDU_MAX, UnitId};

pub(crate) fn site(plant: &Plant) -> Site {
    let files = [SourceFile { name: plant.name, text: plant.site }];
    Site::parse(&files, &Profiles::none())
        .unwrap_or_else(|errors| panic!("{}", render::text(&files, &errors, 99)))
}

pub(crate) fn simulation(name: &str, seed: u64, schedule: &str) -> Simulation {
    let plant = port502_plant::plants::find(name).unwrap();
    let schedule = Schedule::parse(schedule).unwrap();
    Simulation::new(&Map::of(&site(plant)), Some(plant.process(seed)), &schedule, seed).unwrap()
}

/// What one request comes to, whatever lane the unit is on.
pub(crate) fn ask(simulation: &mut Simulation, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut out = [0; PDU_MAX];
    let unit = UnitId(unit);
    let lane = (0..simulation.lanes().len()).find(|lane| simulation.serves(*lane, unit)).unwrap_or_default();
    let (reply, _) = simulation.answer(lane, &Context::new(None, unit), unit, pdu, &mut out);
    match reply {
        Reply::Silence => Vec::new(),
        reply => reply.emit(pdu[0], &mut out).unwrap().to_vec(),
    }
}

/// Tags that live without the process: nothing in the plant depends on them.
const ON_THEIR_OWN: &[&str] = &["tank.door", "booster.serial"];

#[test]
fn every_tag_of_every_site_is_a_variable_of_its_process() {
    for plant in &PLANTS {
        let (site, process) = (site(plant), plant.process(1));
        assert!((3..=12).contains(&site.devices().len()), "{}", plant.name);
        let mut shown = BTreeSet::new();
        for (at, tag) in site.tags().iter().enumerate() {
            let path = format!("{}.{}", site.device(tag.device).name, tag.name);
            assert!(at < site.tags().len());
            if ON_THEIR_OWN.contains(&path.as_str()) {
                continue;
            }
            let Some((_, facts)) = process.find(&path) else {
                panic!("{}: {path} is no variable", plant.name)
            };
            shown.insert(facts.name);
            assert_eq!(facts.unit, tag.unit.as_deref().unwrap_or_default(), "the unit of {path}");
            if tag.write().is_some() {
                assert!(facts.is_command, "{path} cannot be set");
            }
            if let Some((low, high)) = tag.range {
                assert!(
                    low <= facts.range.0 && high >= facts.range.1,
                    "{path}: {:?} {:?}",
                    tag.range,
                    facts.range
                );
            }
        }
        // And the process has nothing that nobody shows but what is said to be hidden.
        let hidden: Vec<&str> =
            process.variables().map(|(_, f)| f.name).filter(|name| !shown.contains(name)).collect();
        assert!(hidden.iter().all(|name| *name == "leak.hole"), "{}: nobody shows {hidden:?}", plant.name);
    }
}

#[test]
fn every_site_has_what_a_plant_has() {
    for plant in &PLANTS {
        let site = site(plant);
        let alarms: usize = site.tags().iter().map(|tag| tag.alarms().len()).sum();
        let limits = site.tags().iter().filter(|tag| tag.write().is_some()).count();
        assert!(alarms >= 5, "{} has {alarms} alarms", plant.name);
        assert!(limits >= 6, "{} has {limits} tags that may be written", plant.name);
        assert!(
            !site.zones().is_empty() && !site.conduits().is_empty(),
            "{} has no zone or guard",
            plant.name
        );
        // All of them on one port, without any two being the same unit.
        let units: BTreeSet<UnitId> = site.devices().iter().map(|device| device.unit).collect();
        assert_eq!(units.len(), site.devices().len(), "{}: a unit is there twice", plant.name);
    }
}

#[test]
fn no_alarm_is_active_in_normal_operation() {
    use port502_site::site::Condition;
    for plant in &PLANTS {
        let site = site(plant);
        let mut simulation = simulation(plant.name, 1, "");
        for minute in 0..180 {
            (0..600).for_each(|_| simulation.step());
            simulation.show();
            for tag in site.tags() {
                let path = format!("{}.{}", site.device(tag.device).name, tag.name);
                let value = simulation.shown(&path).unwrap();
                for alarm in tag.alarms() {
                    let active = match alarm.condition {
                        Condition::Above(limit) => value > limit,
                        Condition::Below(limit) => value < limit,
                        Condition::Is(state) => ((value - tag.offset) / tag.scale - state as f64).abs() < 0.5,
                        _ => false,
                    };
                    // The first minutes bring the plant into step.
                    assert!(
                        !active || minute < 10,
                        "{}: {path} {} at minute {minute}: {value}",
                        plant.name,
                        alarm.name
                    );
                }
            }
        }
    }
}

/// Requests in a fixed order between steps, and all that came of them.
fn trace(name: &str, seed: u64) -> Vec<u8> {
    let mut simulation = simulation(name, seed, "");
    let site = site(port502_plant::plants::find(name).unwrap());
    let mut bytes = Vec::new();
    for round in 0..200_u16 {
        (0..30).for_each(|_| simulation.step());
        simulation.show();
        for device in site.devices() {
            for function in [1, 2, 3, 4] {
                for start in [0_u16, 100, 200] {
                    let count = if function < 3 { 3_u16 } else { 2 };
                    let pdu = [&[function][..], &start.to_be_bytes(), &count.to_be_bytes()].concat();
                    bytes.extend(ask(&mut simulation, device.unit.get(), &pdu));
                }
            }
            if round == 50 {
                bytes.extend(ask(&mut simulation, device.unit.get(), &[6, 0, 0, 1, 0x2C]));
                bytes.extend(ask(&mut simulation, device.unit.get(), &[5, 0, 0, 0, 0]));
            }
        }
    }
    let (seen, _) = simulation.take_seen();
    seen.iter().for_each(|seen| bytes.extend(seen.line().bytes()));
    bytes
}

#[test]
fn two_runs_with_one_seed_are_equal_to_the_byte() {
    for plant in &PLANTS {
        let first = trace(plant.name, 42);
        assert!(first == trace(plant.name, 42), "{}", plant.name);
        assert!(first != trace(plant.name, 43), "{}", plant.name);
    }
}

/// What the same seed brings on every machine; it changes when a plant is changed.
#[test]
fn one_seed_brings_the_same_on_every_machine() {
    let sums: Vec<String> = PLANTS
        .iter()
        .map(|plant| {
            let sum = trace(plant.name, 42).iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
            });
            format!("{} {sum:016x}", plant.name)
        })
        .collect();
    assert_eq!(
        sums,
        [
            "water b77b04cc35d70ddf",
            "heating da7d79cfac9880db",
            "power bb067e1598b2bec0",
            "assembly 3ce5ca93d4955eb8",
            "building 9c0e6b29f4b61b7d",
            "pipeline ff8f5d8695c2aae2",
        ]
    );
}
