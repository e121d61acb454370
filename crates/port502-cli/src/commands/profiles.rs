//! `port502 profiles`: the devices that are known already.

use std::io::{self, BufWriter, Write as _};

use port502_session::duration::display;
use port502_site::nearest;
use port502_site::profiles::{FILES, built_in};
use port502_site::site::about::{About, Probe};
use port502_site::site::{Profile, Tag};
use serde::Serialize;

use crate::failure::Failure;

/// List the built-in device profiles, or show one
///
/// A device of a site file that names a profile has its tags and quirks: profile = "eastron/sdm630". Addresses are
/// those of the makers' documents; each profile says which, and where they were looked up.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print one JSON object for each profile.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    List(ListArgs),
    Show(ShowArgs),
}

/// All of them, a line each; this is what happens without a word
#[derive(clap::Args, Debug)]
struct ListArgs {}

/// One of them: where it is from, how to recognise the device, and its tags
#[derive(clap::Args, Debug)]
struct ShowArgs {
    /// Which, as `list` has it: eastron/sdm630.
    name: String,
    /// Print the file itself, to make another of it.
    #[arg(long, conflicts_with = "json")]
    toml: bool,
}

/// A profile in a line; as JSON it is documented in docs/json.md.
#[derive(Serialize)]
struct Row<'p> {
    name: &'p str,
    title: &'p str,
    maker: &'p str,
    verified: &'static str,
    tags: usize,
    document: Option<&'p str>,
}

/// A profile as a whole; as JSON it is documented in docs/json.md.
#[derive(Serialize)]
struct Whole<'p> {
    #[serde(flatten)]
    row: Row<'p>,
    sources: &'p [String],
    serial: Option<&'p str>,
    notes: Option<&'p str>,
    probes: Vec<String>,
    points: Vec<Value<'p>>,
}

#[derive(Serialize)]
struct Value<'p> {
    tag: &'p str,
    point: String,
    reference: String,
    unit: Option<&'p str>,
    scale: f64,
    exponent: Option<&'p str>,
    description: Option<&'p str>,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    match args.command {
        None | Some(Command::List(ListArgs {})) => list(args.json),
        Some(Command::Show(show_args)) => show(&show_args, args.json),
    }
}

fn list(json: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    let names: Vec<&str> = built_in().names().collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    if !json {
        writeln!(out, "{:width$}  TAGS  VERIFIED  DEVICE", "PROFILE")?;
    }
    for row in names.iter().filter_map(|name| row(built_in().find(name)?)) {
        if json {
            writeln!(out, "{}", line(&row))?;
        } else {
            let maker = if matches!(row.maker, "any" | "port502") {
                String::new()
            } else {
                format!("{} ", row.maker)
            };
            writeln!(out, "{:width$}  {:>4}  {:8}  {maker}{}", row.name, row.tags, row.verified, row.title)?;
        }
    }
    out.flush()?;
    Ok(())
}

fn line(value: &impl Serialize) -> String {
    // What is serialised here has text for keys, and numbers that are finite.
    serde_json::to_string(value).unwrap_or_default()
}

fn row(profile: &Profile) -> Option<Row<'_>> {
    let about = profile.about()?;
    Some(Row {
        name: profile.name(),
        title: &about.title,
        maker: &about.maker,
        verified: about.verified.name(),
        tags: profile.tags().len(),
        document: about.document.as_deref(),
    })
}

fn show(args: &ShowArgs, json: bool) -> Result<(), Failure> {
    let found = built_in().find(&args.name).and_then(|profile| Some((profile, profile.about()?)));
    let Some((profile, about)) = found else {
        let near = nearest(&args.name, FILES.iter().map(|(name, _)| *name));
        let hint = near.map_or_else(
            || "`port502 profiles` lists them".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        return Err(Failure::usage(format!("there is no profile {}; {hint}", args.name)));
    };
    let mut out = BufWriter::new(io::stdout().lock());
    if args.toml {
        let text = FILES.iter().find(|(name, _)| *name == args.name).map_or("", |(_, text)| text);
        write!(out, "{text}")?;
    } else if json {
        if let Some(row) = row(profile) {
            let whole = Whole {
                row,
                sources: &about.sources,
                serial: about.serial.as_deref(),
                notes: about.notes.as_deref(),
                probes: about.probes.iter().map(probe).collect(),
                points: profile.tags().iter().map(|tag| value(profile, tag)).collect(),
            };
            writeln!(out, "{}", line(&whole))?;
        }
    } else {
        table(&mut out, profile, about)?;
    }
    out.flush()?;
    Ok(())
}

fn value<'p>(profile: &'p Profile, tag: &'p Tag) -> Value<'p> {
    Value {
        tag: &tag.name,
        point: tag.point.to_string(),
        reference: tag.point.reference(),
        unit: tag.unit.as_deref(),
        scale: tag.scale,
        exponent: exponent(profile, tag),
        description: tag.more().description.as_deref(),
    }
}

fn exponent<'p>(profile: &'p Profile, tag: &Tag) -> Option<&'p str> {
    let id = tag.more().exponent?;
    profile.tags().get(id.index()).map(|tag| &*tag.name)
}

fn table(out: &mut impl io::Write, profile: &Profile, about: &About) -> io::Result<()> {
    writeln!(out, "{}: {}", profile.name(), about.title)?;
    let mut line = |what: &str, text: &str| writeln!(out, "{what:10}{text}");
    line("maker", &about.maker)?;
    if let Some(document) = &about.document {
        line("document", document)?;
    }
    for source in &about.sources {
        line("source", source)?;
    }
    line("verified", &format!("against a {}", about.verified.name()))?;
    if let Some(serial) = &about.serial {
        line("serial", serial)?;
    }
    for sign in &about.probes {
        line("probe", &probe(sign))?;
    }
    for quirk in quirks(profile) {
        line("quirk", &quirk)?;
    }
    if let Some(notes) = &about.notes {
        line("notes", notes)?;
    }
    let names = profile.tags().iter().map(|tag| tag.name.len()).max().unwrap_or(0).max(3);
    let points = profile.tags().iter().map(|tag| tag.point.to_string().len()).max().unwrap_or(0).max(5);
    writeln!(out, "\n{:names$}  {:points$}  REFERENCE  SCALE   UNIT", "TAG", "POINT")?;
    for tag in profile.tags() {
        let scale = exponent(profile, tag).map_or_else(|| tag.scale.to_string(), |sf| format!("10^{sf}"));
        let (point, reference) = (tag.point.to_string(), tag.point.reference());
        let unit = tag.unit.as_deref().unwrap_or_default();
        let line = format!("{:names$}  {point:points$}  {reference:9}  {scale:6}  {unit}", tag.name);
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A sign of a device, in words.
fn probe(probe: &Probe) -> String {
    match probe {
        Probe::Holds { point, values } => format!("{point} is {}", values.join(" or ")),
        Probe::Begins { point, text } => format!("{point} begins with {text}"),
        Probe::Between { point, low, high } => format!("{point} is {low} to {high}"),
        Probe::Object { object, contains } => {
            format!("object {object} of the device identification (43/14) has {contains} in it")
        }
        Probe::Model(model) => format!("model {model} is found behind SunS"),
    }
}

/// What is strange about the device, in words.
fn quirks(profile: &Profile) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(device) = profile.device() {
        let limits =
            [(device.limits.read_registers, 125, "registers"), (device.limits.read_bits, 2_000, "bits")];
        for (limit, most, what) in limits {
            if limit < most {
                words.push(format!("one read takes at most {limit} {what}"));
            }
        }
        if device.fill == Some(0) {
            words.push("addresses between its tags are not read".to_owned());
        }
        for (has, word) in [
            (device.quirks.one_per_request, "each value is read by itself"),
            (device.quirks.bits_from_zero, "reads of bits begin at address 0"),
            (device.quirks.one_client, "it takes one client at a time"),
        ] {
            if has {
                words.push(word.to_owned());
            }
        }
    }
    if let Some(timing) = profile.timing() {
        if !timing.connect_delay.is_zero() {
            words.push(format!("it wants {} after the connection", display(timing.connect_delay)));
        }
        if timing.timeout.as_secs() > 1 {
            words.push(format!("an answer may take {}", display(timing.timeout)));
        }
    }
    words
}
