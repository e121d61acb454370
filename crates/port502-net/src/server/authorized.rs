//! Who may do what: each request is asked about before the device sees it (Modbus/TCP Security, R-16 to R-31).

use std::sync::{Arc, PoisonError, RwLock};

use port502_session::server::{Context, LineEvent, Reply};
use port502_site::rights::{Deed, Judgement, Rights};
use port502_wire::mbap::Frame;
use port502_wire::{ExceptionCode, PDU_MAX, UnitId};

use super::{Caller, Outcome, Service};

/// A request that was refused for want of a right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Denied<'a> {
    /// Who asked, and which unit.
    pub client: Context<'a>,
    /// The function that it asked for.
    pub function: u8,
    /// What it has no right to.
    pub deed: Deed,
}

/// Is told of requests that were refused. It is called while the client waits, so it must not block.
pub type DeniedObserver = Arc<dyn Fn(&Denied<'_>) + Send + Sync>;

/// A service that answers requests which their client has a right to, and exception 01 to all others.
///
/// A client without TLS, or whose certificate has no role, has the null role. Clones share the rights, and so does what
/// [`replace`](Self::replace) puts in their place.
#[derive(Clone)]
pub struct Authorized<S> {
    service: S,
    rights: Arc<RwLock<Arc<Rights>>>,
    observer: Option<DeniedObserver>,
}

impl<S: std::fmt::Debug> std::fmt::Debug for Authorized<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorized").field("service", &self.service).finish_non_exhaustive()
    }
}

impl<S: Service> Authorized<S> {
    /// `service` for those with `rights`.
    pub fn new(service: S, rights: Rights) -> Self {
        Authorized { service, rights: Arc::new(RwLock::new(Arc::new(rights))), observer: None }
    }

    /// The same, with somebody who is told of each refusal.
    #[must_use]
    pub fn observed_by(self, observer: DeniedObserver) -> Self {
        Authorized { observer: Some(observer), ..self }
    }

    /// Other rights from the next request on, for the clients that are here, too.
    pub fn replace(&self, rights: Rights) {
        *self.rights.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rights);
    }

    fn judge(&self, cx: &Context<'_>, frame: &Frame<'_>) -> Result<(), Reply> {
        let rights = self.rights.read().unwrap_or_else(PoisonError::into_inner);
        match rights.judge(cx.role(), cx.unit, frame.pdu) {
            Judgement::Allowed => Ok(()),
            Judgement::Malformed(code) => Err(Reply::Exception(code)),
            Judgement::Denied(deed) => {
                drop(rights);
                self.deny(cx, frame, deed);
                Err(Reply::Exception(ExceptionCode::IllegalFunction))
            }
        }
    }

    #[cold]
    fn deny(&self, cx: &Context<'_>, frame: &Frame<'_>, deed: Deed) {
        let function = frame.pdu.first().copied().unwrap_or_default();
        let denied = Denied { client: *cx, function, deed };
        let (peer, subject) = (cx.peer, cx.identity.map(|identity| identity.subject.as_str()));
        tracing::warn!(?peer, subject, role = cx.role(), unit = %cx.unit, function, %deed, "denied");
        if let Some(observer) = &self.observer {
            observer(&denied);
        }
    }
}

impl<S: Service> Service for Authorized<S> {
    #[inline]
    fn call(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        match self.judge(cx, frame) {
            Ok(()) => self.service.call(cx, frame, out),
            Err(reply) => Outcome::Now(reply),
        }
    }

    #[inline]
    fn post(
        &self,
        caller: &mut Caller,
        cx: &Context<'_>,
        frame: &Frame<'_>,
        out: &mut [u8; PDU_MAX],
    ) -> Option<Outcome> {
        match self.judge(cx, frame) {
            Ok(()) => self.service.post(caller, cx, frame, out),
            Err(reply) => Some(Outcome::Now(reply)),
        }
    }

    #[inline]
    fn posted(&self, caller: &mut Caller) {
        self.service.posted(caller);
    }

    fn serves(&self, unit: UnitId) -> bool {
        self.service.serves(unit)
    }

    fn overheard(&self, event: LineEvent) {
        self.service.overheard(event);
    }

    fn broadcast(&self, cx: &Context<'_>, frame: &Frame<'_>, out: &mut [u8; PDU_MAX]) -> Outcome {
        match self.judge(cx, frame) {
            Ok(()) => self.service.broadcast(cx, frame, out),
            Err(_) => Outcome::Now(Reply::Silence),
        }
    }
}
