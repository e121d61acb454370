//! A long pipe: it packs what is pressed into it, loses pressure by friction, and leaks.

/// Three reaches of pipe between four places where the pressure is known. What goes into a place and not out of it is packed
/// there, and the pressure rises: mass is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// At the pump station, at the two block valves, and at the delivery.
    pressure_bar: [f64; 4],
    /// m3 that a place packs for a bar.
    pack_m3_bar: f64,
    /// bar per (m3/s)^2 of a reach with its valve open.
    friction: f64,
    /// Flow in each reach.
    reach_m3s: [f64; 3],
    /// What leaked since the beginning.
    pub leaked_m3: f64,
}

/// What one step of a line came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LineFlows {
    /// Into the line.
    pub in_m3s: f64,
    /// Out of it at the delivery.
    pub out_m3s: f64,
    /// Out of it at the leak.
    pub leak_m3s: f64,
}

/// Steps are cut so that pressure waves, which are faster than a tenth of a second, stay bounded.
const SUBSTEPS: u32 = 10;

impl Line {
    /// A line at rest under `bar`.
    #[must_use]
    pub const fn new(bar: f64, pack_m3_bar: f64, friction: f64) -> Self {
        Line { pressure_bar: [bar; 4], pack_m3_bar, friction, reach_m3s: [0.0; 3], leaked_m3: 0.0 }
    }

    /// Lets `dt` seconds pass. `pump` gives the flow that is pressed in against a pressure, `take` that which the delivery
    /// takes at a pressure; `valves` are the two block valves, 0 to 1; `leak` is the size of a hole at the second place, in
    /// m3/s for the root of a bar.
    pub fn step(
        &mut self,
        pump: impl Fn(f64) -> f64,
        take: impl Fn(f64) -> f64,
        valves: [f64; 2],
        leak: f64,
        dt: f64,
    ) -> LineFlows {
        let h = dt / f64::from(SUBSTEPS);
        let mut total = LineFlows { in_m3s: 0.0, out_m3s: 0.0, leak_m3s: 0.0 };
        for _ in 0..SUBSTEPS {
            let [p0, p1, p2, p3] = self.pressure_bar;
            let [v1, v2] = valves.map(|valve| valve.clamp(0.0, 1.0));
            let reach = |from: f64, to: f64, valve: f64| {
                let drop: f64 = from - to;
                let flow = (drop.abs() / self.friction).sqrt() * valve;
                // No more than what would bring both ends to one pressure: friction ends a movement, it never turns it.
                let flow = flow.min(drop.abs() * self.pack_m3_bar / (4.0 * h));
                if drop < 0.0 { -flow } else { flow }
            };
            let q = [reach(p0, p1, 1.0), reach(p1, p2, v1), reach(p2, p3, v2)];
            let [q01, q12, q23] = q;
            let into = pump(p0).max(0.0);
            // Nothing leaves a place that would not be there.
            let there = |bar: f64| bar.max(0.0) * self.pack_m3_bar / (2.0 * h);
            let lost = (leak.max(0.0) * p1.max(0.0).sqrt()).min(there(p1));
            let out = take(p3).max(0.0).min(there(p3));
            let pack = |bar: f64, net_m3s: f64| bar + net_m3s * h / self.pack_m3_bar;
            self.pressure_bar =
                [pack(p0, into - q01), pack(p1, q01 - q12 - lost), pack(p2, q12 - q23), pack(p3, q23 - out)];
            self.reach_m3s = q;
            self.leaked_m3 += lost * h;
            let part = 1.0 / f64::from(SUBSTEPS);
            total.in_m3s += into * part;
            total.out_m3s += out * part;
            total.leak_m3s += lost * part;
        }
        total
    }

    /// At the pump station, the two block valves and the delivery.
    #[must_use]
    pub const fn pressure_bar(&self) -> [f64; 4] {
        self.pressure_bar
    }

    /// In each reach, towards the delivery.
    #[must_use]
    pub const fn reach_m3s(&self) -> [f64; 3] {
        self.reach_m3s
    }

    /// What is packed in it more than at no pressure.
    #[must_use]
    pub fn packed_m3(&self) -> f64 {
        self.pressure_bar.iter().sum::<f64>() * self.pack_m3_bar
    }
}

/// Leak detection by mass balance: what went in, less what came out, less what is packed more than before, must be nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    /// Seconds over which it is averaged.
    window_s: f64,
    packed_m3: Option<f64>,
    /// What is missing, averaged.
    pub missing_m3s: f64,
}

impl Balance {
    /// One that averages over about `window_s` seconds.
    #[must_use]
    pub const fn new(window_s: f64) -> Self {
        Balance { window_s, packed_m3: None, missing_m3s: 0.0 }
    }

    /// Lets `dt` seconds pass with what the meters and the pressures say; returns what is missing.
    pub fn step(&mut self, in_m3s: f64, out_m3s: f64, packed_m3: f64, dt: f64) -> f64 {
        if let Some(before) = self.packed_m3
            && dt > 0.0
        {
            let missing = in_m3s - out_m3s - (packed_m3 - before) / dt;
            self.missing_m3s += (missing - self.missing_m3s) * crate::random::share(dt, self.window_s);
        }
        self.packed_m3 = Some(packed_m3);
        self.missing_m3s
    }
}
