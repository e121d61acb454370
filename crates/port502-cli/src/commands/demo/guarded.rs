//! The guard in front of the demo's plant: this machine may do what the site file lets people do, and nobody else anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use port502_guard::record::{Format, Line, Origin};
use port502_guard::{Clock, Conduit, Options, Recorder, Sink, Upstream};
use port502_inspect::policy::Mode;
use port502_inspect::{Engine, Network, WeekMinute};
use port502_net::server::{self, Server, Stop};
use port502_net::{Dialler, Target};
use port502_site::Site;
use port502_site::compile::{policy, poll};
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::output::counted;

/// For a connection to the plant, which is in this process.
const REACHED_WITHIN: Duration = Duration::from_secs(3);

/// Lines for the screen.
struct News(mpsc::UnboundedSender<String>);

impl Sink for News {
    fn name(&self) -> String {
        "the screen".to_owned()
    }

    fn format(&self) -> Format {
        Format::Text
    }

    fn keep(&mut self, lines: &[Line]) -> Result<(), String> {
        for line in lines {
            // What every refusal here looks like need not take the room of a small screen from what was asked.
            let text = line.text.replacen("refused (exception:1) ", "refused ", 1);
            // Nobody looks any more when the demo ends.
            let _ = self.0.send(text);
        }
        Ok(())
    }
}

pub(super) struct Guarded {
    pub(super) target: Target,
    pub(super) address: SocketAddr,
    conduit: Arc<Conduit>,
    recorder: Arc<Recorder>,
    news: mpsc::UnboundedReceiver<String>,
    stop: Stop,
}

impl Guarded {
    /// Listens at the first of `ports` that can be had, and why not at an earlier one.
    pub(super) fn start(
        site: &Site,
        plant: &Target,
        alert: bool,
        ports: &[u16],
    ) -> Result<(Self, Option<String>), Failure> {
        let failed =
            |error: &dyn std::fmt::Display| Failure::other(format!("cannot guard the plant: {error}"));
        let this_machine: Network = "127.0.0.1".parse().map_err(|error| failed(&error))?;
        let mut policy = policy::whole(site, &poll::plan(site), "guard", &[this_machine]);
        if alert {
            policy.conduits.iter_mut().for_each(|conduit| conduit.mode = Mode::Alert);
        }
        let conduit = policy.conduits.first().ok_or_else(|| failed(&"it has no device"))?;
        let engine = Engine::compile(&policy, conduit).map_err(|error| failed(&error))?;
        let (mut why, mut bound) = (None, None);
        for port in ports {
            match Server::bind(&Target::tcp("127.0.0.1", *port), server::Options::default()) {
                Ok(server) => {
                    bound = Some(server);
                    break;
                }
                Err(error) => _ = why.get_or_insert(format!("port {port}: {error}")),
            }
        }
        let server = bound.ok_or_else(|| failed(&why.clone().unwrap_or_default()))?;
        let address = server.local_addr().ok_or_else(|| failed(&"it has no address"))?;
        let dialler = Dialler::new(plant.clone(), REACHED_WITHIN, None);
        let upstream = Upstream::Own(dialler.ok_or_else(|| failed(&"the plant is not served over TCP"))?);
        let (tell, news) = mpsc::unbounded_channel();
        let recorder = Recorder::start(vec![Box::new(News(tell))], Origin::default(), None);
        let recorder = Arc::new(recorder.map_err(|error| failed(&error))?);
        let clock = Arc::new(Clock::new(WeekMinute::default()));
        let conduit =
            Conduit::new(Arc::new(engine), upstream, Options::default(), clock, Arc::clone(&recorder));
        let conduit = Arc::new(conduit);
        let (target, stop) = (server.target().clone(), server.stop_handle());
        tokio::spawn(server.relay(Arc::clone(&conduit)));
        Ok((Guarded { target, address, conduit, recorder, news, stop }, why))
    }

    /// What it has recorded since it was last asked.
    pub(super) fn news(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.news.try_recv().ok()).collect()
    }

    /// Ends it. What it came to.
    pub(super) async fn finish(&mut self) -> String {
        self.stop.stop();
        // Connections end in tasks of this thread.
        for _ in 0..100 {
            if self.conduit.status().clients == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.conduit.finish();
        self.recorder.finish();
        let status = self.conduit.status();
        let mut summary = format!(
            "the guard saw {}: {} refused, {} let pass with an alert",
            counted(status.requests, "request"),
            status.refused,
            status.alerted
        );
        for (at, (reason, count)) in status.reasons.iter().enumerate() {
            summary.push_str(&format!("{}{count} {reason}", if at == 0 { "; " } else { ", " }));
        }
        summary
    }
}
