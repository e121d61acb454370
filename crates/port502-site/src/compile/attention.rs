//! What is no error, and deserves a look before it runs.

use std::fmt;
use std::time::Duration;

use port502_session::duration;

use super::Compiled;
use super::around::{Around, around};
use crate::site::{Conduit, DeviceId, LaneId, ScanId, Site, Write};

/// Tags that are named in one line; the others are counted.
const TAGS_SHOWN_MAX: usize = 8;

/// Something that deserves a look.
#[derive(Clone, PartialEq, Debug)]
pub enum Attention {
    /// A lane is asked for more than it can answer.
    Overloaded {
        /// The lane.
        lane: LaneId,
        /// The part of its time that it is busy, above 1.
        load: f64,
    },
    /// One round of a scan class takes longer than there is from one to the next.
    RoundTooLong {
        /// The lane.
        lane: LaneId,
        /// The class.
        scan: ScanId,
        /// What a round takes.
        cycle: Duration,
    },
    /// A device may be written, and no guard stands in front of it.
    Unguarded {
        /// The device.
        device: DeviceId,
    },
    /// Two conduits lead to a device with limits that hang on what was before: each remembers for itself.
    GuardedTwice {
        /// The device.
        device: DeviceId,
        /// The conduits, by their places in the site.
        conduits: [usize; 2],
    },
    /// A rule lets tags be written without their limits.
    GoesRound(Around),
    /// It is not known where polls come from, so that they are expected from anywhere.
    PollerAnywhere,
}

/// All that deserves a look.
#[must_use]
pub fn attention(site: &Site, compiled: &Compiled) -> Vec<Attention> {
    let mut all = Vec::new();
    for lane in compiled.poll.lanes() {
        if lane.load > 1.0 {
            all.push(Attention::Overloaded { lane: lane.lane, load: lane.load });
            continue; // each round that is too long makes it so
        }
        for round in lane.rounds.iter().filter(|round| round.cycle > round.every) {
            all.push(Attention::RoundTooLong { lane: lane.lane, scan: round.scan, cycle: round.cycle });
        }
    }
    let mut guarded = vec![false; site.devices().len()];
    for device in site.conduits().iter().flat_map(|conduit| &conduit.devices) {
        if let Some(guarded) = guarded.get_mut(device.index()) {
            *guarded = true;
        }
    }
    for ((device, _), guarded) in site.device_ids().zip(guarded) {
        if !guarded && site.tags_of(device).any(|(_, tag)| tag.write().is_some()) {
            all.push(Attention::Unguarded { device });
        }
    }
    for (device, _) in site.device_ids() {
        let leads = |(_, conduit): &(usize, &Conduit)| conduit.devices.contains(&device);
        let mut conduits = site.conduits().iter().enumerate().filter(leads).map(|(at, _)| at);
        let remembered = |write: &Write| write.max_step.is_some() || write.rate.is_some();
        if let (Some(first), Some(second)) = (conduits.next(), conduits.next())
            && site.tags_of(device).any(|(_, tag)| tag.write().is_some_and(remembered))
        {
            all.push(Attention::GuardedTwice { device, conduits: [first, second] });
        }
    }
    all.extend(around(site, compiled).into_iter().map(Attention::GoesRound));
    if site.poller().is_none() && !site.tags().is_empty() {
        all.push(Attention::PollerAnywhere);
    }
    all
}

impl Attention {
    /// A stable word for it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Attention::Overloaded { .. } => "overloaded",
            Attention::RoundTooLong { .. } => "round-too-long",
            Attention::Unguarded { .. } => "unguarded",
            Attention::GuardedTwice { .. } => "guarded-twice",
            Attention::GoesRound(_) => "goes-round",
            Attention::PollerAnywhere => "poller-anywhere",
        }
    }

    /// What it is, and what to try.
    #[must_use]
    pub fn text(&self, site: &Site) -> String {
        struct Text<'a>(&'a Attention, &'a Site);
        impl fmt::Display for Text<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Text(attention, site) = self;
                match attention {
                    Attention::Overloaded { lane, load } => {
                        let name = &site.lane(*lane).name;
                        write!(f, "\"{name}\" is asked for {:.0} % of what it can answer; ", load * 100.0)?;
                        f.write_str("read tags in slower scan classes, or put devices on another link")
                    }
                    Attention::RoundTooLong { lane, scan, cycle } => {
                        let (name, scan) = (&site.lane(*lane).name, site.scan(*scan));
                        let (cycle, every) = (duration::display(*cycle), duration::display(scan.every));
                        write!(
                            f,
                            "a round of \"{}\" on \"{name}\" takes {cycle}, and is due every {every}",
                            scan.name
                        )
                    }
                    Attention::Unguarded { device } => {
                        let name = &site.device(*device).name;
                        write!(
                            f,
                            "\"{name}\" has tags that may be written, and whoever reaches it may write them; "
                        )?;
                        f.write_str("put a [guard.NAME] in front of it")
                    }
                    Attention::GuardedTwice { device, conduits } => {
                        let name = &site.device(*device).name;
                        let called = |at: usize| site.conduits().get(at).map_or("", |it| it.name.as_str());
                        let [first, second] = conduits.map(called);
                        write!(
                            f,
                            "\"{name}\" is behind guard.{first} and guard.{second}, and each counts steps and "
                        )?;
                        f.write_str("rates for itself: what one lets pass the other does not see; one with two places to listen does")
                    }
                    Attention::GoesRound(Around { conduit, rule, name, functions, tags }) => {
                        let conduit = site.conduits().get(*conduit).map_or("", |it| it.name.as_str());
                        let functions: Vec<String> =
                            functions.iter().map(|function| function.0.to_string()).collect();
                        let shown = tags.iter().take(TAGS_SHOWN_MAX);
                        let mut tags_shown: Vec<String> = shown
                            .map(|(tag, keys)| format!("{} ({})", site.path(*tag), keys.join(", ")))
                            .collect();
                        if let Some(more) = tags.len().checked_sub(TAGS_SHOWN_MAX).filter(|more| *more > 0) {
                            tags_shown.push(format!("{more} more"));
                        }
                        write!(
                            f,
                            "rule {} of guard.{conduit} ({name}) goes round limits of {}: ",
                            rule + 1,
                            tags_shown.join(", ")
                        )?;
                        write!(
                            f,
                            "what it lets function {} write need not keep to them; ",
                            functions.join(", ")
                        )?;
                        f.write_str("leave these places out of it, or allow the tags with do = \"derived\"")
                    }
                    Attention::PollerAnywhere => f.write_str(
                        "the site does not say where polls come from; write zone = \"NAME\" in [poll]",
                    ),
                }
            }
        }
        Text(self, site).to_string()
    }
}
