//! From the trees of the files to a [`Site`], or to all that is wrong with it.
//!
//! In three rounds, because what stands first may refer to what comes later: the names of everything; the places of all
//! tags; and then the rest, with every name known.

mod alarms;
mod guards;
mod tags;
mod writing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use port502_inspect::Network;
use port502_session::client::IN_FLIGHT_MAX;
use port502_session::target::{Carrier, Framing, Target};
use port502_wire::UnitId;
use port502_wire::value::{Order, ValueType};

use super::fault::{Fault, Place, Referred, SiteErrors};
use super::fields::{Faults, Field, Fields, Layer, Named, Word};
use super::keys;
use super::profile::Profiles;
use super::{
    ComputedId, Conduit, Deadband, Device, DeviceId, DeviceLimits, History, Lane, LaneId, Outlet, OutletKind,
    Permission, Quirks, Role, RoleId, ScanClass, ScanId, Site, SourceFile, Tag, TagId, TagMore, Timing, Zone,
    ZoneId,
};
use crate::document::{Document, Wrong, WrongToml};
use crate::nearest;

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
        let in_flight = self.faults.integer(fields, "in_flight", 1, IN_FLIGHT_MAX);
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
