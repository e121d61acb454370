//! The alarms of a tag.

use std::time::Duration;

use port502_wire::value::ValueType;

use super::{Envelope, Found, Parser, World};
use crate::document::Value;
use crate::site::fault::{Fault, Referred};
use crate::site::fields::{Fields, Item, Named};
use crate::site::{Alarm, Condition, SignalId, keys};

impl<'a> Parser<'a> {
    pub(super) fn read_alarms(
        &mut self,
        fields: &Fields<'a>,
        envelope: &Envelope,
        world: &World<'_>,
    ) -> Vec<Alarm> {
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
    pub(super) fn state(&mut self, item: Item<'_>) -> Option<i64> {
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
}
