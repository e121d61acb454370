//! `port502 demo`: a plant, served and polled on this machine, with nothing to configure.

mod guarded;
mod poller;
mod screen;
mod watch;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use port502_net::Target;
use port502_net::server::{Options, Stop};
use port502_plant::drill::{self, Aim, Drill};
use port502_plant::plants::{self, PLANTS, Plant};
use port502_plant::running::{Running, gather};
use port502_plant::{Map, Schedule, Simulation};
use port502_session::duration::display;
use port502_site::Site;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::simulate;
use crate::device;
use crate::failure::Failure;
use crate::live;
use crate::rounds::Rounds;
use guarded::Guarded;
use poller::Poller;
use screen::Screen;
use watch::Watch;

/// See it work: a simulated plant, served and polled on this machine
///
/// A plant is served as Modbus devices on loopback, guarded, and polled over TCP, live in the terminal. It can be read
/// and steered meanwhile, and physics answers: what to type in another terminal is shown. --drill lets an attacker loose
/// on it. Ctrl-C, or --for, ends it with a summary.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Which plant: water, heating, power, assembly, building or pipeline.
    #[arg(value_name = "PLANT", default_value = "water", value_parser = plant)]
    plant: &'static Plant,
    /// End after this time.
    #[arg(long = "for", value_name = "D", value_parser = super::duration)]
    duration: Option<Duration>,
    /// Plain lines in the place of a screen that is drawn over itself; always so when the output is no terminal.
    #[arg(long)]
    plain: bool,
    /// How often to poll.
    #[arg(long, value_name = "D", default_value = "1s", value_parser = super::duration)]
    every: Duration,
    /// The seed of the plant's weather, demand and noise: the same seed brings the same plant.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How much faster than ours the plant's time passes.
    #[arg(long, value_name = "X", default_value = "20x", value_parser = simulate::speed)]
    speed: f64,
    /// What the guard in front of the plant does with what its site file does not allow: enforce, alert, or off for none.
    #[arg(long, value_name = "MODE", default_value = "enforce")]
    guard: Guarding,
    /// Faults by the plant's clock, one line each: from, for, where, what.
    #[arg(long, value_name = "FILE")]
    schedule: Option<PathBuf>,
    /// Let an attacker loose on this plant, and on nothing else: rogue-write, frostygoop, register-walk,
    /// function-enumeration, unit-sweep, flood, replay or slow-drip.
    #[arg(long, value_name = "NAME", value_parser = drill_name)]
    drill: Option<Drill>,
    /// What the attacker writes, as JSON, in the place of the plant's own list.
    #[arg(long, value_name = "FILE", requires = "drill")]
    drill_list: Option<PathBuf>,
}

/// Whether a guard stands in front of the plant, and what it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Guarding {
    /// It refuses and records.
    Enforce,
    /// It lets pass and records.
    Alert,
    /// There is none.
    Off,
}

fn plant(text: &str) -> Result<&'static Plant, String> {
    let names = || PLANTS.iter().map(|plant| plant.name);
    plants::find(text).ok_or_else(|| {
        let near = port502_site::nearest(text, names());
        let hint = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
        format!("no such plant; {hint}there are {}", names().collect::<Vec<_>>().join(", "))
    })
}

fn drill_name(text: &str) -> Result<Drill, String> {
    let names = || Drill::ALL.iter().map(|(name, ..)| *name);
    Drill::find(text).ok_or_else(|| {
        let near = port502_site::nearest(text, names());
        let hint = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
        format!("no such drill; {hint}there are {}", names().collect::<Vec<_>>().join(", "))
    })
}

/// Where the guard listens, or the plant where there is none: at home where that is permitted and free, else where everybody may, else anywhere.
const PLACES: [u16; 3] = [502, 1502, 0];

/// Rounds before a drill begins, so that there is something to compare with.
const CALM_ROUNDS: u32 = 3;

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    device::block_on(demo(args))
}

async fn demo(args: Args) -> Result<(), Failure> {
    let site = simulate::built_in(args.plant)?;
    let schedule = args.schedule.as_deref().map(simulate::read_schedule).transpose()?.unwrap_or_default();
    let writes = match &args.drill_list {
        Some(path) => simulate::read_drill_list(path)?,
        None => drill::writes(args.plant.drill_list).map_err(|error| Failure::other(error.to_string()))?,
    };
    let places = if args.guard == Guarding::Off { &PLACES[..] } else { &[0] };
    let (running, mut why) = bind(&site, &schedule, &args, places)?;
    let Some(plant) = running.targets().next().map(|(target, _)| target.clone()) else {
        return Err(Failure::other("the plant has no device"));
    };
    let (mut own, shared, stops) = (running.own(), running.simulation(), running.stops());
    let serving = tokio::spawn(running.run());
    let mut guarded = match args.guard {
        Guarding::Off => None,
        mode => {
            let guarded;
            (guarded, why) = Guarded::start(&site, &plant, mode == Guarding::Alert, &PLACES)?;
            own = own.behind(guarded.address);
            Some(guarded)
        }
    };
    let target = guarded.as_ref().map_or(plant.clone(), |guarded| guarded.target.clone());

    let is_live = live::is_possible() && !args.plain;
    introduce(&site, (&target, &plant), why, &args, is_live)?;
    let mut poller = Poller::connect(&site, &target).await?;
    let mut screen = Screen::new(&site, &target);
    let mut watch = Watch::new(&site, shared);
    let mut rounds = Rounds::new(args.every, None, args.duration);
    let mut attack = Attack::new(args.drill);
    while rounds.next().await {
        let Some(values) = rounds.unless_stopped(poller.round()).await else { break };
        let refused = guarded.as_mut().map(Guarded::news).unwrap_or_default();
        for line in attack.news().into_iter().chain(refused).chain(watch.news(&values)) {
            screen.tell(line, is_live)?;
        }
        screen.show(&values, &poller.summary, watch.seconds(), is_live)?;
        if attack.is_due() {
            let aims = site.devices().iter().filter_map(|device| {
                own.addresses().first().map(|address| Aim { address: *address, unit: device.unit })
            });
            let (own, aims, writes) = (own.clone(), aims.collect(), writes.clone());
            attack.begin(own, aims, writes);
        }
    }
    // A drill is short; what it came to belongs into the summary.
    if !rounds.stopped {
        attack.finish().await;
    }
    let summary = match &mut guarded {
        Some(guarded) => Some(guarded.finish().await),
        None => None,
    };
    let refused = guarded.as_mut().map(Guarded::news).unwrap_or_default();
    for line in attack.news().into_iter().chain(refused).chain(watch.news(&[])) {
        screen.tell(line, false)?;
    }
    stops.iter().for_each(Stop::stop);
    let served = serving.await;
    super::eprintln_quietly(&format!("demo: {}", poller.summary));
    super::eprintln_quietly(&format!("demo: {}", watch.summary()));
    if let Some(summary) = summary {
        super::eprintln_quietly(&format!("demo: {summary}"));
    }
    if let Ok(Err(error)) = served {
        return Err(Failure::other(format!("the plant's server ended: {error}")));
    }
    Ok(())
}

/// Listens at the first place that can be had; and why not at an earlier one.
fn bind(
    site: &Site,
    schedule: &Schedule,
    args: &Args,
    ports: &[u16],
) -> Result<(Running, Option<String>), Failure> {
    let map = Map::of(site);
    let mut why = None;
    for &port in ports {
        let simulation = Simulation::new(&map, Some(args.plant.process(args.seed)), schedule, args.seed)
            .map_err(|error| Failure::usage(error.to_string()))?;
        let places = gather(&simulation, &Target::tcp("127.0.0.1", port))
            .map_err(|error| Failure::other(error.to_string()))?;
        match Running::bind(simulation, &places, &Options::default(), args.speed) {
            Ok(running) => return Ok((running, why)),
            Err((_, error)) => {
                why.get_or_insert(format!("port {port}: {error}"));
            }
        }
    }
    Err(Failure::other(format!("cannot listen on 127.0.0.1: {}", why.unwrap_or_default())))
}

/// A drill that is going to be, is, or has been.
struct Attack {
    drill: Option<Drill>,
    calm: u32,
    running: Option<JoinHandle<()>>,
    news: (mpsc::UnboundedSender<String>, mpsc::UnboundedReceiver<String>),
}

impl Attack {
    fn new(drill: Option<Drill>) -> Self {
        // Two lines are sent in all.
        Attack { drill, calm: CALM_ROUNDS, running: None, news: mpsc::unbounded_channel() }
    }

    /// Whether it is to begin now.
    fn is_due(&mut self) -> bool {
        self.calm = self.calm.saturating_sub(1);
        self.drill.is_some() && self.running.is_none() && self.calm == 0
    }

    fn begin(&mut self, own: port502_plant::running::Own, aims: Vec<Aim>, writes: Vec<drill::Write>) {
        let Some(drill) = self.drill else { return };
        let tell = self.news.0.clone();
        self.running = Some(tokio::spawn(async move {
            // Nobody listens any more when the demo ends.
            let _ = tell.send(format!("drill  {} begins, from {}", drill.name(), drill::SOURCE));
            let ended = match drill::run(drill, &own, &aims, &writes).await {
                Ok(report) => format!("drill  {} is over: {report}", drill.name()),
                Err(error) => format!("drill  {} failed: {error}", drill.name()),
            };
            let _ = tell.send(ended);
        }));
    }

    async fn finish(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.await;
        }
    }

    fn news(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.news.1.try_recv().ok()).collect()
    }
}

const NAME: &str = "port502";

/// How to run this program: its name where a shell finds it by that, else its path. Who came by `cargo run` has
/// nothing on the PATH.
fn itself() -> String {
    let Ok(this) = std::env::current_exe() else { return NAME.to_owned() };
    let found = std::env::var_os("PATH").and_then(|path| {
        let name = format!("{NAME}{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(&path).map(|folder| folder.join(&name)).find(|file| file.is_file())
    });
    // One may be a link to the other.
    if found.is_some_and(|found| found.canonicalize().ok() == this.canonicalize().ok()) {
        return NAME.to_owned();
    }
    let path = this.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+\\:".contains(c);
    if path.chars().all(plain) { path } else { format!("'{path}'") }
}

fn introduce(
    site: &Site,
    (target, plant): (&Target, &Target),
    why: Option<String>,
    args: &Args,
    is_live: bool,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let (title, every) = (args.plant.title, display(args.every));
    let name = site.name();
    match args.guard {
        Guarding::Off => {
            writeln!(out, "{name}: {title}, simulated, is served at {target}, and polled every {every}.")?
        }
        _ => writeln!(
            out,
            "{name}: {title}, simulated, is served at {target} behind a guard, and polled every {every}."
        )?,
    }
    if let Some(why) = why {
        writeln!(out, "(Not at {why}.)")?;
    }
    writeln!(out, "Its time passes {} times as fast as ours. In another terminal:", args.speed)?;
    let (port502, at) = (itself(), format!("127.0.0.1:{}", target.port()));
    for (path, value, what) in args.plant.tries {
        let Some(tag) = site.find(path).map(|tag| site.tag(tag)) else { continue };
        let raw = if tag.is_number() { (value - tag.offset) / tag.scale } else { *value };
        // What a float of a scale makes of a whole number is not always whole.
        let raw = (raw * 1e6).round() / 1e6;
        let unit = site.device(tag.device).unit;
        let command = format!("write {at} --unit {unit} {}={raw}", tag.point);
        writeln!(out, "  {what}:\n    {port502} {command}")?;
    }
    let around = format!("127.0.0.1:{}", plant.port());
    match args.guard {
        Guarding::Off => {}
        Guarding::Alert => writeln!(out, "The guard lets all of it pass, and says what it would refuse.")?,
        Guarding::Enforce => writeln!(
            out,
            "The guard refuses what the site file does not allow, as some of this; {around}, behind it, obeys anyone."
        )?,
    }
    if is_live && args.duration.is_none() {
        writeln!(out, "Ctrl-C ends it.")?;
    }
    writeln!(out)?;
    out.flush()
}
