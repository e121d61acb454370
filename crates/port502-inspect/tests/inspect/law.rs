//! Laws of an inspected connection that hold for every input: the body of the fuzz target, which ordinary tests call
//! too.
//!
//! ```text
//!   2 bytes         which policy and which client
//!   then steps      what: 1 byte    bytes of the client, bytes of the server, an answer to an open request, wait
//!                   length: 1 byte  of bytes, which follow
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use port502_inspect::conduit::{Event, Flow, Inline, OPEN_MAX, Outcome, Output, Sanity};
use port502_inspect::policy::{Client, Conduit, Decision, Refusal};
use port502_inspect::{Engine, Moment, Peer, State};
use port502_session::tap::Direction;
use port502_wire::mbap::{self, Decoder, Frame, Received, TransactionId};
use port502_wire::{Registers, Request, Response, UnitId};

use super::generate::{self, Chance, moment};

/// One step of a conversation.
enum Step<'a> {
    FromClient(&'a [u8]),
    FromServer(&'a [u8]),
    /// The server answers one of the requests that it has, with as good an answer as it can.
    Answer(u8),
    Wait,
}

fn steps(mut bytes: &[u8]) -> impl Iterator<Item = Step<'_>> {
    std::iter::from_fn(move || {
        let (&what, rest) = bytes.split_first()?;
        bytes = rest;
        Some(match what & 7 {
            0 => Step::Wait,
            1 | 2 => Step::Answer(what >> 3),
            kind => {
                let (&len, rest) = rest.split_first()?;
                let (segment, rest) = rest.split_at(usize::from(len).min(rest.len()));
                bytes = rest;
                if kind == 3 { Step::FromServer(segment) } else { Step::FromClient(segment) }
            }
        })
    })
}

/// What a run leaves behind.
#[derive(PartialEq, Debug, Default)]
struct Run {
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    events: Vec<String>,
    /// Frames of the client that were told.
    refused: usize,
    /// Of these, the ones that were answered by the inspection.
    exceptions: usize,
    ended: bool,
}

/// Of the server: requests that have come and are not answered.
#[derive(Default)]
struct Server {
    decoder: Decoder,
    open: Vec<(TransactionId, UnitId, Vec<u8>)>,
}

impl Server {
    /// Takes in what goes on, and holds it against the plain meaning of the rules.
    fn hear(&mut self, mut bytes: &[u8], conduit: &Conduit, client: Client<'_>) {
        while let Some(received) = self.decoder.next(&mut bytes).expect("what goes on has a length") {
            let Received::Frame(frame) = received else { panic!("{received:?} went on") };
            let request = Request::parse(frame.pdu).expect("what goes on is a request");
            let decision = conduit.judge(client, frame.unit, &request);
            assert!(matches!(decision, Decision::Allowed { .. }), "{request:?} went on: {decision:?}");
            if let (Request::WriteMultipleCoils { block }, Some(last)) = (request, frame.pdu.last()) {
                let used = block.span().count() % 8;
                assert!(used == 0 || last >> used == 0, "{last:#x} went on: {request:?}");
            }
            assert!(self.open.iter().all(|(id, ..)| *id != frame.transaction), "an id twice");
            self.open.push((frame.transaction, frame.unit, frame.pdu.to_vec()));
        }
        assert!(!self.decoder.is_midway(), "half a frame went on");
    }

    fn answer(&mut self, which: u8) -> Vec<u8> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let (transaction, unit, pdu) = self.open.remove(usize::from(which) % self.open.len());
        let (mut answer, mut adu) = ([0; 253], [0; mbap::ADU_MAX]);
        let zeros = [0; 250];
        let registers = |count: u16| Registers::new(&zeros[..2 * usize::from(count)]).unwrap();
        let answer = match Request::parse(&pdu).unwrap() {
            Request::ReadHoldingRegisters { span } => {
                Response::ReadHoldingRegisters { registers: registers(span.count()) }
                    .emit(&mut answer)
                    .unwrap()
            }
            Request::WriteSingleRegister { address, value } => {
                Response::WriteSingleRegister { address, value }.emit(&mut answer).unwrap()
            }
            Request::WriteMultipleRegisters { block } => {
                let (start, count) = (block.span().start(), block.span().count());
                Response::WriteMultipleRegisters { start, count }.emit(&mut answer).unwrap()
            }
            request => {
                answer[..2].copy_from_slice(&[request.function().0 | 0x80, 4]);
                &answer[..2]
            }
        };
        mbap::emit(&Frame { transaction, unit, pdu: answer }, &mut adu).unwrap().to_vec()
    }
}

/// The steps, with the client's bytes in pieces of `piece`.
fn run(
    conduit: &Conduit,
    engine: &Arc<Engine>,
    peer: &Peer,
    roles: &[&str],
    bytes: &[u8],
    piece: usize,
) -> Run {
    let subject = peer.identity.as_ref().map(|identity| identity.subject.as_str());
    let client = Client { address: peer.address, subject, roles };
    let mut state = State::new(Arc::clone(engine));
    let mut inline = Inline::new(Sanity::default(), peer.clone());
    let (mut millis, mut server, mut run) = (0, Server::default(), Run::default());
    for step in steps(bytes) {
        let now = moment(millis);
        let (mut output, mut events, mut refused) = (Output::default(), Vec::new(), [0; 2]);
        let mut sink = |event: Event<'_>| {
            let of_client = event.direction == Direction::ToServer;
            refused[0] += usize::from(of_client && matches!(event.outcome, Outcome::Refused(_)));
            refused[1] += usize::from(matches!(event.outcome, Outcome::Refused(Refusal::Exception(_))));
            assert!(event.outcome != Outcome::Alerted, "nothing is in alert");
            events.push(format!("{event:?}"));
        };
        let mut feed = |inline: &mut Inline, state: &mut State, bytes: &[u8], from_client: bool| {
            let mut flow = Flow::Open;
            for piece in bytes.chunks(piece) {
                flow = if from_client {
                    inline.from_client(state, now, piece, &mut output, &mut sink)
                } else {
                    inline.from_server(state, now, piece, &mut output, &mut sink)
                };
            }
            flow
        };
        let flow = match step {
            Step::FromClient(bytes) => feed(&mut inline, &mut state, bytes, true),
            Step::FromServer(bytes) => feed(&mut inline, &mut state, bytes, false),
            Step::Answer(which) => feed(&mut inline, &mut state, &server.answer(which), false),
            Step::Wait => {
                millis += 40;
                inline.handle_timeout(&mut state, moment(millis).at, &mut sink)
            }
        };
        server.hear(&output.to_server, conduit, client);
        run.to_server.extend(output.to_server);
        run.to_client.extend(output.to_client);
        run.events.extend(events);
        run.refused += refused[0];
        run.exceptions += refused[1];
        run.ended = flow == Flow::Reset;
        assert!(inline.inspection().open_requests() <= OPEN_MAX.min(16));
        if run.ended {
            break;
        }
    }
    inline.close(&mut state, now_of(millis), &mut |_| {});
    assert_eq!(inline.inspection().open_requests(), 0);
    run
}

fn now_of(millis: u64) -> port502_session::Instant {
    let Moment { at, .. } = moment(millis);
    at + Duration::from_millis(1)
}

/// How many frames the client sent, up to the first that ends a connection; and their ids.
fn sent(bytes: &[u8]) -> (usize, BTreeMap<u16, usize>) {
    let (mut decoder, mut frames, mut ids) = (Decoder::new(), 0, BTreeMap::new());
    for step in steps(bytes) {
        let Step::FromClient(mut piece) = step else { continue };
        loop {
            match decoder.next(&mut piece) {
                Ok(None) => break,
                Ok(Some(Received::Frame(frame))) => {
                    frames += 1;
                    *ids.entry(frame.transaction.0).or_default() += 1;
                }
                Ok(Some(Received::Foreign { .. })) | Err(_) => return (frames + 1, ids),
            }
        }
    }
    (frames, ids)
}

/// Whatever comes: only requests that the rules allow go on, whole; nothing is kept back in silence; what goes back
/// answers what was asked; and where segments end makes no difference. How many requests went on, and how many
/// answers went back.
pub fn inspection(bytes: &[u8]) -> (usize, usize) {
    let Some((&[policy, client], bytes)) = bytes.split_first_chunk() else { return (0, 0) };
    let policy = generate::policy(&mut Chance::new(policy.into()));
    let peer = generate::peer(&mut Chance::new(client.into()));
    let roles: Vec<&str> = match &peer.identity {
        Some(identity) => identity.role.as_deref().into_iter().collect(),
        None => policy.roles_of(peer.address).collect(),
    };
    let conduit = &policy.conduits[0];
    let engine = Arc::new(Engine::compile(&policy, conduit).unwrap());
    let whole = run(conduit, &engine, &peer, &roles, bytes, usize::MAX);

    let count = |mut bytes: &[u8]| {
        let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
        while let Some(received) = decoder.next(&mut bytes).expect("what goes out has a length") {
            let Received::Frame(frame) = received else { panic!("{received:?} went out") };
            frames.push(frame.transaction.0);
        }
        assert!(!decoder.is_midway());
        frames
    };
    let (frames, ids) = sent(bytes);
    let forwarded = count(&whole.to_server).len();
    if whole.ended {
        assert!(forwarded + whole.refused <= frames + 1, "more than came");
    } else {
        assert_eq!(forwarded + whole.refused, frames, "each frame goes on or is told");
    }
    let mut back: BTreeMap<u16, usize> = BTreeMap::new();
    for id in count(&whole.to_client) {
        *back.entry(id).or_default() += 1;
    }
    for (id, answers) in back {
        assert!(ids.get(&id).is_some_and(|asked| answers <= *asked), "{answers} answers with id {id}");
    }
    for piece in [1, 3] {
        assert_eq!(run(conduit, &engine, &peer, &roles, bytes, piece), whole, "in pieces of {piece}");
    }
    (forwarded, count(&whole.to_client).len() - whole.exceptions)
}
