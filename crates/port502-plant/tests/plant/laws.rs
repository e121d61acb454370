//! Laws of the equipment: mass and energy balance, levels stay within the vessel, controllers settle.

use port502_plant::equipment::*;
use proptest::prelude::*;

/// A step, from a hundredth of a second to a minute.
fn dt() -> impl Strategy<Value = f64> {
    0.01..60.0
}

proptest! {
    #[test]
    fn a_tank_keeps_every_litre(
        area in 0.1..500.0_f64,
        height in 0.1..20.0_f64,
        start in 0.0..1.0_f64,
        flows in prop::collection::vec((0.0..2.0_f64, 0.0..2.0_f64, dt()), 1..50),
    ) {
        let mut tank = Tank::new(area, height, start * height);
        let before = tank.volume_m3();
        let (mut came, mut went) = (0.0, 0.0);
        for (inflow, outflow, dt) in flows {
            let real = tank.step(inflow, outflow, dt);
            came += inflow * dt;
            went += (real.out_m3s + real.over_m3s) * dt;
            prop_assert!(real.out_m3s <= outflow + 1e-9 && real.out_m3s >= 0.0 && real.over_m3s >= 0.0);
            prop_assert!((0.0..=height + 1e-9).contains(&tank.level_m()), "level {}", tank.level_m());
        }
        let missing = before + came - went - tank.volume_m3();
        prop_assert!(missing.abs() < 1e-6 * (1.0 + came), "{missing} m3 are missing");
    }

    #[test]
    fn a_pump_gives_less_than_it_takes(
        speed in 0.0..60.0_f64,
        height in 0.0..60.0_f64,
        resistance in 0.0..1e6_f64,
    ) {
        let design = PumpDesign { shutoff_m: 40.0, slope: 8e3, ramp_hz_s: 1e9, efficiency: 0.7, idle_w: 500.0 };
        let mut pump = Pump::new(design);
        pump.drive(speed, 1.0);
        let flow = pump.flow_at(pump.speed_hz(), height, resistance);
        pump.moved(flow);
        prop_assert!(flow >= 0.0 && flow.is_finite());
        prop_assert!(pump.hydraulic_w() <= pump.power_w, "{pump:?}");
        // Faster never means less, a tighter pipe never more.
        prop_assert!(pump.flow_at(speed + 1.0, height, resistance) >= flow);
        prop_assert!(pump.flow_at(speed, height, resistance * 2.0) <= flow);
    }

    #[test]
    fn a_valve_takes_its_time(wanted in prop::collection::vec((-1.0..2.0_f64, dt()), 1..50)) {
        let mut valve = Valve::new(0.5, 30.0);
        for (wanted, dt) in wanted {
            let before = valve.position();
            valve.step(wanted, dt);
            prop_assert!((0.0..=1.0).contains(&valve.position()));
            prop_assert!((valve.position() - before).abs() <= dt / 30.0 + 1e-9);
        }
    }

    #[test]
    fn a_body_takes_up_what_it_is_given_and_no_more(
        steps in prop::collection::vec((0.0..1e6_f64, -20.0..120.0_f64, 0.0..1e5_f64, dt()), 1..50),
    ) {
        let mut body = Body::new(50.0, 4e6);
        for (power, around, conductance, dt) in steps {
            let before = body.heat_j();
            let exchanged = body.step(power, around, conductance, dt);
            let gained = body.heat_j() - before;
            prop_assert!((gained - power * dt - exchanged).abs() < 1.0, "{gained}");
            // Heat flows to where it is colder.
            let heated = (before + power * dt) / 4e6;
            prop_assert!((around - heated) * exchanged >= -1e-3);
            prop_assert!(exchanged.abs() <= (around - heated).abs() * 4e6 + 1.0);
        }
    }

    #[test]
    fn an_exchanger_crosses_no_temperatures(
        hot_kg in 0.0..50.0_f64, hot in 0.0..130.0_f64, cold_kg in 0.0..50.0_f64, cold in 0.0..130.0_f64,
    ) {
        let w = exchange_w(0.9, hot_kg, hot, cold_kg, cold);
        prop_assert!(w >= 0.0);
        if hot_kg > 0.0 && cold_kg > 0.0 && hot > cold {
            prop_assert!(hot - w / (hot_kg * WATER_J_KG_K) >= cold - 1e-6);
            prop_assert!(cold + w / (cold_kg * WATER_J_KG_K) <= hot + 1e-6);
        } else {
            prop_assert_eq!(w, 0.0);
        }
    }

    #[test]
    fn a_boiler_makes_no_energy(
        steps in prop::collection::vec((0.0..1.5_f64, 0.0..20.0_f64, 20.0..90.0_f64, dt()), 1..80),
    ) {
        let mut boiler = Boiler::new(70.0, 2e7, 2e6, 0.92);
        let before = boiler.water.heat_j();
        let mut given = 0.0;
        for (firing, flow, back, dt) in steps {
            given += boiler.step(firing, flow, back, dt) * dt;
            prop_assert!((0.0..=1.0).contains(&boiler.firing));
        }
        let stored = boiler.water.heat_j() - before;
        prop_assert!((given + stored - 0.92 * boiler.fuel_j).abs() < 1e-6 * (1.0 + boiler.fuel_j) + 100.0);
    }

    #[test]
    fn a_meter_counts_what_flows(steps in prop::collection::vec((-2e5..2e5_f64, -1e5..1e5_f64, dt()), 1..50)) {
        let mut meter = Meter::default();
        let mut net = 0.0;
        for (active, reactive, dt) in steps {
            let (import, export) = (meter.import_j, meter.export_j);
            meter.step(400.0, active, reactive, dt);
            net += active * dt;
            prop_assert!(meter.import_j >= import && meter.export_j >= export, "a counter never turns back");
            prop_assert!((0.0..=1.0 + 1e-12).contains(&meter.power_factor()));
            // S^2 = P^2 + Q^2.
            let apparent = 3.0_f64.sqrt() * 400.0 * meter.amperes;
            prop_assert!((apparent * apparent - active * active - reactive * reactive).abs() < 1e-6 * apparent * apparent + 1e-3);
        }
        prop_assert!((meter.import_j - meter.export_j - net).abs() < 1.0);
    }

    #[test]
    fn a_relay_trips_as_its_characteristic_says(multiple in 1.05..11.0_f64) {
        let mut relay = Relay::new(0.5, 12.0);
        let want = 13.5 * 0.5 / (multiple - 1.0);
        let mut took = 0.0;
        while !relay.step(multiple * 100.0, 100.0, 0.01) {
            took += 0.01;
            prop_assert!(took < want + 1.0, "no trip");
        }
        prop_assert!((took - want).abs() < 0.03, "{took} {want}");
        prop_assert!(!Relay::new(0.5, 12.0).step(99.0, 100.0, 3600.0), "below the pick-up it never trips");
        prop_assert!(Relay::new(0.5, 12.0).step(1300.0, 100.0, 0.001), "far above at once");
    }

    #[test]
    fn belts_and_a_robot_lose_no_piece(
        steps in prop::collection::vec((0.0..0.5_f64, 0.0..0.5_f64, any::<bool>(), any::<bool>(), any::<bool>()), 1..2000),
    ) {
        let (mut from, mut to, mut robot) = (Belt::new(3.0, 0.5), Belt::new(2.0, 0.5), Robot::new(3.0));
        let (mut put, mut taken) = (0, 0);
        for (first, second, feeds, takes, moves) in steps {
            put += usize::from(feeds && from.put());
            from.step(first, 0.1);
            robot.step(moves, 1.0, &mut from, &mut to, 0.1);
            to.step(second, 0.1);
            taken += usize::from(takes && to.take());
            let there = from.count() + usize::from(robot.holds_piece()) + to.count();
            prop_assert_eq!(put, there + taken);
            for belt in [&from, &to] {
                let all: Vec<f64> = belt.pieces().collect();
                prop_assert!(all.windows(2).all(|two| two[0] - two[1] >= 0.5 - 1e-9), "too close: {:?}", all);
                prop_assert!(all.iter().all(|at| (0.0..=3.0).contains(at)));
            }
        }
    }

    #[test]
    fn a_room_breathes(people in 0.0..100.0_f64, supply in 0.0..3.0_f64, dt in 0.05..30.0_f64) {
        let mut room = Room::new(20.0, 500.0, 100.0);
        for _ in 0..2000 {
            room.step(RoomAir { supply_m3s: supply, supply_c: 21.0, people, outside_c: 0.0 }, dt);
            prop_assert!(room.co2_ppm >= 420.0 - 1e-6, "never less than outside");
        }
        // In balance, what people add is what the air takes out; it never passes that.
        let change = supply + 500.0 * 0.1 / 3600.0;
        let balance = 420.0 + people * 5.0 / change;
        prop_assert!(room.co2_ppm <= balance * 1.001 + people * 5.0 * dt / 500.0, "{} {balance}", room.co2_ppm);
    }

    #[test]
    fn a_fan_moves_less_against_more(speed in 0.0..1.0_f64, resistance in 1.0..1000.0_f64, damper in 0.0..1.0_f64) {
        let design = FanDesign { shutoff_pa: 900.0, slope: 40.0, inertia_s: 0.0, efficiency: 0.6 };
        let (mut easy, mut hard) = (Fan::new(design), Fan::new(design));
        easy.step(speed, resistance, damper, 1.0);
        hard.step(speed, resistance * 2.0, damper, 1.0);
        prop_assert!(hard.flow_m3s <= easy.flow_m3s && easy.flow_m3s.is_finite());
        prop_assert!(easy.power_w >= 0.0);
    }

    #[test]
    fn a_line_keeps_every_litre(
        steps in prop::collection::vec(
            (0.0..0.3_f64, 0.0..0.1_f64, 0.0..1.0_f64, 0.0..1.0_f64, 0.0..0.02_f64), 1..300),
    ) {
        let mut line = Line::new(10.0, 0.35, 800.0);
        let before = line.packed_m3();
        let (mut came, mut went) = (0.0, 0.0);
        for (pump, take, v1, v2, leak) in steps {
            let flows = line.step(|bar| if bar < 60.0 { pump } else { 0.0 }, |bar| take * bar.max(0.0).sqrt(), [v1, v2], leak, 0.1);
            came += flows.in_m3s * 0.1;
            went += (flows.out_m3s + flows.leak_m3s) * 0.1;
            for bar in line.pressure_bar() {
                prop_assert!((-1e-9..200.0).contains(&bar), "{:?}", line.pressure_bar());
            }
        }
        let missing = before + came - went - line.packed_m3();
        prop_assert!(missing.abs() < 1e-6 * (1.0 + came), "{missing} m3 are missing");
    }

    #[test]
    fn a_controller_settles(target in 0.1..0.9_f64, start in 0.0..1.0_f64, gain in 0.2..4.0_f64, reset in 5.0..60.0_f64) {
        // A first-order process with a time constant of ten seconds.
        let mut pid = Pid::new(gain, reset, 0.0, 1.0);
        let mut value = start;
        for _ in 0..20_000 {
            let output = pid.step(target, value, 0.1);
            prop_assert!((0.0..=1.0).contains(&output));
            value += (output - value) * 0.1 / 10.1;
        }
        prop_assert!((value - target).abs() < 0.01, "{value} is not {target}");
    }

    #[test]
    fn a_controller_takes_over_without_a_jump(hand in 0.0..1.0_f64, value in 0.0..1.0_f64) {
        let mut pid = Pid::new(2.0, 30.0, 0.0, 1.0);
        (0..100).for_each(|_| pid.follow(hand, value));
        let first = pid.step(value, value, 0.1);
        prop_assert!((first - hand).abs() < 1e-9);
    }
}

#[test]
fn a_controller_that_was_at_its_limit_for_hours_comes_back_at_once() {
    let mut pid = Pid::new(1.0, 10.0, 0.0, 1.0);
    (0..100_000).for_each(|_| {
        pid.step(10.0, 0.0, 0.1);
    });
    assert_eq!(pid.output(), 1.0);
    let after = (0..50).map(|_| pid.step(0.0, 1.0, 0.1)).last().unwrap();
    assert!(after < 0.1, "{after}");
}

#[test]
fn a_latch_stays_until_its_cause_is_gone_and_somebody_resets_it() {
    let mut latch = Latch::default();
    assert!(!latch.step(false, false));
    assert!(latch.step(true, false));
    assert!(latch.step(false, false));
    assert!(latch.step(true, true), "not while the cause is there");
    assert!(!latch.step(false, true));
}

#[test]
fn a_breaker_needs_its_spring() {
    let mut breaker = Breaker::new(true);
    breaker.step(true, true, 0.1);
    assert!(!breaker.is_closed());
    breaker.step(true, false, 0.1);
    assert!(breaker.is_closed());
    breaker.step(false, false, 0.1);
    breaker.step(true, false, 0.1);
    assert!(!breaker.is_closed(), "it was closed a moment ago: the spring is slack");
    (0..200).for_each(|_| breaker.step(true, false, 0.1));
    assert!(breaker.is_closed());
    assert_eq!(breaker.operations, 2);
}
