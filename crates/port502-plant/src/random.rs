//! Chance that is the same on every machine.
//!
//! Nothing here, and nothing in [`equipment`](crate::equipment), calls a function of the system's mathematical library:
//! those differ in their last bit from one machine to the next, and a plant that is stepped a million times shows it.
//! Addition, multiplication, division and the square root are exact everywhere (IEEE 754), and the rest is made of them.

/// A seeded generator (SplitMix64: one addition and three mixing steps a number, period 2^64).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The same seed brings the same numbers.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Random { state: seed }
    }

    /// A generator for the thing called `name`: what it draws does not depend on which other things there are.
    #[must_use]
    pub fn named(seed: u64, name: &str) -> Self {
        // FNV-1a.
        let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        let mut random = Random::new(seed ^ hash);
        random.next_u64();
        random
    }

    /// All 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Between 0 and 1, never 1.
    pub const fn unit(&mut self) -> f64 {
        // 53 bits are what a float holds.
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Below `limit`; 0 when that is 0.
    pub const fn below(&mut self, limit: u64) -> u64 {
        // The bias of the remainder is below 2^-32 for every limit that is used here.
        if limit == 0 { 0 } else { self.next_u64() % limit }
    }

    /// About normal: mean 0, standard deviation 1, never beyond 3.5. The sum of four even draws, which needs no
    /// logarithm.
    pub fn gauss(&mut self) -> f64 {
        let sum = self.unit() + self.unit() + self.unit() + self.unit();
        // The variance of the sum is 4/12.
        (sum - 2.0) * 1.732_050_807_568_877_2
    }
}

/// A value that wanders about 0 and always comes back: weather, demand, appetite.
#[derive(Clone, Debug, PartialEq)]
pub struct Wander {
    random: Random,
    value: f64,
    /// Seconds after which it has forgotten where it was.
    memory_s: f64,
}

impl Wander {
    /// One that forgets within about `memory_s` seconds.
    #[must_use]
    pub fn new(seed: u64, name: &str, memory_s: f64) -> Self {
        Wander { random: Random::named(seed, name), value: 0.0, memory_s }
    }

    /// Lets `dt` seconds pass. The standard deviation is about 1, and it never passes 3.
    pub fn step(&mut self, dt: f64) -> f64 {
        let share = dt / (self.memory_s + dt);
        self.value += -self.value * share + self.random.gauss() * (2.0 * share).sqrt();
        self.value = self.value.clamp(-3.0, 3.0);
        self.value
    }

    /// Where it is.
    #[must_use]
    pub const fn value(&self) -> f64 {
        self.value
    }
}

/// The sine of so many turns: `wave(0.25)` is 1. Within 0.0001, by a polynomial (see the module).
#[must_use]
pub fn wave(turns: f64) -> f64 {
    let turn = turns - turns.floor();
    // To a quarter of a turn on either side of 0, where the series is short.
    let x = if turn > 0.75 {
        turn - 1.0
    } else if turn > 0.25 {
        0.5 - turn
    } else {
        turn
    };
    let a = x * std::f64::consts::TAU;
    let b = a * a;
    a * (1.0 - b / 6.0 * (1.0 - b / 20.0 * (1.0 - b / 42.0 * (1.0 - b / 72.0))))
}

/// How far a first-order lag with time constant `tau` gets in `dt`: between 0 and 1 for every step, so that it never
/// overshoots (implicit Euler).
#[must_use]
pub fn share(dt: f64, tau: f64) -> f64 {
    if tau <= 0.0 { 1.0 } else { dt / (tau + dt) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_numbers_are_those_of_splitmix64() {
        // From the reference implementation, seed 1234567.
        let mut random = Random::new(1_234_567);
        let got: Vec<u64> = (0..3).map(|_| random.next_u64()).collect();
        assert_eq!(got, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn gauss_has_mean_0_and_deviation_1() {
        let mut random = Random::new(1);
        let all: Vec<f64> = (0..100_000).map(|_| random.gauss()).collect();
        let mean = all.iter().sum::<f64>() / 1e5;
        let variance = all.iter().map(|x| x * x).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        assert!(all.iter().all(|x| x.abs() < 3.5));
    }

    #[test]
    fn a_wave_is_a_sine() {
        for step in -400..400 {
            let turns = f64::from(step) / 100.0;
            let want = (turns * std::f64::consts::TAU).sin();
            assert!((wave(turns) - want).abs() < 1e-4, "{turns}: {} {want}", wave(turns));
        }
    }

    #[test]
    fn names_draw_apart() {
        assert_ne!(Random::named(1, "a.level").next_u64(), Random::named(1, "b.level").next_u64());
        assert_ne!(Random::named(1, "a.level").next_u64(), Random::named(2, "a.level").next_u64());
    }

    #[test]
    fn a_wander_stays() {
        let mut wander = Wander::new(3, "demand", 60.0);
        for _ in 0..100_000 {
            let value = wander.step(0.1);
            assert!((-3.0..=3.0).contains(&value));
        }
    }
}
