//! Site files from disk: one file, or the `*.toml` of a folder.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use port502_site::profiles;
use port502_site::site::{Site, SourceFile, render};

use crate::failure::{Exit, Failure};

/// So many bytes of a site are read. Half a million tags, each with a header of its own, are a quarter of it.
const SITE_MAX: u64 = 1 << 28;

/// Files of a folder.
const FILES_MAX: usize = 1_000;

/// Errors that are shown with their lines; the rest is counted.
const SHOWN_MAX: usize = 50;

/// The text of a file, and what messages call it.
pub(crate) struct Text {
    name: String,
    text: String,
}

/// Reads and checks a site.
pub(crate) fn read(path: &Path) -> Result<Site, Failure> {
    let texts = texts(path)?;
    let files: Vec<SourceFile<'_>> =
        texts.iter().map(|file| SourceFile { name: &file.name, text: &file.text }).collect();
    Site::parse(&files, profiles::built_in()).map_err(|errors| {
        let shown = render::shown(&files, &errors);
        let more = shown.len().saturating_sub(SHOWN_MAX) + errors.omitted;
        let mut lines = Vec::new();
        for error in shown.into_iter().take(SHOWN_MAX) {
            lines.extend(error.to_string().lines().map(str::to_owned));
        }
        if more > 0 {
            lines.push(format!("{}: ... and {more} more", path.display()));
        }
        Failure::list(Exit::Usage, lines)
    })
}

fn texts(path: &Path) -> Result<Vec<Text>, Failure> {
    let cannot =
        |error: std::io::Error| Failure::other(format!("cannot read the site {}: {error}", path.display()));
    let mut paths: Vec<PathBuf> = Vec::new();
    if std::fs::metadata(path).map_err(cannot)?.is_dir() {
        for entry in std::fs::read_dir(path).map_err(cannot)? {
            let entry = entry.map_err(cannot)?.path();
            if entry.extension().is_some_and(|extension| extension == "toml") {
                paths.push(entry);
            }
        }
        paths.sort();
        if paths.is_empty() {
            let message = format!("{}: no *.toml in this folder; name the site file", path.display());
            return Err(Failure::usage(message));
        }
        if paths.len() > FILES_MAX {
            let message = format!("{}: more than {FILES_MAX} files; put several into one", path.display());
            return Err(Failure::usage(message));
        }
    } else {
        paths.push(path.to_owned());
    }
    let mut room = SITE_MAX;
    paths.iter().map(|path| text(path, &mut room)).collect()
}

fn text(path: &Path, room: &mut u64) -> Result<Text, Failure> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(*room + 1).read_to_end(&mut bytes))
        .map_err(|error| Failure::other(format!("cannot read the site {name}: {error}")))?;
    let Some(left) = room.checked_sub(bytes.len() as u64) else {
        let message = format!("{name}: more than {} MiB, which no site needs", SITE_MAX >> 20);
        return Err(Failure::usage(message));
    };
    *room = left;
    let text = String::from_utf8(bytes).map_err(|error| {
        // What is in front of the wrong byte is text: nothing of it is lost here.
        let before = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(error.as_bytes().get(..before).unwrap_or_default());
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Failure::usage(format!("{name}:{line}:{column}: a byte that is not UTF-8; save the file as UTF-8"))
    })?;
    Ok(Text { name, text })
}
