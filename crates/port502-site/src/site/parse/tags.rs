//! Tags: where they are, what their values are, references from one to another, and computed tags.

use std::sync::Arc;

use port502_inspect::policy;
use port502_wire::Table;
use port502_wire::value::{Order, ValueType};

use super::{Begun, Envelope, Found, Parser, Rest, TAGS_MAX, World, nearest_of};
use crate::Point;
use crate::document::Value;
use crate::point::PointFault;
use crate::site::expression::{Expression, Named as InExpression, RESERVED};
use crate::site::fault::{Fault, Place, Referred};
use crate::site::fields::{Fields, Named, Word};
use crate::site::{
    Computed, ComputedId, Deadband, Device, DeviceId, Initial, SignalId, Tag, TagId, TagMore, find_tag,
    is_number, keys, limits,
};

impl<'a> Parser<'a> {
    /// The places of all tags.
    pub(super) fn begin_tags(
        &mut self,
        devices: &[Named<'a>],
        read: &mut [Device],
    ) -> (Vec<Tag>, Vec<Begun<'a>>) {
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
    pub(super) fn finish_tags(&mut self, devices: &[Device], tags: &mut [Tag], begun: Vec<Begun<'a>>) {
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
    pub(super) fn within(&mut self, key: &str, value: f64, place: Place, envelope: &Envelope) -> bool {
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
    pub(super) fn tag_ref(&mut self, word: Word<'_>, world: &World<'_>) -> Option<TagId> {
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

    pub(super) fn lookup(&self, path: &str, world: &World<'_>) -> Found {
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

    pub(super) fn nearest_signal(&self, path: &str, world: &World<'_>, computed: bool) -> Option<String> {
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

    pub(super) fn expression(&mut self, word: Word<'_>, world: &World<'_>) -> Option<Expression> {
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

    // ---- computed ----------------------------------------------------------------------------------------------

    pub(super) fn read_computed(
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
}

/// Where a tag is whose place is wrong; nobody sees it.
const NOWHERE: Point = Point::FIRST_HOLDING;

const ORDERS: [Order; 4] = [
    Order { words_reversed: false, bytes_swapped: false },
    Order { words_reversed: true, bytes_swapped: false },
    Order { words_reversed: false, bytes_swapped: true },
    Order { words_reversed: true, bytes_swapped: true },
];

fn set<T>(all: &mut [T], at: usize, value: T) {
    if let Some(place) = all.get_mut(at) {
        *place = value;
    }
}
