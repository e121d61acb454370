//! `serve --record`: what clients ask and what they get, as a capture.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use port502_net::server::{Event, Options, Server};
use port502_plant::record::{Ended, FILE_MAX, RecordedServer, Recorder};

use super::Args;
use crate::failure::Failure;
use crate::log::Log;
use crate::output::counted;

/// Servers whose names in the recording are shown; the others are counted.
const SERVERS_SHOWN_MAX: usize = 8;

/// The file that is asked for, and what records into it from the moment when the server listens.
pub(super) struct Tape {
    path: Option<PathBuf>,
    recorder: Arc<OnceLock<Recorder>>,
}

impl Tape {
    /// As the arguments say. The connections of these options will end in the recording, too.
    pub(super) fn new(args: &Args, options: &mut Options) -> Tape {
        let tape = Tape { path: args.record.clone(), recorder: Arc::new(OnceLock::new()) };
        if tape.path.is_some()
            && let Some(before) = options.observer.take()
        {
            let recorder = Arc::clone(&tape.recorder);
            options.observer = Some(Arc::new(move |event: &Event| {
                if let (Some(recorder), Event::Closed { peer, .. }) = (recorder.get(), event) {
                    recorder.closed(*peer);
                }
                before(event);
            }));
        }
        tape
    }

    /// Begins the file. Not sooner: where nothing can be listened on, there is no file that is in the way next time.
    pub(super) fn begin(&self, log: &Arc<Log>) -> Result<Option<&Recorder>, Failure> {
        let Some(path) = &self.path else { return Ok(None) };
        let file = path.display();
        let created = File::create_new(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::usage(format!(
                "{file} is there already; name another file to record to, or remove it"
            )),
            _ => Failure::other(format!("cannot record to {file}: {error}")),
        })?;
        let (name, told) = (path.clone(), Arc::clone(log));
        let tell = move |ended: &Ended| {
            let line = format!("{} is no longer recorded to: {ended}", name.display());
            told.line(format_args!("{line}"));
            super::super::eprintln_quietly(&format!("port502: {line}; the server goes on"));
        };
        let recorder = Recorder::new(created, FILE_MAX, Box::new(tell))
            .map_err(|error| Failure::other(format!("cannot record to {file}: {error}")))?;
        Ok(Some(self.recorder.get_or_init(|| recorder)))
    }

    /// Begins the file, and records these servers, each by itself.
    pub(super) fn record(
        &self,
        servers: Vec<Server>,
        log: &Arc<Log>,
    ) -> Result<Vec<(Server, Option<RecordedServer>)>, Failure> {
        let recorder = self.begin(log)?;
        let recorded = |server: Server| {
            let recorded = recorder.map(|recorder| recorder.server(&server));
            (server, recorded)
        };
        Ok(servers.into_iter().map(recorded).collect())
    }

    /// Where it is recorded, and under which addresses.
    pub(super) fn lines(&self) -> Vec<String> {
        let Some((path, recorder)) = self.path.as_ref().zip(self.recorder.get()) else { return Vec::new() };
        let servers = recorder.servers();
        let names = servers.iter().take(SERVERS_SHOWN_MAX).map(|(target, address)| {
            let (scheme, host, port) = (target.link().scheme(), target.host(), target.port());
            let place = if target.serial().is_some() { host.to_owned() } else { format!("{host}:{port}") };
            format!("{scheme}://{place} as {address}")
        });
        let mut names: Vec<String> = names.collect();
        if servers.len() > SERVERS_SHOWN_MAX {
            names.push(format!("{} more", servers.len() - SERVERS_SHOWN_MAX));
        }
        vec![format!("recording to {}: {}", path.display(), names.join(", "))]
    }

    /// What the file has, at the end.
    pub(super) fn finish(&self, args: &Args) {
        if let (Some((path, recorder)), false) = (self.path.as_ref().zip(self.recorder.get()), args.quiet) {
            let requests = counted(recorder.requests(), "request");
            super::super::eprintln_quietly(&format!("recorded {requests} to {}", path.display()));
        }
    }
}
