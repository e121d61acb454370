//! The plants that come with port502.

mod assembly;
mod building;
mod heating;
mod pipeline;
mod power;
mod water;

use crate::process::Process;

/// A plant: its process, and the site file that says which devices show it.
#[derive(Clone, Copy, Debug)]
pub struct Plant {
    /// As `port502 demo` takes it.
    pub name: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// The site file: TOML.
    pub site: &'static str,
    /// What one may try: a tag, what to write to it, and what comes of it.
    pub tries: &'static [(&'static str, f64, &'static str)],
    /// What an attacker would write, as [`writes`](crate::drill::writes) reads it: the most harmful first.
    pub drill_list: &'static str,
    process: fn(u64) -> Process,
}

impl Plant {
    /// Its process from the beginning; the same seed brings the same course of things.
    #[must_use]
    pub fn process(&self, seed: u64) -> Process {
        (self.process)(seed)
    }
}

/// All of them.
pub const PLANTS: [Plant; 6] = [
    Plant {
        name: "water",
        title: "a water works",
        site: include_str!("../../../../sites/waterworks.toml"),
        tries: &[
            (
                "tank.outlet_sp",
                0.0,
                "shut the tank's outlet: the town runs dry, the level rises, a float trips the pump",
            ),
            ("booster.pressure_sp", 4.0, "let the town have less pressure"),
            ("filter.state", 2.0, "wash the filter: nothing comes into the tank meanwhile"),
        ],
        drill_list: include_str!("../drill/water.json"),
        process: Process::new::<water::Waterworks>,
    },
    Plant {
        name: "heating",
        title: "a district heating station",
        site: include_str!("../../../../sites/heating.toml"),
        tries: &[
            ("pump.run", 0.0, "stop the network pump: the boiler runs up to its limiter"),
            ("substation.room_sp", 17.0, "let the houses cool down"),
            ("boiler.run", 0.0, "put the burner out"),
        ],
        drill_list: include_str!("../drill/heating.json"),
        process: Process::new::<heating::Heating>,
    },
    Plant {
        name: "power",
        title: "a power feeder",
        site: include_str!("../../../../sites/power.toml"),
        tries: &[
            ("feeder1.pickup", 100.0, "set the relay below the load: the village goes dark"),
            ("pv.limit", 30.0, "turn the sun down"),
            ("feeder2.close", 0.0, "open the saw-mill's breaker"),
        ],
        drill_list: include_str!("../drill/power.json"),
        process: Process::new::<power::Power>,
    },
    Plant {
        name: "assembly",
        title: "an assembly line",
        site: include_str!("../../../../sites/assembly.toml"),
        tries: &[
            ("outfeed.run", 0.0, "stop the outfeed belt: the line backs up"),
            ("infeed.speed_sp", 0.4, "run the infeed faster"),
            ("safety.stop", 1.0, "press the emergency stop"),
        ],
        drill_list: include_str!("../drill/assembly.json"),
        process: Process::new::<assembly::Assembly>,
    },
    Plant {
        name: "building",
        title: "a building",
        site: include_str!("../../../../sites/building.toml"),
        tries: &[
            ("ahu.damper_sp", 0.0, "shut the damper: the air of the rooms goes bad"),
            ("ahu.supply_sp", 18.0, "cooler air"),
            ("office.light", 0.0, "light off"),
        ],
        drill_list: include_str!("../drill/building.json"),
        process: Process::new::<building::Building>,
    },
    Plant {
        name: "pipeline",
        title: "a pipeline",
        site: include_str!("../../../../sites/pipeline.toml"),
        tries: &[
            ("valve2.open", 0.0, "shut a block valve: the pressure rises until the station trips"),
            ("station.speed_sp", 35.0, "pump less"),
            ("terminal.pressure_sp", 10.0, "hold more pressure at the terminal"),
        ],
        drill_list: include_str!("../drill/pipeline.json"),
        process: Process::new::<pipeline::Pipeline>,
    },
];

/// The plant of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Plant> {
    PLANTS.iter().find(|plant| plant.name == name)
}
