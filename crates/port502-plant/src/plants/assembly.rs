//! An assembly line: a belt brings housings to a robot cell, which puts a board into each and hands it to a second belt, at
//! whose end a tester takes it off.
//!
//! ```text
//!   feeder > [infeed belt] > [robot cell] > [outfeed belt] > [tester] > good / bad
//!                  light barrier    door           light barrier
//! ```
//!
//! Interlocks: a belt stops when the piece at its end is not taken and there is no room behind it; the robot stands when its
//! door is open; the emergency stop stops everything, and has to be reset. Stop the outfeed belt and the line backs up to
//! the feeder, piece by piece.

use crate::equipment::{Belt, Latch, Robot};
use crate::process::{Model, Variable, command, count, flag, is_on, sensor, state, switch};
use crate::random::Random;

pub(super) struct Assembly {
    random: Random,

    infeed: Belt,
    infeed_run: bool,
    infeed_sp: f64,
    infeed_blocked_s: f64,
    until_next_s: f64,
    fed: u64,

    robot: Robot,
    robot_run: bool,
    robot_speed: f64,
    door_open: bool,
    grip_bar: f64,

    outfeed: Belt,
    outfeed_run: bool,
    outfeed_sp: f64,
    outfeed_blocked_s: f64,

    test_left_s: f64,
    tester_run: bool,
    tester_busy: bool,
    good: u64,
    bad: u64,
    torque_nm: f64,
    torque_min: f64,

    stop: bool,
    stopped: Latch,
    reset: bool,
}

/// A piece that waits so long at a belt's end is a jam.
const JAM_S: f64 = 20.0;

impl Model for Assembly {
    const VARIABLES: &'static [Variable<Self>] = &[
        switch("infeed.run", |p| flag(p.infeed_run), |p, v| p.infeed_run = is_on(v)),
        command("infeed.speed_sp", "m/s", (0.0, 0.5), |p| p.infeed_sp, |p, v| p.infeed_sp = v),
        sensor("infeed.speed", "m/s", (0.0, 1.0), 0.0, |p| p.infeed.speed_m_s()),
        sensor("infeed.pieces", "", (0.0, 64.0), 0.0, |p| whole(p.infeed.count())),
        state("infeed.barrier_start", |p| flag(p.infeed.has_piece_at_start())),
        state("infeed.barrier_end", |p| flag(p.infeed.has_piece_at_end())),
        state("infeed.jam", |p| flag(p.infeed_blocked_s > JAM_S)),
        sensor("infeed.current", "A", (0.0, 20.0), 0.02, |p| {
            0.4 + 4.0 * p.infeed.speed_m_s() + 0.1 * whole(p.infeed.count())
        }),
        count("infeed.fed", "", |p| p.fed as f64),
        switch("robot.run", |p| flag(p.robot_run), |p, v| p.robot_run = is_on(v)),
        command("robot.speed", "%", (0.0, 100.0), |p| p.robot_speed, |p, v| p.robot_speed = v),
        sensor("robot.state", "", (0.0, 3.0), 0.0, |p| f64::from(p.robot.state().number())),
        state("robot.holds", |p| flag(p.robot.holds_piece())),
        sensor("robot.cycle", "s", (0.0, 600.0), 0.0, |p| p.robot.last_cycle_s),
        sensor("robot.grip", "bar", (0.0, 10.0), 0.01, |p| p.grip_bar),
        count("robot.finished", "", |p| p.robot.finished as f64),
        switch("outfeed.run", |p| flag(p.outfeed_run), |p, v| p.outfeed_run = is_on(v)),
        command("outfeed.speed_sp", "m/s", (0.0, 0.5), |p| p.outfeed_sp, |p, v| p.outfeed_sp = v),
        sensor("outfeed.speed", "m/s", (0.0, 1.0), 0.0, |p| p.outfeed.speed_m_s()),
        sensor("outfeed.pieces", "", (0.0, 64.0), 0.0, |p| whole(p.outfeed.count())),
        state("outfeed.barrier_end", |p| flag(p.outfeed.has_piece_at_end())),
        state("outfeed.jam", |p| flag(p.outfeed_blocked_s > JAM_S)),
        switch("tester.run", |p| flag(p.tester_run), |p, v| p.tester_run = is_on(v)),
        sensor("tester.torque", "Nm", (0.0, 5.0), 0.005, |p| p.torque_nm),
        command("tester.torque_min", "Nm", (0.5, 3.0), |p| p.torque_min, |p, v| p.torque_min = v),
        count("tester.good", "", |p| p.good as f64),
        count("tester.bad", "", |p| p.bad as f64),
        state("safety.stopped", |p| flag(p.stopped.is_tripped())),
        state("safety.door_closed", |p| flag(!p.door_open)),
        switch("safety.stop", |p| flag(p.stop), |p, v| p.stop = is_on(v)),
        switch("safety.reset", |p| flag(p.reset), |p, v| p.reset = is_on(v)),
        switch("safety.door_unlock", |p| flag(p.door_open), |p, v| p.door_open = is_on(v)),
    ];

    fn new(seed: u64) -> Self {
        Assembly {
            random: Random::named(seed, "assembly"),
            infeed: Belt::new(6.0, 0.5),
            infeed_run: true,
            infeed_sp: 0.25,
            infeed_blocked_s: 0.0,
            until_next_s: 0.0,
            fed: 18_200,
            robot: Robot::new(9.0),
            robot_run: true,
            robot_speed: 90.0,
            door_open: false,
            grip_bar: 6.0,
            outfeed: Belt::new(5.0, 0.5),
            outfeed_run: true,
            outfeed_sp: 0.25,
            outfeed_blocked_s: 0.0,
            test_left_s: 0.0,
            tester_run: true,
            tester_busy: false,
            good: 18_011,
            bad: 173,
            torque_nm: 0.0,
            torque_min: 1.6,
            stop: false,
            stopped: Latch::default(),
            reset: false,
        }
    }

    fn step(&mut self, dt: f64) {
        let stopped = self.stopped.step(self.stop, self.reset);
        self.reset = false;
        if stopped {
            self.infeed.stop();
            self.outfeed.stop();
        }
        self.feed(stopped, dt);
        let may_move = self.robot_run && !self.door_open && !stopped;
        self.robot.step(may_move, self.robot_speed / 100.0, &mut self.infeed, &mut self.outfeed, dt);
        let grip = if self.robot.holds_piece() { 4.6 } else { 6.0 };
        self.grip_bar += (grip - self.grip_bar) * crate::random::share(dt, 0.5);

        let run = self.outfeed_run && !stopped && !self.outfeed.has_piece_at_end();
        self.outfeed.step(if run { self.outfeed_sp } else { 0.0 }, dt);
        self.outfeed_blocked_s = blocked(self.outfeed_blocked_s, &self.outfeed, dt);
        self.test(stopped, dt);
    }
}

/// A small count as a number.
fn whole(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

/// For how long a piece has been at the end.
fn blocked(so_far_s: f64, belt: &Belt, dt: f64) -> f64 {
    if belt.has_piece_at_end() { so_far_s + dt } else { 0.0 }
}

impl Assembly {
    /// Somebody puts housings on the belt, one every eleven seconds or so.
    fn feed(&mut self, stopped: bool, dt: f64) {
        let run = self.infeed_run && !stopped && !self.infeed.has_piece_at_end();
        self.infeed.step(if run { self.infeed_sp } else { 0.0 }, dt);
        self.infeed_blocked_s = blocked(self.infeed_blocked_s, &self.infeed, dt);
        self.until_next_s -= dt;
        if self.until_next_s <= 0.0 && self.infeed_run && !stopped && self.infeed.put() {
            self.fed += 1;
            self.until_next_s = (11.0 + 1.2 * self.random.gauss()).max(5.0);
        }
    }

    fn test(&mut self, stopped: bool, dt: f64) {
        if !self.tester_run || stopped {
            return;
        }
        if !self.tester_busy && self.outfeed.take() {
            self.tester_busy = true;
            self.test_left_s = 4.0;
            self.torque_nm = 2.0 + 0.16 * self.random.gauss();
        }
        if self.tester_busy {
            self.test_left_s -= dt;
            if self.test_left_s <= 0.0 {
                self.tester_busy = false;
                if self.torque_nm >= self.torque_min {
                    self.good += 1;
                } else {
                    self.bad += 1;
                }
            }
        }
    }
}
