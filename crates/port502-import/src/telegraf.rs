//! Telegraf: `[[inputs.modbus]]` in its three styles.
//!
//! ```toml
//! [[inputs.modbus]]
//!   name = "pump"
//!   controller = "tcp://10.20.1.11:502"
//!   slave_id = 3
//!   holding_registers = [                                # register
//!     { name = "flow", byte_order = "CDAB", data_type = "FLOAT32-IEEE", scale = 1.0, address = [100, 101] },
//!   ]
//!   [[inputs.modbus.request]]                            # request
//!     slave_id = 3
//!     fields = [{ address = 100, name = "flow", type = "FLOAT32" }]
//!   [[inputs.modbus.metric]]                             # metric
//!     slave_id = 3
//!     fields = [{ register = "holding", address = 100, name = "flow", type = "FLOAT32" }]
//! ```

use std::time::Duration;

use port502_site::Point;
use port502_wire::Table;
use port502_wire::value::{BitNumber, Order, ValueType};

use crate::draft::{Draft, DraftTag};
use crate::tree::{Malformed, View, toml};
use crate::words;

const PLUGIN: &[&str] = &[
    "name",
    "name_override",
    "slave_id",
    "timeout",
    "busy_retries",
    "busy_retries_wait",
    "controller",
    "baud_rate",
    "data_bits",
    "parity",
    "stop_bits",
    "transmission_mode",
    "configuration_type",
    "interval",
    "discrete_inputs",
    "coils",
    "holding_registers",
    "input_registers",
    "request",
    "metric",
    "workarounds",
    "debug_connection",
    "tags",
    "alias",
    "exclude_register_type_tag",
    "rs485",
    "name_prefix",
    "name_suffix",
    "log_level",
    "max_word_registers_per_request",
    "max_bit_registers_per_request",
    "optimization_max_register_fill",
    "tagexclude",
    "fieldinclude",
    "fieldexclude",
    "fieldpass",
    "fielddrop",
    "collection_jitter",
    "precision",
    "startup_error_behavior",
    "optimization",
];
const ENTRY: &[&str] =
    &["measurement", "name", "byte_order", "data_type", "scale", "address", "bit", "output"];
const REQUEST: &[&str] = &[
    "slave_id",
    "byte_order",
    "register",
    "measurement",
    "optimization",
    "optimization_max_register_fill",
    "fields",
    "tags",
];
const FIELD: &[&str] =
    &["register", "address", "name", "type", "length", "scale", "output", "omit", "measurement", "bit"];

/// What is said for all values of a plugin.
struct Plugin {
    name: String,
    connect: Option<String>,
    every: Option<Duration>,
}

pub(crate) fn read(text: &str, draft: &mut Draft) -> Result<(), Malformed> {
    let root = toml(text)?;
    let root = root.view();
    let plugins = root.get("inputs").map(|inputs| inputs.list("modbus")).unwrap_or_default();
    if plugins.is_empty() {
        return Err(Malformed::whole("not a Telegraf configuration of Modbus: it has no [[inputs.modbus]]"));
    }
    let interval = root.get("agent").and_then(|agent| agent.text("interval"));
    let interval = interval.and_then(|text| words::duration(&text));
    for plugin in plugins {
        read_plugin(&plugin, interval, draft);
    }
    Ok(())
}

fn read_plugin(view: &View<'_>, interval: Option<Duration>, draft: &mut Draft) {
    draft.unknown(view, PLUGIN);
    for (key, why) in [
        ("tags", "samples have the device's name and area here"),
        ("alias", "it names the plugin within Telegraf"),
        ("name_prefix", "tags are called device.tag here"),
        ("name_suffix", "tags are called device.tag here"),
        ("busy_retries", "a busy device is asked again in the next round"),
        ("busy_retries_wait", "a busy device is asked again in the next round"),
        ("rs485", "the line's direction is the driver's matter"),
    ] {
        if let Some(view) = view.get(key) {
            draft.setting(view.place(), key, why);
        }
    }
    let name = view.any(&["name", "name_override"]).and_then(|name| name.as_text());
    let connect = connect(view, draft);
    let own = view.get("interval").and_then(|interval| words::duration(&interval.as_text()?));
    let every = own
        .or(interval)
        .filter(|every| (Duration::from_millis(10)..=Duration::from_secs(86_400)).contains(every));
    let plugin = Plugin { name: name.unwrap_or_else(|| "modbus".to_owned()), connect, every };
    for (key, table) in [
        ("discrete_inputs", Table::DiscreteInputs),
        ("coils", Table::Coils),
        ("holding_registers", Table::HoldingRegisters),
        ("input_registers", Table::InputRegisters),
    ] {
        for entry in view.list(key) {
            let device = device(view, view.get("slave_id").as_ref(), &plugin, draft);
            register(&entry, table, &plugin, &device, draft);
        }
    }
    for (key, metric) in [("request", false), ("metric", true)] {
        for request in view.list(key) {
            draft.unknown(&request, REQUEST);
            if let Some(tags) = request.get("tags") {
                draft.setting(tags.place(), "tags", "samples have the device's name and area here");
            }
            if let Some(optimization) = request.get("optimization") {
                draft.setting(
                    optimization.place(),
                    "optimization",
                    "requests are planned by their cost here; see port502 plan",
                );
            }
            let slave = request.get("slave_id").or_else(|| view.get("slave_id"));
            let device = device(view, slave.as_ref(), &plugin, draft);
            for entry in request.list("fields") {
                field(&entry, &request, metric, &plugin, &device, draft);
            }
        }
    }
}

/// The target of a controller.
fn connect(view: &View<'_>, draft: &mut Draft) -> Option<String> {
    let controller = view.text("controller")?;
    let mode = view.text("transmission_mode").unwrap_or_default();
    if let Some(rest) = controller.strip_prefix("tcp://") {
        return Some(match mode.as_str() {
            "RTUoverTCP" => format!("rtu+tcp://{rest}"),
            "ASCIIoverTCP" => format!("ascii+tcp://{rest}"),
            "RTUoverUDP" => format!("rtu+udp://{rest}"),
            _ => controller,
        });
    }
    let path = controller.strip_prefix("file://").unwrap_or(&controller);
    let scheme = if mode == "ASCII" { "ascii" } else { "rtu" };
    let mut options = Vec::new();
    if let Some(baud) = view.integer("baud_rate") {
        options.push(format!("baud={baud}"));
    }
    match view.text("parity").as_deref() {
        Some("E" | "even") => options.push("parity=even".to_owned()),
        Some("O" | "odd") => options.push("parity=odd".to_owned()),
        Some("N" | "none") => options.push("parity=none".to_owned()),
        _ => {}
    }
    if let Some(stop) = view.integer("stop_bits") {
        options.push(format!("stop={stop}"));
    }
    if let Some(bits) = view.get("data_bits").filter(|bits| bits.as_integer() != Some(8)) {
        draft.setting(bits.place(), "data_bits", "RTU has 8, and ASCII 7");
    }
    let query = if options.is_empty() { String::new() } else { format!("?{}", options.join("&")) };
    Some(format!("{scheme}://{path}{query}"))
}

fn device(view: &View<'_>, slave: Option<&View<'_>>, plugin: &Plugin, draft: &mut Draft) -> (String, u8) {
    let unit = slave.and_then(View::as_integer);
    let name = match unit {
        Some(unit) if view.list("request").len() + view.list("metric").len() > 1 => {
            format!("{}_{unit}", plugin.name)
        }
        _ => plugin.name.clone(),
    };
    let unit = match unit.map(u8::try_from) {
        Some(Ok(unit)) => Some(unit),
        Some(Err(_)) => {
            let place = slave.map(View::place).unwrap_or_default();
            draft.setting(place, "slave_id", "a unit id is 0 to 255");
            None
        }
        None => None,
    };
    let timeout = view.text("timeout").and_then(|text| words::duration(&text));
    let workarounds = view.get("workarounds");
    let device = draft.device(plugin.connect.as_deref(), unit, &name, &view.place());
    if let Some(timeout) = timeout.filter(|timeout| !timeout.is_zero()) {
        device.time("timeout", timeout);
    }
    for (key, ours) in
        [("max_word_registers_per_request", "max_registers"), ("max_bit_registers_per_request", "max_bits")]
    {
        let most = if ours == "max_registers" { 125 } else { 2_000 };
        if let Some(max) = view.integer(key).filter(|max| (1..=most).contains(max)) {
            device.keys.insert(ours, max.to_string());
        }
    }
    let key = device.key();
    let Some(workarounds) = workarounds else { return key };
    let mut lost = Vec::new();
    for (name, value) in workarounds.entries() {
        let time = value.as_text().and_then(|text| words::duration(&text)).filter(|time| !time.is_zero());
        match (name, time) {
            ("pause_after_connect" | "pause_between_requests", None) => {}
            ("pause_after_connect", Some(time)) => device.time("connect_delay", time),
            ("pause_between_requests", Some(time)) => device.time("gap", time),
            ("one_request_per_field", _) => {
                if value.as_bool() == Some(true) {
                    device.quirks.insert("one-per-request");
                }
            }
            ("read_coils_starting_at_zero", _) => {
                if value.as_bool() == Some(true) {
                    device.quirks.insert("coils-from-zero");
                }
            }
            ("close_connection_after_gather", _) => {
                if value.as_bool() == Some(true) {
                    lost.push((value.place(), name.to_owned(), "connections are kept here"));
                }
            }
            ("string_register_location", _) => {
                if value.as_text().is_some_and(|text| !matches!(text.as_str(), "" | "both")) {
                    lost.push((value.place(), name.to_owned(), "texts have two letters to a register here"));
                }
            }
            _ => lost.push((value.place(), name.to_owned(), "it has no counterpart here")),
        }
    }
    for (place, name, why) in lost {
        draft.setting(place, &name, why);
    }
    key
}

/// One entry of the register style.
fn register(entry: &View<'_>, table: Table, plugin: &Plugin, device: &(String, u8), draft: &mut Draft) {
    draft.unknown(entry, ENTRY);
    let place = entry.place();
    let name = entry.text("name").unwrap_or_default();
    let addresses: Vec<Option<u16>> =
        entry.list("address").iter().map(|view| view.as_integer().and_then(words::address)).collect();
    let Some(Some(first)) = addresses.first().copied() else {
        draft.left_out(place, &name, "it has no address from 0 to 65535");
        return;
    };
    let follows = addresses.windows(2).all(|pair| match pair {
        [Some(a), Some(b)] => a.checked_add(1) == Some(*b),
        _ => false,
    });
    if !follows {
        draft.left_out(place, &name, "its addresses do not follow each other");
        return;
    }
    let words = u16::try_from(addresses.len()).unwrap_or(u16::MAX);
    let kind =
        entry.text("data_type").unwrap_or_else(|| if table.is_bits() { "BIT" } else { "UINT16" }.to_owned());
    let byte_order = entry.text("byte_order");
    let shape = Shape {
        table,
        address: first,
        words,
        kind: &kind,
        byte_order: byte_order.as_deref(),
        bit: entry.integer("bit"),
    };
    let Some(point) = shape.point(&place, &name, draft) else { return };
    if !table.is_bits() && point.value_width() != words && !matches!(point.value_type(), ValueType::Bit(_)) {
        let why = format!("\"{kind}\" takes {} registers, and it has {words} addresses", point.value_width());
        draft.left_out(place, &name, why);
        return;
    }
    let mut tag = DraftTag::new(&tag_name(entry, entry, &name), point, place);
    // Of floats Telegraf does not ask for a scale, of the others it insists.
    scale(entry, &mut tag, draft);
    tag.every = plugin.every;
    draft.add(device.clone(), tag);
}

/// One field of the request or the metric style.
fn field(
    entry: &View<'_>,
    request: &View<'_>,
    metric: bool,
    plugin: &Plugin,
    device: &(String, u8),
    draft: &mut Draft,
) {
    draft.unknown(entry, FIELD);
    let place = entry.place();
    let name = entry.text("name").unwrap_or_default();
    if entry.get("omit").and_then(|omit| omit.as_bool()) == Some(true) {
        draft.left_out(
            place,
            &format!("address {}", entry.text("address").unwrap_or_default()),
            "omit = true: it only filled a gap between requests",
        );
        return;
    }
    let word = if metric { entry.text("register") } else { request.text("register") };
    let word = word.unwrap_or_else(|| "holding".to_owned());
    let Some(table) = words::table(&word) else {
        draft.left_out(
            place,
            &name,
            format!("\"{word}\" is no table; want coil, discrete, holding or input"),
        );
        return;
    };
    let Some(address) = entry.integer("address").and_then(words::address) else {
        draft.left_out(place, &name, "it has no address from 0 to 65535");
        return;
    };
    let kind = entry.text("type").unwrap_or_else(|| if table.is_bits() { "BIT" } else { "" }.to_owned());
    // The length of a text is in registers.
    let words = entry.integer("length").and_then(words::address).unwrap_or(1);
    let byte_order = request.text("byte_order");
    let shape = Shape {
        table,
        address,
        words,
        kind: &kind,
        byte_order: byte_order.as_deref(),
        bit: entry.integer("bit"),
    };
    let Some(point) = shape.point(&place, &name, draft) else { return };
    let mut tag = DraftTag::new(&tag_name(entry, request, &name), point, place);
    scale(entry, &mut tag, draft);
    tag.every = plugin.every;
    draft.add(device.clone(), tag);
}

/// Values of several measurements can have one name.
fn tag_name(entry: &View<'_>, request: &View<'_>, name: &str) -> String {
    match entry.text("measurement").or_else(|| request.text("measurement")) {
        Some(measurement) if measurement != "modbus" && !measurement.is_empty() => {
            format!("{measurement}_{name}")
        }
        _ => name.to_owned(),
    }
}

fn scale(entry: &View<'_>, tag: &mut DraftTag, draft: &mut Draft) {
    let Some(view) = entry.get("scale") else { return };
    match view.as_number() {
        #[allow(clippy::float_cmp, reason = "exactly 0 and exactly 1 are meant")]
        Some(scale) if scale != 0.0 && tag.is_scalable() => tag.scale = scale,
        #[allow(clippy::float_cmp, reason = "exactly 1 is no scale")]
        Some(scale) if scale == 1.0 || scale == 0.0 => {}
        _ => draft.setting(view.place(), "scale", "only numbers are scaled"),
    }
}

impl DraftTag {
    pub(crate) fn is_scalable(&self) -> bool {
        !matches!(self.point.value_type(), ValueType::Bool | ValueType::Bit(_) | ValueType::Text(_))
    }
}

/// What is said of a place.
struct Shape<'s> {
    table: Table,
    address: u16,
    words: u16,
    kind: &'s str,
    byte_order: Option<&'s str>,
    bit: Option<i64>,
}

impl Shape<'_> {
    fn point(&self, place: &crate::Place, name: &str, draft: &mut Draft) -> Option<Point> {
        let kind = self.kind.to_ascii_uppercase();
        let value_type = match kind.as_str() {
            _ if self.table.is_bits() => Some(ValueType::Bool),
            "BIT" => u8::try_from(self.bit.unwrap_or(0)).ok().and_then(BitNumber::new).map(ValueType::Bit),
            // Fixed point numbers, which older editions called FLOAT32 as well.
            "FIXED" | "FLOAT32" if self.words == 1 && self.kind_is_register_style() => Some(ValueType::I16),
            "UFIXED" if self.words == 1 => Some(ValueType::U16),
            "STRING" => words::value_type("string", Some(self.words)),
            other => words::value_type(other, Some(self.words)),
        };
        let Some(value_type) = value_type else {
            let why = match kind.as_str() {
                "" => "it has no type".to_owned(),
                "INT8L" | "INT8H" | "UINT8L" | "UINT8H" => {
                    format!("\"{}\" is half a register; read the register as u16", self.kind)
                }
                _ => format!("there is no type for \"{}\"", self.kind),
            };
            draft.left_out(place.clone(), name, why);
            return None;
        };
        let plain = self.table.is_bits() || matches!(value_type, ValueType::Bit(_));
        let order = match self.byte_order {
            Some(word) if !plain => match words::order(word) {
                Some(order) => order,
                None => {
                    draft.left_out(place.clone(), name, format!("\"{word}\" is no byte order"));
                    return None;
                }
            },
            _ => Order::default(),
        };
        let point = Point::new(self.table, self.address, value_type, order, 1);
        if point.is_err() {
            draft.left_out(place.clone(), name, "it reaches past address 65535");
        }
        point.ok()
    }

    /// Only there a FLOAT32 of one register is a fixed point number.
    fn kind_is_register_style(&self) -> bool {
        self.kind == "FIXED"
            || self.kind == "FLOAT32"
                && self.words == 1
                && self.byte_order.is_some_and(|order| order.len() == 2)
    }
}
