//! Home Assistant: the `modbus:` of a `configuration.yaml`, or a package that is its list alone.

use std::time::Duration;

use port502_site::Point;
use port502_wire::Table;
use port502_wire::value::{BitNumber, Order, ValueType};

use crate::draft::{Draft, DraftTag, DraftWrite};
use crate::note::Lost;
use crate::tree::{Malformed, View, yaml};
use crate::words;

const HUB: &[&str] = &[
    "name",
    "type",
    "host",
    "port",
    "delay",
    "message_wait_milliseconds",
    "timeout",
    "retries",
    "baudrate",
    "bytesize",
    "method",
    "parity",
    "stopbits",
    "sensors",
    "binary_sensors",
    "switches",
    "lights",
    "fans",
    "covers",
    "climates",
    "close_comm_on_error",
    "retry_on_empty",
];
/// Keys that say how Home Assistant shows a value.
const SHOWN: &[&str] = &[
    "unique_id",
    "device_class",
    "icon",
    "state_class",
    "lazy_error_count",
    "entity_category",
    "suggested_display_precision",
];
const ENTITY: &[&str] = &[
    "name",
    "unique_id",
    "device_class",
    "icon",
    "state_class",
    "lazy_error_count",
    "entity_category",
    "suggested_display_precision",
    "slave",
    "device_address",
    "address",
    "input_type",
    "data_type",
    "count",
    "scale",
    "offset",
    "precision",
    "swap",
    "unit_of_measurement",
    "scan_interval",
    "min_value",
    "max_value",
    "nan_value",
    "zero_suppress",
    "structure",
    "slave_count",
    "virtual_count",
    "write_type",
    "command_on",
    "command_off",
    "verify",
    "target_temp_register",
    "target_temp_write_registers",
    "max_temp",
    "min_temp",
    "temp_step",
    "temperature_unit",
    "hvac_mode_register",
    "hvac_onoff_register",
    "fan_mode_register",
    "swing_mode_register",
    "status_register",
    "status_register_type",
    "state_open",
    "state_closed",
    "state_opening",
    "state_closing",
];

pub(crate) fn read(text: &str, draft: &mut Draft) -> Result<(), Malformed> {
    let root = yaml(text)?;
    let root = root.view();
    let hubs = if root.is_list() { Some(root.clone()) } else { root.get("modbus") };
    let Some(hubs) = hubs else {
        return Err(Malformed::whole("not a Home Assistant configuration of Modbus: it has no modbus:"));
    };
    if let Some(tag) = hubs.special() {
        return Err(Malformed::whole(format!("modbus: stands in another file ({tag}); import that one")));
    }
    for hub in hubs.items() {
        if hub.is_map() {
            read_hub(&hub, draft);
        } else {
            draft.left_out(hub.place(), "modbus", "it is no hub; want name, type, host");
        }
    }
    Ok(())
}

/// A hub, and what its entities are read with.
struct Hub<'h> {
    view: &'h View<'h>,
    name: String,
    connect: Option<String>,
}

fn read_hub(view: &View<'_>, draft: &mut Draft) {
    draft.unknown(view, HUB);
    let name = view.text("name").unwrap_or_else(|| "modbus".to_owned());
    let hub = Hub { view, name, connect: connect(view, draft) };
    for (key, why) in [
        ("close_comm_on_error", "connections are made anew when they break"),
        ("retry_on_empty", "an empty answer is asked again like any other"),
    ] {
        if let Some(view) = view.get(key) {
            draft.setting(view.place(), key, why);
        }
    }
    for sensor in view.list("sensors") {
        hub.sensor(&sensor, draft);
    }
    for sensor in view.list("binary_sensors") {
        hub.binary(&sensor, draft);
    }
    for key in ["switches", "lights", "fans"] {
        for switch in view.list(key) {
            hub.switch(&switch, draft);
        }
    }
    for climate in view.list("climates") {
        hub.climate(&climate, draft);
    }
    for cover in view.list("covers") {
        hub.cover(&cover, draft);
    }
}

fn connect(view: &View<'_>, draft: &mut Draft) -> Option<String> {
    let host = view.get("host");
    tell_special(view, draft);
    let kind = view.text("type").unwrap_or_default();
    if kind == "serial" {
        let path = view.text("port")?;
        let scheme = if view.text("method").as_deref() == Some("ascii") { "ascii" } else { "rtu" };
        let mut options = Vec::new();
        if let Some(baud) = view.integer("baudrate") {
            options.push(format!("baud={baud}"));
        }
        match view.text("parity").as_deref() {
            Some("E") => options.push("parity=even".to_owned()),
            Some("O") => options.push("parity=odd".to_owned()),
            Some("N") => options.push("parity=none".to_owned()),
            _ => {}
        }
        if let Some(stop) = view.integer("stopbits") {
            options.push(format!("stop={stop}"));
        }
        let query = if options.is_empty() { String::new() } else { format!("?{}", options.join("&")) };
        return Some(format!("{scheme}://{path}{query}"));
    }
    let scheme = match kind.as_str() {
        "tcp" => "tcp",
        "udp" => "udp",
        "rtuovertcp" => "rtu+tcp",
        other => {
            let why = format!("\"{other}\" is no type of a hub; want tcp, udp, rtuovertcp or serial");
            draft.left_out(view.place(), "type", why);
            "tcp"
        }
    };
    let host = host?.as_text()?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let port = view.integer("port").map_or_else(String::new, |port| format!(":{port}"));
    Some(format!("{scheme}://{host}{port}"))
}

/// Tells what stands in another file: `!secret plc_host`.
fn tell_special(view: &View<'_>, draft: &mut Draft) {
    for (key, value) in view.entries() {
        if let Some(tag) = value.special() {
            draft.left_out(value.place(), key, format!("{tag} stands in another file"));
        }
    }
}

/// Home Assistant's default is 15 s for an entity.
const USUAL_EVERY: Duration = Duration::from_secs(15);

impl Hub<'_> {
    fn device(&self, entity: &View<'_>, draft: &mut Draft) -> (String, u8) {
        let unit = entity.any(&["device_address", "slave"]).and_then(|view| view.as_integer());
        let unit = unit.and_then(|unit| u8::try_from(unit).ok());
        let place = self.view.place();
        let device = draft.device(self.connect.as_deref(), unit, &self.name, &place);
        let seconds =
            |key| self.view.number(key).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        for (key, ours) in [("timeout", "timeout"), ("delay", "connect_delay")] {
            if let Some(time) = seconds(key).filter(|time: &Duration| !time.is_zero()) {
                device.time(ours, time);
            }
        }
        let wait =
            self.view.integer("message_wait_milliseconds").and_then(|millis| u64::try_from(millis).ok());
        if let Some(wait) = wait.filter(|wait| *wait != 0) {
            device.time("gap", Duration::from_millis(wait));
        }
        if let Some(retries) = self.view.integer("retries").filter(|retries| (0..=10).contains(retries)) {
            device.keys.insert("retries", retries.to_string());
        }
        device.key()
    }

    /// What all entities have: place, name, device, how often.
    fn begin(&self, entity: &View<'_>, draft: &mut Draft) -> (String, (String, u8), Option<Duration>) {
        draft.unknown(entity, ENTITY);
        tell_special(entity, draft);
        for key in SHOWN {
            if let Some(view) = entity.get(key)
                && !(*key == "state_class" && view.as_text().as_deref() == Some("total_increasing"))
            {
                draft.setting(view.place(), key, "it says how Home Assistant shows the value");
            }
        }
        let name = entity.text("name").unwrap_or_default();
        let device = self.device(entity, draft);
        let every =
            entity.number("scan_interval").and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let every = match every {
            Some(every) if every.is_zero() => {
                let view = entity.get("scan_interval").map(|view| view.place()).unwrap_or_default();
                draft.setting(
                    view,
                    "scan_interval",
                    "0 is never in Home Assistant; here it is read as often as the others",
                );
                None
            }
            every => every.or(Some(USUAL_EVERY)),
        };
        (name, device, every)
    }

    fn address(&self, entity: &View<'_>, key: &'static str, name: &str, draft: &mut Draft) -> Option<u16> {
        let address = entity.integer(key).and_then(words::address);
        if address.is_none() {
            draft.left_out(entity.place(), name, format!("it has no {key} from 0 to 65535"));
        }
        address
    }

    /// Type and order of a value of registers.
    fn shape(&self, entity: &View<'_>, name: &str, draft: &mut Draft) -> Option<(ValueType, Order)> {
        let kind = entity.text("data_type").unwrap_or_else(|| "int16".to_owned());
        let count = entity.integer("count").and_then(words::address);
        let value_type = match kind.as_str() {
            "string" => words::value_type("string", Some(count.unwrap_or(1))),
            other => words::value_type(other, count),
        };
        let Some(value_type) = value_type else {
            let why = match kind.as_str() {
                "custom" => "its structure is Python's; write a tag for each of its values".to_owned(),
                other => format!("there is no type for \"{other}\""),
            };
            draft.left_out(entity.place(), name, why);
            return None;
        };
        let order = match entity.text("swap").as_deref() {
            None | Some("none" | "false") => Order::default(),
            Some("byte") => Order { words_reversed: false, bytes_swapped: true },
            Some("word") => Order { words_reversed: true, bytes_swapped: false },
            Some("word_byte") => Order { words_reversed: true, bytes_swapped: true },
            Some(other) => {
                draft.left_out(
                    entity.place(),
                    name,
                    format!("\"{other}\" is no swap; want byte, word or word_byte"),
                );
                return None;
            }
        };
        Some((value_type, order))
    }

    fn sensor(&self, entity: &View<'_>, draft: &mut Draft) {
        let (name, device, every) = self.begin(entity, draft);
        let Some(address) = self.address(entity, "address", &name, draft) else { return };
        let Some((value_type, order)) = self.shape(entity, &name, draft) else { return };
        let table = match entity.text("input_type").as_deref() {
            None | Some("holding") => Table::HoldingRegisters,
            Some("input") => Table::InputRegisters,
            Some(other) => {
                draft.left_out(
                    entity.place(),
                    &name,
                    format!("\"{other}\" is no table of a sensor; want holding or input"),
                );
                return;
            }
        };
        let more =
            entity.any(&["virtual_count", "slave_count"]).and_then(|view| view.as_integer()).unwrap_or(0);
        let more = u16::try_from(more.clamp(0, 1_000)).unwrap_or(0);
        for which in 0..=more {
            let at =
                which.checked_mul(value_type.registers()).and_then(|further| address.checked_add(further));
            let point = at.and_then(|at| Point::new(table, at, value_type, order, 1).ok());
            let Some(point) = point else {
                draft.left_out(entity.place(), &name, "it reaches past address 65535");
                return;
            };
            let called = if which == 0 { name.clone() } else { format!("{name} {which}") };
            let mut tag = DraftTag::new(&called, point, entity.place());
            tag.every = every;
            self.numbers(entity, &mut tag, draft);
            draft.add(device.clone(), tag);
        }
    }

    fn numbers(&self, entity: &View<'_>, tag: &mut DraftTag, draft: &mut Draft) {
        tag.unit = entity.text("unit_of_measurement");
        if !tag.is_scalable() {
            return;
        }
        tag.scale = entity.number("scale").filter(|scale| *scale != 0.0).unwrap_or(1.0);
        tag.offset = entity.number("offset").unwrap_or(0.0);
        tag.precision = entity
            .integer("precision")
            .and_then(|digits| u8::try_from(digits).ok())
            .filter(|digits| *digits <= 9);
        tag.counter = entity.text("state_class").as_deref() == Some("total_increasing");
        match (entity.number("min_value"), entity.number("max_value")) {
            (Some(low), Some(high)) if low < high => tag.range = Some((low, high)),
            (None, None) => {}
            _ => {
                let view =
                    entity.any(&["min_value", "max_value"]).map(|view| view.place()).unwrap_or_default();
                draft.setting(view, "min_value", "a range has two ends here");
            }
        }
        if let Some(nan) = entity.get("nan_value") {
            match nan.as_integer() {
                Some(number) => tag.nan.push(number),
                None => draft.setting(nan.place(), "nan_value", "it is no integer"),
            }
        }
        if let Some(zero) = entity.get("zero_suppress") {
            draft.setting(zero.place(), "zero_suppress", "a value near 0 is shown as it is");
        }
    }

    fn binary(&self, entity: &View<'_>, draft: &mut Draft) {
        let (name, device, every) = self.begin(entity, draft);
        let Some(address) = self.address(entity, "address", &name, draft) else { return };
        let (table, value_type) = match entity.text("input_type").as_deref() {
            None | Some("coil") => (Table::Coils, ValueType::Bool),
            Some("discrete_input") => (Table::DiscreteInputs, ValueType::Bool),
            Some("holding") => (Table::HoldingRegisters, FIRST_BIT),
            Some("input") => (Table::InputRegisters, FIRST_BIT),
            Some(other) => {
                draft.left_out(entity.place(), &name, format!("\"{other}\" is no table"));
                return;
            }
        };
        let more =
            entity.any(&["virtual_count", "slave_count"]).and_then(|view| view.as_integer()).unwrap_or(0);
        for which in 0..=u16::try_from(more.clamp(0, 1_000)).unwrap_or(0) {
            let Some(point) = self.bit(table, value_type, address, which) else {
                draft.left_out(entity.place(), &name, "it reaches past address 65535");
                return;
            };
            let called = if which == 0 { name.clone() } else { format!("{name} {which}") };
            let mut tag = DraftTag::new(&called, point, entity.place());
            tag.every = every;
            draft.add(device.clone(), tag);
        }
    }

    /// The bit so many behind the first: in coils the next ones, in registers the next bits.
    fn bit(&self, table: Table, value_type: ValueType, address: u16, which: u16) -> Option<Point> {
        let (at, value_type) = match value_type {
            ValueType::Bit(_) => {
                let bit = BitNumber::new(u8::try_from(which % 16).ok()?)?;
                (address.checked_add(which / 16)?, ValueType::Bit(bit))
            }
            other => (address.checked_add(which)?, other),
        };
        Point::new(table, at, value_type, Order::default(), 1).ok()
    }

    fn switch(&self, entity: &View<'_>, draft: &mut Draft) {
        let (name, device, every) = self.begin(entity, draft);
        let Some(address) = self.address(entity, "address", &name, draft) else { return };
        let on = entity.number("command_on").unwrap_or(1.0);
        let off = entity.number("command_off").unwrap_or(0.0);
        let (table, value_type, write) = match entity.text("write_type").as_deref() {
            Some("coil" | "coils") => (Table::Coils, ValueType::Bool, DraftWrite::Any),
            None | Some("holding" | "holdings") => {
                (Table::HoldingRegisters, ValueType::U16, DraftWrite::OneOf(vec![off, on]))
            }
            Some(other) => {
                draft.left_out(
                    entity.place(),
                    &name,
                    format!("\"{other}\" is no write_type; want coil or holding"),
                );
                return;
            }
        };
        let Ok(point) = Point::new(table, address, value_type, Order::default(), 1) else { return };
        let mut tag = DraftTag::new(&name, point, entity.place());
        tag.every = every;
        if value_type == ValueType::U16 {
            tag.labels = [(off, "off"), (on, "on")]
                .into_iter()
                .filter_map(|(number, label)| Some((words::integer(&number.to_string())?, label.to_owned())))
                .collect();
        }
        tag.write = Some(write);
        if let Some(verify) = entity.get("verify").filter(View::is_map) {
            let elsewhere = verify.integer("address").is_some_and(|other| other != i64::from(address))
                || verify.text("input_type").is_some();
            if elsewhere {
                draft.setting(verify.place(), "verify", "add readback to the write of the tag");
            }
        }
        draft.add(device, tag);
    }

    fn climate(&self, entity: &View<'_>, draft: &mut Draft) {
        let (name, device, every) = self.begin(entity, draft);
        for key in ["hvac_mode_register", "hvac_onoff_register", "fan_mode_register", "swing_mode_register"] {
            if let Some(view) = entity.get(key) {
                draft.setting(
                    view.place(),
                    key,
                    "what its numbers mean stands in Home Assistant's words; write a tag with labels",
                );
            }
        }
        let Some((value_type, order)) = self.shape(entity, &name, draft) else { return };
        let table = match entity.text("input_type").as_deref() {
            Some("input") => Table::InputRegisters,
            _ => Table::HoldingRegisters,
        };
        if let Some(address) = self.address(entity, "address", &name, draft)
            && let Ok(point) = Point::new(table, address, value_type, order, 1)
        {
            let mut tag = DraftTag::new(&format!("{name} temperature"), point, entity.place());
            tag.every = every;
            self.numbers(entity, &mut tag, draft);
            tag.unit =
                entity.text("temperature_unit").map(|unit| format!("°{unit}")).or(Some("°C".to_owned()));
            draft.add(device.clone(), tag);
        }
        let target = entity
            .get("target_temp_register")
            .and_then(|view| view.items().first().and_then(View::as_integer));
        let point = target
            .and_then(words::address)
            .and_then(|address| Point::new(Table::HoldingRegisters, address, value_type, order, 1).ok());
        let Some(point) = point else { return };
        let mut tag = DraftTag::new(&format!("{name} setpoint"), point, entity.place());
        tag.every = every;
        self.numbers(entity, &mut tag, draft);
        tag.range = None;
        tag.unit = entity.text("temperature_unit").map(|unit| format!("°{unit}")).or(Some("°C".to_owned()));
        let (min, max) = (entity.number("min_temp"), entity.number("max_temp"));
        match (min, max) {
            (Some(min), Some(max)) => tag.write = Some(DraftWrite::Between(min, max)),
            _ => {
                let tag = format!("{name} setpoint");
                draft.note(entity.place(), Lost::Write { tag });
            }
        }
        draft.add(device, tag);
    }

    fn cover(&self, entity: &View<'_>, draft: &mut Draft) {
        let (name, device, every) = self.begin(entity, draft);
        let Some(address) = self.address(entity, "address", &name, draft) else { return };
        let coil = entity.text("input_type").as_deref() == Some("coil");
        let (table, value_type) =
            if coil { (Table::Coils, ValueType::Bool) } else { (Table::HoldingRegisters, ValueType::U16) };
        let Ok(point) = Point::new(table, address, value_type, Order::default(), 1) else { return };
        let mut tag = DraftTag::new(&name, point, entity.place());
        tag.every = every;
        let mut states: Vec<(i64, String)> = Vec::new();
        for (key, label) in [
            ("state_closed", "closed"),
            ("state_open", "open"),
            ("state_closing", "closing"),
            ("state_opening", "opening"),
        ] {
            if let Some(number) = entity.integer(key).filter(|_| !coil) {
                states.push((number, label.to_owned()));
            }
        }
        states.dedup_by_key(|(number, _)| *number);
        tag.labels = states;
        tag.write = coil.then_some(DraftWrite::Any);
        if !coil {
            draft.note(entity.place(), Lost::Write { tag: name.clone() });
        }
        if let Some(status) = entity.get("status_register") {
            draft.setting(status.place(), "status_register", "write a tag for it");
        }
        draft.add(device, tag);
    }
}

const FIRST_BIT: ValueType = match BitNumber::new(0) {
    Some(bit) => ValueType::Bit(bit),
    None => ValueType::U16,
};
