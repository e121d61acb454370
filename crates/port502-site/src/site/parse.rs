//! From the trees of the files to a [`Site`], or to all that is wrong with it.
//!
//! In three rounds, because what stands first may refer to what comes later: the names of everything; the places of all
//! tags; and then the rest, with every name known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use port502_inspect::policy::{self, Mode, Operation, Refusal};
use port502_inspect::{Network, network::NetworkError};
use port502_session::target::{Carrier, Framing, Link, Target};
use port502_wire::value::{Order, ValueType};
use port502_wire::{FunctionCode, Table, UnitId};

use super::expression::{Expression, Named as InExpression, RESERVED};
use super::fault::{Fault, Place, Referred, SiteErrors};
use super::fields::{Faults, Field, Fields, Item, Layer, Named, Word};
use super::keys;
use super::profile::Profiles;
use super::{
    After, Alarm, Computed, ComputedId, Condition, Conduit, Deadband, Device, DeviceId, DeviceLimits, Grant,
    History, Initial, Lane, LaneId, Outlet, OutletKind, Permission, Quirks, Role, RoleId, Rule, ScanClass,
    ScanId, SignalId, Site, SourceFile, Tag, TagId, TagMore, Timing, TlsFiles, Write, WriteLimits, Zone,
    ZoneId, find_tag, is_number, limits,
};
use crate::document::{Document, Value, Wrong, WrongToml};
use crate::point::PointFault;
use crate::{Point, nearest};

/// Tags of one site. At 10 tags a second each, one machine polls a tenth of them.
const TAGS_MAX: usize = 4_000_000;

/// Devices of one site.
const DEVICES_MAX: usize = 100_000;

/// The class of tags that name none.
const NORMAL: &str = "normal";

/// Names and where they stand in their list.
struct Names<'a> {
    by_name: HashMap<&'a str, (usize, Place)>,
}

impl<'a> Names<'a> {
    fn new(all: &[Named<'a>]) -> Self {
        let names = all.iter().enumerate();
        // Of one that is there twice the first counts; the second has been told.
        let by_name = names.rev().map(|(at, named)| (named.name, (at, named.fields.place))).collect();
        Names { by_name }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).map(|(at, _)| *at)
    }

    fn nearest(&self, word: &str) -> Option<String> {
        nearest_of(word, self.by_name.keys().copied())
    }
}

fn nearest_of<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<String> {
    // What is far longer or shorter is not worth the comparison, and there may be very many.
    let near = |known: &&str| known.len().abs_diff(word.len()) <= word.len() / 3 + 1;
    nearest(word, known.into_iter().filter(near)).map(str::to_owned)
}

/// What is common to all that is read.
struct Parser<'a> {
    faults: Faults,
    profiles: &'a Profiles,
    zones: Names<'a>,
    roles: Names<'a>,
    scans: Names<'a>,
    links: Names<'a>,
    devices: Names<'a>,
    computed: Names<'a>,
    units: HashMap<&'a str, Arc<str>>,
    types: HashMap<&'a str, (ValueType, Option<Order>)>,
    scan_classes: Vec<ScanClass>,
    normal: ScanId,
    /// Tags that are read back in others, and where that stands.
    readbacks: Vec<(TagId, TagId, Place)>,
}

/// A tag whose place is known, and the rest of which is still to be read.
struct Begun<'a> {
    fields: Fields<'a>,
    /// Its place could not be read: nothing is said about what depends on it.
    broken: bool,
}

/// What references are looked up in.
struct World<'w> {
    devices: &'w [Device],
    tags: &'w [Tag],
    broken: &'w [bool],
    /// Whose tag it is that refers: names without a point are those of its other tags.
    device: Option<DeviceId>,
}

/// What a name refers to.
enum Found {
    Tag(TagId),
    Computed(ComputedId),
    /// A tag that is wrong itself.
    Broken,
    Nothing,
}

/// What a tag is beside its place.
struct Rest {
    scan: ScanId,
    unit: Option<Arc<str>>,
    scale: f64,
    offset: f64,
    range: Option<(f64, f64)>,
    more: Option<Box<TagMore>>,
}

/// Which values a tag can have.
struct Envelope {
    value_type: ValueType,
    scale: f64,
    offset: f64,
    range: Option<(f64, f64)>,
    /// What the type holds, in engineering units.
    holds: Option<(f64, f64)>,
    /// Nothing is known of it.
    broken: bool,
}

/// Where a tag is whose place is wrong; nobody sees it.
const NOWHERE: Point = Point::FIRST_HOLDING;

const ORDERS: [Order; 4] = [
    Order { words_reversed: false, bytes_swapped: false },
    Order { words_reversed: true, bytes_swapped: false },
    Order { words_reversed: false, bytes_swapped: true },
    Order { words_reversed: true, bytes_swapped: true },
];

pub(super) fn parse(files: &[SourceFile<'_>], profiles: &Profiles) -> Result<Site, SiteErrors> {
    let mut faults = Faults::default();
    let documents: Vec<Document<'_>> =
        files.iter().enumerate().map(|(at, file)| read_document(at, file.text, &mut faults)).collect();
    let tops: Vec<Fields<'_>> = documents
        .iter()
        .enumerate()
        .map(|(at, document)| Fields::root(Layer::new(document, file_number(at), None), &keys::TOP))
        .collect();
    let site = read_site(&tops, profiles, &mut faults);
    finish(site, faults)
}

/// The tree of a profile, without what it says of itself; that; and a site with one device that has nothing but it.
pub(super) fn check_profile(
    text: &str,
) -> Result<(Document<'_>, Option<super::about::About>, Site), SiteErrors> {
    const DEVICE: &str = "[site]\nname = \"p\"\n[device.d]\nconnect = \"d\"\n";
    let mut faults = Faults { alone: true, ..Faults::default() };
    let mut profile = read_document(0, text, &mut faults);
    let mut about = super::about::read(&profile, &mut faults);
    let whole = profile.clone();
    profile.forget("about");
    let device = read_document(1, DEVICE, &mut faults);
    let layer = Layer::new(&profile, 0, None);
    let top = Fields::root(Layer::new(&device, 1, None), &keys::TOP);
    let profiles = Profiles::none();
    let site = read_site_with(&[top], &profiles, &mut faults, Some(layer));
    if let (Some(about), Some(site)) = (&mut about, &site) {
        super::about::check(about, site, &whole, &mut faults);
    }
    let site = finish(site, faults)?;
    Ok((profile, about, site))
}

fn file_number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn finish(site: Option<Site>, mut faults: Faults) -> Result<Site, SiteErrors> {
    match site {
        Some(site) if faults.errors.is_empty() => Ok(site),
        _ => {
            faults.errors.sort_by_key(|error| error.place);
            faults.errors.dedup();
            Err(SiteErrors { errors: faults.errors, omitted: faults.omitted })
        }
    }
}

fn read_document<'t>(at: usize, text: &'t str, faults: &mut Faults) -> Document<'t> {
    let file = file_number(at);
    if u32::try_from(text.len()).is_err() {
        faults.tell(Place { file, ..Place::default() }, Fault::FileTooLarge);
        return Document::parse("", 0).0;
    }
    let (document, wrong) = Document::parse(text, super::fault::ERRORS_MAX);
    for Wrong { span, what } in wrong {
        let place = Place { file, span };
        let first = |span| Some(Place { file, span });
        match what {
            WrongToml::Syntax { message } => {
                faults.lenient = true;
                faults.tell(place, Fault::Syntax { message });
            }
            WrongToml::Twice { key, first: span } => {
                faults.tell_both(place, Fault::Twice { key }, first(span))
            }
            WrongToml::Closed { key, first: span } => {
                faults.tell_both(place, Fault::Closed { key }, first(span));
            }
            WrongToml::TooLarge => faults.tell(place, Fault::IntegerTooLarge),
        }
    }
    document
}

fn read_site(tops: &[Fields<'_>], profiles: &Profiles, faults: &mut Faults) -> Option<Site> {
    read_site_with(tops, profiles, faults, None)
}

fn read_site_with<'a>(
    tops: &[Fields<'a>],
    profiles: &'a Profiles,
    faults: &mut Faults,
    profile: Option<Layer<'a>>,
) -> Option<Site> {
    let mut faults_taken = std::mem::take(faults);
    tops.iter().for_each(|top| top.check_keys(&mut faults_taken));
    let mut named = |key, section| faults_taken.named(tops, key, section);
    let zones = named("zone", &keys::ZONE);
    let roles = named("role", &keys::ROLE);
    let scans = named("scan", &keys::SCAN);
    let links = named("link", &keys::LINK);
    let mut devices = named("device", &keys::DEVICE);
    let computed = named("tag", &keys::COMPUTED);
    let guards = named("guard", &keys::GUARD);
    let outlets = named("outlet", &keys::OUTLET);
    if devices.len() > DEVICES_MAX {
        let place = devices.get(DEVICES_MAX).map_or(Place::default(), |device| device.fields.place);
        faults_taken.tell(place, Fault::TooMany { what: "devices", max: DEVICES_MAX });
        devices.truncate(DEVICES_MAX);
    }
    for all in [&zones, &roles, &scans, &links, &computed, &guards, &outlets] {
        all.iter().for_each(|named| named.fields.check_keys(&mut faults_taken));
    }
    let mut parser = Parser {
        faults: faults_taken,
        profiles,
        zones: Names::new(&zones),
        roles: Names::new(&roles),
        scans: Names::new(&scans),
        links: Names::new(&links),
        devices: Names::new(&devices),
        computed: Names::new(&computed),
        units: HashMap::new(),
        types: HashMap::new(),
        scan_classes: Vec::new(),
        normal: ScanId::new(0),
        readbacks: Vec::new(),
    };
    for device in &mut devices {
        let under = profile.or_else(|| parser.profile(&device.fields));
        device.fields = device.fields.over(under);
        device.fields.check_keys(&mut parser.faults);
    }
    let site = parser.site(tops, &zones, &roles, &scans, &links, &devices, &computed, &guards, &outlets);
    *faults = parser.faults;
    site
}

impl<'a> Parser<'a> {
    /// The profile that a device names.
    fn profile(&mut self, device: &Fields<'a>) -> Option<Layer<'a>> {
        let word = self.faults.text(device, "profile")?;
        let Some(profile) = self.profiles.find(word.text) else {
            let nearest = nearest_of(word.text, self.profiles.names());
            self.unknown(word, Referred::Profile, nearest);
            return None;
        };
        Some(Layer::new(profile.document(), word.place.file, Some(word.place)))
    }

    fn unknown(&mut self, word: Word<'_>, what: Referred, nearest: Option<String>) {
        self.faults.tell(word.place, Fault::Unknown { what, word: word.text.to_owned(), nearest });
    }

    #[allow(clippy::too_many_arguments, reason = "one list for each kind of section")]
    fn site(
        &mut self,
        tops: &[Fields<'a>],
        zones: &[Named<'a>],
        roles: &[Named<'a>],
        scans: &[Named<'a>],
        links: &[Named<'a>],
        devices: &[Named<'a>],
        computed: &[Named<'a>],
        guards: &[Named<'a>],
        outlets: &[Named<'a>],
    ) -> Option<Site> {
        let header = self.single(tops, "site", &keys::SITE);
        if header.is_none() {
            let place = tops.first().map_or(Place::default(), |top| top.place);
            let fault = Fault::Missing {
                key: "[site]",
                section: "a site file",
                example: "[site] with name = \"...\"",
            };
            if !tops.iter().any(|top| top.find("site").is_some()) {
                self.faults.tell(place, fault);
            }
        }
        let name = header.and_then(|header| {
            let field = self.faults.need(&header, "name")?;
            self.faults.word(field.as_item(), "a text in quotes")
        });
        let description = header.and_then(|header| self.faults.owned(&header, "description"));
        let timezone = header.and_then(|header| self.timezone(&header));
        let poll = self.single(tops, "poll", &keys::POLL);
        let poller = poll.and_then(|poll| self.faults.text(&poll, "zone")).and_then(|word| self.zone(word));

        let zones: Vec<Option<Zone>> = zones.iter().map(|zone| self.read_zone(zone)).collect();
        self.zones_overlap(&zones);
        let roles: Vec<Option<Role>> = roles.iter().map(|role| self.read_role(role)).collect();
        self.read_scans(scans);
        let mut lanes: Vec<Option<Lane>> = links.iter().map(|link| self.read_link(link)).collect();
        let mut read = self.read_devices(devices, &mut lanes);
        self.check_lanes(devices, links, &lanes, &read);
        let (mut tags, begun) = self.begin_tags(devices, &mut read);
        self.finish_tags(&read, &mut tags, begun);
        let computed = self.read_computed(computed, &read, &tags);
        for (device, named) in read.iter().zip(devices) {
            self.check_writes(device, &tags, named.fields);
        }
        let read_guards: Vec<Option<Conduit>> =
            guards.iter().map(|guard| self.read_guard(guard, &read, &lanes)).collect();
        self.check_listen(guards, &read_guards);
        let history = self.single(tops, "history", &keys::HISTORY).map(|history| self.read_history(&history));
        let outlets: Vec<Option<Outlet>> = outlets.iter().map(|outlet| self.read_outlet(outlet)).collect();

        let device_names = devices
            .iter()
            .enumerate()
            .map(|(at, device)| (Box::from(device.name), DeviceId::new(at)))
            .collect();
        Some(Site {
            name: name?.text.to_owned(),
            description,
            timezone: timezone.unwrap_or_else(|| "UTC".to_owned()),
            poller,
            zones: zones.into_iter().collect::<Option<_>>()?,
            roles: roles.into_iter().collect::<Option<_>>()?,
            scans: std::mem::take(&mut self.scan_classes),
            lanes: lanes.into_iter().collect::<Option<_>>()?,
            devices: read,
            tags,
            computed: computed.into_iter().collect::<Option<_>>()?,
            conduits: read_guards.into_iter().collect::<Option<_>>()?,
            history,
            outlets: outlets.into_iter().collect::<Option<_>>()?,
            device_names,
        })
    }

    /// A section that there is once in all files.
    fn single(
        &mut self,
        tops: &[Fields<'a>],
        key: &'static str,
        section: &'static keys::Section,
    ) -> Option<Fields<'a>> {
        let mut found: Option<(Fields<'a>, Place)> = None;
        for top in tops {
            let Some(field) = top.find(key) else { continue };
            let place = field.key_place();
            match found {
                Some((_, first)) => {
                    self.faults.tell_both(place, Fault::Twice { key: key.to_owned() }, Some(first));
                }
                None => {
                    found = self.faults.table(field, section).map(|mut fields| {
                        fields.place = place;
                        (fields, place)
                    });
                }
            }
        }
        found.map(|(fields, _)| fields)
    }

    fn timezone(&mut self, header: &Fields<'a>) -> Option<String> {
        let word = self.faults.text(header, "timezone")?;
        // The names are the edge's to know; here only what cannot be one is refused.
        let part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
        };
        let good = word.text == "UTC" || (word.text.contains('/') && word.text.split('/').all(part));
        if !good {
            self.faults.tell(word.place, Fault::Timezone { word: word.text.to_owned() });
        }
        good.then(|| word.text.to_owned())
    }

    // ---- who ---------------------------------------------------------------------------------------------------

    fn zone(&mut self, word: Word<'_>) -> Option<ZoneId> {
        let found = self.zones.find(word.text).map(ZoneId::new);
        if found.is_none() {
            let nearest = self.zones.nearest(word.text);
            self.unknown(word, Referred::Zone, nearest);
        }
        found
    }

    fn role_words(&mut self, fields: &Fields<'a>, key: &'static str) -> Vec<RoleId> {
        let words = self.faults.words(fields, key);
        let mut roles = Vec::new();
        for word in words {
            match self.roles.find(word.text) {
                Some(at) => roles.push(RoleId::new(at)),
                None => {
                    let nearest = self.roles.nearest(word.text);
                    self.unknown(word, Referred::Role, nearest);
                }
            }
        }
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    fn network(&mut self, word: Word<'_>) -> Option<Network> {
        match word.text.parse() {
            Ok(network) => Some(network),
            Err(error) => {
                self.faults.tell(word.place, Fault::Network { word: word.text.to_owned(), error });
                None
            }
        }
    }

    fn read_zone(&mut self, zone: &Named<'a>) -> Option<Zone> {
        let fields = &zone.fields;
        let there = self.faults.need(fields, "networks").is_some();
        let words = self.faults.words(fields, "networks");
        let networks: Vec<_> = words.into_iter().filter_map(|word| self.network(word)).collect();
        let roles = self.role_words(fields, "roles");
        let description = self.faults.owned(fields, "description");
        there.then(|| Zone { name: zone.name.to_owned(), networks, roles, description })
    }

    fn zones_overlap(&mut self, zones: &[Option<Zone>]) {
        // By their first address, the widest first: what overlaps then stands behind what it lies in.
        let mut all: Vec<(&Network, usize)> = Vec::new();
        for (at, zone) in zones.iter().enumerate() {
            all.extend(zone.iter().flat_map(|zone| &zone.networks).map(|network| (network, at)));
        }
        all.sort_by_key(|(network, at)| (network.address(), network.prefix(), *at));
        let mut open: Vec<(&Network, usize)> = Vec::new();
        let mut told = Vec::new();
        for (network, at) in all {
            while open.last().is_some_and(|(outer, _)| !outer.overlaps(network)) {
                open.pop();
            }
            if let Some((_, other)) = open.iter().find(|(_, other)| *other != at) {
                told.push((at.max(*other), at.min(*other)));
            }
            open.push((network, at));
        }
        told.sort_unstable();
        told.dedup();
        for (later, first) in told {
            let place = |at: usize| {
                let zone = zones.get(at)?.as_ref()?;
                self.zones.by_name.get(zone.name.as_str()).map(|(_, place)| (zone.name.clone(), *place))
            };
            if let (Some((_, place)), Some((other, other_place))) = (place(later), place(first)) {
                self.faults.tell_both(place, Fault::ZonesOverlap { other }, Some(other_place));
            }
        }
    }

    fn read_role(&mut self, role: &Named<'a>) -> Option<Role> {
        let fields = &role.fields;
        let words = self.faults.words(fields, "may");
        let may = words.into_iter().filter_map(|word| self.permission(word)).collect();
        let areas = self.faults.owned_words(fields, "areas");
        let description = self.faults.owned(fields, "description");
        Some(Role { name: role.name.to_owned(), may, areas, description })
    }

    fn permission(&mut self, word: Word<'a>) -> Option<Permission> {
        if let Some((front, time)) = word.text.split_once("<=")
            && front.trim() == "shelve"
        {
            return match port502_session::duration::parse(time) {
                Ok(max) => Some(Permission::Shelve { max: Some(max) }),
                Err(error) => {
                    let place = word.part(word.text.len() - time.len()..word.text.len());
                    self.faults.tell(place, Fault::Duration { word: time.to_owned(), error });
                    None
                }
            };
        }
        match word.text {
            "ack" => Some(Permission::Acknowledge),
            "shelve" => Some(Permission::Shelve { max: None }),
            "write" => Some(Permission::Write),
            "configure" => Some(Permission::Configure),
            other => {
                let near = nearest(other, ["ack", "shelve", "write", "configure"]);
                self.faults.tell(word.place, Fault::Permission { word: other.to_owned(), nearest: near });
                None
            }
        }
    }

    // ---- how often ---------------------------------------------------------------------------------------------

    fn read_scans(&mut self, scans: &[Named<'a>]) {
        for scan in scans {
            let fields = &scan.fields;
            let (min, max) = (Duration::from_millis(10), Duration::from_secs(86_400));
            self.faults.need(fields, "every");
            let every = self.faults.duration_within(fields, "every", min, max);
            let deadband = self.faults.deadband(fields, "deadband").unwrap_or(Deadband::Absolute(0.0));
            let max_silence = self.faults.duration(fields, "max_silence");
            let name = scan.name.to_owned();
            self.scan_classes.push(ScanClass {
                name,
                every: every.unwrap_or(Duration::from_secs(2)),
                deadband,
                max_silence,
            });
        }
        self.normal = match self.scans.find(NORMAL) {
            Some(at) => ScanId::new(at),
            None => {
                self.scan_classes.push(ScanClass {
                    name: NORMAL.to_owned(),
                    every: Duration::from_secs(2),
                    deadband: Deadband::Absolute(0.0),
                    max_silence: None,
                });
                ScanId::new(self.scan_classes.len() - 1)
            }
        };
    }

    fn scan(&mut self, fields: &Fields<'a>) -> Option<ScanId> {
        let word = self.faults.text(fields, "scan")?;
        let found = self.scans.find(word.text).map(ScanId::new);
        if found.is_none() && word.text == NORMAL {
            return Some(self.normal);
        }
        if found.is_none() {
            let nearest = self.scans.nearest(word.text);
            self.unknown(word, Referred::Scan, nearest);
        }
        found
    }

    // ---- where -------------------------------------------------------------------------------------------------

    fn read_link(&mut self, link: &Named<'a>) -> Option<Lane> {
        let fields = &link.fields;
        let target = self.faults.need(fields, "connect");
        let target = target.and_then(|field| self.connect(field));
        let timing = self.read_timing(fields, target.as_ref());
        let description = self.faults.owned(fields, "description");
        Some(Lane { name: link.name.to_owned(), target: target?, own: false, timing, description })
    }

    fn connect(&mut self, field: Field<'a>) -> Option<Target> {
        let word = self.faults.word(field.as_item(), "a target in quotes, as \"tcp://10.20.1.11:502\"")?;
        self.faults.target(word)
    }

    fn read_timing(&mut self, fields: &Fields<'a>, target: Option<&Target>) -> Timing {
        let bus = target.is_some_and(|target| {
            target.link().carrier() == Carrier::Serial || target.link().framing() != Framing::Mbap
        });
        let hour = Duration::from_secs(3_600);
        let gap = self.faults.duration_within(fields, "gap", Duration::ZERO, hour);
        let timeout = self.faults.duration_within(fields, "timeout", Duration::from_millis(1), hour);
        let retries = self.faults.integer(fields, "retries", 0, 10);
        let latency = self.faults.duration_within(fields, "latency", Duration::ZERO, hour);
        let usual = if bus { Duration::from_millis(5) } else { Duration::from_millis(2) };
        let baud = self.faults.integer::<u32>(fields, "baud", 50, 10_000_000);
        let in_flight = self.faults.integer(fields, "in_flight", 1, 64);
        let connect_delay = self.faults.duration_within(fields, "connect_delay", Duration::ZERO, hour);
        let (demote_after, probe) = self.demotion(fields);
        Timing {
            gap: gap.unwrap_or_default(),
            timeout: timeout.unwrap_or(Duration::from_secs(1)),
            retries: retries.unwrap_or(1),
            latency: latency.unwrap_or(usual),
            byte: byte_time(target, baud, bus),
            in_flight: in_flight.unwrap_or(1),
            connect_delay: connect_delay.unwrap_or_default(),
            demote_after,
            probe,
        }
    }

    fn demotion(&mut self, fields: &Fields<'a>) -> (u16, Duration) {
        let demote = fields.find("demote").and_then(|field| self.faults.table(field, &keys::DEMOTION));
        let after = demote.and_then(|demote| self.faults.integer(&demote, "after", 1, 1_000));
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(86_400));
        let probe = demote.and_then(|demote| self.faults.duration_within(&demote, "probe", min, max));
        (after.unwrap_or(3), probe.unwrap_or(Duration::from_secs(15)))
    }

    fn read_devices(&mut self, devices: &[Named<'a>], lanes: &mut Vec<Option<Lane>>) -> Vec<Device> {
        devices.iter().map(|device| self.read_device(device, lanes)).collect()
    }

    fn read_device(&mut self, device: &Named<'a>, lanes: &mut Vec<Option<Lane>>) -> Device {
        let fields = &device.fields;
        let (link, connect) = (fields.find("link"), fields.find("connect"));
        let mut shared = None;
        let lane = match (link, connect) {
            (Some(_), Some(connect)) => {
                self.faults.tell(connect.key_place(), Fault::LinkAndConnect);
                None
            }
            (None, None) => {
                self.faults.tell(fields.place, Fault::NoLink);
                None
            }
            (Some(link), None) => self.faults.word(link.as_item(), "the name of a link").and_then(|word| {
                let found = self.links.find(word.text);
                if found.is_none() {
                    let nearest = self.links.nearest(word.text);
                    self.unknown(word, Referred::Link, nearest);
                }
                shared = Some(word.text);
                found
            }),
            (None, Some(connect)) => {
                let target = self.connect(connect);
                let timing = self.read_timing(fields, target.as_ref());
                let name = device.name.to_owned();
                lanes.push(target.map(|target| Lane { name, target, own: true, timing, description: None }));
                Some(lanes.len() - 1)
            }
        };
        if let Some(link) = shared {
            for key in keys::LANE_ONLY {
                // What a profile says of it is for devices that are reached alone.
                if let Some(field) = fields.own(key) {
                    let fault = Fault::KeyOfLink { key, link: link.to_owned() };
                    self.faults.tell(field.key_place(), fault);
                }
            }
        }
        let timing = lane.and_then(|at| lanes.get(at)?.as_ref()).map(|lane| lane.timing.clone());
        let hour = Duration::from_secs(3_600);
        // Of a lane of its own they have been read, and told, already.
        let (timeout, retries) = if shared.is_some() {
            (
                self.faults.duration_within(fields, "timeout", Duration::from_millis(1), hour),
                self.faults.integer(fields, "retries", 0, 10),
            )
        } else {
            (None, None)
        };
        let usual_timeout = timing.as_ref().map_or(Duration::from_secs(1), |timing| timing.timeout);
        let usual_retries = timing.as_ref().map_or(1, |timing| timing.retries);
        let unit = self.faults.integer::<u8>(fields, "unit", 0, 255);
        let limits = DeviceLimits {
            read_registers: self.faults.integer(fields, "max_registers", 1, 125).unwrap_or(125),
            read_bits: self.faults.integer(fields, "max_bits", 1, 2_000).unwrap_or(2_000),
            write_registers: self.faults.integer(fields, "max_write_registers", 1, 123).unwrap_or(123),
            write_bits: self.faults.integer(fields, "max_write_bits", 1, 1_968).unwrap_or(1_968),
        };
        Device {
            name: device.name.to_owned(),
            lane: LaneId::new(lane.unwrap_or(usize::MAX)),
            unit: UnitId(unit.unwrap_or(1)),
            profile: self.faults.owned(fields, "profile"),
            area: self.faults.owned(fields, "area"),
            description: self.faults.owned(fields, "description"),
            limits,
            fill: self.faults.integer(fields, "fill", 0, 2_000),
            holes: self.faults.ranges(fields, "holes"),
            quirks: self.quirks(fields),
            timeout: timeout.unwrap_or(usual_timeout),
            retries: retries.unwrap_or(usual_retries),
            tags: 0..0,
            by_name: Box::default(),
        }
    }

    fn quirks(&mut self, fields: &Fields<'a>) -> Quirks {
        const KNOWN: &[&str] = &["one-per-request", "coils-from-zero", "one-client"];
        let mut quirks = Quirks::default();
        for word in self.faults.words(fields, "quirks") {
            match self.faults.choice(word, "a quirk", KNOWN, &[0, 1, 2]) {
                Some(0) => quirks.one_per_request = true,
                Some(1) => quirks.bits_from_zero = true,
                Some(_) => quirks.one_client = true,
                None => {}
            }
        }
        quirks
    }

    /// One device for each unit of a lane, and one lane to each place.
    fn check_lanes(
        &mut self,
        devices: &[Named<'a>],
        links: &[Named<'a>],
        lanes: &[Option<Lane>],
        read: &[Device],
    ) {
        let mut units: HashMap<(LaneId, UnitId), usize> = HashMap::new();
        for (at, (named, device)) in devices.iter().zip(read).enumerate() {
            let Some(lane) = lanes.get(device.lane.index()).and_then(Option::as_ref) else { continue };
            let unit_place = named.fields.find("unit").map_or(named.fields.place, |field| field.place());
            if device.unit.0 == 0 && lane.target.link().framing() != Framing::Mbap {
                self.faults.tell(unit_place, Fault::UnitBroadcast);
            }
            if let Some(first) = units.insert((device.lane, device.unit), at) {
                units.insert((device.lane, device.unit), first);
                let other = devices.get(first);
                let other_place = other
                    .map(|other| other.fields.find("unit").map_or(other.fields.place, |field| field.place()));
                let other = other.map_or("", |other| other.name).to_owned();
                let fault = Fault::UnitTwice { unit: device.unit.0, other, lane: lane.name.clone() };
                self.faults.tell_both(unit_place, fault, other_place);
            }
        }
        let mut targets: HashMap<(bool, &str, u16), usize> = HashMap::new();
        for (at, lane) in lanes.iter().enumerate() {
            let Some(lane) = lane else { continue };
            let udp = lane.target.link().carrier() == Carrier::Udp;
            let key = (udp, lane.target.host(), lane.target.port());
            let Some(first) = targets.get(&key).copied() else {
                targets.insert(key, at);
                continue;
            };
            let Some(other) = lanes.get(first).and_then(Option::as_ref) else { continue };
            let place = |lane: &Lane| {
                let (names, all) = if lane.own { (&self.devices, devices) } else { (&self.links, links) };
                let named = all.get(names.find(&lane.name)?)?;
                named.fields.find("connect").map(|field| field.place())
            };
            if let Some(at) = place(lane) {
                let fault = Fault::TargetTwice { other: other.name.clone(), link: !other.own };
                let other = place(other);
                self.faults.tell_both(at, fault, other);
            }
        }
    }

    // ---- what --------------------------------------------------------------------------------------------------

    /// The places of all tags.
    fn begin_tags(&mut self, devices: &[Named<'a>], read: &mut [Device]) -> (Vec<Tag>, Vec<Begun<'a>>) {
        let count = devices.iter().map(|device| device.fields.size("tag")).sum::<usize>().min(TAGS_MAX);
        let (mut tags, mut all): (Vec<Tag>, Vec<Begun<'a>>) =
            (Vec::with_capacity(count), Vec::with_capacity(count));
        for (at, (named, device)) in devices.iter().zip(read).enumerate() {
            let order = self.device_order(&named.fields);
            let scan = self.scan(&named.fields).unwrap_or(self.normal);
            let shift = self.shift(&named.fields);
            let begun = self.faults.named(&[named.fields], "tag", &keys::TAG);
            let first = tags.len();
            for tag in begun {
                if tags.len() >= TAGS_MAX {
                    self.faults.tell(tag.fields.place, Fault::TooMany { what: "tags", max: TAGS_MAX });
                    break;
                }
                tag.fields.check_keys(&mut self.faults);
                let mut point = self.point(&tag.fields, order);
                if let (Some(found), true) = (point, shift != 0 && tag.fields.own("at").is_none()) {
                    point = self.shifted(found, shift, tag.name, named);
                }
                if let Some(point) = point {
                    self.check_point(&tag.fields, point, device);
                }
                all.push(Begun { fields: tag.fields, broken: point.is_none() });
                tags.push(Tag {
                    name: Box::from(tag.name),
                    device: DeviceId::new(at),
                    point: point.unwrap_or(NOWHERE),
                    scan,
                    unit: None,
                    scale: 1.0,
                    offset: 0.0,
                    range: None,
                    more: None,
                });
            }
            let mut by_name: Vec<TagId> = (first..tags.len()).map(TagId::new).collect();
            by_name.sort_by(|a, b| {
                let name = |id: &TagId| tags.get(id.index()).map(|tag| &tag.name);
                name(a).cmp(&name(b))
            });
            device.by_name = by_name.into_boxed_slice();
            let at = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            device.tags = at(first)..at(tags.len());
        }
        (tags, all)
    }

    /// How much further than in the profile its tags are.
    fn shift(&mut self, fields: &Fields<'a>) -> i32 {
        const MAX: i32 = 0xFFFF;
        let Some(field) = fields.own("shift") else { return 0 };
        if fields.find("profile").is_none() {
            self.faults.tell(field.key_place(), Fault::ShiftOfNothing);
        }
        self.faults.integer(fields, "shift", -MAX, MAX).unwrap_or(0)
    }

    fn shifted(&mut self, point: Point, shift: i32, tag: &str, device: &Named<'a>) -> Option<Point> {
        let address = u16::try_from(i32::from(point.address()) + shift).ok();
        let moved = address.and_then(|address| {
            Point::new(point.table(), address, point.value_type(), point.order(), 1).ok()
        });
        if moved.is_none() {
            let place = device.fields.own("shift").map_or(device.fields.place, |field| field.place());
            self.faults.tell(place, Fault::ShiftedOut { tag: tag.to_owned(), point });
        }
        moved
    }

    fn device_order(&mut self, fields: &Fields<'a>) -> Order {
        const KNOWN: &[&str] = &["abcd", "cdab", "badc", "dcba"];
        let Some(word) = self.faults.text(fields, "order") else { return Order::default() };
        self.faults.choice(word, "a byte order", KNOWN, &ORDERS).unwrap_or_default()
    }

    /// Where a tag is, and as what it is read.
    fn point(&mut self, fields: &Fields<'a>, order: Order) -> Option<Point> {
        let typed = fields.find("type");
        let type_word =
            typed.and_then(|field| self.faults.word(field.as_item(), "a type in quotes, as \"f32\""));
        let at = self.faults.need(fields, "at")?;
        if let Value::Integer(number) = at.value() {
            self.faults.tell(at.place(), Fault::BareNumber { number });
            return None;
        }
        let at = self.faults.word(at.as_item(), "a point in quotes, as \"holding:100\"")?;
        let mut point: Point = match at.text.parse() {
            Ok(point) => point,
            Err(error) => {
                let error: crate::PointError = error;
                self.faults.tell(at.part(error.range.clone()), Fault::Point { error });
                return None;
            }
        };
        let parts = at.text.matches(':').count()
            + usize::from(!at.text.starts_with(|c: char| c.is_ascii_alphabetic()));
        if point.count() != 1 {
            self.faults.tell(at.place, Fault::SeveralValues { count: point.count() });
            return None;
        }
        let mut ordered = parts > 2;
        if let Some(word) = type_word {
            if parts > 1 {
                self.faults.tell(word.place, Fault::TypeTwice);
                return None;
            }
            let (value_type, own) = self.value_type(word, point.table())?;
            ordered = own.is_some();
            let built = Point::new(point.table(), point.address(), value_type, own.unwrap_or_default(), 1);
            point = match built {
                Ok(point) => point,
                Err(_) => {
                    // Of a table that has the type, only the end of the table is in the way.
                    let fault = PointFault::TooFar { fit: 0 };
                    let error =
                        crate::PointError { fault, range: 0..at.text.len(), word: at.text.to_owned() };
                    self.faults.tell(at.part(0..at.text.len()), Fault::Point { error });
                    return None;
                }
            };
        } else if typed.is_some() {
            return None;
        }
        if !ordered && point.value_width() > 1 && !matches!(point.value_type(), ValueType::Text(_)) {
            point = Point::new(point.table(), point.address(), point.value_type(), order, 1).unwrap_or(point);
        }
        Some(point)
    }

    /// `f32` or `f32:cdab`.
    fn value_type(&mut self, word: Word<'a>, table: Table) -> Option<(ValueType, Option<Order>)> {
        if !table.is_bits()
            && let Some(known) = self.types.get(word.text)
        {
            return Some(*known);
        }
        // As a point, so that there is one place that says what a type is.
        let front = format!("{table}:0:");
        match format!("{front}{}", word.text).parse::<Point>() {
            Ok(point) if point.count() == 1 => {
                let found = (point.value_type(), word.text.contains(':').then(|| point.order()));
                if !table.is_bits() {
                    self.types.insert(word.text, found);
                }
                Some(found)
            }
            Ok(point) => {
                self.faults.tell(word.place, Fault::SeveralValues { count: point.count() });
                None
            }
            Err(error) => {
                let (start, end) = (error.range.start, error.range.end);
                let place = word.part(start.saturating_sub(front.len())..end.saturating_sub(front.len()));
                self.faults.tell(place, Fault::Type { error });
                None
            }
        }
    }

    fn check_point(&mut self, fields: &Fields<'a>, point: Point, device: &Device) {
        let place = fields.find("at").map_or(fields.place, |field| field.place());
        let width = point.value_width();
        if !point.table().is_bits() && width > device.limits.read_registers {
            let fault = Fault::TooWide { width, max: device.limits.read_registers, key: "max_registers" };
            self.faults.tell(place, fault);
        }
        let overlaps = |hole: &&policy::Range| {
            hole.table == point.table() && hole.first <= point.last() && hole.last >= point.address()
        };
        if device.quirks.bits_from_zero && point.table().is_bits() {
            let behind = |hole: &policy::Range| hole.table == point.table() && hole.first < point.address();
            if point.address() >= device.limits.read_bits || device.holes.iter().any(behind) {
                self.faults.tell(place, Fault::FromZero { max: device.limits.read_bits });
            }
        }
        if let Some(hole) = device.holes.iter().find(overlaps) {
            self.faults.tell(place, Fault::InHole { hole: *hole });
        }
    }

    /// All that tags are beside their place.
    fn finish_tags(&mut self, devices: &[Device], tags: &mut [Tag], begun: Vec<Begun<'a>>) {
        let broken: Vec<bool> = begun.iter().map(|begun| begun.broken).collect();
        for (at, begun) in begun.into_iter().enumerate() {
            let id = TagId::new(at);
            let Some(tag) = tags.get(at) else { continue };
            let world = World { devices, tags, broken: &broken, device: Some(tag.device) };
            let rest = self.read_rest(&begun.fields, id, tag, begun.broken, &world);
            if let Some(tag) = tags.get_mut(at) {
                tag.scan = rest.scan;
                tag.unit = rest.unit;
                (tag.scale, tag.offset, tag.range) = (rest.scale, rest.offset, rest.range);
                tag.more = rest.more;
            }
        }
        // Only now is it known what unit the others have.
        for (tag, other, place) in std::mem::take(&mut self.readbacks) {
            let unit = |id: TagId| tags.get(id.index()).and_then(|tag| tag.unit.as_deref());
            if let (Some(own), Some(shown)) = (unit(tag), unit(other))
                && own != shown
            {
                let name = tags.get(other.index()).map_or("", |tag| &*tag.name).to_owned();
                let fault = Fault::ReadbackUnit { unit: own.to_owned(), other: shown.to_owned(), tag: name };
                self.faults.tell(place, fault);
            }
        }
    }

    fn read_rest(
        &mut self,
        fields: &Fields<'a>,
        id: TagId,
        tag: &Tag,
        broken: bool,
        world: &World<'_>,
    ) -> Rest {
        let value_type = tag.point.value_type();
        let number = broken || is_number(value_type);
        for key in ["scale", "offset", "exponent", "range", "nan", "counter", "precision"] {
            if !number && let Some(field) = fields.find(key) {
                self.faults.tell(field.key_place(), Fault::NotNumber { key, value_type });
            }
        }
        let scale = self.faults.number(fields, "scale").unwrap_or(1.0);
        if scale == 0.0
            && let Some(field) = fields.find("scale")
        {
            self.faults.tell(field.place(), Fault::ScaleZero);
        }
        let scale = if scale == 0.0 { 1.0 } else { scale };
        let offset = self.faults.number(fields, "offset").unwrap_or(0.0);
        let range = self.faults.low_high(fields, "range");
        let scan = self.scan(fields).unwrap_or(tag.scan);
        let unit = self.unit_of_measure(fields);
        let exponent = self.exponent(fields, world);
        // What a value can be at all, in engineering units; nothing is known of it where the scale is another tag.
        let holds = match fields.find("exponent") {
            Some(_) => None,
            None if broken => None,
            None => limits::of_type(value_type, scale, offset),
        };
        let envelope = Envelope { value_type, scale, offset, range, holds, broken };
        let deadband = self.tag_deadband(fields, range);
        let alarms = self.read_alarms(fields, &envelope, world);
        let write = match fields.find("write") {
            Some(field) => self.read_write(fields, field, id, tag, &envelope, world),
            None => None,
        };
        let more = TagMore {
            description: self.faults.owned(fields, "description"),
            exponent,
            nan: self.nan(fields),
            labels: self.labels(fields, &envelope),
            counter: self.faults.boolean(fields, "counter").unwrap_or(false),
            deadband,
            max_silence: self.faults.duration(fields, "max_silence"),
            initial: self.initial(fields, &envelope),
            precision: self.faults.integer(fields, "precision", 0, 9),
            area: self.faults.owned(fields, "area"),
            alarms,
            write,
        };
        let more = (more != TagMore::default()).then(|| Box::new(more));
        Rest { scan, unit, scale, offset, range, more }
    }

    fn unit_of_measure(&mut self, fields: &Fields<'a>) -> Option<Arc<str>> {
        let word = self.faults.text(fields, "unit")?;
        Some(Arc::clone(self.units.entry(word.text).or_insert_with(|| Arc::from(word.text))))
    }

    fn tag_deadband(&mut self, fields: &Fields<'a>, range: Option<(f64, f64)>) -> Option<Deadband> {
        let deadband = self.faults.deadband(fields, "deadband")?;
        let percent = matches!(deadband, Deadband::Percent(_));
        if let (true, None, Some(field)) = (percent, fields.find("range"), fields.find("deadband")) {
            debug_assert!(range.is_none());
            self.faults.tell(field.place(), Fault::PercentOfNothing);
        }
        Some(deadband)
    }

    fn nan(&mut self, fields: &Fields<'a>) -> Vec<i128> {
        let items = self.faults.items(fields, "nan");
        let integers =
            items.into_iter().filter_map(|item| self.faults.item_integer(item, i64::MIN, i64::MAX));
        integers.map(i128::from).collect()
    }

    fn labels(&mut self, fields: &Fields<'a>, envelope: &Envelope) -> Vec<(i64, String)> {
        let Some(field) = fields.find("labels") else { return Vec::new() };
        if matches!(envelope.value_type, ValueType::Text(_) | ValueType::F32 | ValueType::F64) {
            let fault = Fault::ValueKind { key: "labels", value_type: envelope.value_type, want: "none" };
            self.faults.tell(field.key_place(), fault);
        }
        let mut labels = Vec::new();
        for pair in self.faults.pairs(field) {
            let text = self.faults.word(pair.as_item(), "a text in quotes");
            let number = match pair.key() {
                "true" | "on" => Some(1),
                "false" | "off" => Some(0),
                key => key.parse().ok(),
            };
            if number.is_none() {
                self.faults.tell(pair.key_place(), Fault::Label { word: pair.key().to_owned() });
            }
            if let (Some(number), Some(text)) = (number, text) {
                labels.push((number, text.text.to_owned()));
            }
        }
        labels.sort_by_key(|(number, _)| *number);
        labels
    }

    fn initial(&mut self, fields: &Fields<'a>, envelope: &Envelope) -> Option<Initial> {
        let item = fields.find("initial")?.as_item();
        if envelope.broken {
            return None;
        }
        let value_type = envelope.value_type;
        match (item.value, value_type) {
            (Value::Text(text), ValueType::Text(_)) => Some(Initial::Text(text.to_string())),
            (Value::Boolean(on), ValueType::Bool | ValueType::Bit(_)) => Some(Initial::Bool(on)),
            (Value::Integer(bit @ (0 | 1)), ValueType::Bool | ValueType::Bit(_)) => {
                Some(Initial::Bool(bit == 1))
            }
            (Value::Integer(_) | Value::Float(_), _) if is_number(value_type) => {
                let number = self.faults.item_number(item)?;
                self.within(item.key, number, item.place, envelope);
                Some(Initial::Number(number))
            }
            _ => {
                let want = match value_type {
                    ValueType::Text(_) => "a text in quotes",
                    ValueType::Bool | ValueType::Bit(_) => "true or false",
                    _ => "a number",
                };
                self.faults.tell(item.place, Fault::ValueKind { key: "initial", value_type, want });
                None
            }
        }
    }

    /// Tells a value that the tag cannot have.
    fn within(&mut self, key: &str, value: f64, place: Place, envelope: &Envelope) -> bool {
        // A hair more than that: limits are written in decimals.
        let slip = envelope.scale.abs() * 1e-6;
        if let Some((low, high)) = envelope.holds
            && !(low - slip..=high + slip).contains(&value)
        {
            let (key, value_type, limits) = (key.to_owned(), envelope.value_type, (low, high));
            self.faults.tell(place, Fault::OutOfType { key, value, value_type, limits });
            return false;
        }
        if let Some(range) = envelope.range
            && !(range.0..=range.1).contains(&value)
        {
            self.faults.tell(place, Fault::OutOfRange { key: key.to_owned(), value, range });
            return false;
        }
        true
    }

    // ---- references to tags ------------------------------------------------------------------------------------

    /// A tag by its path; of one without a point, a tag of the same device.
    fn tag_ref(&mut self, word: Word<'_>, world: &World<'_>) -> Option<TagId> {
        match self.lookup(word.text, world) {
            Found::Tag(id) => Some(id),
            Found::Broken => None,
            Found::Computed(_) | Found::Nothing => {
                let nearest = self.nearest_signal(word.text, world, false);
                self.unknown(word, Referred::Tag, nearest);
                None
            }
        }
    }

    fn lookup(&self, path: &str, world: &World<'_>) -> Found {
        let in_device = |device: DeviceId, name: &str| {
            find_tag(world.devices, world.tags, device, name).map(|id| {
                let broken = world.broken.get(id.index()).copied().unwrap_or(true);
                if broken { Found::Broken } else { Found::Tag(id) }
            })
        };
        if let Some((device, tag)) = path.split_once('.') {
            let device = self.devices.find(device).map(DeviceId::new);
            return device.and_then(|device| in_device(device, tag)).unwrap_or(Found::Nothing);
        }
        let sibling = world.device.and_then(|device| in_device(device, path));
        let computed = || self.computed.find(path).map(|at| Found::Computed(ComputedId::new(at)));
        sibling.or_else(computed).unwrap_or(Found::Nothing)
    }

    fn nearest_signal(&self, path: &str, world: &World<'_>, computed: bool) -> Option<String> {
        let names = |device: DeviceId| {
            let device = world.devices.get(device.index());
            let ids = device.map(|device| device.by_name.iter()).into_iter().flatten();
            ids.filter_map(|id| world.tags.get(id.index())).map(|tag| &*tag.name)
        };
        match path.split_once('.') {
            Some((device, tag)) => {
                let near = match self.devices.find(device) {
                    Some(_) => device.to_owned(),
                    None => self.devices.nearest(device)?,
                };
                let id = DeviceId::new(self.devices.find(&near)?);
                let tag = match find_tag(world.devices, world.tags, id, tag) {
                    Some(_) => tag.to_owned(),
                    None => nearest_of(tag, names(id))?,
                };
                Some(format!("{near}.{tag}"))
            }
            None => {
                let sibling = world.device.and_then(|device| nearest_of(path, names(device)));
                sibling.or_else(|| if computed { self.computed.nearest(path) } else { None })
            }
        }
    }

    fn expression(&mut self, word: Word<'_>, world: &World<'_>) -> Option<Expression> {
        let mut find = |name: &str| match self.lookup(name, world) {
            Found::Tag(id) => match world.tags.get(id.index()) {
                Some(tag) if matches!(tag.point.value_type(), ValueType::Text(_)) => InExpression::Text,
                _ => InExpression::Signal(SignalId::Tag(id)),
            },
            Found::Computed(id) => InExpression::Signal(SignalId::Computed(id)),
            Found::Broken => InExpression::Broken,
            Found::Nothing => InExpression::Unknown { nearest: self.nearest_signal(name, world, true) },
        };
        match Expression::parse(word.text, &mut find) {
            Ok(expression) => expression,
            Err(error) => {
                self.faults.tell(word.part(error.range.clone()), Fault::Expression { error });
                None
            }
        }
    }

    fn exponent(&mut self, fields: &Fields<'a>, world: &World<'_>) -> Option<TagId> {
        let word = self.faults.text(fields, "exponent")?;
        let id = self.tag_ref(word, world)?;
        let tag = world.tags.get(id.index())?;
        let integer = matches!(tag.point.value_type(), ValueType::I16 | ValueType::U16);
        if !integer || Some(tag.device) != world.device {
            self.faults.tell(word.place, Fault::Exponent);
        }
        Some(id)
    }

    // ---- alarms ------------------------------------------------------------------------------------------------

    fn read_alarms(&mut self, fields: &Fields<'a>, envelope: &Envelope, world: &World<'_>) -> Vec<Alarm> {
        if fields.find("alarm").is_none() {
            return Vec::new();
        }
        let named = self.faults.named(&[*fields], "alarm", &keys::ALARM);
        let mut alarms: Vec<Alarm> = Vec::new();
        for alarm in &named {
            alarm.fields.check_keys(&mut self.faults);
            alarms.extend(self.read_alarm(alarm, envelope, world));
        }
        self.alarm_order(&named, &alarms);
        alarms
    }

    fn read_alarm(&mut self, alarm: &Named<'a>, envelope: &Envelope, world: &World<'_>) -> Option<Alarm> {
        let fields = &alarm.fields;
        let condition = self.condition(fields, envelope, world);
        let day = Duration::from_secs(86_400);
        let deadband = self.faults.number(fields, "deadband");
        if let (Some(band), Some(field)) = (deadband, fields.find("deadband"))
            && band < 0.0
        {
            self.faults.tell(field.place(), Fault::Deadband { word: band.to_string() });
        }
        let alarm = Alarm {
            name: alarm.name.to_owned(),
            condition: condition.unwrap_or(Condition::Above(0.0)),
            deadband: deadband.unwrap_or(0.0),
            delay: self.faults.duration_within(fields, "delay", Duration::ZERO, day).unwrap_or_default(),
            off_delay: self
                .faults
                .duration_within(fields, "off_delay", Duration::ZERO, day)
                .unwrap_or_default(),
            priority: self.faults.integer(fields, "priority", 1, 4).unwrap_or(3),
            latched: self.faults.boolean(fields, "latched").unwrap_or(false),
            unless: self.faults.text(fields, "unless").and_then(|word| self.expression(word, world)),
            class: self.faults.owned(fields, "class"),
            consequence: self.faults.owned(fields, "consequence"),
            action: self.faults.owned(fields, "action"),
        };
        condition.map(|_| alarm)
    }

    fn condition(
        &mut self,
        fields: &Fields<'a>,
        envelope: &Envelope,
        world: &World<'_>,
    ) -> Option<Condition> {
        const CONDITIONS: [&str; 6] = ["above", "below", "is", "rises", "falls", "deviates"];
        let mut there = CONDITIONS.into_iter().filter_map(|key| Some((key, fields.find(key)?)));
        let Some((key, field)) = there.next() else {
            // A key that is not known was perhaps meant to be one, and has been told.
            if !fields.has_unknown() {
                self.faults.tell(fields.place, Fault::NoCondition);
            }
            return None;
        };
        if let Some((second, field)) = there.next() {
            self.faults.tell(field.key_place(), Fault::TwoConditions { first: key, second });
            return None;
        }
        for (only, with) in [("per", "rises or falls"), ("from", "deviates")] {
            let useful = if only == "per" { matches!(key, "rises" | "falls") } else { key == "deviates" };
            if let (false, Some(field)) = (useful, fields.find(only)) {
                self.faults.tell(field.key_place(), Fault::OnlyWith { key: only, with });
            }
        }
        let value_type = envelope.value_type;
        let fits = match value_type {
            ValueType::Text(_) => false,
            ValueType::Bool | ValueType::Bit(_) => key == "is",
            ValueType::F32 | ValueType::F64 => key != "is",
            _ => true,
        };
        if !fits && !envelope.broken {
            self.faults.tell(field.key_place(), Fault::ConditionOfType { key, value_type });
            return None;
        }
        let per = self.faults.duration_within(
            fields,
            "per",
            Duration::from_millis(100),
            Duration::from_secs(86_400),
        );
        let per = per.unwrap_or(Duration::from_secs(1));
        match key {
            "above" | "below" => {
                let limit = self.faults.number(fields, key)?;
                if !self.within(key, limit, field.place(), envelope) {
                    return None;
                }
                Some(if key == "above" { Condition::Above(limit) } else { Condition::Below(limit) })
            }
            "is" => self.state(field.as_item()).map(Condition::Is),
            "rises" => self.faults.positive(fields, key).map(|by| Condition::Rises { by, per }),
            "falls" => self.faults.positive(fields, key).map(|by| Condition::Falls { by, per }),
            _ => {
                let by = self.faults.positive(fields, key);
                let Some(from) = fields.find("from") else {
                    self.faults
                        .tell(field.key_place(), Fault::OnlyWith { key: "deviates", with: "from = \"TAG\"" });
                    return None;
                };
                let word = self.faults.word(from.as_item(), "the name of a tag")?;
                let from = match self.lookup(word.text, world) {
                    Found::Tag(id) => SignalId::Tag(id),
                    Found::Computed(id) => SignalId::Computed(id),
                    Found::Broken => return None,
                    Found::Nothing => {
                        let nearest = self.nearest_signal(word.text, world, true);
                        self.unknown(word, Referred::Tag, nearest);
                        return None;
                    }
                };
                Some(Condition::Deviates { by: by?, from })
            }
        }
    }

    /// An integer, or a bit as one.
    fn state(&mut self, item: Item<'_>) -> Option<i64> {
        match item.value {
            Value::Boolean(on) => Some(i64::from(on)),
            Value::Integer(integer) => Some(integer),
            _ => {
                self.faults.kind(item, "an integer, true or false");
                None
            }
        }
    }

    /// `hihi` is above `high`, which is above `low`, which is above `lolo`.
    fn alarm_order(&mut self, named: &[Named<'a>], alarms: &[Alarm]) {
        const PAIRS: [(&str, &str); 6] = [
            ("hihi", "high"),
            ("hihi", "hi"),
            ("lolo", "low"),
            ("lolo", "lo"),
            ("high", "low"),
            ("hi", "lo"),
        ];
        let limit = |name: &str| {
            let alarm = alarms.iter().find(|alarm| alarm.name == name)?;
            match alarm.condition {
                Condition::Above(limit) | Condition::Below(limit) => Some(limit),
                _ => None,
            }
        };
        for (outer, inner) in PAIRS {
            let (Some(outer_limit), Some(inner_limit)) = (limit(outer), limit(inner)) else { continue };
            let good =
                if outer.starts_with("hi") { outer_limit > inner_limit } else { outer_limit < inner_limit };
            let place =
                |name: &str| named.iter().find(|named| named.name == name).map(|named| named.fields.place);
            if let (false, Some(at)) = (good, place(outer)) {
                let fault = Fault::AlarmOrder { outer, outer_limit, inner, inner_limit };
                self.faults.tell_both(at, fault, place(inner));
            }
        }
    }

    // ---- writing -----------------------------------------------------------------------------------------------

    fn read_write(
        &mut self,
        tag_fields: &Fields<'a>,
        field: Field<'a>,
        id: TagId,
        tag: &Tag,
        envelope: &Envelope,
        world: &World<'_>,
    ) -> Option<Write> {
        let fields = self.write_fields(tag_fields, field)?;
        let fields = &fields;
        let table = tag.point.table();
        if !table.is_writable() && !envelope.broken {
            self.faults.tell(field.key_place(), Fault::NotWritable { table });
        }
        let device = world.devices.get(tag.device.index());
        let max = device.map_or(123, |device| device.limits.write_registers);
        if table == Table::HoldingRegisters && tag.point.value_width() > max {
            let fault = Fault::TooWide { width: tag.point.value_width(), max, key: "max_write_registers" };
            self.faults.tell(field.key_place(), fault);
        }
        if let Some(exponent) = tag_fields.find("exponent") {
            self.faults.tell(exponent.key_place(), Fault::WriteOfExponent);
        }
        self.faults.need(fields, "roles");
        let roles = self.role_words(fields, "roles");
        if let (true, Some(field)) = (roles.is_empty(), fields.find("roles"))
            && matches!(field.value(), Value::Array(items) if items.is_empty())
        {
            self.faults.tell(field.place(), Fault::Empty { key: "roles".to_owned() });
        }
        let limits = self.write_limits(fields, envelope);
        let max_step = if envelope.broken || is_number(envelope.value_type) {
            self.faults.positive(fields, "max_step")
        } else {
            None
        };
        let rate = self.faults.rate(fields, "rate");
        let after = fields.find("after").and_then(|field| self.faults.table(field, &keys::AFTER));
        let after = after.and_then(|after| self.read_after(&after, world));
        let readback = self.readback(fields, id, tag, envelope, world);
        let hour = Duration::from_secs(3_600);
        let within = self.faults.duration_within(fields, "within", Duration::from_millis(1), hour);
        if let (None, Some(field)) = (fields.find("readback"), fields.find("within")) {
            self.faults.tell(field.key_place(), Fault::OnlyWith { key: "within", with: "readback" });
        }
        let confirm = self.faults.boolean(fields, "confirm").unwrap_or(true);
        let (limits, raw) = limits?;
        let within = within.unwrap_or(Duration::from_secs(2));
        Some(Write { roles, limits, raw, max_step, rate, after, readback, within, confirm })
    }

    /// The table `write`, over that of the profile.
    fn write_fields(&mut self, tag: &Fields<'a>, field: Field<'a>) -> Option<Fields<'a>> {
        let own = self.faults.table(field, &keys::WRITE)?;
        let under = tag.under("write").filter(|_| tag.own("write").is_some());
        let under = under.and_then(|field| self.faults.table(field, &keys::WRITE));
        Some(own.over(under.and_then(|under| under.layer())))
    }

    fn write_limits(
        &mut self,
        fields: &Fields<'a>,
        envelope: &Envelope,
    ) -> Option<(WriteLimits, policy::Envelope)> {
        let value_type = envelope.value_type;
        if envelope.broken {
            return None;
        }
        if !is_number(value_type) {
            for key in ["min", "max", "values", "max_step"] {
                if let Some(field) = fields.find(key) {
                    self.faults.tell(field.key_place(), Fault::LimitsOfBit { key, value_type });
                }
            }
            return Some((WriteLimits::Any, policy::Envelope::Any));
        }
        if let Some(values) = fields.find("values") {
            for key in ["min", "max"] {
                if let Some(field) = fields.find(key) {
                    self.faults.tell(field.key_place(), Fault::LimitsAndValues);
                }
            }
            return self.write_values(fields, values, envelope);
        }
        let (min, max) = (self.faults.number(fields, "min"), self.faults.number(fields, "max"));
        let range = envelope.range;
        let limit = |number: Option<f64>, usual: Option<f64>| number.or(usual);
        let (low, high) = (limit(min, range.map(|range| range.0)), limit(max, range.map(|range| range.1)));
        for (key, number) in [("min", low), ("max", high)] {
            if number.is_none() && fields.find(key).is_none() {
                self.faults.tell(fields.place, Fault::NoLimits { key });
            }
        }
        let (low, high) = (low?, high?);
        let place = |key| fields.find(key).map_or(fields.place, |field: Field<'_>| field.place());
        let inside = self.within("min", low, place("min"), envelope);
        let inside = self.within("max", high, place("max"), envelope) && inside;
        if !inside {
            return None;
        }
        if low > high {
            self.faults.tell(place("min"), Fault::MinAboveMax { min: low, max: high });
            return None;
        }
        match limits::raw(value_type, envelope.scale, envelope.offset, low, high) {
            Some(raw) => Some((WriteLimits::Between { min: low, max: high }, raw)),
            None => {
                let fault = Fault::NothingBetween { min: low, max: high, step: envelope.scale.abs() };
                self.faults.tell(place("min"), fault);
                None
            }
        }
    }

    fn write_values(
        &mut self,
        fields: &Fields<'a>,
        field: Field<'a>,
        envelope: &Envelope,
    ) -> Option<(WriteLimits, policy::Envelope)> {
        let value_type = envelope.value_type;
        if matches!(value_type, ValueType::F32 | ValueType::F64) {
            let fault = Fault::ValueKind { key: "values", value_type, want: "min and max" };
            self.faults.tell(field.key_place(), fault);
            return None;
        }
        let (mut values, mut raws, mut good) = (Vec::new(), Vec::new(), true);
        for item in self.faults.items(fields, "values") {
            let Some(value) = self.faults.item_number(item) else {
                good = false;
                continue;
            };
            good &= self.within("values", value, item.place, envelope);
            let (raw, nearest) = limits::nearest(envelope.scale, envelope.offset, value);
            if (nearest - value).abs() > envelope.scale.abs() * 1e-6 {
                self.faults.tell(item.place, Fault::BetweenSteps { value, nearest });
                good = false;
            }
            values.push(value);
            raws.push(raw);
        }
        if values.is_empty() && good {
            self.faults.tell(field.place(), Fault::Empty { key: "values".to_owned() });
            good = false;
        }
        values.sort_by(f64::total_cmp);
        raws.sort_unstable();
        raws.dedup();
        good.then_some((WriteLimits::OneOf(values), policy::Envelope::OneOf(raws)))
    }

    fn read_after(&mut self, fields: &Fields<'a>, world: &World<'_>) -> Option<After> {
        let tag = self.faults.need(fields, "tag");
        let tag = tag.and_then(|field| self.faults.word(field.as_item(), "the name of a tag"));
        let tag = tag.and_then(|word| {
            let id = self.tag_ref(word, world)?;
            let value_type = world.tags.get(id.index())?.point.value_type();
            if matches!(value_type, ValueType::Text(_) | ValueType::F32 | ValueType::F64) {
                let fault = Fault::ValueKind { key: "after", value_type, want: "an integer or a bit" };
                self.faults.tell(word.place, fault);
            }
            Some(id)
        });
        let is = self.faults.need(fields, "is").and_then(|field| self.state(field.as_item()));
        let within = self.faults.duration(fields, "within");
        Some(After { tag: tag?, is: is?, within })
    }

    fn readback(
        &mut self,
        fields: &Fields<'a>,
        id: TagId,
        tag: &Tag,
        envelope: &Envelope,
        world: &World<'_>,
    ) -> Option<Point> {
        let field = fields.find("readback")?;
        if let Value::Integer(number) = field.value() {
            self.faults.tell(field.place(), Fault::BareNumber { number });
            return None;
        }
        let word = self.faults.word(field.as_item(), "a point, or a tag of the same device")?;
        if envelope.broken {
            return None;
        }
        let value_type = tag.point.value_type();
        let place: Point =
            if word.text.starts_with(|c: char| c.is_ascii_alphabetic()) && !word.text.contains(':') {
                let found = self.tag_ref(word, world)?;
                let other = world.tags.get(found.index())?;
                if other.device != tag.device || other.point.value_type() != value_type {
                    self.faults.tell(word.place, Fault::Readback { value_type });
                    return None;
                }
                self.readbacks.push((id, found, word.place));
                return Some(other.point);
            } else {
                match word.text.parse() {
                    Ok(point) => point,
                    Err(error) => {
                        let error: crate::PointError = error;
                        self.faults.tell(word.part(error.range.clone()), Fault::Point { error });
                        return None;
                    }
                }
            };
        // A bit of one table may be shown in another; a number only in registers.
        let (value_type, order) = match (value_type, place.table().is_bits()) {
            (ValueType::Bool | ValueType::Bit(_), true) => (ValueType::Bool, Order::default()),
            (ValueType::Bool, false) => (place.value_type(), place.order()),
            _ => (value_type, tag.point.order()),
        };
        let point = Point::new(place.table(), place.address(), value_type, order, 1);
        if point.is_err() || place.count() != 1 {
            self.faults.tell(word.place, Fault::Readback { value_type });
        }
        point.ok()
    }

    /// Registers that two tags of a device write.
    fn check_writes(&mut self, device: &Device, tags: &[Tag], fields: Fields<'a>) {
        let mut all: Vec<&Tag> = device
            .by_name
            .iter()
            .filter_map(|id| tags.get(id.index()))
            .filter(|tag| tag.write().is_some())
            .collect();
        all.sort_by_key(|tag| (tag.point.table(), tag.point.address(), tag.point.last()));
        let mut open: Vec<&Tag> = Vec::new();
        for tag in all {
            let point = &tag.point;
            open.retain(|other| {
                other.point.table() == point.table() && other.point.last() >= point.address()
            });
            if let Some(other) = open.iter().find(|other| !may_share(&other.point, point)) {
                // The later of the file is to blame, whatever the addresses.
                let mut place = |name: &str| {
                    let tags = self.faults.pairs(fields.find("tag")?);
                    tags.into_iter().find(|field| field.key() == name).map(|field| field.key_place())
                };
                let (a_place, b_place) = (place(&tag.name), place(&other.name));
                let (blamed, first, first_place) =
                    if a_place < b_place { (b_place, tag, a_place) } else { (a_place, *other, b_place) };
                let fault = Fault::WritableOverlap { other: first.name.to_string(), point: first.point };
                self.faults.tell_both(blamed.unwrap_or(fields.place), fault, first_place);
            }
            open.push(tag);
        }
    }

    // ---- computed ----------------------------------------------------------------------------------------------

    fn read_computed(
        &mut self,
        computed: &[Named<'a>],
        devices: &[Device],
        tags: &[Tag],
    ) -> Vec<Option<Computed>> {
        let world = World { devices, tags, broken: &[], device: None };
        // Whose place is wrong has been told; here it is as good as any.
        let broken = vec![false; tags.len()];
        let world = World { broken: &broken, ..world };
        let read: Vec<Option<Computed>> =
            computed.iter().map(|named| self.read_one_computed(named, &world)).collect();
        self.cycles(computed, &read);
        read
    }

    fn read_one_computed(&mut self, named: &Named<'a>, world: &World<'_>) -> Option<Computed> {
        let fields = &named.fields;
        if RESERVED.contains(&named.name) {
            self.faults.tell(fields.place, Fault::ReservedName { word: named.name.to_owned() });
        }
        let word = self.faults.need(fields, "expr");
        let word = word.and_then(|field| self.faults.word(field.as_item(), "an expression in quotes"));
        let expression = word.and_then(|word| self.expression(word, world));
        let range = self.faults.low_high(fields, "range");
        let envelope = Envelope {
            value_type: ValueType::F64,
            scale: 1.0,
            offset: 0.0,
            range,
            holds: None,
            broken: false,
        };
        let computed = Computed {
            name: named.name.to_owned(),
            expression: Expression::default(),
            unit: self.unit_of_measure(fields),
            description: self.faults.owned(fields, "description"),
            range,
            deadband: self.tag_deadband(fields, range),
            max_silence: self.faults.duration(fields, "max_silence"),
            precision: self.faults.integer(fields, "precision", 0, 9),
            area: self.faults.owned(fields, "area"),
            alarms: self.read_alarms(fields, &envelope, world),
        };
        Some(Computed { expression: expression?, ..computed })
    }

    /// Tells computed tags that are made of themselves, each way round once.
    fn cycles(&mut self, named: &[Named<'a>], computed: &[Option<Computed>]) {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Not,
            Open,
            Done,
        }
        let uses = |at: usize| -> Vec<usize> {
            let expression = computed.get(at).and_then(Option::as_ref).map(|computed| &computed.expression);
            let signals = expression.map(|expression| expression.signals()).into_iter().flatten();
            let computed = signals.filter_map(|id| match id {
                SignalId::Computed(id) => Some(id.index()),
                SignalId::Tag(_) => None,
            });
            computed.collect()
        };
        let mut seen = vec![Seen::Not; computed.len()];
        for start in 0..computed.len() {
            if seen.get(start) != Some(&Seen::Not) {
                continue;
            }
            // Depth first, without recursion: a chain may be as long as the file.
            let mut path: Vec<(usize, Vec<usize>)> = vec![(start, uses(start))];
            set(&mut seen, start, Seen::Open);
            while let Some((at, rest)) = path.last_mut() {
                let at = *at;
                let Some(next) = rest.pop() else {
                    set(&mut seen, at, Seen::Done);
                    path.pop();
                    continue;
                };
                match seen.get(next) {
                    Some(Seen::Not) => {
                        set(&mut seen, next, Seen::Open);
                        path.push((next, uses(next)));
                    }
                    Some(Seen::Open) => {
                        let from = path.iter().position(|(at, _)| *at == next).unwrap_or(0);
                        let names = path.iter().skip(from).map(|(at, _)| *at).chain([next]);
                        let name = |at: usize| named.get(at).map_or("", |named| named.name).to_owned();
                        let fault = Fault::Cycle { path: names.map(name).collect() };
                        let fields = named.get(next).map(|named| named.fields);
                        let place =
                            fields.map(|fields| fields.find("expr").map_or(fields.place, |f| f.place()));
                        self.faults.tell(place.unwrap_or_default(), fault);
                    }
                    _ => {}
                }
            }
        }
    }

    // ---- guard -------------------------------------------------------------------------------------------------

    fn read_guard(
        &mut self,
        guard: &Named<'a>,
        devices: &[Device],
        lanes: &[Option<Lane>],
    ) -> Option<Conduit> {
        let fields = &guard.fields;
        self.faults.need(fields, "listen");
        let listen: Vec<Target> =
            self.faults.words(fields, "listen").into_iter().filter_map(|word| self.listen(word)).collect();
        let to = self.faults.need(fields, "to").is_some();
        let (lane, behind) = if to { self.behind(fields, devices, lanes) } else { (None, Vec::new()) };
        let units: Vec<u8> =
            behind.iter().filter_map(|id| devices.get(id.index())).map(|device| device.unit.0).collect();
        let allow = self.rules(fields, "allow", &units);
        let deny = self.rules(fields, "deny", &units);
        let mode = self.mode(fields).unwrap_or_default();
        let refusal = self.refusal(fields).unwrap_or_default();
        let limits = policy::Limits {
            connections: self.faults.integer(fields, "connections", 1, 100_000),
            connections_per_client: self.faults.integer(fields, "connections_per_client", 1, 100_000),
            requests: self.faults.rate(fields, "requests"),
        };
        let tls = self.tls_files(fields, &listen);
        let description = self.faults.owned(fields, "description");
        Some(Conduit {
            name: guard.name.to_owned(),
            listen,
            devices: behind,
            lane: LaneId::new(lane?),
            allow,
            deny,
            mode,
            refusal,
            limits,
            tls,
            description,
        })
    }

    fn listen(&mut self, word: Word<'a>) -> Option<Target> {
        let target = self.faults.target(word)?;
        let good = matches!(target.link(), Link::Tcp | Link::Tls) && target.port() != 0;
        if !good {
            self.faults.tell(word.place, Fault::Listen { word: word.text.to_owned() });
        }
        good.then_some(target)
    }

    /// What is behind a conduit.
    fn behind(
        &mut self,
        fields: &Fields<'a>,
        devices: &[Device],
        lanes: &[Option<Lane>],
    ) -> (Option<usize>, Vec<DeviceId>) {
        let mut behind: Vec<DeviceId> = Vec::new();
        let mut lane: Option<(usize, String)> = None;
        for word in self.faults.words(fields, "to") {
            let (device, link) = (self.devices.find(word.text), self.links.find(word.text));
            let on = match (device, link) {
                (Some(_), Some(_)) => {
                    self.faults.tell(word.place, Fault::DeviceAndLink { word: word.text.to_owned() });
                    continue;
                }
                (None, None) => {
                    let nearest = self.devices.nearest(word.text).or_else(|| self.links.nearest(word.text));
                    self.unknown(word, Referred::DeviceOrLink, nearest);
                    continue;
                }
                (Some(device), None) => {
                    behind.push(DeviceId::new(device));
                    devices.get(device).map_or(usize::MAX, |device| device.lane.index())
                }
                (None, Some(link)) => {
                    let before = behind.len();
                    let on_link =
                        devices.iter().enumerate().filter(|(_, device)| device.lane.index() == link);
                    behind.extend(on_link.map(|(at, _)| DeviceId::new(at)));
                    if behind.len() == before {
                        self.faults.tell(word.place, Fault::NoDevices { link: word.text.to_owned() });
                    }
                    link
                }
            };
            match &lane {
                None => lane = Some((on, word.text.to_owned())),
                Some((first, name)) if *first != on && on < lanes.len() && *first < lanes.len() => {
                    let fault = Fault::SeveralLanes { first: name.clone(), second: word.text.to_owned() };
                    self.faults.tell(word.place, fault);
                }
                Some(_) => {}
            }
        }
        behind.sort_unstable();
        behind.dedup();
        (lane.map(|(lane, _)| lane), behind)
    }

    fn mode(&mut self, fields: &Fields<'a>) -> Option<Mode> {
        const KNOWN: &[&str] = &["enforce", "alert"];
        let word = self.faults.text(fields, "mode")?;
        self.faults.choice(word, "a mode", KNOWN, &[Mode::Enforce, Mode::Alert])
    }

    fn refusal(&mut self, fields: &Fields<'a>) -> Option<Refusal> {
        const KNOWN: &[&str] = &["exception", "exception:2", "drop", "reset"];
        let word = self.faults.text(fields, "refuse")?;
        if let Some(code) = word.text.strip_prefix("exception:") {
            let code = crate::point::number(code.trim()).and_then(|code| u8::try_from(code).ok());
            if let Some(code) = code.filter(|code| (1..=127).contains(code)) {
                return Some(Refusal::Exception(code));
            }
        }
        let values = [Refusal::Exception(1), Refusal::Exception(2), Refusal::Drop, Refusal::Reset];
        self.faults.choice(word, "a refusal", KNOWN, &values)
    }

    fn tls_files(&mut self, fields: &Fields<'a>, listen: &[Target]) -> Option<TlsFiles> {
        let wanted = listen.iter().any(|target| target.link() == Link::Tls);
        let mut path = |key: &'static str| self.faults.owned(fields, key);
        let (cert, key, ca) = (path("cert"), path("key"), path("ca"));
        for name in ["cert", "key", "ca"] {
            match fields.find(name) {
                Some(field) if !wanted && !listen.is_empty() => {
                    self.faults.tell(field.key_place(), Fault::NoTls { key: name });
                }
                None if wanted && name != "ca" => {
                    let place = fields.find("listen").map_or(fields.place, |field| field.place());
                    self.faults.tell(place, Fault::TlsFiles { key: name });
                }
                _ => {}
            }
        }
        Some(TlsFiles { cert: cert?, key: key?, ca })
    }

    fn rules(&mut self, fields: &Fields<'a>, key: &'static str, units: &[u8]) -> Vec<Rule> {
        let items = self.faults.items(fields, key);
        items.into_iter().filter_map(|item| self.rule(item, key, units)).collect()
    }

    fn rule(&mut self, item: Item<'a>, list: &'static str, units: &[u8]) -> Option<Rule> {
        let fields = self.faults.item_table(item, &keys::RULE)?;
        let fields = &fields;
        let name = self.faults.owned(fields, "name");
        let (mut zones, mut networks) = (Vec::new(), Vec::new());
        for word in self.faults.words(fields, "from") {
            if let Some(at) = self.zones.find(word.text) {
                zones.push(ZoneId::new(at));
                continue;
            }
            match word.text.parse::<Network>() {
                Ok(network) => networks.push(network),
                Err(NetworkError::Syntax) => {
                    let nearest = self.zones.nearest(word.text);
                    self.faults.tell(word.place, Fault::From { word: word.text.to_owned(), nearest });
                }
                Err(error) => {
                    self.faults.tell(word.place, Fault::Network { word: word.text.to_owned(), error });
                }
            }
        }
        let roles = self.role_words(fields, "roles");
        let subjects = self.faults.owned_words(fields, "subjects");
        let mut wanted = Vec::new();
        for item in self.faults.items(fields, "units") {
            let Some((first, last)) = self.faults.units(item) else { continue };
            let there = |unit: &u8| (first..=last).contains(unit);
            if !units.is_empty() && !units.iter().any(there) {
                self.faults.tell(item.place, Fault::UnitNotThere { unit: first });
            }
            wanted.push((first, last));
        }
        wanted.sort_unstable();
        let grant = self.grant(fields, list);
        let words = self.faults.words(fields, "times");
        let times = words.into_iter().filter_map(|word| self.faults.time_window(word)).collect();
        let requests = self.faults.rate(fields, "requests");
        let (mode, refusal) = (self.mode(fields), self.refusal(fields));
        let grant = grant?;
        Some(Rule {
            name,
            zones,
            networks,
            roles,
            subjects,
            units: wanted,
            grant,
            times,
            requests,
            mode,
            refusal,
        })
    }

    fn grant(&mut self, fields: &Fields<'a>, list: &'static str) -> Option<Grant> {
        const KNOWN: &[&str] = &["derived", "read-only", "read-write", "programming"];
        let preset = match self.faults.text(fields, "do") {
            Some(word) => Some((self.faults.choice(word, "a preset", KNOWN, &[0, 1, 2, 3])?, word.place)),
            None => None,
        };
        let items = self.faults.items(fields, "functions");
        let mut functions: Vec<Operation> =
            items.into_iter().filter_map(|item| self.faults.operation(item)).collect();
        let places = self.faults.ranges(fields, "at");
        let values = self.register_values(fields);
        match preset {
            Some((0, place)) if list == "deny" => {
                self.faults.tell(place, Fault::DerivedDenied);
                return None;
            }
            Some((0, _)) => {
                for key in ["functions", "at", "values"] {
                    if let Some(field) = fields.find(key) {
                        self.faults.tell(field.key_place(), Fault::DerivedWith { key });
                    }
                }
                return Some(Grant::Derived);
            }
            Some((1, _)) => functions.extend(READS.map(plain)),
            Some((2, _)) => functions.extend(READS.into_iter().chain(WRITES).map(plain)),
            Some(_) => functions.clear(),
            None => {
                let says = ["functions", "at"].into_iter().any(|key| fields.find(key).is_some());
                if !says && list == "allow" {
                    self.faults.tell(fields.place, Fault::EmptyRule);
                }
            }
        }
        functions.sort_unstable();
        functions.dedup();
        Some(Grant::Listed { functions, places, values })
    }

    fn register_values(&mut self, fields: &Fields<'a>) -> Option<(u16, u16)> {
        let items = self.faults.items(fields, "values");
        let field = fields.find("values")?;
        let mut numbers = items.iter().filter_map(|item| self.faults.item_integer(*item, 0, 65_535));
        let (low, high) = (numbers.next(), numbers.next());
        let register = |number: i64| u16::try_from(number).ok();
        let (low, high) = (register(low?)?, register(high?)?);
        if low > high || items.len() != 2 {
            self.faults.tell(field.place(), Fault::LowHigh { key: "values".to_owned() });
            return None;
        }
        Some((low, high))
    }

    /// Two conduits cannot listen at one place.
    fn check_listen(&mut self, named: &[Named<'a>], guards: &[Option<Conduit>]) {
        let mut taken: HashMap<u16, Vec<(&str, usize)>> = HashMap::new();
        for (at, guard) in guards.iter().enumerate() {
            for target in guard.iter().flat_map(|guard| &guard.listen) {
                let there = taken.entry(target.port()).or_default();
                let any = |host: &str| matches!(host, "0.0.0.0" | "::");
                let clash =
                    there.iter().find(|(host, _)| *host == target.host() || any(host) || any(target.host()));
                if let Some((_, first)) = clash {
                    let place = |at: usize| {
                        let fields = named.get(at).map(|named| named.fields);
                        fields.map(|fields| fields.find("listen").map_or(fields.place, |field| field.place()))
                    };
                    let other = named.get(*first).map_or("", |named| named.name).to_owned();
                    self.faults.tell_both(
                        place(at).unwrap_or_default(),
                        Fault::ListenTwice { other },
                        place(*first),
                    );
                }
                there.push((target.host(), at));
            }
        }
    }

    // ---- what becomes of samples -------------------------------------------------------------------------------

    fn read_history(&mut self, fields: &Fields<'a>) -> History {
        let century = Duration::from_secs(36_500 * 86_400);
        let keep = self.faults.duration_within(fields, "keep", Duration::from_secs(3_600), century);
        let (min, max) = (Duration::from_millis(100), Duration::from_secs(10));
        let fsync = self.faults.duration_within(fields, "fsync", min, max);
        History {
            keep: keep.unwrap_or(Duration::from_secs(400 * 86_400)),
            dir: self.faults.owned(fields, "dir"),
            fsync: fsync.unwrap_or(Duration::from_secs(1)),
        }
    }

    fn read_outlet(&mut self, outlet: &Named<'a>) -> Option<Outlet> {
        let fields = &outlet.fields;
        let mut there =
            OutletKind::ALL.into_iter().filter_map(|(key, kind)| Some((key, kind, fields.find(key)?)));
        let found = there.next();
        if let (Some((first, ..)), Some((second, _, field))) = (found, there.next()) {
            self.faults.tell(field.key_place(), Fault::TwoOutlets { first, second });
        }
        let Some((_, kind, field)) = found else {
            self.faults.tell(fields.place, Fault::NoOutlet);
            return None;
        };
        let url = self.faults.word(field.as_item(), "a URL in quotes");
        if let Some(word) = url
            && let Some((_, rest)) = word.text.split_once("://")
            && rest
                .split('/')
                .next()
                .and_then(|authority| authority.split_once('@'))
                .is_some_and(|(user, _)| user.contains(':'))
        {
            self.faults.tell(word.place, Fault::Secret);
        }
        let tags = self.faults.owned_words(fields, "tags");
        let (creds, ca) = (self.faults.owned(fields, "creds"), self.faults.owned(fields, "ca"));
        let description = self.faults.owned(fields, "description");
        let name = outlet.name.to_owned();
        Some(Outlet { name, kind, url: url?.text.to_owned(), tags, creds, ca, description })
    }
}

/// What reads, and what writes.
const READS: [FunctionCode; 5] = [
    FunctionCode::READ_COILS,
    FunctionCode::READ_DISCRETE_INPUTS,
    FunctionCode::READ_HOLDING_REGISTERS,
    FunctionCode::READ_INPUT_REGISTERS,
    FunctionCode::READ_FIFO_QUEUE,
];
const WRITES: [FunctionCode; 6] = [
    FunctionCode::WRITE_SINGLE_COIL,
    FunctionCode::WRITE_SINGLE_REGISTER,
    FunctionCode::WRITE_MULTIPLE_COILS,
    FunctionCode::WRITE_MULTIPLE_REGISTERS,
    FunctionCode::MASK_WRITE_REGISTER,
    FunctionCode::READ_WRITE_MULTIPLE_REGISTERS,
];

const fn plain(function: FunctionCode) -> Operation {
    Operation { function, sub: None }
}

fn set<T>(all: &mut [T], at: usize, value: T) {
    if let Some(place) = all.get_mut(at) {
        *place = value;
    }
}

/// Different bits of a register may each be written.
fn may_share(a: &Point, b: &Point) -> bool {
    match (a.value_type(), b.value_type()) {
        (ValueType::Bit(x), ValueType::Bit(y)) => x != y && a.order() == b.order(),
        _ => false,
    }
}

/// What a byte takes on the slowest part of the way.
fn byte_time(target: Option<&Target>, baud: Option<u32>, bus: bool) -> Duration {
    if let (None, Some(serial)) = (baud, target.and_then(Target::serial)) {
        return serial.transmission(1);
    }
    match baud.or(bus.then_some(19_200)) {
        // Start, eight bits, parity and stop, as the specification has it for serial lines.
        Some(baud) => Duration::from_nanos(11_000_000_000 / u64::from(baud.max(1))),
        None => Duration::from_nanos(80), // 100 Mbit/s
    }
}
