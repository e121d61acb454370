use std::time::Duration;

use port502_store::{Entry, Journal, Kept, Kind, Order, Query, Timestamp};
use proptest::prelude::*;

use crate::support::{Folder, all, is_whole, quick, read};

#[derive(Clone, Debug)]
struct Written {
    time: i64,
    kind: Kind,
    source: String,
    body: String,
}

fn written() -> impl Strategy<Value = Written> {
    let body = ("[a-z]{0,6}", any::<u32>(), "\\PC{0,40}").prop_map(|(word, number, text)| {
        serde_json::json!({"word": word, "number": number, "text": text}).to_string()
    });
    // Times that are often equal, and in any order.
    (0_i64..8, proptest::sample::select(&Kind::ALL), "[ab]|\\PC{0,20}", body)
        .prop_map(|(time, kind, source, body)| Written { time, kind, source, body })
}

fn query() -> impl Strategy<Value = Query> {
    let time = || proptest::option::of((0_i64..9).prop_map(Timestamp::from_unix_nanos));
    let order = proptest::sample::select(&[Order::NewestFirst, Order::OldestFirst, Order::AsKept]);
    let kind = proptest::option::of(proptest::sample::select(&Kind::ALL));
    let options =
        (proptest::option::of("[ab]"), proptest::option::of("[a-z]"), proptest::option::of(0_u64..40));
    (time(), time(), kind, options, proptest::option::of(0_u64..50), order).prop_map(
        |(since, until, kind, (source, text, after), limit, order)| Query {
            since,
            until,
            kind,
            source,
            text,
            fields: Vec::new(),
            after,
            order,
            limit,
        },
    )
}

/// What a query means, said slowly.
fn meant(mut kept: Vec<Kept>, query: &Query) -> Vec<Kept> {
    kept.retain(|kept| {
        query.since.is_none_or(|since| kept.time >= since)
            && query.until.is_none_or(|until| kept.time < until)
            && query.kind.is_none_or(|kind| kept.kind == kind)
            && query.source.as_ref().is_none_or(|source| kept.source == *source)
            && query.text.as_ref().is_none_or(|text| kept.body.contains(text.as_str()))
            && query.after.is_none_or(|after| kept.id > after)
    });
    match query.order {
        Order::NewestFirst => kept.sort_by_key(|kept| std::cmp::Reverse((kept.time, kept.id))),
        Order::OldestFirst => kept.sort_by_key(|kept| (kept.time, kept.id)),
        Order::AsKept => kept.sort_by_key(|kept| kept.id),
    }
    kept.truncate(usize::try_from(query.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX));
    kept
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_is_what_was_given(
        batches in proptest::collection::vec(proptest::collection::vec(written(), 0..20), 0..6),
        queries in proptest::collection::vec(query(), 8),
    ) {
        let folder = Folder::fresh();
        let mut journal = Journal::open(&folder, quick()).unwrap();
        let mut want = Vec::new();
        for batch in &batches {
            let entries: Vec<Entry<'_>> = batch.iter().map(|written| Entry {
                time: Timestamp::from_unix_nanos(written.time),
                kind: written.kind,
                source: &written.source,
                body: &written.body,
            }).collect();
            journal.append(&entries).unwrap();
            want.extend(batch.iter().cloned());
        }
        let want: Vec<Kept> = want.into_iter().zip(1..).map(|(written, id)| Kept {
            id,
            time: Timestamp::from_unix_nanos(written.time),
            kind: written.kind,
            source: written.source,
            body: written.body,
        }).collect();
        prop_assert_eq!(all(&folder), want.clone());
        is_whole(&folder, 0, want.len() as u64);
        for query in &queries {
            prop_assert_eq!(read(&folder, query), meant(want.clone(), query), "{:?}", query);
        }
    }

    /// Whatever leaves by age, what stays is a whole chain, and the entries of the last append stay.
    #[test]
    fn what_leaves_leaves_a_whole_chain(
        times in proptest::collection::vec(proptest::collection::vec(0_u64..100, 1..8), 1..12),
        keep in 0_u64..60,
    ) {
        let folder = Folder::fresh();
        let options = port502_store::Options { keep: Duration::from_nanos(keep), ..quick() };
        let mut journal = Journal::open(&folder, options).unwrap();
        let mut count = 0;
        for batch in &times {
            let entries: Vec<Entry<'_>> = batch.iter().map(|time| Entry {
                time: Timestamp::from_unix_nanos(i64::try_from(*time).unwrap()),
                kind: Kind::Finding,
                source: "watch",
                body: "{}",
            }).collect();
            journal.append(&entries).unwrap();
            count += batch.len() as u64;
            let kept = all(&folder);
            let removed = count - kept.len() as u64;
            is_whole(&folder, removed, kept.len() as u64);
            prop_assert!(kept.len() >= batch.len());
            prop_assert_eq!(kept.last().unwrap().id, count);
        }
    }
}
