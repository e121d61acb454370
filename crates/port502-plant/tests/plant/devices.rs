//! What a client can do to a simulated device, and what comes of it.

use port502_net::server::{Context, Reply};
use port502_plant::map::{Device, Map, Tag};
use port502_plant::simulation::{Manner, SimulationError};
use port502_plant::{Schedule, Simulation};
use port502_wire::{ExceptionCode, PDU_MAX, UnitId};

use crate::sites::{ask, simulation};

/// A read or write of holding registers of the tank, unit 3 of the water works.
const TANK: u8 = 3;

#[test]
fn a_write_acts_and_is_read_back() {
    let mut s = simulation("water", 1, "");
    // tank.outlet_sp is holding:11, in tenths of a percent.
    assert_eq!(ask(&mut s, TANK, &[3, 0, 11, 0, 1]), [3, 2, 0x03, 0xE8]);
    assert_eq!(ask(&mut s, TANK, &[6, 0, 11, 0, 250]), [6, 0, 11, 0, 250]);
    assert_eq!(ask(&mut s, TANK, &[3, 0, 11, 0, 1]), [3, 2, 0, 250]);
    (0..600).for_each(|_| s.step());
    s.show();
    assert_eq!(s.shown("tank.outlet"), Some(25.0), "the valve has moved");
    assert_eq!(ask(&mut s, TANK, &[3, 0, 7, 0, 1]), [3, 2, 0, 250], "and its register says so");
}

#[test]
fn what_no_actuator_takes_is_refused() {
    let mut s = simulation("water", 1, "");
    for (register, value) in [(11_u8, 1001_u16), (11, 0xFFFF), (10, 2000)] {
        let [high, low] = value.to_be_bytes();
        assert_eq!(
            ask(&mut s, TANK, &[6, 0, register, high, low]),
            [0x86, 3],
            "holding:{register} = {value}"
        );
        assert_eq!(ask(&mut s, TANK, &[16, 0, register, 0, 1, 2, high, low]), [0x90, 3]);
    }
    assert_eq!(ask(&mut s, TANK, &[3, 0, 10, 0, 2]), [3, 4, 0x03, 0xE8, 0x03, 0xE8], "nothing has changed");
    // The limits themselves are taken.
    assert_eq!(ask(&mut s, TANK, &[6, 0, 11, 0, 0]), [6, 0, 11, 0, 0]);
    assert_eq!(ask(&mut s, TANK, &[6, 0, 11, 3, 0xE8]), [6, 0, 11, 3, 0xE8]);
}

#[test]
fn what_operators_may_not_write_a_device_takes_all_the_same() {
    let mut s = simulation("water", 1, "");
    // The site lets people write 50 to 100 %; the valve knows nothing of that.
    assert_eq!(ask(&mut s, TANK, &[6, 0, 11, 0, 0]), [6, 0, 11, 0, 0]);
}

#[test]
fn sensors_cannot_be_written() {
    let mut s = simulation("water", 1, "");
    for register in [0, 1, 2, 6, 7, 8] {
        assert_eq!(ask(&mut s, TANK, &[6, 0, register, 0, 0]), [0x86, 2], "holding:{register}");
    }
    // One sensor in a block spoils the block, and nothing of it is written.
    assert_eq!(ask(&mut s, TANK, &[16, 0, 9, 0, 3, 6, 0, 0, 0, 0, 0, 0]), [0x90, 2]);
    assert_eq!(ask(&mut s, TANK, &[3, 0, 11, 0, 1]), [3, 2, 0x03, 0xE8]);
}

#[test]
fn a_float_that_comes_in_halves_is_taken_when_it_is_whole() {
    let mut s = simulation("water", 1, "");
    // booster.pressure_sp is holding:20, a float of two registers; 4.0 is 4080 0000.
    assert_eq!(ask(&mut s, 4, &[6, 0, 20, 0x40, 0x80]), [6, 0, 20, 0x40, 0x80]);
    assert_eq!(ask(&mut s, 4, &[6, 0, 21, 0, 0]), [6, 0, 21, 0, 0]);
    assert_eq!(ask(&mut s, 4, &[3, 0, 20, 0, 2]), [3, 4, 0x40, 0x80, 0, 0]);
    assert_eq!(s.shown("booster.pressure_sp"), Some(4.0));
    // NaN, and 1e30 bar.
    assert_eq!(ask(&mut s, 4, &[16, 0, 20, 0, 2, 4, 0x7F, 0xC0, 0, 0]), [0x90, 3]);
    assert_eq!(ask(&mut s, 4, &[16, 0, 20, 0, 2, 4, 0x71, 0x49, 0xF2, 0xCA]), [0x90, 3]);
    // In halves it cannot be refused: it is cut to what the drive takes.
    assert_eq!(ask(&mut s, 4, &[6, 0, 20, 0x71, 0x49]), [6, 0, 20, 0x71, 0x49]);
    assert_eq!(s.shown("booster.pressure_sp"), Some(8.0));
    assert_eq!(ask(&mut s, 4, &[3, 0, 20, 0, 2]), [3, 4, 0x41, 0, 0, 0], "and the register says what holds");
}

#[test]
fn a_bit_of_a_register_leaves_its_neighbours_alone() {
    let mut s = simulation("water", 1, "");
    // booster.boost is bit 3 of holding:40; the other bits are nobody's.
    assert_eq!(ask(&mut s, 4, &[22, 0, 40, 0xFF, 0xF7, 0, 8]), [22, 0, 40, 0xFF, 0xF7, 0, 8]);
    assert_eq!(s.shown("booster.boost"), Some(1.0));
    assert_eq!(ask(&mut s, 4, &[3, 0, 40, 0, 1]), [3, 2, 0, 8]);
    assert_eq!(ask(&mut s, 4, &[6, 0, 40, 0, 0]), [6, 0, 40, 0, 0]);
    assert_eq!(s.shown("booster.boost"), Some(0.0));
}

#[test]
fn a_readback_shows_what_was_taken() {
    let mut s = simulation("water", 1, "");
    // intake.speed_sp is holding:200 with its readback at holding:210.
    assert_eq!(ask(&mut s, 1, &[6, 0, 200, 1, 0x2C]), [6, 0, 200, 1, 0x2C]);
    assert_eq!(ask(&mut s, 1, &[3, 0, 210, 0, 1]), [3, 2, 1, 0x2C]);
}

#[test]
fn all_that_the_poll_plan_asks_is_answered_and_holes_are_not() {
    for plant in &port502_plant::plants::PLANTS {
        let site = crate::sites::site(plant);
        let plan = port502_site::compile::poll::plan(&site);
        let mut s = simulation(plant.name, 1, "");
        for request in plan.requests() {
            let [start_high, start_low] = request.start.to_be_bytes();
            let [count_high, count_low] = request.count.to_be_bytes();
            let function = request.function().0;
            let unit = site.device(request.device).unit.get();
            let pdu = [function, start_high, start_low, count_high, count_low];
            let answer = ask(&mut s, unit, &pdu);
            assert_eq!(answer[0], function, "{}: unit {unit} {pdu:02x?}: {answer:02x?}", plant.name);
        }
    }
    let mut s = simulation("water", 1, "");
    // intake has tags at 100 to 109 and 130 to 133, and a hole at 120 to 127.
    assert_eq!(ask(&mut s, 1, &[3, 0, 120, 0, 1]), [0x83, 2]);
    assert_eq!(ask(&mut s, 1, &[3, 0, 127, 0, 1]), [0x83, 2]);
    assert_eq!(ask(&mut s, 1, &[3, 0, 99, 0, 1]), [0x83, 2], "outside there is nothing");
    // The tank's 8 and 9 lie between tags: read across, and not to be written.
    assert_eq!(ask(&mut s, TANK, &[6, 0, 8, 0, 1]), [0x86, 2]);
}

#[test]
fn a_device_says_who_it_is() {
    let mut s = simulation("water", 1, "");
    let answer = ask(&mut s, TANK, &[43, 14, 4, 4]);
    assert!(String::from_utf8_lossy(&answer).contains("Tank on the hill"), "{answer:02x?}");
    assert_eq!(ask(&mut s, 99, &[3, 0, 0, 0, 1]), [0x83, 0x0B], "and nobody is nobody");
}

#[test]
fn whoever_asks_is_seen() {
    let mut s = simulation("water", 1, "");
    let mut out = [0; PDU_MAX];
    let peer = "127.66.6.6:4000".parse().unwrap();
    let lane = (0..s.lanes().len()).find(|lane| s.serves(*lane, UnitId(TANK))).unwrap();
    let cx = Context::new(Some(peer), UnitId(TANK));
    s.answer(lane, &cx, UnitId(TANK), &[6, 0, 11, 0, 0], &mut out);
    s.answer(lane, &cx, UnitId(TANK), &[3, 0, 11, 0, 1], &mut out);
    s.answer(lane, &cx, UnitId(TANK), &[6, 0, 0, 0, 0], &mut out);
    let (seen, missed) = s.take_seen();
    let lines: Vec<String> = seen.iter().map(|seen| seen.line()).collect();
    assert_eq!(
        lines,
        [
            "0.0 s 127.66.6.6:4000 unit 3 tank: 06000b0000 -> done",
            "0.0 s 127.66.6.6:4000 unit 3 tank: 03000b0001 -> done",
            "0.0 s 127.66.6.6:4000 unit 3 tank: 0600000000 -> exception 02 illegal data address",
        ]
    );
    assert_eq!(missed, 0);
    let client = s.clients()[&peer.ip()];
    assert_eq!((client.reads, client.writes, client.refused), (1, 2, 1));
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut s = simulation("water", 1, "");
    for _ in 0..5000 {
        ask(&mut s, 1, &[3, 0, 100, 0, 1]);
    }
    let (seen, missed) = s.take_seen();
    assert_eq!((seen.len(), missed), (4096, 904));
}

// ---- faults -------------------------------------------------------------------------------------------------------

/// Reply and manner of a read of tank.level.
fn read_level(s: &mut Simulation) -> (Reply, Manner) {
    let lane = (0..s.lanes().len()).find(|lane| s.serves(*lane, UnitId(TANK))).unwrap();
    let mut out = [0; PDU_MAX];
    s.answer(lane, &Context::new(None, UnitId(TANK)), UnitId(TANK), &[3, 0, 0, 0, 2], &mut out)
}

#[test]
fn faults_come_and_go_by_the_plants_clock() {
    let schedule = "1s 1s tank timeout\n3s 1s tank exception=6\n5s 1s tank slow=200ms\n7s 1s tank wrong-tid\n\
                    9s 1s tank half-close\n11s 1s tank garbage\n13s 1s tank drip=3ms\n1s 100s booster timeout\n";
    let mut s = simulation("water", 1, schedule);
    let mut all = Vec::new();
    for _ in 0..15 {
        all.push(read_level(&mut s));
        (0..10).for_each(|_| s.step());
    }
    let fine = (Reply::Response { len: 6 }, Manner::Right);
    for second in [0, 2, 4, 6, 8, 10, 12, 14] {
        assert_eq!(all[second], fine, "second {second}");
    }
    assert_eq!(all[1].0, Reply::Silence);
    assert_eq!(all[3].0, Reply::Exception(ExceptionCode::ServerDeviceBusy));
    let ms = std::time::Duration::from_millis;
    assert_eq!(all[5].1, Manner::Slow(ms(200)));
    assert_eq!(all[7].1, Manner::WrongTransaction);
    assert_eq!(all[9].1, Manner::HalfClose);
    assert!(matches!(all[11].1, Manner::Garbage(_)));
    assert_eq!(all[13].1, Manner::Drip(ms(3)));
}

#[test]
fn a_frozen_sensor_shows_what_it_showed_and_a_drifting_one_wanders_off() {
    let mut s = simulation("water", 1, "10s 60s tank.level frozen\n10s 60s booster.pressure drift=0.05\n");
    (0..100).for_each(|_| s.step());
    s.show();
    let (level, pressure) = (s.shown("tank.level").unwrap(), s.shown("booster.pressure").unwrap());
    for _ in 0..550 {
        s.step();
        s.show();
        assert_eq!(s.shown("tank.level"), Some(level));
    }
    let drifted = s.shown("booster.pressure").unwrap() - pressure;
    assert!((2.0..3.5).contains(&drifted), "{drifted}");
    (0..100).for_each(|_| s.step());
    s.show();
    assert_ne!(s.shown("tank.level"), Some(level));
    assert!((s.shown("booster.pressure").unwrap() - pressure).abs() < 0.6);
}

#[test]
fn a_schedule_names_what_there_is() {
    #[track_caller]
    fn check(schedule: &str, want: &str) {
        let plant = port502_plant::plants::find("water").unwrap();
        let map = Map::of(&crate::sites::site(plant));
        let schedule = Schedule::parse(schedule).unwrap();
        let error: SimulationError = Simulation::new(&map, Some(plant.process(1)), &schedule, 1).unwrap_err();
        assert_eq!(error.to_string(), want);
    }
    check("1s 1s tnak timeout", "the schedule names tnak, which there is not; did you mean tank?");
    check(
        "1s 1s tank.levle frozen",
        "the schedule names tank.levle, which there is not; did you mean tank.level?",
    );
    check("1s 1s submarine timeout", "the schedule names submarine, which there is not");
    check(
        "1s 1s tank.outlet_sp frozen",
        "the schedule has tank.outlet_sp frozen, and that is no sensor: clients write it",
    );
}

// ---- devices without a process ------------------------------------------------------------------------------------

#[test]
fn a_device_that_no_process_knows_lives_on_its_own() {
    let tag = |name: &str, point: &str| Tag::new(name, point.parse().unwrap());
    let ranged = |name: &str, point: &str, range| Tag { range: Some(range), ..tag(name, point) };
    let tags = vec![
        ranged("flow", "input:0:f32", (0.0, 100.0)),
        Tag { writable: true, initial: Some(15.0), ..ranged("sp", "holding:0", (10.0, 20.0)) },
        Tag { counter: true, initial: Some(500.0), ..tag("total", "input:2:u32") },
        Tag { text: Some("M-1".to_owned()), ..tag("serial", "holding:10:str4") },
        tag("plain", "holding:12"),
        Tag { writable: true, ..tag("switch", "coil:0") },
    ];
    let device = Device::new("stranger", 0, UnitId(7), tags);
    let map = Map { name: "somewhere".to_owned(), lanes: vec!["lane".to_owned()], devices: vec![device] };
    let mut s = Simulation::new(&map, None, &Schedule::default(), 1).unwrap();
    let mut seen = Vec::new();
    for _ in 0..1000 {
        s.step();
        s.show();
        seen.push(s.shown("stranger.flow").unwrap());
    }
    assert!(seen.iter().all(|flow| (40.0..=60.0).contains(flow)) && seen[0] != seen[999], "{:?}", &seen[..3]);
    assert_eq!(s.shown("stranger.sp"), Some(15.0), "as it was told");
    assert_eq!(ask(&mut s, 7, &[6, 0, 0, 0, 12]), [6, 0, 0, 0, 12]);
    assert_eq!(ask(&mut s, 7, &[6, 0, 0, 0, 21]), [0x86, 3]);
    assert_eq!(s.shown("stranger.sp"), Some(12.0));
    assert_eq!(ask(&mut s, 7, &[4, 0, 2, 0, 2]), [4, 4, 0, 0, 1, 0xFE], "it has counted on, to 510");
    assert_eq!(ask(&mut s, 7, &[3, 0, 10, 0, 2]), [3, 4, b'M', b'-', b'1', 0]);
    assert_eq!(ask(&mut s, 7, &[5, 0, 0, 0xFF, 0]), [5, 0, 0, 0xFF, 0]);
    assert_eq!(ask(&mut s, 7, &[1, 0, 0, 0, 1]), [1, 1, 1]);
}
