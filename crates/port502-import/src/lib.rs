//! Site files from what other tools have.
//!
//! ```
//! use port502_import::{Format, Options, import};
//!
//! let csv = "Register;Name;Data type;Scale;Unit\n40101;Supply temperature;INT16;0,1;°C\n";
//! let imported = import(Format::Csv, csv, &Options::default()).expect("a good map");
//! assert!(imported.site.contains("at = \"holding:100:i16\""));
//! // What could not be carried over, with its place: the file does not say where the device is.
//! assert!(imported.notes.iter().any(|note| note.to_string().contains("--connect")));
//! ```
//!
//! Each format is read into a [`draft`] of a site: devices, tags, links. The draft is written as text, and the text is
//! read as a site before anybody sees it: what the site file does not take is left out and told, so that what comes out
//! is a site without errors. Nothing may be written that the source does not give limits for.
//!
//! | module | reads |
//! |---|---|
//! | [`csv`] | register maps as vendors and spreadsheets have them |
//! | [`sunspec`] | a SunSpec model definition, JSON |
//! | [`telegraf`] | `inputs.modbus` in its three styles |
//! | [`home_assistant`] | `modbus:` of a `configuration.yaml` |
//! | [`modbus_exporter`] | `modbus.yml` |
//! | [`pymodbus`] | the JSON of the pymodbus simulator |

pub mod csv;
pub mod draft;
pub mod export;
pub mod home_assistant;
pub mod modbus_exporter;
mod note;
pub mod pymodbus;
pub mod sunspec;
pub mod telegraf;
mod tree;
mod words;

use port502_session::Target;

use draft::Draft;
pub use note::{Lost, Note, Place};
pub use tree::Malformed;

/// Tags that are taken from one file.
pub const TAGS_MAX: usize = 100_000;

/// Things that are told; the rest is counted.
pub const NOTES_MAX: usize = 10_000;

/// What a file can be.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// A register map.
    Csv,
    /// A SunSpec model definition.
    SunSpec,
    /// A Telegraf configuration.
    Telegraf,
    /// A Home Assistant configuration.
    HomeAssistant,
    /// A modbus_exporter configuration.
    ModbusExporter,
    /// A configuration of the pymodbus simulator.
    Pymodbus,
}

impl Format {
    /// Each with its name.
    pub const ALL: [(&'static str, Format); 6] = [
        ("csv", Format::Csv),
        ("sunspec", Format::SunSpec),
        ("telegraf", Format::Telegraf),
        ("home-assistant", Format::HomeAssistant),
        ("modbus-exporter", Format::ModbusExporter),
        ("pymodbus", Format::Pymodbus),
    ];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        Format::ALL.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }

    /// What a text probably is, by what stands in it.
    #[must_use]
    pub fn guess(text: &str) -> Option<Format> {
        let start = text.trim_start_matches('\u{FEFF}').trim_start();
        let has = |words: &[&str]| words.iter().all(|word| text.contains(word));
        let line = |word: &str| text.lines().any(|line| line.trim_end().starts_with(word));
        if start.starts_with('{') {
            return match () {
                () if has(&["\"device_list\""]) => Some(Format::Pymodbus),
                () if has(&["\"group\"", "\"points\""]) => Some(Format::SunSpec),
                () => None,
            };
        }
        match () {
            () if text.contains("inputs.modbus") => Some(Format::Telegraf),
            () if line("modules:") && text.contains("metrics:") => Some(Format::ModbusExporter),
            () if line("modbus:") => Some(Format::HomeAssistant),
            // A package file has the list alone.
            () if line("- name:") && text.contains("type:") && text.contains("address:") => {
                Some(Format::HomeAssistant)
            }
            () if csv::looks_like(text) => Some(Format::Csv),
            () => None,
        }
    }
}

/// What a file does not say, or says in a way that can be meant twice.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the site is called.
    pub site: Option<String>,
    /// What the device is called, where the source has no name for it.
    pub device: Option<String>,
    /// Where the device is, where the source does not say.
    pub connect: Option<Target>,
    /// Its unit id, where the source does not say.
    pub unit: Option<u8>,
    /// How addresses of a register map count.
    pub base: csv::Base,
    /// Where a SunSpec model begins.
    pub at: Option<u16>,
    /// How often the groups of a SunSpec model repeat, by the point that says so on the device.
    pub counts: Vec<(String, u16)>,
}

/// What came out.
#[derive(Clone, PartialEq, Debug)]
pub struct Imported {
    /// A site file without errors.
    pub site: String,
    /// What could not be carried over, by place; at most [`NOTES_MAX`].
    pub notes: Vec<Note>,
    /// How many more there are.
    pub omitted: usize,
    /// How many devices it has.
    pub devices: usize,
    /// How many tags it has.
    pub tags: usize,
}

/// Why nothing came out.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum ImportError {
    /// The text is not what it should be: not JSON, not YAML, not TOML, no CSV.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// Not one value could be taken.
    #[error("no value could be taken from it")]
    Nothing(Vec<Note>),
    /// The site that was made is not one. That is our mistake.
    #[error("what was made of it is not a good site file, which is a mistake of port502: {0}")]
    NotASite(String),
}

/// Makes a site file.
///
/// # Errors
/// A text that is not of the format, or nothing in it that could be taken.
pub fn import(format: Format, text: &str, options: &Options) -> Result<Imported, ImportError> {
    let text = text.trim_start_matches('\u{FEFF}');
    let mut draft = Draft::new(options);
    match format {
        Format::Csv => csv::read(text, options, &mut draft)?,
        Format::SunSpec => sunspec::read(text, options, &mut draft)?,
        Format::Telegraf => telegraf::read(text, &mut draft)?,
        Format::HomeAssistant => home_assistant::read(text, &mut draft)?,
        Format::ModbusExporter => modbus_exporter::read(text, options, &mut draft)?,
        Format::Pymodbus => pymodbus::read(text, options, &mut draft)?,
    }
    draft.finish(format)
}
