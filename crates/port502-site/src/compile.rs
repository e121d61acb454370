//! What a site compiles to: the requests of the poller, the rules of the guard, what detection expects, and what a
//! simulator serves.
//!
//! All of it is pure and deterministic: the same site makes the same, in the same order, so that two of them can be
//! compared ([`diff`]).

pub mod around;
pub mod attention;
pub mod baseline;
pub mod diff;
pub mod policy;
pub mod poll;
pub mod show;
pub mod simulator;

use port502_inspect::policy::Range;
use port502_inspect::{Policy, baseline::Baseline};

use crate::Site;
use poll::PollPlan;
use simulator::Simulator;

/// All that a site compiles to.
#[derive(Clone, PartialEq, Debug)]
pub struct Compiled {
    /// The requests of the poller.
    pub poll: PollPlan,
    /// The rules of the guard.
    pub policy: Policy,
    /// What detection expects.
    pub baseline: Baseline,
    /// What a simulator serves.
    pub simulator: Simulator,
}

/// Compiles a site.
#[must_use]
pub fn compile(site: &Site) -> Compiled {
    let poll = poll::plan(site);
    let policy = policy::policy(site, &poll);
    let baseline = baseline::baseline(site, &poll);
    let simulator = simulator::simulator(site, &poll);
    Compiled { poll, policy, baseline, simulator }
}

/// Ranges sorted, and joined where they touch or overlap.
pub(crate) fn merged(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.table == range.table && u32::from(range.first) <= u32::from(last.last) + 1 => {
                last.last = last.last.max(range.last);
            }
            _ => merged.push(range),
        }
    }
    merged
}
