//! Asks a plant what its site file says, as the poll plan has it.

use std::time::{Duration, Instant};

use port502_net::Target;
use port502_net::client::{Client, Error, Options};
use port502_site::compile::poll::{self, PollPlan};
use port502_site::site::{Tag, TagId};
use port502_site::{Cells, Datum, Site};
use port502_wire::Table;

use crate::device::{self, cells, read_request};
use crate::failure::Failure;
use crate::signal::Interrupt;
use crate::summary::Summary;

/// What a tag showed last.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Reading {
    /// This.
    Value(Datum),
    /// Nothing, and why.
    Missing(String),
}

/// A tag and what it shows.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Value {
    pub(super) tag: TagId,
    pub(super) reading: Reading,
}

impl Value {
    /// As a number in the tag's unit; a bit is 0 or 1.
    pub(super) fn number(&self, tag: &Tag) -> Option<f64> {
        let Reading::Value(datum) = &self.reading else { return None };
        Some(match datum {
            Datum::Bool(on) => f64::from(u8::from(*on)),
            Datum::Unsigned(number) => tag.scaled(*number as f64),
            Datum::Signed(number) => tag.scaled(*number as f64),
            Datum::F32(float) => tag.scaled((*float).into()),
            Datum::F64(float) => tag.scaled(*float),
            Datum::Text(_) => return None,
        })
    }
}

pub(super) struct Poller<'s> {
    site: &'s Site,
    plan: PollPlan,
    client: Client,
    pub(super) summary: Summary,
}

impl<'s> Poller<'s> {
    pub(super) async fn connect(site: &'s Site, target: &Target) -> Result<Self, Failure> {
        let options = Options::default().timeout(Duration::from_secs(1)).retries(0);
        let client = match Interrupt::new().or(Client::connect(target.clone(), options)).await {
            Some(Ok(client)) => client,
            Some(Err(error)) => return Err(Failure::new(device::exit(&error), device::brief(&error))),
            None => {
                return Err(Failure::other(format!("{target}: interrupted before there was a connection")));
            }
        };
        Ok(Poller { site, plan: poll::plan(site), client, summary: Summary::default() })
    }

    /// Asks everything once; the values are in the order of the site file.
    pub(super) async fn round(&mut self) -> Vec<Value> {
        let mut values = Vec::with_capacity(self.site.tags().len());
        for request in self.plan.requests() {
            let unit = self.client.unit(self.site.device(request.device).unit);
            let began = Instant::now();
            let answer = read(&unit, request.table, request.start, request.count).await;
            let answered = matches!(answer, Ok(_) | Err(Error::Exception { .. }));
            self.summary.count(answered.then(|| began.elapsed()), answer.is_err());
            for id in self.plan.tags_of(request) {
                let tag = self.site.tag(*id);
                let offset = usize::from(tag.point.address().saturating_sub(request.start));
                let width = usize::from(tag.point.value_width());
                let reading = match &answer {
                    Err(error) => Reading::Missing(device::brief(error)),
                    Ok(cells) => match cells.part(offset, width).map(|cells| tag.point.decode(&cells)) {
                        Some(decoded) => decoded.into_iter().next().map_or_else(
                            || Reading::Missing("nothing".to_owned()),
                            |datum| {
                                datum.map_or_else(|error| Reading::Missing(error.to_string()), Reading::Value)
                            },
                        ),
                        None => Reading::Missing("fewer values than asked for".to_owned()),
                    },
                };
                values.push(Value { tag: *id, reading });
            }
        }
        values.sort_by_key(|value| value.tag);
        values
    }
}

async fn read(
    unit: &port502_net::client::Unit,
    table: Table,
    start: u16,
    count: u16,
) -> Result<Cells, Error> {
    let answer = unit.call(&read_request(table, start, count)?).await?;
    Ok(cells(&answer, count))
}
