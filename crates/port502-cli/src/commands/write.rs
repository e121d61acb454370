//! `port502 write`: values into a device, everything checked before anything is sent.

use std::io::{self, Write as _};
use std::str::FromStr;

use port502_net::client::Error;
use port502_net::{Link, Target};
use port502_site::write_plan::{WriteFunction, WriteRequest, plan};
use port502_site::{Cells, Point};
use port502_wire::mbap::{self, TransactionId};
use port502_wire::value::ValueType;
use port502_wire::{ExceptionCode, FunctionCode, Request, UnitId, ascii, rtu};

use crate::device::{self, Connection, Device};
use crate::failure::Failure;
use crate::output::{counted, place, raw, shown};
use crate::reading::{self, Reader};
use crate::signal::Interrupt;

/// Write values
///
/// Everything is checked before anything is sent; then one point after the other is written, and the first that
/// the device refuses ends it. One coil is written by function 5, one register by 6, several by 15 or 16, a bit
/// of a register by 22, which leaves the other bits alone.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "Examples:
  port502 write 10.0.0.5 h:100=1234 h:110:f32:cdab=21.5 'c:0*3=1,0,1' --verify
  port502 write plc-7 h:5:bit3=on --dry-run")]
pub(crate) struct Args {
    #[command(flatten)]
    connection: Connection,
    /// What to write where: holding:100=1234, h:110:f32=21.5, c:0=on, h:200:str8=PUMP, h:0*3=1,2,3.
    #[arg(required = true, value_name = "POINT=VALUE")]
    assignments: Vec<Assignment>,
    /// Read back what was written, and fail when it differs.
    #[arg(long, conflicts_with = "dry_run")]
    verify: bool,
    /// Show the frames, and send nothing.
    #[arg(long)]
    dry_run: bool,
    /// Write with this function: 5, 6, 15, 16, 22 or 23.
    #[arg(long, value_name = "N", value_parser = function)]
    fc: Option<WriteFunction>,
}

/// A point, and what is to be written there.
#[derive(Clone, Debug)]
struct Assignment {
    point: Point,
    cells: Cells,
    text: String,
}

impl FromStr for Assignment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let missing = || "a value is missing; write POINT=VALUE, as holding:100=1234".to_owned();
        let (point, value) = text.split_once('=').ok_or_else(missing)?;
        let point: Point = point.parse().map_err(|error: port502_site::PointError| error.to_string())?;
        let cells = point.parse_values(value).map_err(|error| error.to_string())?;
        Ok(Assignment { point, cells, text: value.to_owned() })
    }
}

fn function(text: &str) -> Result<WriteFunction, String> {
    let number = port502_site::point::number(text);
    let known = WriteFunction::ALL.into_iter().find(|f| number == Some(f.code().0.into()));
    known.ok_or_else(|| "the functions that write are 5, 6, 15, 16, 22 and 23".into())
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let mut requests = Vec::new();
    for assignment in &args.assignments {
        let plan = plan(&assignment.point, &assignment.cells, args.fc)
            .map_err(|error| Failure::usage(format!("{}: {error}", assignment.point)))?;
        let pdus = plan.iter().map(WriteRequest::pdu).collect::<Result<Vec<_>, _>>();
        requests.push(pdus.map_err(|error| Failure::other(format!("{}: {error}", assignment.point)))?);
    }
    let Connection { target, unit, .. } = &args.connection;
    if args.verify && device::is_broadcast(target, *unit) {
        let message = "--verify reads back, and nobody answers a broadcast: leave it out, or name one --unit";
        return Err(Failure::usage(message));
    }
    if args.dry_run {
        return dry_run(&args, &requests);
    }
    device::block_on(write(args, requests))
}

/// The frames of all requests, with what they say.
fn dry_run(args: &Args, requests: &[Vec<Vec<u8>>]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let Connection { target, unit, .. } = &args.connection;
    // The first request of a connection has transaction id 1.
    let mut transaction = 1;
    for (assignment, pdus) in args.assignments.iter().zip(requests) {
        writeln!(out, "{} = {}", place(&assignment.point), assignment.text)?;
        for pdu in pdus {
            let transaction_id = TransactionId(transaction);
            let (frame, kind) = frame(target, *unit, transaction_id, pdu)
                .map_err(|error| Failure::other(format!("{}: {error}", assignment.point)))?;
            writeln!(out, "  {}", hex(&frame))?;
            let asks = explain(pdu).unwrap_or_default();
            let transaction_text =
                if kind == "MBAP" { format!(" transaction {transaction},") } else { String::new() };
            writeln!(out, "  {kind}:{transaction_text} unit {unit}, {asks}")?;
            transaction = transaction.wrapping_add(1);
        }
    }
    writeln!(out, "nothing was sent to {target}")?;
    Ok(())
}

/// What goes out on the target's link.
fn frame(
    target: &Target,
    unit: UnitId,
    transaction: TransactionId,
    pdu: &[u8],
) -> Result<(Vec<u8>, &'static str), port502_wire::EmitError> {
    Ok(match target.link() {
        Link::Tcp | Link::Tls | Link::Udp => {
            let mut room = [0; mbap::ADU_MAX];
            (mbap::emit(&mbap::Frame { transaction, unit, pdu }, &mut room)?.to_vec(), "MBAP")
        }
        Link::Rtu | Link::RtuOverTcp | Link::RtuOverUdp => {
            let mut room = [0; rtu::ADU_MAX];
            (rtu::emit(&rtu::Frame { unit, pdu }, &mut room)?.to_vec(), "RTU")
        }
        Link::Ascii | Link::AsciiOverTcp => {
            let mut room = [0; ascii::ADU_MAX];
            (ascii::emit(&rtu::Frame { unit, pdu }, b'\n', &mut room)?.to_vec(), "ASCII")
        }
    })
}

/// What a request asks for, in words.
fn explain(pdu: &[u8]) -> Option<String> {
    let request = Request::parse(pdu).ok()?;
    let function = request.function();
    let hex = |word: u16| format!("0x{word:04X}");
    let details = match request {
        Request::WriteSingleCoil { address, value } => {
            format!("coil {address} becomes {}", if value { "on (FF00)" } else { "off (0000)" })
        }
        Request::WriteSingleRegister { address, value } => {
            format!("register {address} becomes {value} ({})", hex(value))
        }
        Request::WriteMultipleCoils { block } => {
            let values: String = block.values().iter().map(|on| if on { '1' } else { '0' }).collect();
            format!("coils {} to {} become {values}", block.span().start(), block.span().last())
        }
        Request::WriteMultipleRegisters { block } => {
            let values = raw(&Cells::Registers(block.values().iter().collect()));
            format!("registers {} to {} become {values}", block.span().start(), block.span().last())
        }
        Request::MaskWriteRegister { address, and, or } => {
            let (mask, or) = (hex(!and), hex(or));
            format!("of register {address} the bits {mask} become {or}, the others stay")
        }
        Request::ReadWriteMultipleRegisters { read, write } => {
            let values = raw(&Cells::Registers(write.values().iter().collect()));
            let (start, last) = (write.span().start(), write.span().last());
            format!(
                "registers {start} to {last} become {values}, then {} to {} are read",
                read.start(),
                read.last()
            )
        }
        _ => return None,
    };
    Some(format!("function {function}: {details}"))
}

fn hex(bytes: &[u8]) -> String {
    let words: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    words.join(" ")
}

async fn write(args: Args, requests: Vec<Vec<Vec<u8>>>) -> Result<(), Failure> {
    let mut device = Device::connect(&args.connection).await?;
    let mut interrupt = Interrupt::new();
    let total = args.assignments.len();
    for (done, (assignment, pdus)) in args.assignments.iter().zip(&requests).enumerate() {
        for (sent, pdu) in pdus.iter().enumerate() {
            let request = Request::parse(pdu)
                .map_err(|error| Failure::other(format!("{}: {error}", assignment.point)))?;
            let answer = interrupt.or(device.call(&request)).await;
            if !matches!(answer, Some(Ok(_))) {
                let place = assignment.point.to_string();
                let (mut failure, maybe_executed) = match &answer {
                    Some(Err(error)) => {
                        // What is accepted is being written: there is no doubt to tell.
                        let accepted =
                            matches!(error, Error::Exception { code: ExceptionCode::Acknowledge, .. });
                        (device.failure(&place, error), error.maybe_executed() && !accepted)
                    }
                    _ => (device.interrupted(&place), true),
                };
                if maybe_executed {
                    failure.message.push_str("; it may have been written all the same");
                }
                if sent > 0 {
                    failure
                        .message
                        .push_str(&format!("; {sent} of its {} requests were carried out", pdus.len()));
                }
                if total > 1 {
                    failure.message.push_str(&format!("; {done} of {total} points were written before"));
                }
                return Err(failure);
            }
        }
        let codes: Vec<FunctionCode> =
            pdus.iter().filter_map(|pdu| pdu.first().copied().map(FunctionCode)).collect();
        let function = codes.first().map(ToString::to_string).unwrap_or_default();
        let mut times = if pdus.len() > 1 { format!(", {} requests", pdus.len()) } else { String::new() };
        if device.is_broadcast() {
            times.push_str(", broadcast: nobody answers");
        }
        writeln!(
            io::stdout(),
            "{} = {} written (function {function}{times})",
            place(&assignment.point),
            assignment.text
        )?;
    }
    if args.verify { verify(&args, &mut device, interrupt).await } else { Ok(()) }
}

/// Reads everything back, and names the first value that differs.
async fn verify(args: &Args, device: &mut Device, mut interrupt: Interrupt) -> Result<(), Failure> {
    let points: Vec<Point> = args.assignments.iter().map(|assignment| assignment.point).collect();
    let mut reader = Reader::new(&points);
    let readings = interrupt.or(reader.read(device)).await;
    // What could not be read back is not verified.
    let unverified = |failure: Failure| {
        Failure::new(failure.exit, format!("written, but not verified: {}", failure.message))
    };
    let Some(readings) = readings else { return Err(unverified(device.interrupted(""))) };
    if let Some(failure) = reading::failure(device, &readings) {
        return Err(unverified(failure));
    }
    let written = args.assignments.iter().flat_map(|assignment| {
        let values = assignment.point.decode(&assignment.cells);
        assignment.point.each().zip(values).zip(pieces(assignment))
    });
    let differ = |point: &Point, wanted: &Cells, read: &Cells| match (point.value_type(), wanted, read) {
        (ValueType::Bit(bit), Cells::Registers(wanted), Cells::Registers(read)) => {
            let mask = if point.order().bytes_swapped { bit.mask().swap_bytes() } else { bit.mask() };
            !wanted.iter().zip(read).all(|(wanted, read)| wanted & mask == read & mask)
        }
        _ => wanted != read,
    };
    let mut failures = Vec::new();
    for (((point, value), wanted), reading) in written.zip(&readings) {
        if differ(&point, &wanted, &reading.cells) {
            let text =
                |value: &Result<port502_site::Datum, _>| value.as_ref().map_or_else(|_| "?".into(), shown);
            let read = reading.result.as_ref().map_or_else(ToString::to_string, shown);
            let (wrote, raw_wrote, raw_read) = (text(&value), raw(&wanted), raw(&reading.cells));
            failures.push(format!(
                "{} unit {}: {}: wrote {wrote} ({raw_wrote}) but read {read} ({raw_read}); the device limits or \
                 changes it",
                device.target,
                device.unit(),
                place(&point),
            ));
        }
    }
    if failures.is_empty() {
        let values = counted(readings.len() as u64, "value");
        writeln!(io::stdout(), "verified: {values} read back as written")?;
        return Ok(());
    }
    Err(Failure::list(crate::failure::Exit::Other, failures))
}

/// The cells of each value.
fn pieces(assignment: &Assignment) -> impl Iterator<Item = Cells> {
    let width = usize::from(assignment.point.value_width());
    (0..assignment.cells.len()).step_by(width).filter_map(move |at| assignment.cells.part(at, width))
}
