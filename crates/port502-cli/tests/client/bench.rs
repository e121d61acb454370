use super::support::{answer, device, port502, serve};

#[test]
fn counts_are_written_as_people_do_and_latencies_only_where_there_are_any() {
    let served = serve("holding,0,,,10\n");
    let ran = port502(&["bench", &served.target, "-n", "1"]);
    assert!(
        ran.code == 0 && ran.out.contains(": 1 answer in ") && ran.out.contains("/s, 0 errors\n"),
        "{ran:?}"
    );
    assert!(ran.out.contains("\nlatency min "), "{ran:?}");
    let refusing = device(|request| answer(request, &[0x83, 2]));
    let ran = port502(&["bench", &refusing, "-n", "5"]);
    assert!(ran.out.contains(": 0 answers in ") && ran.out.ends_with("/s, 1 error\n"), "{ran:?}");
    let line = format!("port502: {refusing}: 1 request failed, the first: ");
    assert!(ran.code == 5 && ran.err.starts_with(&line), "{ran:?}");
}

#[test]
fn json_has_microseconds_to_the_nanosecond_and_null_for_none() {
    let served = serve("holding,0,,,10\n");
    let json = |target: &str| port502(&["bench", target, "-n", "100", "--json"]).out;
    let value: serde_json::Value = serde_json::from_str(&json(&served.target)).unwrap();
    for (name, latency) in value["latency_us"].as_object().unwrap() {
        let decimals = latency.to_string().split_once('.').map_or(0, |(_, decimals)| decimals.len());
        assert!(latency.is_f64() && decimals <= 3, "{name} {latency}");
    }
    let refusing = device(|request| answer(request, &[0x83, 2]));
    let value: serde_json::Value = serde_json::from_str(&json(&refusing)).unwrap();
    assert!(value["latency_us"].as_object().unwrap().values().all(serde_json::Value::is_null), "{value}");
}
