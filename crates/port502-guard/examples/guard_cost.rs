//! A guard for load generators: `guard_cost LISTEN UPSTREAM [RULES] [shared]`. The rules share the holding registers of
//! unit 1 among them, so that each request meets others; what they allow is all that a load generator asks for.

use std::sync::Arc;

use port502_guard::record::Origin;
use port502_guard::{Clock, Conduit, Options, Recorder, Upstream};
use port502_inspect::policy::{
    self, Clients, Effect, Functions, Limits, Mode, Operation, Places, Policy, Range, Refusal, Rule,
};
use port502_inspect::{Engine, WeekMinute};
use port502_net::client::IN_FLIGHT_MAX;
use port502_net::gateway::{Lane, LaneOptions};
use port502_net::{Dialler, server};
use port502_wire::{FunctionCode, Table};

/// One of `rules` that share the table.
fn rule(number: u32, rules: u32) -> Rule {
    let address = |at: u32| u16::try_from(65_536 * u64::from(at) / u64::from(rules)).unwrap_or(u16::MAX);
    let last = if number + 1 == rules { u16::MAX } else { address(number + 1) - 1 };
    let functions = [3, 6, 16].map(|code| Operation { function: FunctionCode(code), sub: None });
    let zone = if number.is_multiple_of(3) { "127.0.0.0/16" } else { "127.0.0.0/8" };
    Rule {
        name: format!("rule {number}"),
        effect: Effect::Allow,
        clients: Clients { networks: zone.parse().into_iter().collect(), ..Clients::default() },
        units: vec![(1, 1)],
        functions: Functions::Of(functions.to_vec()),
        places: Places::Of(vec![Range { table: Table::HoldingRegisters, first: address(number), last }]),
        values: None,
        during: Vec::new(),
        requests: None,
        mode: None,
        refusal: None,
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (listen, upstream) = (args.next().ok_or("LISTEN")?, args.next().ok_or("UPSTREAM")?);
    let rules: u32 = args.next().map_or(Ok(10), |text| text.parse())?;
    let shared = args.next().is_some_and(|word| word == "shared");
    let rules = policy::Conduit {
        name: "cost".into(),
        mode: Mode::Enforce,
        refusal: Refusal::default(),
        limits: Limits::default(),
        devices: Vec::new(),
        rules: (0..rules).map(|number| rule(number, rules)).collect(),
    };
    let engine = Arc::new(Engine::compile(&Policy::default(), &rules)?);
    let keeper = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let timekeeper = keeper.handle().clone();
    std::thread::spawn(move || keeper.block_on(std::future::pending::<()>()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut lane = LaneOptions::default();
        (lane.in_flight, lane.inspected) = (IN_FLIGHT_MAX, true);
        lane.timekeeper = Some(timekeeper.clone());
        let within = lane.connect_timeout;
        let upstream = match Dialler::new(upstream.parse()?, within, Some(timekeeper.clone())) {
            Some(dialler) if !shared => Upstream::Own(dialler),
            _ => Upstream::Shared(Lane::new("upstream", upstream.parse()?, lane)?),
        };
        let recorder = Arc::new(Recorder::start(Vec::new(), Origin::default(), None)?);
        let clock = Arc::new(Clock::new(WeekMinute::default()));
        let conduit = Arc::new(Conduit::new(engine, upstream, Options::default(), clock, recorder));
        let mut options = server::Options::default();
        options.timekeeper = Some(timekeeper);
        server::Server::bind(&listen.parse()?, options)?.relay(conduit).await?;
        Ok(())
    })
}
