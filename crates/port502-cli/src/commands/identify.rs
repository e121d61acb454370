//! `port502 identify`: who a device says that it is.

use std::io::{self, Write as _};

use jiff::Timestamp;
use port502_net::client::Error;
use port502_wire::{DEVICE_OBJECT_NAMES, ReadDeviceIdCode, Request, Response};
use serde::Serialize;

use crate::device::{self, Connection, Device, brief};
use crate::failure::Failure;
use crate::output::{no_controls, rfc3339};
use crate::signal::Interrupt;

/// Ask a device who it is
///
/// Asks for its device identification (function 43/14, basic and regular) and its server id (function 17), and
/// says what it did not offer. It fails when the device offers none of them.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// What a device says, and what it does not; as JSON it is documented in docs/json.md.
#[derive(Serialize)]
struct Identity {
    time: String,
    target: String,
    unit: u8,
    objects: Vec<Object>,
    server_id: Option<ServerId>,
    not_offered: Vec<NotOffered>,
}

#[derive(Serialize)]
struct Object {
    id: u8,
    name: Option<&'static str>,
    value: String,
}

#[derive(Serialize)]
struct ServerId {
    hex: String,
    text: String,
}

#[derive(Serialize)]
struct NotOffered {
    what: &'static str,
    reason: String,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    device::block_on(identify(args))
}

const BASIC: &str = "device identification, basic (43/14)";
const REGULAR: &str = "device identification, regular (43/14)";
const REGULAR_OBJECTS: &str = "regular objects of the device identification";
const SERVER_ID: &str = "server id (17)";

async fn identify(args: Args) -> Result<(), Failure> {
    let mut device = Device::connect(&args.connection).await?;
    let Some((identity, failures)) = Interrupt::new().or(ask(&mut device)).await else {
        return Err(device.interrupted(""));
    };
    let silent = identity.objects.is_empty() && identity.server_id.is_none();
    let worst = failures.into_iter().rev().max_by_key(|failure| failure.exit);
    if let (true, Some(worst)) = (silent, worst) {
        if args.json {
            print(&identity, true)?;
        }
        return Err(worst);
    }
    print(&identity, args.json)
}

/// All that there is to ask, and what failed of it.
async fn ask(device: &mut Device) -> (Identity, Vec<Failure>) {
    let mut identity = Identity {
        time: rfc3339(Timestamp::now()),
        target: device.target.to_string(),
        unit: device.unit().get(),
        objects: Vec::new(),
        server_id: None,
        not_offered: Vec::new(),
    };
    let mut failures = Vec::new();
    for (what, code) in [(BASIC, ReadDeviceIdCode::Basic), (REGULAR, ReadDeviceIdCode::Regular)] {
        match objects(device, code).await {
            Ok(objects) => {
                for (id, value) in objects {
                    // The regular answer begins with what the basic one had.
                    if identity.objects.iter().all(|known| known.id != id) {
                        let name = DEVICE_OBJECT_NAMES.get(usize::from(id)).copied();
                        identity.objects.push(Object { id, name, value: text(&value) });
                    }
                }
                if code == ReadDeviceIdCode::Regular && identity.objects.iter().all(|object| object.id < 3) {
                    let reason = "they are optional, and this device has the basic ones only".to_owned();
                    let what = REGULAR_OBJECTS;
                    identity.not_offered.push(NotOffered { what, reason });
                }
            }
            Err(error) => {
                identity.not_offered.push(NotOffered { what, reason: brief(&error) });
                let lost = is_lost(&error);
                failures.push(device.failure(what, &error));
                if lost {
                    break;
                }
            }
        }
    }
    match server_id(device).await {
        Ok(data) => {
            let hex = data.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ");
            // Bytes around the text are the id's own, and the run indicator.
            let text: String = data
                .iter()
                .map(|byte| if (0x20..0x7F).contains(byte) { char::from(*byte) } else { '.' })
                .collect();
            identity.server_id = Some(ServerId { hex, text });
        }
        Err(error) => {
            identity.not_offered.push(NotOffered { what: SERVER_ID, reason: brief(&error) });
            failures.push(device.failure(SERVER_ID, &error));
        }
    }
    (identity, failures)
}

/// Whether asking for more is in vain.
fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Connect { .. } | Error::Transport { .. })
}

/// All objects of a category, over as many requests as it takes.
async fn objects(device: &mut Device, code: ReadDeviceIdCode) -> Result<Vec<(u8, Vec<u8>)>, Error> {
    let (mut objects, mut object) = (Vec::new(), 0);
    loop {
        let answer = device.call(&Request::ReadDeviceIdentification { code, object }).await?;
        // The client has seen to it that it answers the request.
        let Ok(Response::ReadDeviceIdentification(part)) = answer.response() else { return Ok(objects) };
        objects.extend(part.objects.iter().map(|object| (object.id, object.value.to_vec())));
        match part.next {
            // A device that goes back would never come to an end.
            Some(next) if next > object => object = next,
            _ => return Ok(objects),
        }
    }
}

async fn server_id(device: &mut Device) -> Result<Vec<u8>, Error> {
    let answer = device.call(&Request::ReportServerId).await?;
    let response = answer.response();
    Ok(if let Ok(Response::ReportServerId { data }) = response { data.to_vec() } else { Vec::new() })
}

/// UTF-8 where it is, else ISO 8859-1.
fn text(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned)
}

fn print(identity: &Identity, json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, identity).map_err(io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(out, "{} unit {}", identity.target, identity.unit)?;
    for object in &identity.objects {
        let unnamed = format!("Object 0x{:02X}", object.id);
        writeln!(out, "  {:20} {}", object.name.unwrap_or(&unnamed), no_controls(&object.value))?;
    }
    if let Some(id) = &identity.server_id {
        writeln!(out, "  {:20} {}  {}", "ServerId", id.hex, id.text)?;
    }
    for missing in &identity.not_offered {
        writeln!(out, "  not offered: {}: {}", missing.what, missing.reason)?;
    }
    Ok(())
}
