//! modbus_exporter: `modbus.yml`, in which each module is a kind of device and each metric a register.
//!
//! The first digit of an address is the function that reads it, 1 to 4; the rest is the address, from 0: `300022` is
//! holding register 22. Where a device is, Prometheus says with each scrape, so that `--connect` has to say it here.

use port502_site::Point;
use port502_wire::Table;
use port502_wire::value::{BitNumber, Order, ValueType};

use crate::draft::{Draft, DraftTag};
use crate::tree::{Malformed, View, yaml};
use crate::{Options, words};

const MODULE: &[&str] = &[
    "name",
    "protocol",
    "timeout",
    "sleepAfterConnect",
    "scrapeInterludeWait",
    "metrics",
    "baudrate",
    "databits",
    "stopbits",
    "parity",
    "keepAlive",
    "workarounds",
];
const METRIC: &[&str] = &[
    "name",
    "help",
    "labels",
    "address",
    "dataType",
    "endianness",
    "metricType",
    "factor",
    "bitOffset",
    "scale",
];

pub(crate) fn read(text: &str, options: &Options, draft: &mut Draft) -> Result<(), Malformed> {
    let root = yaml(text)?;
    let root = root.view();
    let Some(modules) = root.get("modules") else {
        return Err(Malformed::whole("not a modbus_exporter configuration: it has no modules"));
    };
    let first = options.unit.unwrap_or(1);
    for (at, module) in modules.items().into_iter().enumerate() {
        // Every module is asked by itself; as several devices of one site they need units of their own.
        let unit = u8::try_from(at).ok().and_then(|at| first.checked_add(at));
        let Some(unit) = unit else {
            draft.left_out(module.place(), "module", "there are more modules than unit ids");
            continue;
        };
        if at > 0 {
            draft.as_unit(&module, unit);
        }
        read_module(&module, (at > 0 || options.unit.is_some()).then_some(unit), draft);
    }
    Ok(())
}

fn read_module(module: &View<'_>, unit: Option<u8>, draft: &mut Draft) {
    draft.unknown(module, MODULE);
    let name = module.text("name").unwrap_or_else(|| "device".to_owned());
    let device = draft.device(None, unit, &name, &module.place());
    for (key, ours) in
        [("timeout", "timeout"), ("sleepAfterConnect", "connect_delay"), ("scrapeInterludeWait", "gap")]
    {
        // A number alone is milliseconds in older editions.
        let time = module.get(key).and_then(|view| match view.as_integer() {
            Some(millis) => u64::try_from(millis).ok().map(std::time::Duration::from_millis),
            None => words::duration(&view.as_text()?),
        });
        if let Some(time) = time.filter(|time| !time.is_zero()) {
            device.time(ours, time);
        }
    }
    let key = device.key();
    for serial in ["baudrate", "databits", "stopbits", "parity"] {
        if let Some(view) = module.get(serial) {
            draft.setting(
                view.place(),
                serial,
                "it belongs into the target: rtu:///dev/ttyUSB0?baud=9600&parity=even",
            );
        }
    }
    if let Some(view) = module.get("keepAlive") {
        draft.setting(view.place(), "keepAlive", "connections are always kept alive here");
    }
    if let Some(view) = module.get("workarounds") {
        for (key, value) in view.entries() {
            let time = value.as_text().and_then(|text| words::duration(&text)).filter(|time| !time.is_zero());
            match (key, time) {
                ("sleepAfterConnect", Some(time)) => {
                    let device = draft.device(None, unit, &name, &module.place());
                    device.time("connect_delay", time);
                }
                ("sleepAfterConnect", None) => {}
                _ => draft.setting(value.place(), key, "it has no counterpart here"),
            }
        }
    }
    for metric in module.list("metrics") {
        read_metric(&metric, &key, draft);
    }
}

fn read_metric(metric: &View<'_>, device: &(String, u8), draft: &mut Draft) {
    draft.unknown(metric, METRIC);
    let place = metric.place();
    let name = metric.text("name").unwrap_or_default();
    let Some(number) = metric.integer("address") else {
        draft.left_out(place, &name, "it has no address; want a function and an address, as 300022");
        return;
    };
    let table = match number / 100_000 {
        _ if !(0..=9_999_999).contains(&number) => None,
        1 => Some(Table::Coils),
        2 => Some(Table::DiscreteInputs),
        3 => Some(Table::HoldingRegisters),
        4 => Some(Table::InputRegisters),
        _ => None,
    };
    let (Some(table), Some(address)) = (table, words::address(number.rem_euclid(100_000))) else {
        let why = format!("{number} is no address; want a function from 1 to 4 and five digits, as 300022");
        draft.left_out(place, &name, why);
        return;
    };
    let kind = metric.text("dataType").unwrap_or_default();
    let endianness = metric.text("endianness").unwrap_or_default();
    let order = match endianness.as_str() {
        "" | "big" => Order::default(),
        "little" => Order { words_reversed: true, bytes_swapped: true },
        "mixed" => Order { words_reversed: false, bytes_swapped: true },
        "yolo" => Order { words_reversed: true, bytes_swapped: false },
        other => {
            draft.left_out(
                place,
                &name,
                format!("\"{other}\" is no endianness; want big, little, mixed or yolo"),
            );
            return;
        }
    };
    let bit = metric.integer("bitOffset");
    let value_type = match (table.is_bits(), kind.as_str(), bit) {
        (true, _, _) => Some(ValueType::Bool),
        (false, "bool", bit) => {
            u8::try_from(bit.unwrap_or(0)).ok().and_then(BitNumber::new).map(ValueType::Bit)
        }
        (false, other, _) => words::value_type(other, None),
    };
    let Some(value_type) = value_type else {
        draft.left_out(place, &name, format!("there is no type for \"{kind}\""));
        return;
    };
    let bits = matches!(value_type, ValueType::Bit(_)) || table.is_bits();
    let order = if bits { Order::default() } else { order };
    let Ok(point) = Point::new(table, address, value_type, order, 1) else {
        draft.left_out(place, &name, "it reaches past address 65535");
        return;
    };
    let mut tag = DraftTag::new(&name, point, place);
    tag.description = metric.text("help");
    tag.counter = metric.text("metricType").as_deref() == Some("counter") && !bits;
    for key in ["factor", "scale"] {
        if let Some(factor) = metric.number(key).filter(|factor| *factor != 0.0) {
            tag.scale = factor;
        }
    }
    if let Some(labels) = metric.get("labels") {
        // Metrics of one name are told apart by their labels; here they need names of their own.
        let texts: Vec<String> = labels.entries().iter().filter_map(|(_, value)| value.as_text()).collect();
        tag.name = std::iter::once(name.clone()).chain(texts).collect::<Vec<_>>().join("_");
        draft.setting(labels.place(), "labels", "their values became part of the name");
    }
    draft.add(device.clone(), tag);
}
