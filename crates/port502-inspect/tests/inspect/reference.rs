//! The compiled rules mean what the plain ones say.

use std::sync::Arc;

use port502_inspect::policy::{Client, Decision, Effect, Mode};
use port502_inspect::{Engine, Reason, State, Verdict};
use port502_wire::{Request, UnitId};

use crate::generate::{self, Chance, moment};

#[test]
fn compiled_rules_decide_as_the_plain_ones() {
    let (mut passed, mut told, mut denied, mut unruled) = (0, 0, 0, 0);
    for seed in 0..1_000 {
        let mut chance = Chance::new(seed);
        let mut policy = generate::policy(&mut chance);
        for rule in &mut policy.conduits[0].rules {
            let on_trial = rule.effect == Effect::Deny && chance.one_in(2);
            rule.mode = on_trial.then_some(Mode::Alert);
        }
        let conduit = &policy.conduits[0];
        let mut state = State::new(Arc::new(Engine::compile(&policy, conduit).unwrap()));
        for _ in 0..8 {
            let peer = generate::peer(&mut chance);
            let roles: Vec<&str> = match &peer.identity {
                Some(identity) => identity.role.as_deref().into_iter().collect(),
                None => policy.roles_of(peer.address).collect(),
            };
            let subject = peer.identity.as_ref().map(|identity| identity.subject.as_str());
            let client = Client { address: peer.address, subject, roles: &roles };
            let grants = state.grants(&peer);
            for _ in 0..25 {
                let pdu = generate::pdu(&mut chance);
                let request = Request::parse(&pdu).unwrap();
                let unit = UnitId(chance.pick(&[0, 1, 2, 3, 4, 254, 255]));
                let plain = conduit.judge(client, unit, &request);
                let verdict = state.judge(&grants, moment(0), peer.address, unit, &request);
                let fits = match (plain, verdict) {
                    (Decision::Allowed { rule, despite: None }, Verdict::Pass { rule: got }) => {
                        passed += 1;
                        rule == got
                    }
                    (Decision::Allowed { despite, .. }, Verdict::Alert { objection }) => {
                        told += 1;
                        objection.reason == Reason::Denied && objection.rule == despite
                    }
                    (Decision::Denied { rule }, Verdict::Refuse { objection, how }) => {
                        denied += 1;
                        objection.reason == Reason::Denied
                            && objection.rule == Some(rule)
                            && how == conduit.refusal
                    }
                    (Decision::NoRule { item }, Verdict::Refuse { objection, .. }) => {
                        unruled += 1;
                        objection.item == item && objection.reason != Reason::Denied
                    }
                    _ => false,
                };
                assert!(
                    fits,
                    "seed {seed}: {client:?} unit {unit} {request:?}: {plain:?}, {verdict:?}\n{conduit:#?}"
                );
            }
        }
    }
    println!("{passed} passed, {told} in alert, {denied} denied, {unruled} without a rule");
    assert!(passed > 25_000 && told > 300 && denied > 3_000 && unruled > 25_000);
}
