//! What happens in a plant when somebody does something: physics answers.

use port502_plant::plants::{self, PLANTS};
use port502_plant::process::Process;

fn plant(name: &str, seed: u64) -> Process {
    plants::find(name).unwrap().process(seed)
}

#[track_caller]
fn get(process: &Process, name: &str) -> f64 {
    process.truth(process.find(name).unwrap_or_else(|| panic!("no {name}")).0)
}

#[track_caller]
fn set(process: &mut Process, name: &str, value: f64) {
    let (id, facts) = process.find(name).unwrap_or_else(|| panic!("no {name}"));
    assert!(facts.is_command, "{name} cannot be set");
    process.command(id, value);
}

fn minutes(process: &mut Process, minutes: u32) {
    (0..minutes * 600).for_each(|_| process.step());
}

/// Steps until `when`, at most for so long.
#[track_caller]
fn until(process: &mut Process, at_most: u32, what: &str, when: impl Fn(&Process) -> bool) {
    for _ in 0..at_most * 600 {
        if when(process) {
            return;
        }
        process.step();
    }
    let all: Vec<String> =
        process.variables().map(|(id, f)| format!("{} {:.3}", f.name, process.truth(id))).collect();
    panic!("not within {at_most} minutes: {what}\n{}", all.join("\n"));
}

#[test]
fn a_day_of_normal_operation_trips_nothing() {
    for plant in PLANTS {
        for (seed, hours) in [(1, 24), (2, 3), (3, 3)] {
            let mut process = plant.process(seed);
            let names: Vec<&str> = process.variables().map(|(_, facts)| facts.name).collect();
            for hour in 0..hours {
                minutes(&mut process, 60);
                for name in &names {
                    let value = get(&process, name);
                    assert!(value.is_finite(), "{name} is {value}");
                    let trip = [
                        ".tripped",
                        ".fault",
                        ".locked_out",
                        ".frost",
                        ".overflow",
                        ".jam",
                        "leak.alarm",
                        "safety.stopped",
                    ];
                    if trip.iter().any(|end| name.ends_with(end)) {
                        assert_eq!(value, 0.0, "{name} in hour {hour} with seed {seed}");
                    }
                }
            }
        }
    }
}

#[test]
fn sensors_show_what_is_true_within_noise_and_range() {
    for plant in PLANTS {
        let mut process = plant.process(5);
        for _ in 0..6000 {
            process.step();
            for (id, facts) in process.variables() {
                let (shown, truth) = (process.shown(id), process.truth(id));
                let (low, high) = facts.range;
                assert!((low..=high).contains(&shown), "{} shows {shown}", facts.name);
                let off = (shown - truth.clamp(low, high)).abs();
                assert!(off <= 3.5 * facts.noise + 1e-9, "{} shows {shown}, and {truth} is true", facts.name);
            }
        }
    }
}

#[test]
fn every_set_point_of_every_plant_can_be_driven_to_both_ends() {
    for plant in PLANTS {
        for high in [false, true] {
            let mut process = plant.process(1);
            let commands: Vec<_> = process.variables().filter(|(_, facts)| facts.is_command).collect();
            assert!(commands.len() >= 8, "{} has {} commands", plant.name, commands.len());
            for (id, facts) in commands {
                process.command(id, if high { facts.range.1 } else { facts.range.0 });
                process.command(id, f64::NAN);
                process.command(id, if high { f64::INFINITY } else { f64::NEG_INFINITY });
                minutes(&mut process, 5);
                for (id, facts) in process.variables() {
                    assert!(process.truth(id).is_finite(), "{} is not finite", facts.name);
                }
            }
        }
    }
}

#[test]
fn one_seed_one_story() {
    for plant in PLANTS {
        let trace = |seed| {
            let mut process = plant.process(seed);
            let mut bytes = Vec::new();
            for _ in 0..3000 {
                process.step();
                for (id, _) in process.variables() {
                    bytes.extend(process.shown(id).to_bits().to_be_bytes());
                }
            }
            bytes
        };
        assert!(trace(7) == trace(7), "{}", plant.name);
        assert!(trace(7) != trace(8), "{}", plant.name);
    }
}

#[test]
fn a_closed_outlet_fills_the_tank_until_the_float_trips_the_pump() {
    let mut p = plant("water", 1);
    minutes(&mut p, 10);
    set(&mut p, "tank.outlet_sp", 0.0);
    let before = get(&p, "tank.level");
    minutes(&mut p, 3);
    assert!(get(&p, "tank.level") > before + 0.05, "the level rises");
    assert!(get(&p, "booster.pressure") < 0.5, "the town is dry");
    until(&mut p, 120, "trip", |p| get(p, "intake.fault") == 1.0);
    minutes(&mut p, 10);
    assert!(get(&p, "intake.flow") < 0.01);
    assert!(get(&p, "tank.level") < 6.0, "and nothing ran over");
    // A reset while the tank is full does nothing.
    set(&mut p, "intake.reset", 1.0);
    minutes(&mut p, 1);
    assert_eq!(get(&p, "intake.fault"), 1.0);
    set(&mut p, "tank.outlet_sp", 100.0);
    until(&mut p, 120, "the level falls", |p| get(p, "tank.level") < 5.0);
    set(&mut p, "intake.reset", 1.0);
    minutes(&mut p, 2);
    assert_eq!(get(&p, "intake.fault"), 0.0);
    assert!(get(&p, "intake.flow") > 1.0);
}

#[test]
fn a_slow_pump_lets_the_tank_fall() {
    let mut p = plant("water", 1);
    set(&mut p, "intake.speed_sp", 27.0);
    until(&mut p, 300, "low", |p| get(p, "tank.level") < 2.0);
}

#[test]
fn without_the_intake_the_tank_runs_empty_and_the_booster_stops() {
    let mut p = plant("water", 1);
    set(&mut p, "intake.run", 0.0);
    until(&mut p, 300, "booster trips", |p| get(p, "booster.fault") == 1.0);
    assert!(get(&p, "tank.level") < 0.4);
    minutes(&mut p, 5);
    assert!(get(&p, "meter.flow") < 0.01);
}

#[test]
fn too_much_chlorine_is_a_matter_of_a_set_point() {
    let mut p = plant("water", 1);
    set(&mut p, "dosing.chlorine_sp", 4.0);
    until(&mut p, 240, "chlorine", |p| get(p, "filter.chlorine") > 1.5);
}

#[test]
fn a_backwash_cleans_the_filter_and_feeds_nothing_meanwhile() {
    let mut p = plant("water", 1);
    minutes(&mut p, 60);
    let before = get(&p, "filter.turbidity");
    set(&mut p, "filter.state", 2.0);
    minutes(&mut p, 1);
    assert_eq!(get(&p, "filter.washing"), 1.0);
    assert_eq!(get(&p, "tank.inflow"), 0.0);
    minutes(&mut p, 5);
    assert_eq!(get(&p, "filter.state"), 3.0, "it drains");
    minutes(&mut p, 2);
    assert_eq!(get(&p, "filter.state"), 1.0, "and filters again, by itself");
    assert!(get(&p, "filter.turbidity") < before);
    assert!(get(&p, "tank.inflow") > 1.0);
}

#[test]
fn a_boost_raises_the_pressure() {
    let mut p = plant("water", 1);
    minutes(&mut p, 5);
    let before = get(&p, "booster.pressure");
    set(&mut p, "booster.boost", 1.0);
    minutes(&mut p, 5);
    assert!(get(&p, "booster.pressure") > before + 0.3);
}

#[test]
fn without_the_network_pump_the_boiler_locks_out() {
    let mut p = plant("heating", 1);
    minutes(&mut p, 60);
    let heat = get(&p, "substation.power");
    assert!(heat > 100.0, "{heat} kW");
    set(&mut p, "pump.run", 0.0);
    until(&mut p, 240, "lock-out", |p| get(p, "boiler.locked_out") == 1.0);
    minutes(&mut p, 1);
    assert_eq!(get(&p, "boiler.flame"), 0.0);
    assert!(get(&p, "substation.power") < heat / 10.0);
}

#[test]
fn the_houses_get_the_temperature_that_is_asked_for() {
    let mut p = plant("heating", 2);
    minutes(&mut p, 24 * 60);
    let room = get(&p, "substation.room");
    assert!((room - 21.0).abs() < 1.5, "{room}");
    set(&mut p, "substation.room_sp", 17.0);
    minutes(&mut p, 24 * 60);
    assert!(get(&p, "substation.room") < room - 1.5);
}

#[test]
fn a_pickup_below_the_load_darkens_the_feeder() {
    let mut p = plant("power", 1);
    minutes(&mut p, 5);
    let amperes = get(&p, "feeder1.current");
    assert!(amperes > 60.0, "{amperes}");
    set(&mut p, "feeder1.pickup", 50.0);
    until(&mut p, 30, "trip", |p| get(p, "feeder1.tripped") == 1.0);
    minutes(&mut p, 1);
    assert_eq!((get(&p, "feeder1.closed"), get(&p, "feeder1.current")), (0.0, 0.0));
    assert!(get(&p, "feeder2.current") > 1.0, "the neighbour has light");
    // Closing without a reset does nothing.
    set(&mut p, "feeder1.close", 1.0);
    minutes(&mut p, 1);
    assert_eq!(get(&p, "feeder1.closed"), 0.0);
    set(&mut p, "feeder1.pickup", 320.0);
    set(&mut p, "feeder1.reset", 1.0);
    minutes(&mut p, 1);
    set(&mut p, "feeder1.close", 1.0);
    minutes(&mut p, 2);
    assert_eq!(get(&p, "feeder1.closed"), 1.0);
    assert!((get(&p, "feeder1.current") - amperes).abs() < amperes * 0.5);
}

#[test]
fn load_pulls_the_voltage_down_and_sun_pushes_it_up() {
    let mut p = plant("power", 1);
    minutes(&mut p, 5);
    let loaded = get(&p, "incomer.voltage");
    set(&mut p, "feeder2.close", 0.0);
    minutes(&mut p, 2);
    assert!(get(&p, "incomer.voltage") > loaded);
    let sunny = get(&p, "incomer.power");
    set(&mut p, "pv.limit", 0.0);
    minutes(&mut p, 1);
    assert!(get(&p, "incomer.power") > sunny);
    // What comes in is what the feeders take, less what the sun gives.
    let sum = get(&p, "feeder1.power") + get(&p, "feeder2.power") - get(&p, "pv.power");
    assert!((get(&p, "incomer.power") - sum).abs() < 1.0);
}

#[test]
fn a_stopped_outfeed_backs_the_line_up() {
    let mut p = plant("assembly", 1);
    minutes(&mut p, 30);
    assert!(get(&p, "robot.finished") > 100.0);
    set(&mut p, "outfeed.run", 0.0);
    until(&mut p, 60, "the robot is blocked", |p| get(p, "robot.state") == 2.0);
    until(&mut p, 60, "the infeed jams", |p| get(p, "infeed.jam") == 1.0);
    let fed = get(&p, "infeed.fed");
    minutes(&mut p, 10);
    assert!(get(&p, "infeed.fed") - fed <= 12.0, "nothing is fed into a full belt");
    set(&mut p, "outfeed.run", 1.0);
    until(&mut p, 10, "it runs again", |p| get(p, "robot.state") == 1.0);
}

#[test]
fn the_emergency_stop_holds_until_it_is_released_and_reset() {
    let mut p = plant("assembly", 1);
    minutes(&mut p, 5);
    set(&mut p, "safety.stop", 1.0);
    minutes(&mut p, 1);
    let done = get(&p, "robot.finished");
    assert_eq!((get(&p, "infeed.speed"), get(&p, "robot.state")), (0.0, 3.0));
    set(&mut p, "safety.reset", 1.0);
    minutes(&mut p, 1);
    assert_eq!(get(&p, "safety.stopped"), 1.0, "the button is still pressed");
    set(&mut p, "safety.stop", 0.0);
    set(&mut p, "safety.reset", 1.0);
    minutes(&mut p, 5);
    assert!(get(&p, "robot.finished") > done);
}

#[test]
fn an_open_door_stops_the_robot_and_not_the_belts() {
    let mut p = plant("assembly", 1);
    minutes(&mut p, 1);
    set(&mut p, "safety.door_unlock", 1.0);
    minutes(&mut p, 1);
    assert_eq!(get(&p, "robot.state"), 3.0);
    assert_eq!(get(&p, "safety.stopped"), 0.0);
}

#[test]
fn a_full_room_without_a_fan_has_bad_air() {
    let mut p = plant("building", 1);
    minutes(&mut p, 60);
    let good = get(&p, "office.co2");
    assert!(good < 1000.0, "{good} ppm");
    set(&mut p, "ahu.run", 0.0);
    minutes(&mut p, 90);
    assert!(get(&p, "office.co2") > 1400.0, "{} ppm", get(&p, "office.co2"));
    assert!(get(&p, "ahu.flow") < 1.0);
}

#[test]
fn a_cold_coil_trips_the_frost_guard() {
    let mut p = plant("building", 1);
    // Early morning, when it freezes outside.
    minutes(&mut p, 20 * 60);
    set(&mut p, "coil.auto", 0.0);
    set(&mut p, "coil.valve_sp", 0.0);
    until(&mut p, 120, "frost", |p| get(p, "ahu.frost") == 1.0);
    minutes(&mut p, 2);
    assert!(get(&p, "ahu.fan") < 1.0);
}

#[test]
fn a_shut_block_valve_trips_the_station() {
    let mut p = plant("pipeline", 1);
    minutes(&mut p, 20);
    set(&mut p, "valve2.open", 0.0);
    until(&mut p, 30, "trip", |p| get(p, "station.tripped") == 1.0);
    assert_eq!(get(&p, "valve2.is_shut"), 1.0);
    assert_eq!(get(&p, "leak.alarm"), 0.0, "a shut valve is no leak");
}

#[test]
fn a_leak_is_found_by_the_balance_and_isolated_by_the_valves() {
    let mut p = plant("pipeline", 1);
    minutes(&mut p, 30);
    assert!(get(&p, "leak.missing").abs() < 1.0);
    set(&mut p, "leak.hole", 0.2);
    until(&mut p, 10, "alarm", |p| get(p, "leak.alarm") == 1.0);
    let missing = get(&p, "leak.missing");
    assert!(missing > 6.0, "{missing} m3/h");
}
