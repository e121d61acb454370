//! What one transaction costs the inspection, for an instruction counter: a frame that asks for ten registers comes from
//! a client, is judged and goes on; the frame that answers it is matched and goes back. First argument: how many
//! transactions; second: how many rules the conduit has.
//!
//! ```sh
//! cargo build --release -p port502-inspect --example judge_cost
//! for rules in 10 1000 10000; do for n in 10000 60000; do
//!   valgrind --tool=callgrind --callgrind-out-file=/dev/null target/release/examples/judge_cost $n $rules 2>&1 |
//!     grep Collected
//! done; done   # the difference by 50000 is the cost of one
//! ```

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;

use port502_inspect::conduit::{Event, Flow, Inline, Output, Sanity};
use port502_inspect::policy::{
    Clients, Conduit, Effect, Functions, Limits, Mode, Operation, Places, Policy, Range, Refusal, Rule,
};
use port502_inspect::{Engine, Moment, Peer, State, WeekMinute};
use port502_session::Instant;
use port502_wire::{FunctionCode, Table};

/// Rules as a site has them: spread over units, addresses and clients, none of them the same.
fn rule(number: u16, rules: u16) -> Rule {
    let reads = [1, 2, 3, 4].map(|code| Operation { function: FunctionCode(code), sub: None });
    let unit = u8::try_from(1 + number % 10).unwrap_or(1);
    let first = number / 10 * 20 + number % 10;
    let zone = if number.is_multiple_of(3) { "10.20.0.0/16" } else { "10.0.0.0/8" };
    Rule {
        name: format!("rule {number} of {rules}"),
        effect: Effect::Allow,
        clients: Clients { networks: zone.parse().into_iter().collect(), ..Clients::default() },
        units: vec![(unit, unit)],
        functions: Functions::Of(reads.to_vec()),
        places: Places::Of(vec![Range { table: Table::HoldingRegisters, first, last: first + 15 }]),
        values: None,
        during: Vec::new(),
        requests: None,
        mode: None,
        refusal: None,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |otherwise: u64| arguments.next().map_or(Ok(otherwise), |text| text.parse());
    let (iterations, rules) = (number(1_000_000)?, u16::try_from(number(10)?)?);
    let conduit = Conduit {
        name: "intake".into(),
        mode: Mode::Enforce,
        refusal: Refusal::default(),
        limits: Limits::default(),
        devices: Vec::new(),
        rules: (0..rules).map(|number| rule(number, rules)).collect(),
    };
    let policy = Policy::default();
    let mut state = State::new(Arc::new(Engine::compile(&policy, &conduit)?));
    let peer = Peer { address: "10.20.0.7".parse()?, identity: None };
    let mut inline = Inline::new(Sanity::default(), peer);
    let week = WeekMinute::new(0, 12, 0).unwrap_or_default();
    let (mut output, mut bytes) = (Output::default(), 0);
    for round in 0..iterations {
        let now = Moment { at: Instant::from_nanos(round * 1000), week };
        // A different rule each time, so that no branch is guessed for being always the same.
        let at = u16::try_from(round % u64::from(rules))?;
        let [high, low] = (at / 10 * 20 + at % 10).to_be_bytes();
        let unit = u8::try_from(1 + at % 10)?;
        let ask = [0, 7, 0, 0, 0, 6, unit, 3, high, low, 0, 10];
        let mut sink = |event: Event<'_>| _ = black_box(event);
        if inline.from_client(&mut state, now, black_box(&ask), &mut output, &mut sink) != Flow::Open {
            return Err("the request was refused".into());
        }
        let mut answer = [0; 29];
        if let (Some(front), Some([t1, t0, ..])) = (answer.first_chunk_mut(), output.to_server.get(..)) {
            *front = [*t1, *t0, 0, 0, 0, 23, unit, 3, 20];
        }
        output.to_server.clear();
        if inline.from_server(&mut state, now, black_box(&answer), &mut output, &mut sink) != Flow::Open {
            return Err("the answer was refused".into());
        }
        bytes += black_box(&output.to_client).len();
        output.to_client.clear();
    }
    println!("{iterations} transactions, {rules} rules, {bytes} bytes of answers");
    Ok(())
}
