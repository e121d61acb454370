//! The site file: one description of a plant, from which everything else is compiled.
//!
//! ```
//! use port502_site::site::{Profiles, Site, SourceFile};
//!
//! let text = r#"
//! [site]
//! name = "Northfield water works"
//!
//! [device.intake]
//! connect = "tcp://10.20.1.11"
//!
//! [device.intake.tag.level]
//! at = "holding:100"
//! type = "f32:cdab"
//! unit = "m"
//! "#;
//! let files = [SourceFile { name: "site.toml", text }];
//! let site = Site::parse(&files, &Profiles::none()).expect("a good site");
//! let level = site.find("intake.level").expect("it has this tag");
//! assert_eq!(site.tag(level).point.to_string(), "holding:100:f32:cdab");
//! ```
//!
//! A [`Site`] cannot be wrong: what refers to something refers to something that is there, limits lie within what a
//! type holds, and what may be written does not overlap. A text that does not make one is refused with everything that
//! is wrong with it ([`SiteErrors`]), each with its place, and [`render`] shows them as people want to see them.

pub mod about;
pub mod expression;
pub mod fault;
mod fields;
pub mod keys;
mod limits;
mod parse;
mod profile;
pub mod reading;
pub mod render;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use port502_inspect::policy::{self, Mode, Rate, Refusal, TimeWindow};
use port502_inspect::{Network, policy::Operation};
use port502_session::Target;
use port502_wire::UnitId;
use port502_wire::value::ValueType;

use crate::Point;
pub use about::About;
pub use expression::Expression;
pub use fault::{Fault, Place, SiteError, SiteErrors};
pub use profile::{Profile, Profiles};
pub use reading::Reading;

/// One file of a site.
#[derive(Clone, Copy, Debug)]
pub struct SourceFile<'t> {
    /// What messages call it.
    pub name: &'t str,
    /// What stands in it.
    pub text: &'t str,
}

/// Declares an index into one of the lists of a [`Site`].
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(u32);

        impl $name {
            pub(crate) fn new(index: usize) -> Self {
                $name(u32::try_from(index).unwrap_or(u32::MAX))
            }

            /// Its place in the list, from 0.
            #[must_use]
            pub fn index(self) -> usize {
                usize::try_from(self.0).unwrap_or(usize::MAX)
            }
        }
    )*};
}

ids! {
    /// A zone: of [`Site::zones`].
    ZoneId;
    /// A role: of [`Site::roles`].
    RoleId;
    /// A scan class: of [`Site::scans`].
    ScanId;
    /// A lane: of [`Site::lanes`].
    LaneId;
    /// A device: of [`Site::devices`].
    DeviceId;
    /// A tag of a device: of [`Site::tags`].
    TagId;
    /// A computed tag: of [`Site::computed`].
    ComputedId;
}

/// A tag of either kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SignalId {
    /// Of a device.
    Tag(TagId),
    /// Computed.
    Computed(ComputedId),
}

/// A plant, as its file describes it.
#[derive(Debug)]
pub struct Site {
    name: String,
    description: Option<String>,
    timezone: String,
    poller: Option<ZoneId>,
    zones: Vec<Zone>,
    roles: Vec<Role>,
    scans: Vec<ScanClass>,
    lanes: Vec<Lane>,
    devices: Vec<Device>,
    tags: Vec<Tag>,
    computed: Vec<Computed>,
    conduits: Vec<Conduit>,
    history: Option<History>,
    outlets: Vec<Outlet>,
    device_names: HashMap<Box<str>, DeviceId>,
}

/// Who is where (IEC 62443-3-2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    /// What it is called.
    pub name: String,
    /// Its addresses; no other zone has one of them.
    pub networks: Vec<Network>,
    /// What its clients act as when they show no certificate.
    pub roles: Vec<RoleId>,
    /// For people.
    pub description: Option<String>,
}

/// What people may do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Role {
    /// What it is called.
    pub name: String,
    /// What they may.
    pub may: Vec<Permission>,
    /// In which areas; none means in all.
    pub areas: Vec<String>,
    /// For people.
    pub description: Option<String>,
}

/// One thing that a role may do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Permission {
    /// Acknowledge alarms.
    Acknowledge,
    /// Put alarms aside.
    Shelve {
        /// For how long at most.
        max: Option<Duration>,
    },
    /// Write tags whose `write.roles` name the role.
    Write,
    /// Change the site file and the users.
    Configure,
}

/// How often tags are read.
#[derive(Clone, PartialEq, Debug)]
pub struct ScanClass {
    /// What it is called.
    pub name: String,
    /// From one reading to the next.
    pub every: Duration,
    /// Which changes are none.
    pub deadband: Deadband,
    /// A sample is stored after so long, whatever it is.
    pub max_silence: Option<Duration>,
}

/// A change that is smaller than this is none.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Deadband {
    /// In engineering units, not negative.
    Absolute(f64),
    /// Of the tag's range, 0 to 100.
    Percent(f64),
}

/// A bus, a gateway or a single device: what is asked on it is asked one after the other.
#[derive(Clone, PartialEq, Debug)]
pub struct Lane {
    /// The link's name, or the device's that has it to itself.
    pub name: String,
    /// Where it is reached.
    pub target: Target,
    /// Whether it is one device's own.
    pub own: bool,
    /// How it is asked.
    pub timing: Timing,
    /// For people.
    pub description: Option<String>,
}

/// How a lane is asked.
#[derive(Clone, PartialEq, Debug)]
pub struct Timing {
    /// From an answer to the next request.
    pub gap: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Times that a read is asked again.
    pub retries: u8,
    /// What a request takes beside its bytes.
    pub latency: Duration,
    /// What one byte takes on the slowest part of the way.
    pub byte: Duration,
    /// Requests sent before the first is answered.
    pub in_flight: u16,
    /// From the connection to the first request.
    pub connect_delay: Duration,
    /// Rounds without an answer, after which a device is only asked every `probe`.
    pub demote_after: u16,
    /// From one attempt to the next for a device that does not answer.
    pub probe: Duration,
}

/// One unit on a lane.
#[derive(Clone, PartialEq, Debug)]
pub struct Device {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub lane: LaneId,
    /// Its unit id; no other device of the lane has it.
    pub unit: UnitId,
    /// The profile that it takes tags and quirks from.
    pub profile: Option<String>,
    /// The part of the site.
    pub area: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// What it takes in one request.
    pub limits: DeviceLimits,
    /// So many addresses that nobody needs may be read to save a request; `None`: as the cost says.
    pub fill: Option<u16>,
    /// Addresses that are never read, sorted and apart from each other. No tag touches one.
    pub holes: Vec<policy::Range>,
    /// What is strange about it.
    pub quirks: Quirks,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Times that a read is asked again.
    pub retries: u8,
    tags: Range<u32>,
    /// Its tags by name.
    by_name: Box<[TagId]>,
}

/// What a device takes in one request; all within what the protocol allows, and at least as wide as its widest tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DeviceLimits {
    /// Registers in one read.
    pub read_registers: u16,
    /// Coils or discrete inputs in one read.
    pub read_bits: u16,
    /// Registers in one write.
    pub write_registers: u16,
    /// Coils in one write.
    pub write_bits: u16,
}

/// What is strange about a device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Quirks {
    /// Each value needs a request of its own.
    pub one_per_request: bool,
    /// Reads of bits begin at address 0.
    pub bits_from_zero: bool,
    /// It takes one connection at a time: who connects as well takes it away from the first.
    pub one_client: bool,
}

/// One value of a device.
#[derive(Clone, PartialEq, Debug)]
pub struct Tag {
    /// What it is called within the device.
    pub name: Box<str>,
    /// Whose it is.
    pub device: DeviceId,
    /// Where, and as what it is read: one value, within the device's limits, in no hole.
    pub point: Point,
    /// How often.
    pub scan: ScanId,
    /// The unit of its values.
    pub unit: Option<Arc<str>>,
    /// What the number in the registers is multiplied by: not 0.
    pub scale: f64,
    /// What is added after that.
    pub offset: f64,
    /// What the value can be, in engineering units, the lower first.
    pub range: Option<(f64, f64)>,
    /// What most tags do not have.
    more: Option<Box<TagMore>>,
}

/// What only some tags have.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TagMore {
    /// For people.
    pub description: Option<String>,
    /// The tag of the same device that holds the power of ten.
    pub exponent: Option<TagId>,
    /// Values in the registers that are none.
    pub nan: Vec<i128>,
    /// What numbers mean, by number.
    pub labels: Vec<(i64, String)>,
    /// Whether it only rises.
    pub counter: bool,
    /// Instead of the scan class's.
    pub deadband: Option<Deadband>,
    /// Instead of the scan class's.
    pub max_silence: Option<Duration>,
    /// What the simulator begins with.
    pub initial: Option<Initial>,
    /// Digits behind the point.
    pub precision: Option<u8>,
    /// Instead of the device's.
    pub area: Option<String>,
    /// In the order of the file.
    pub alarms: Vec<Alarm>,
    /// Who may write it; `None`: nobody.
    pub write: Option<Write>,
}

/// What a simulated tag begins with.
#[derive(Clone, PartialEq, Debug)]
pub enum Initial {
    /// In engineering units.
    Number(f64),
    /// Of a bit.
    Bool(bool),
    /// Of a text.
    Text(String),
}

/// Who may write a tag, and within what limits.
#[derive(Clone, PartialEq, Debug)]
pub struct Write {
    /// At least one.
    pub roles: Vec<RoleId>,
    /// In engineering units.
    pub limits: WriteLimits,
    /// The same as it stands in the registers.
    pub raw: policy::Envelope,
    /// How far one write may move it, in engineering units, above 0.
    pub max_step: Option<f64>,
    /// How often.
    pub rate: Option<Rate>,
    /// What has to be so before.
    pub after: Option<After>,
    /// Where the device shows that it took the value.
    pub readback: Option<Point>,
    /// How soon it has to.
    pub within: Duration,
    /// Whether people are asked before it is sent.
    pub confirm: bool,
}

/// Which values may be written.
#[derive(Clone, PartialEq, Debug)]
pub enum WriteLimits {
    /// A bit or a text: any.
    Any,
    /// Both ends included.
    Between {
        /// The smallest.
        min: f64,
        /// The largest, not below the smallest.
        max: f64,
    },
    /// These, sorted.
    OneOf(Vec<f64>),
}

/// What has to be so before a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct After {
    /// What is looked at.
    pub tag: TagId,
    /// What it has to be, as it stands in the registers.
    pub is: i64,
    /// How long ago it may have become so at most.
    pub within: Option<Duration>,
}

/// A value made of others.
#[derive(Clone, PartialEq, Debug)]
pub struct Computed {
    /// What it is called.
    pub name: String,
    /// How it is made. Computed tags that it uses do not use it.
    pub expression: Expression,
    /// The unit of its values.
    pub unit: Option<Arc<str>>,
    /// For people.
    pub description: Option<String>,
    /// What the value can be, the lower first.
    pub range: Option<(f64, f64)>,
    /// Which changes are none.
    pub deadband: Option<Deadband>,
    /// A sample is stored after so long, whatever it is.
    pub max_silence: Option<Duration>,
    /// Digits behind the point.
    pub precision: Option<u8>,
    /// The part of the site.
    pub area: Option<String>,
    /// In the order of the file.
    pub alarms: Vec<Alarm>,
}

/// One condition of a tag, and what people need to know when it holds (ISA-18.2).
#[derive(Clone, PartialEq, Debug)]
pub struct Alarm {
    /// What it is called within the tag.
    pub name: String,
    /// When it is active.
    pub condition: Condition,
    /// So far the value has to come back before it clears; not negative.
    pub deadband: f64,
    /// So long the condition holds before it is active.
    pub delay: Duration,
    /// So long the condition is gone before it clears.
    pub off_delay: Duration,
    /// 1 is the highest, 4 the lowest.
    pub priority: u8,
    /// It stays active until somebody resets it.
    pub latched: bool,
    /// Suppressed while this is not 0.
    pub unless: Option<Expression>,
    /// A group of alarms.
    pub class: Option<String>,
    /// What happens if nobody acts.
    pub consequence: Option<String>,
    /// What the operator does.
    pub action: Option<String>,
}

/// When an alarm is active. Numbers are in engineering units.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Condition {
    /// Above this: `high`, `hihi`.
    Above(f64),
    /// Below this: `low`, `lolo`.
    Below(f64),
    /// This number, as it stands in the registers, or this state of a bit.
    Is(i64),
    /// It rises by this much in this time.
    Rises {
        /// Above 0.
        by: f64,
        /// Above 0.
        per: Duration,
    },
    /// It falls by this much in this time.
    Falls {
        /// Above 0.
        by: f64,
        /// Above 0.
        per: Duration,
    },
    /// It is further than this from another.
    Deviates {
        /// Above 0.
        by: f64,
        /// The other.
        from: SignalId,
    },
}

/// Where the guard stands, and what it lets through.
#[derive(Clone, PartialEq, Debug)]
pub struct Conduit {
    /// What it is called.
    pub name: String,
    /// Where it listens; at least one, tcp or tls.
    pub listen: Vec<Target>,
    /// What is behind it: devices of one lane, at least one.
    pub devices: Vec<DeviceId>,
    /// Their lane.
    pub lane: LaneId,
    /// What passes.
    pub allow: Vec<Rule>,
    /// What does not, before `allow` is looked at.
    pub deny: Vec<Rule>,
    /// What becomes of what is refused.
    pub mode: Mode,
    /// What a refusal looks like.
    pub refusal: Refusal,
    /// Whether all clients share one connection to the device, whatever it takes.
    pub share: bool,
    /// How many clients, and how fast they are.
    pub limits: policy::Limits,
    /// For tls.
    pub tls: Option<TlsFiles>,
    /// For people.
    pub description: Option<String>,
}

/// Where certificates are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// The certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
    /// Who signs the certificates of clients; `None`: clients show none.
    pub ca: Option<String>,
}

/// A rule of a conduit, as it is written; [`policy`](crate::compile::policy) makes those of the guard from it.
#[derive(Clone, PartialEq, Debug)]
pub struct Rule {
    /// What reports call it.
    pub name: Option<String>,
    /// Who asks, by zone.
    pub zones: Vec<ZoneId>,
    /// Who asks, by address.
    pub networks: Vec<Network>,
    /// Who asks, by role.
    pub roles: Vec<RoleId>,
    /// Who asks, by certificate.
    pub subjects: Vec<String>,
    /// Of whom, sorted; none means all that are behind the conduit.
    pub units: Vec<(u8, u8)>,
    /// What for.
    pub grant: Grant,
    /// When.
    pub times: Vec<TimeWindow>,
    /// How often.
    pub requests: Option<Rate>,
    /// Instead of the conduit's.
    pub mode: Option<Mode>,
    /// Instead of the conduit's.
    pub refusal: Option<Refusal>,
}

impl Rule {
    /// What the tags need, for everybody, always.
    #[must_use]
    pub const fn derived() -> Self {
        Rule {
            name: None,
            zones: Vec::new(),
            networks: Vec::new(),
            roles: Vec::new(),
            subjects: Vec::new(),
            units: Vec::new(),
            grant: Grant::Derived,
            times: Vec::new(),
            requests: None,
            mode: None,
            refusal: None,
        }
    }
}

/// What a rule is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Grant {
    /// What the tags need, no more.
    Derived,
    /// What is listed.
    Listed {
        /// Which functions; none means any.
        functions: Vec<Operation>,
        /// Where; none means anywhere.
        places: Vec<policy::Range>,
        /// The values of each register that is written.
        values: Option<(u16, u16)>,
    },
}

/// What is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct History {
    /// For how long.
    pub keep: Duration,
    /// Where; `None`: beside the site file.
    pub dir: Option<String>,
    /// So much may be lost when the power fails.
    pub fsync: Duration,
}

/// Where samples go besides the history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outlet {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub kind: OutletKind,
    /// Where it is.
    pub url: String,
    /// Which tags, with `*`; none means all.
    pub tags: Vec<String>,
    /// A file with the credentials.
    pub creds: Option<String>,
    /// Who signs the server's certificate.
    pub ca: Option<String>,
    /// For people.
    pub description: Option<String>,
}

/// What an outlet is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OutletKind {
    /// NATS JetStream.
    Nats,
    /// MQTT with Sparkplug B.
    Mqtt,
    /// PostgreSQL.
    Postgres,
    /// An OPC UA server.
    OpcUa,
    /// Metrics over HTTP.
    Prometheus,
}

impl OutletKind {
    /// Each with its key.
    pub const ALL: [(&'static str, OutletKind); 5] = [
        ("nats", OutletKind::Nats),
        ("mqtt", OutletKind::Mqtt),
        ("postgres", OutletKind::Postgres),
        ("opcua", OutletKind::OpcUa),
        ("prometheus", OutletKind::Prometheus),
    ];
}

impl Site {
    /// Reads a site: one file, or several that are one site together. Nothing is read from disk; `profiles` finds
    /// the profiles that devices name.
    ///
    /// # Errors
    /// All that is wrong, by file and place.
    pub fn parse(files: &[SourceFile<'_>], profiles: &Profiles) -> Result<Self, SiteErrors> {
        parse::parse(files, profiles)
    }

    /// What people call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// For people.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The IANA name of its time zone.
    #[must_use]
    pub fn timezone(&self) -> &str {
        &self.timezone
    }

    /// Where this program runs.
    #[must_use]
    pub fn poller(&self) -> Option<&Zone> {
        self.zones.get(self.poller?.index())
    }

    /// The zones, in the order of the file, as everything else here.
    #[must_use]
    pub fn zones(&self) -> &[Zone] {
        &self.zones
    }

    /// The roles.
    #[must_use]
    pub fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// The scan classes.
    #[must_use]
    pub fn scans(&self) -> &[ScanClass] {
        &self.scans
    }

    /// The links, and those that are one device's own.
    #[must_use]
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// The devices.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// The tags of all devices, one device after the other.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// The computed tags.
    #[must_use]
    pub fn computed(&self) -> &[Computed] {
        &self.computed
    }

    /// The conduits.
    #[must_use]
    pub fn conduits(&self) -> &[Conduit] {
        &self.conduits
    }

    /// What is kept.
    #[must_use]
    pub const fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// Where samples go besides.
    #[must_use]
    pub fn outlets(&self) -> &[Outlet] {
        &self.outlets
    }

    /// The lanes with their ids.
    pub fn lane_ids(&self) -> impl Iterator<Item = (LaneId, &Lane)> {
        self.lanes.iter().enumerate().map(|(at, lane)| (LaneId::new(at), lane))
    }

    /// The ids of the scan classes.
    pub fn scan_ids(&self) -> impl Iterator<Item = ScanId> + use<> {
        (0..self.scans.len()).map(ScanId::new)
    }

    /// The devices with their ids.
    pub fn device_ids(&self) -> impl Iterator<Item = (DeviceId, &Device)> {
        self.devices.iter().enumerate().map(|(at, device)| (DeviceId::new(at), device))
    }

    /// The tags with their ids.
    pub fn tag_ids(&self) -> impl Iterator<Item = (TagId, &Tag)> {
        self.tags.iter().enumerate().map(|(at, tag)| (TagId::new(at), tag))
    }

    /// The devices of a lane.
    pub fn devices_of(&self, lane: LaneId) -> impl Iterator<Item = (DeviceId, &Device)> {
        let devices = self.devices.iter().enumerate();
        devices.filter(move |(_, device)| device.lane == lane).map(|(at, device)| (DeviceId::new(at), device))
    }

    /// The tags of a device.
    pub fn tags_of(&self, device: DeviceId) -> impl Iterator<Item = (TagId, &Tag)> {
        let range = self.devices.get(device.index()).map_or(0..0, |device| device.tags.clone());
        range.filter_map(|at| Some((TagId(at), self.tags.get(TagId(at).index())?)))
    }

    /// A device by its name.
    #[must_use]
    pub fn device_named(&self, name: &str) -> Option<DeviceId> {
        self.device_names.get(name).copied()
    }

    /// A tag of a device by its path, `device.tag`.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<TagId> {
        let (device, tag) = path.split_once('.')?;
        find_tag(&self.devices, &self.tags, self.device_named(device)?, tag)
    }

    /// A tag of either kind by its path.
    #[must_use]
    pub fn signal(&self, path: &str) -> Option<SignalId> {
        match path.contains('.') {
            true => self.find(path).map(SignalId::Tag),
            false => {
                let at = self.computed.iter().position(|computed| computed.name == path)?;
                Some(SignalId::Computed(ComputedId::new(at)))
            }
        }
    }

    /// What a tag is called: `device.tag`.
    #[must_use]
    pub fn path(&self, tag: TagId) -> String {
        let tag = self.tag(tag);
        format!("{}.{}", self.device(tag.device).name, tag.name)
    }
}

/// Declares how an id is followed: it comes from the same site, so that there is something. An id of another site has
/// nothing to do here, and gets the first of the list.
macro_rules! follow {
    ($($(#[$doc:meta])* $name:ident($id:ident) -> $type:ident in $list:ident;)*) => {
        impl Site {$(
            $(#[$doc])*
            #[must_use]
            #[allow(clippy::indexing_slicing, reason = "ids are made by the parser, for lists that never change")]
            pub fn $name(&self, id: $id) -> &$type {
                self.$list.get(id.index()).unwrap_or_else(|| &self.$list[0])
            }
        )*}
    };
}

follow! {
    /// A zone.
    zone(ZoneId) -> Zone in zones;
    /// A role.
    role(RoleId) -> Role in roles;
    /// A scan class.
    scan(ScanId) -> ScanClass in scans;
    /// A lane.
    lane(LaneId) -> Lane in lanes;
    /// A device.
    device(DeviceId) -> Device in devices;
    /// A tag.
    tag(TagId) -> Tag in tags;
    /// A computed tag.
    computed_tag(ComputedId) -> Computed in computed;
}

fn find_tag(devices: &[Device], tags: &[Tag], device: DeviceId, name: &str) -> Option<TagId> {
    let device = devices.get(device.index())?;
    let by_name = |id: &TagId| tags.get(id.index()).map_or("", |tag| &*tag.name).cmp(name);
    let at = device.by_name.binary_search_by(by_name).ok()?;
    device.by_name.get(at).copied()
}

impl Device {
    /// How many tags it has.
    #[must_use]
    pub fn tag_count(&self) -> usize {
        self.by_name.len()
    }
}

static PLAIN: TagMore = TagMore {
    description: None,
    exponent: None,
    nan: Vec::new(),
    labels: Vec::new(),
    counter: false,
    deadband: None,
    max_silence: None,
    initial: None,
    precision: None,
    area: None,
    alarms: Vec::new(),
    write: None,
};

impl Tag {
    /// What most tags do not have.
    #[must_use]
    pub fn more(&self) -> &TagMore {
        self.more.as_deref().unwrap_or(&PLAIN)
    }

    /// Its alarms, in the order of the file.
    #[must_use]
    pub fn alarms(&self) -> &[Alarm] {
        &self.more().alarms
    }

    /// Who may write it; `None`: nobody.
    #[must_use]
    pub fn write(&self) -> Option<&Write> {
        self.more().write.as_ref()
    }

    /// Whether its value is a number: neither a bit nor a text.
    #[must_use]
    pub fn is_number(&self) -> bool {
        is_number(self.point.value_type())
    }

    /// The value in engineering units of a number in the registers.
    #[must_use]
    pub fn scaled(&self, raw: f64) -> f64 {
        raw * self.scale + self.offset
    }
}

fn is_number(value_type: ValueType) -> bool {
    !matches!(value_type, ValueType::Bool | ValueType::Bit(_) | ValueType::Text(_))
}

impl Deadband {
    /// In engineering units, for a tag with this range; a percentage of no range is 0.
    #[must_use]
    pub fn absolute(self, range: Option<(f64, f64)>) -> f64 {
        match (self, range) {
            (Deadband::Absolute(band), _) => band,
            (Deadband::Percent(percent), Some((low, high))) => (high - low) * percent / 100.0,
            (Deadband::Percent(_), None) => 0.0,
        }
    }
}

impl fmt::Display for Deadband {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deadband::Absolute(band) => band.fmt(f),
            Deadband::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl fmt::Display for Permission {
    /// As it is written: `shelve<=8h`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Permission::Acknowledge => f.write_str("ack"),
            Permission::Shelve { max: None } => f.write_str("shelve"),
            Permission::Shelve { max: Some(max) } => {
                write!(f, "shelve<={}", port502_session::duration::display(*max))
            }
            Permission::Write => f.write_str("write"),
            Permission::Configure => f.write_str("configure"),
        }
    }
}
