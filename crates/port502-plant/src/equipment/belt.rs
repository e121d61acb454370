//! A line of pieces: belts that carry them, a robot that takes them over. Pieces are discrete: each is somewhere, and none
//! is made or lost.

use std::collections::VecDeque;

/// Pieces that a belt holds, at most; a longer belt is no belt of a cell.
pub(crate) const PIECES_MAX: usize = 64;

/// A conveyor. Pieces keep their distance: one that stands holds up those behind it (they slip on the belt).
#[derive(Clone, Debug, PartialEq)]
pub struct Belt {
    length_m: f64,
    pitch_m: f64,
    ramp_m_s2: f64,
    speed_m_s: f64,
    /// Where each piece is, the first in front.
    pieces: VecDeque<f64>,
    /// Metres that the belt has run.
    pub run_m: f64,
}

impl Belt {
    /// An empty belt of `length_m`, on which pieces are at least `pitch_m` apart.
    #[must_use]
    pub const fn new(length_m: f64, pitch_m: f64) -> Self {
        Belt { length_m, pitch_m, ramp_m_s2: 0.4, speed_m_s: 0.0, pieces: VecDeque::new(), run_m: 0.0 }
    }

    /// Runs towards `wanted_m_s` for `dt` seconds.
    pub fn step(&mut self, wanted_m_s: f64, dt: f64) {
        let reach = self.ramp_m_s2 * dt;
        self.speed_m_s += (wanted_m_s.max(0.0) - self.speed_m_s).clamp(-reach, reach);
        let way = self.speed_m_s * dt;
        self.run_m += way;
        let mut limit = self.length_m;
        for piece in &mut self.pieces {
            *piece = (*piece + way).min(limit).max(*piece);
            limit = *piece - self.pitch_m;
        }
    }

    /// Stops at once, as behind an emergency stop.
    pub const fn stop(&mut self) {
        self.speed_m_s = 0.0;
    }

    /// Puts a piece on its beginning; `false` when there is no room.
    pub fn put(&mut self) -> bool {
        let free =
            self.pieces.back().is_none_or(|last| *last >= self.pitch_m) && self.pieces.len() < PIECES_MAX;
        if free {
            self.pieces.push_back(0.0);
        }
        free
    }

    /// Takes the piece at its end; `false` when none has got there.
    pub fn take(&mut self) -> bool {
        let there = self.has_piece_at_end();
        if there {
            self.pieces.pop_front();
        }
        there
    }

    /// What the light barrier at the end sees.
    #[must_use]
    pub fn has_piece_at_end(&self) -> bool {
        self.pieces.front().is_some_and(|first| *first >= self.length_m - 1e-9)
    }

    /// What the light barrier at the beginning sees.
    #[must_use]
    pub fn has_piece_at_start(&self) -> bool {
        self.pieces.back().is_some_and(|last| *last < self.pitch_m)
    }

    /// How many pieces are on it.
    #[must_use]
    pub fn count(&self) -> usize {
        self.pieces.len()
    }

    /// Where the pieces are, in metres from the beginning, the first in front.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = f64> + '_ {
        self.pieces.iter().copied()
    }

    /// How fast it runs.
    #[must_use]
    pub const fn speed_m_s(&self) -> f64 {
        self.speed_m_s
    }
}

/// What a robot is doing. The numbers are those that its register shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RobotState {
    /// Waits for a piece.
    Idle,
    /// Has taken a piece and works on it.
    Working,
    /// Holds a finished piece, for which there is no room.
    Blocked,
    /// Stopped: the guard is open, or it was switched off. What it holds it keeps.
    Stopped,
}

impl RobotState {
    /// 0 idle, 1 working, 2 blocked, 3 stopped.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            RobotState::Idle => 0,
            RobotState::Working => 1,
            RobotState::Blocked => 2,
            RobotState::Stopped => 3,
        }
    }
}

/// A robot cell: takes a piece, works on it for its cycle, puts it down.
#[derive(Clone, Debug, PartialEq)]
pub struct Robot {
    cycle_s: f64,
    /// Seconds that are left of the cycle, while it holds a piece.
    left_s: Option<f64>,
    state: RobotState,
    /// Pieces finished.
    pub finished: u64,
    /// Seconds of the last whole cycle.
    pub last_cycle_s: f64,
    began_s: f64,
}

impl Robot {
    /// One that needs `cycle_s` for a piece at full speed.
    #[must_use]
    pub const fn new(cycle_s: f64) -> Self {
        Robot { cycle_s, left_s: None, state: RobotState::Idle, finished: 0, last_cycle_s: 0.0, began_s: 0.0 }
    }

    /// Works at `speed` (0 to 1) for `dt` seconds between two belts, where it `may_move`.
    pub fn step(&mut self, may_move: bool, speed: f64, from: &mut Belt, to: &mut Belt, dt: f64) {
        self.began_s += dt;
        if !may_move {
            self.state = RobotState::Stopped;
            return;
        }
        if self.left_s.is_none() && from.take() {
            self.left_s = Some(self.cycle_s);
            self.began_s = 0.0;
        }
        self.state = match self.left_s {
            None => RobotState::Idle,
            Some(left) => {
                let left = left - dt * speed.clamp(0.0, 1.0);
                self.left_s = Some(left.max(0.0));
                if left > 0.0 {
                    RobotState::Working
                } else if to.put() {
                    self.left_s = None;
                    self.finished += 1;
                    self.last_cycle_s = self.began_s;
                    RobotState::Idle
                } else {
                    RobotState::Blocked
                }
            }
        };
    }

    /// What it is doing.
    #[must_use]
    pub const fn state(&self) -> RobotState {
        self.state
    }

    /// Whether there is a piece in it.
    #[must_use]
    pub const fn holds_piece(&self) -> bool {
        self.left_s.is_some()
    }
}
