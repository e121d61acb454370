use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use port502_session::server::{Context, Reply};
use port502_wire::mbap::{Frame, HEADER_LEN};
use port502_wire::{ExceptionCode, PDU_MAX, UnitId};

use super::{Ask, Lane, Seat};
use crate::Pdu;
use crate::server::{Caller, Inbox, Late, Outcome, Service};

/// Where each unit id leads.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    lanes: Vec<Lane>,
    /// By the unit id that clients use: a lane, and the unit id on it.
    by_unit: Vec<Option<(usize, UnitId)>>,
}

impl Routes {
    /// None: every request is answered with exception 0A.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with `unit` leading to `to` on `lane`, in the place of where it led.
    #[must_use]
    pub fn with(mut self, unit: UnitId, lane: &Lane, to: UnitId) -> Self {
        let known = self.lanes.iter().position(|known| known.is(lane));
        let at = known.unwrap_or_else(|| {
            self.lanes.push(lane.clone());
            self.lanes.len() - 1
        });
        let unit = usize::from(unit.get());
        if self.by_unit.len() <= unit {
            self.by_unit.resize(unit + 1, None);
        }
        if let Some(route) = self.by_unit.get_mut(unit) {
            *route = Some((at, to));
        }
        self
    }

    /// The same with all units that lead nowhere yet leading to `lane`, under their own ids.
    #[must_use]
    pub fn with_rest(self, lane: &Lane) -> Self {
        (0..=u8::MAX).map(UnitId).fold(self, |routes, unit| match routes.find(unit) {
            Some(_) => routes,
            None => routes.with(unit, lane, unit),
        })
    }

    fn find(&self, unit: UnitId) -> Option<(usize, UnitId)> {
        self.by_unit.get(usize::from(unit.get())).copied().flatten()
    }

    /// Whether `unit` leads anywhere.
    #[must_use]
    pub fn leads(&self, unit: UnitId) -> bool {
        self.find(unit).is_some()
    }

    /// The lanes that units lead to.
    #[must_use]
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }
}

/// Sends each request into the lane of its unit. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    routes: Mutex<Arc<Routes>>,
    generation: AtomicU64,
    lost: AtomicU64,
}

/// What the gateway remembers of a connection.
#[derive(Debug)]
struct Visit {
    generation: u64,
    routes: Arc<Routes>,
    /// As the lanes of `routes`.
    seats: Vec<Option<Seat>>,
    /// Seats in lanes that no unit leads to any more, while answers are owed on them.
    old: Vec<Seat>,
}

impl Gateway {
    /// With these routes.
    #[must_use]
    pub fn new(routes: Routes) -> Self {
        let routes = Mutex::new(Arc::new(routes));
        Gateway(Arc::new(Shared { routes, generation: AtomicU64::new(0), lost: AtomicU64::new(0) }))
    }

    /// Other routes from now on. Requests that are under way come to their end on the lanes they are on.
    pub fn reroute(&self, routes: Routes) {
        let mut current = self.0.routes.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(routes);
        self.0.generation.fetch_add(1, Relaxed);
    }

    /// The routes as they are.
    #[must_use]
    pub fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.0.routes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Requests for units that led nowhere.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Relaxed)
    }

    #[cold]
    fn visit(&self) -> Visit {
        let generation = self.0.generation.load(Relaxed);
        let routes = self.routes();
        let seats = routes.lanes.iter().map(|_| None).collect();
        Visit { generation, routes, seats, old: Vec::new() }
    }

    /// Has the answer come into the inbox of `caller`, once the burst is sent.
    ///
    /// # Errors
    /// The exception that is owed instead.
    #[inline]
    fn ask(&self, caller: &mut Caller, frame: &Frame<'_>) -> Result<(), ExceptionCode> {
        if !caller.has_room() {
            return Err(ExceptionCode::ServerDeviceBusy);
        }
        let (inbox, visit) = caller.parts(|| self.visit());
        if visit.generation != self.0.generation.load(Relaxed) {
            visit.renew(self.visit());
        }
        let Some((lane, unit)) = visit.routes.find(frame.unit) else {
            self.0.lost.fetch_add(1, Relaxed);
            return Err(ExceptionCode::GatewayPathUnavailable);
        };
        let (Some(seat), Some(lane)) = (visit.seats.get_mut(lane), visit.routes.lanes.get(lane)) else {
            return Err(ExceptionCode::GatewayPathUnavailable);
        };
        let seat = seat.get_or_insert_with(|| lane.seat(inbox));
        seat.ask(&Ask { transaction: frame.transaction, asked: frame.unit, unit, pdu: frame.pdu });
        Ok(())
    }
}

impl Visit {
    /// What was asked since the last time goes into the lanes.
    #[inline]
    fn send(&mut self) {
        self.seats.iter_mut().flatten().for_each(Seat::send);
    }

    /// The routes have changed: seats in lanes that are still there are kept.
    #[cold]
    fn renew(&mut self, new: Visit) {
        self.send();
        let mut seats: Vec<Seat> = std::mem::take(&mut self.seats).into_iter().flatten().collect();
        seats.append(&mut self.old);
        *self = new;
        for (lane, place) in self.routes.lanes.iter().zip(&mut self.seats) {
            let at = seats.iter().position(|seat| seat.lane().is(lane));
            *place = at.map(|at| seats.swap_remove(at));
        }
        self.old = seats.into_iter().filter(Seat::is_open).collect();
    }
}

impl Service for Gateway {
    /// For servers that wait for one answer at a time.
    fn call(&self, _cx: &Context<'_>, frame: &Frame<'_>, _out: &mut [u8; PDU_MAX]) -> Outcome {
        let mut caller = Caller::new(1);
        match self.ask(&mut caller, frame) {
            Ok(()) => {
                self.posted(&mut caller);
                Outcome::Later(answer(caller))
            }
            Err(code) => Outcome::Now(Reply::Exception(code)),
        }
    }

    #[inline]
    fn post(
        &self,
        caller: &mut Caller,
        _cx: &Context<'_>,
        frame: &Frame<'_>,
        _out: &mut [u8; PDU_MAX],
    ) -> Option<Outcome> {
        let refused = self.ask(caller, frame).err()?;
        Some(Outcome::Now(Reply::Exception(refused)))
    }

    #[inline]
    fn posted(&self, caller: &mut Caller) {
        if let Some(visit) = caller.state::<Visit>() {
            visit.send();
        }
    }

    fn serves(&self, unit: UnitId) -> bool {
        self.routes().leads(unit)
    }
}

/// Waits for the one answer of a caller.
fn answer(mut caller: Caller) -> Pin<Box<dyn Future<Output = Late> + Send>> {
    let inbox: Arc<Inbox> = Arc::clone(caller.inbox());
    Box::pin(async move {
        let frame = std::future::poll_fn(|task| match inbox.take_one(task.waker()) {
            Some(frame) => std::task::Poll::Ready(frame),
            None => std::task::Poll::Pending,
        })
        .await;
        drop(caller);
        frame.get(HEADER_LEN..).and_then(Pdu::new).map_or(Late::Silence, Late::Response)
    })
}
