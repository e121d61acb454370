//! pymodbus: the JSON of its simulator, `server_list` and `device_list`.
//!
//! With `"shared blocks": true` all tables are the same registers, and what is there becomes holding registers. Without,
//! the cells of the four tables stand one behind the other: coils, discrete inputs, holding registers, input registers.

use port502_site::Point;
use port502_wire::Table;
use port502_wire::value::{Order, ValueType};

use crate::draft::{Draft, DraftTag, number};
use crate::note::Lost;
use crate::tree::{Malformed, View, json};
use crate::{Options, words};

/// The tables in the order in which their cells stand.
const BLOCKS: [(&str, Table); 4] = [
    ("co size", Table::Coils),
    ("di size", Table::DiscreteInputs),
    ("hr size", Table::HoldingRegisters),
    ("ir size", Table::InputRegisters),
];

/// Cells of a device.
struct Layout {
    shared: bool,
    sizes: [i64; 4],
}

impl Layout {
    /// The table and the address of a cell.
    fn find(&self, cell: i64) -> Option<(Table, u16)> {
        if self.shared {
            return Some((Table::HoldingRegisters, words::address(cell)?));
        }
        let mut first = 0;
        for ((_, table), size) in BLOCKS.iter().zip(self.sizes) {
            if (first..first + size).contains(&cell) {
                return Some((*table, words::address(cell - first)?));
            }
            first += size;
        }
        None
    }
}

pub(crate) fn read(text: &str, options: &Options, draft: &mut Draft) -> Result<(), Malformed> {
    let root = json(text)?;
    let root = root.view();
    let Some(devices) = root.get("device_list").filter(View::is_map) else {
        return Err(Malformed::whole("not a configuration of the pymodbus simulator: it has no device_list"));
    };
    let server = root.get("server_list").and_then(|servers| {
        let entries = servers.entries();
        entries.into_iter().map(|(_, server)| server).find(|server| server.text("comm").is_some())
    });
    let connect = server.as_ref().and_then(connect);
    let first = options.unit.unwrap_or(1);
    for (at, (name, device)) in devices.entries().into_iter().enumerate() {
        let unit = u8::try_from(at).ok().and_then(|at| first.checked_add(at));
        let Some(unit) = unit else {
            draft.left_out(device.place(), name, "there are more devices than unit ids");
            continue;
        };
        if at > 0 {
            draft.as_unit(&device, unit);
        }
        read_device(&device, name, connect.as_deref(), unit, draft);
    }
    Ok(())
}

fn connect(server: &View<'_>) -> Option<String> {
    let port = server.integer("port").map_or_else(String::new, |port| format!(":{port}"));
    // Where it listens is rarely where it is reached.
    let host = server.text("host").filter(|host| !matches!(host.as_str(), "0.0.0.0" | "" | "::"));
    let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
    match server.text("comm")?.as_str() {
        "tcp" if server.text("framer").as_deref() == Some("rtu") => Some(format!("rtu+tcp://{host}{port}")),
        "tcp" => Some(format!("tcp://{host}{port}")),
        "udp" => Some(format!("udp://{host}{port}")),
        "serial" => Some(format!("rtu://{}", server.text("port")?)),
        "tls" => Some(format!("tls://{host}{port}")),
        _ => None,
    }
}

fn read_device(view: &View<'_>, name: &str, connect: Option<&str>, unit: u8, draft: &mut Draft) {
    draft.unknown(
        view,
        &[
            "setup", "invalid", "write", "bits", "uint16", "uint32", "float32", "string", "repeat", "int16",
            "int32", "int64", "uint64", "float64",
        ],
    );
    let Some(setup) = view.get("setup") else {
        draft.left_out(view.place(), name, "it has no setup");
        return;
    };
    let size = |key: &str| setup.integer(key).unwrap_or(0).clamp(0, 65_536);
    let layout = Layout {
        shared: setup.get("shared blocks").and_then(|shared| shared.as_bool()).unwrap_or(false),
        sizes: BLOCKS.map(|(key, _)| size(key)),
    };
    if setup.get("type exception").and_then(|view| view.as_bool()) == Some(true)
        && let Some(place) = setup.get("type exception").map(|view| view.place())
    {
        draft.setting(place, "type exception", "a simulated device here lets any part of a value be read");
    }
    let device = draft.device(connect, Some(unit), name, &view.place()).key();
    let mut writable = Vec::new();
    for range in view.list("write") {
        if let Some((first, last)) = cells(&range) {
            writable.push((first, last));
        }
    }
    let mut invalid = Vec::new();
    for range in view.list("invalid") {
        let place = cells(&range).and_then(|(first, last)| Some((layout.find(first)?, layout.find(last)?)));
        match place {
            Some(((table, first), (other, last))) if table == other => {
                invalid.push(format!("{table}:{first}-{last}"))
            }
            _ => draft.left_out(range.place(), "invalid", "its cells are in no table"),
        }
    }
    // Bits of coils are one to a cell, of registers sixteen.
    for (kind, value_type) in [
        ("bits", ValueType::U16),
        ("uint16", ValueType::U16),
        ("int16", ValueType::I16),
        ("uint32", ValueType::U32),
        ("int32", ValueType::I32),
        ("float32", ValueType::F32),
        ("uint64", ValueType::U64),
        ("int64", ValueType::I64),
        ("float64", ValueType::F64),
    ] {
        let default = setup.get("defaults").and_then(|defaults| defaults.get("value")?.get(kind));
        for entry in view.list(kind) {
            read_entry(&entry, kind, value_type, default.as_ref(), &layout, &writable, &device, draft);
        }
    }
    for entry in view.list("string") {
        read_string(&entry, &layout, &writable, &device, draft);
    }
    for repeat in view.list("repeat") {
        draft.left_out(
            repeat.place(),
            "repeat",
            "copies of other cells; import them as another device, or write the tags",
        );
    }
    let device = draft.device(connect, Some(unit), name, &view.place());
    device.holes = invalid;
}

/// `5`, `[5, 9]`, or either of them as `addr`.
fn cells(entry: &View<'_>) -> Option<(i64, i64)> {
    let addr = entry.get("addr");
    let at = addr.as_ref().unwrap_or(entry);
    if at.is_list() {
        let ends: Vec<i64> = at.items().iter().filter_map(View::as_integer).collect();
        match ends.as_slice() {
            [first, last] if first <= last => Some((*first, *last)),
            _ => None,
        }
    } else {
        at.as_integer().map(|cell| (cell, cell))
    }
}

#[allow(clippy::too_many_arguments, reason = "what is the same for all entries of a device")]
fn read_entry(
    entry: &View<'_>,
    kind: &str,
    value_type: ValueType,
    default: Option<&View<'_>>,
    layout: &Layout,
    writable: &[(i64, i64)],
    device: &(String, u8),
    draft: &mut Draft,
) {
    let Some((first, last)) = cells(entry) else {
        draft.left_out(entry.place(), kind, "it is no cell and no range of cells; want 5, [5, 9] or addr");
        return;
    };
    if let Some(action) = entry.get("action") {
        draft.setting(
            action.place(),
            "action",
            "what a value does over time is the simulator's; a process of port502 does it",
        );
    }
    let width = i64::from(value_type.registers());
    let value = entry.get("value").or_else(|| default.cloned()).and_then(|value| value.as_number());
    let mut cell = first;
    while cell <= last {
        // A range of a wide type that is one cell short is one value all the same: `[3877]` is not.
        let Some((table, address)) = layout.find(cell) else {
            draft.left_out(
                entry.place(),
                &format!("{kind} {cell}"),
                "it is in no table; see the sizes in setup",
            );
            return;
        };
        let bits = table.is_bits();
        let shape = if bits { ValueType::Bool } else { value_type };
        let Ok(point) = Point::new(table, address, shape, Order::default(), 1) else {
            draft.left_out(entry.place(), &format!("{kind} {cell}"), "it reaches past address 65535");
            return;
        };
        let mut tag = DraftTag::new(&format!("{kind}_{cell}"), point, entry.place());
        if kind == "bits" && !bits {
            tag.description = Some("16 bits".to_owned());
        }
        tag.initial = value.filter(|value| *value != 0.0).map(|value| match bits {
            true => "true".to_owned(),
            false => number(value),
        });
        if writable.iter().any(|(from, to)| (*from..=*to).contains(&cell)) {
            draft.note(entry.place(), Lost::Write { tag: tag.name.clone() });
        }
        draft.add(device.clone(), tag);
        cell += if bits { 1 } else { width };
    }
}

fn read_string(
    entry: &View<'_>,
    layout: &Layout,
    writable: &[(i64, i64)],
    device: &(String, u8),
    draft: &mut Draft,
) {
    let found = cells(entry).and_then(|(first, last)| {
        let (table, address) = layout.find(first)?;
        let width = u16::try_from(last.checked_sub(first)?.checked_add(1)?).ok()?;
        let value_type = words::value_type("string", Some(width))?;
        Some((first, Point::new(table, address, value_type, Order::default(), 1).ok()?))
    });
    let Some((first, point)) = found else {
        draft.left_out(entry.place(), "string", "it is no range of up to 125 registers");
        return;
    };
    let mut tag = DraftTag::new(&format!("string_{first}"), point, entry.place());
    tag.initial = entry.text("value").map(|text| port502_site::sunspec::quoted(&text));
    if writable.iter().any(|(from, to)| (*from..=*to).contains(&first)) {
        draft.note(entry.place(), Lost::Write { tag: tag.name.clone() });
    }
    draft.add(device.clone(), tag);
}
