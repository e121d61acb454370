//! What is simulated: lanes, devices and their tags, with where each tag stands in the registers.

use port502_site::register_map::Block;
use port502_site::site::Initial;
use port502_site::{Cells, Point, Site, compile, site};
use port502_wire::UnitId;

/// A value of a device, and where its registers are.
#[derive(Clone, PartialEq, Debug)]
pub struct Tag {
    /// As in the site file, without the device.
    pub name: String,
    /// Where, as what, one value.
    pub point: Point,
    /// What the number in the registers is multiplied by; never 0.
    pub scale: f64,
    /// What is added after that.
    pub offset: f64,
    /// What it is measured in.
    pub unit: Option<String>,
    /// What it can be, in its unit, the lower first.
    pub range: Option<(f64, f64)>,
    /// Whether clients can write it.
    pub writable: bool,
    /// Whether it only rises.
    pub counter: bool,
    /// What it begins with, where no process says so.
    pub initial: Option<f64>,
    /// What a text says.
    pub text: Option<String>,
    /// Where the device shows what it took.
    pub readback: Option<Point>,
}

impl Tag {
    /// One that is only read, as it stands in the registers.
    #[must_use]
    pub fn new(name: impl Into<String>, point: Point) -> Self {
        Tag {
            name: name.into(),
            point,
            scale: 1.0,
            offset: 0.0,
            unit: None,
            range: None,
            writable: false,
            counter: false,
            initial: None,
            text: None,
            readback: None,
        }
    }
}

/// A simulated device.
#[derive(Clone, PartialEq, Debug)]
pub struct Device {
    /// As in the site file.
    pub name: String,
    /// Its lane, by its place in [`Map::lanes`].
    pub lane: usize,
    /// Under which it answers.
    pub unit: UnitId,
    /// What it says of itself (function 43/14, object 4).
    pub description: Option<String>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its addresses, and what they hold at first; others are refused.
    pub blocks: Vec<Block>,
}

impl Device {
    /// One that has the addresses of its tags and no others, zeros at first.
    #[must_use]
    pub fn new(name: impl Into<String>, lane: usize, unit: UnitId, tags: Vec<Tag>) -> Self {
        let points = tags.iter().flat_map(|tag| std::iter::once(tag.point).chain(tag.readback));
        let block = |point: Point| Block {
            table: point.table(),
            start: point.address(),
            cells: Cells::zeros(&point),
        };
        let blocks = points.map(block).collect();
        Device { name: name.into(), lane, unit, description: None, tags, blocks }
    }
}

/// Everything that is simulated.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Map {
    /// What people call it.
    pub name: String,
    /// What each lane is called.
    pub lanes: Vec<String>,
    /// The devices. Two on one lane have different units.
    pub devices: Vec<Device>,
}

impl Map {
    /// Every device of a site, each with its tags.
    #[must_use]
    pub fn of(site: &Site) -> Self {
        // What the poll plan reads between tags has to be there too.
        let simulator = compile::simulator::simulator(site, &compile::poll::plan(site));
        let devices = simulator.devices.into_iter().map(|simulated| {
            let device = site.device(simulated.device);
            Device {
                name: device.name.clone(),
                lane: simulated.lane.index(),
                unit: simulated.unit,
                description: device.description.clone(),
                tags: site.tags_of(simulated.device).map(|(_, tag)| self::simulated(tag)).collect(),
                blocks: simulated.blocks,
            }
        });
        Map {
            name: site.name().to_owned(),
            lanes: site.lanes().iter().map(|lane| lane.name.clone()).collect(),
            devices: devices.collect(),
        }
    }
}

fn simulated(tag: &site::Tag) -> Tag {
    let more = tag.more();
    let (initial, text) = match &more.initial {
        Some(Initial::Number(number)) => (Some(*number), None),
        Some(Initial::Bool(on)) => (Some(if *on { 1.0 } else { 0.0 }), None),
        Some(Initial::Text(text)) => (None, Some(text.clone())),
        None => (None, None),
    };
    Tag {
        name: tag.name.to_string(),
        point: tag.point,
        scale: tag.scale,
        offset: tag.offset,
        unit: tag.unit.as_deref().map(str::to_owned),
        range: tag.range,
        writable: more.write.is_some(),
        counter: more.counter,
        initial,
        text: text.or_else(|| Some("simulated".to_owned())),
        readback: more.write.as_ref().and_then(|write| write.readback),
    }
}
