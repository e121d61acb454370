//! Who may write a tag, within which limits, and what has to come before and shows it afterwards.

use std::time::Duration;

use port502_inspect::policy;
use port502_wire::Table;
use port502_wire::value::{Order, ValueType};

use super::{Envelope, Parser, World};
use crate::Point;
use crate::document::Value;
use crate::site::fault::Fault;
use crate::site::fields::{Field, Fields};
use crate::site::{After, Device, Tag, TagId, Write, WriteLimits, is_number, keys, limits};

impl<'a> Parser<'a> {
    pub(super) fn read_write(
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
    pub(super) fn check_writes(&mut self, device: &Device, tags: &[Tag], fields: Fields<'a>) {
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
}

/// Different bits of a register may each be written.
fn may_share(a: &Point, b: &Point) -> bool {
    match (a.value_type(), b.value_type()) {
        (ValueType::Bit(x), ValueType::Bit(y)) => x != y && a.order() == b.order(),
        _ => false,
    }
}
