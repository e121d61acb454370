//! What is shown of the guard's rules before they are enforced: all that decides, and nothing that reads like another thing.

use port502_site::compile::diff::{Change, Part, diff};
use port502_site::compile::{compile, show};
use port502_site::site::Site;

use super::example::parse;

const PUMP: &str = r#"
[site]
name = "x"
[role.operator]
[zone.control]
networks = ["10.0.0.0/24"]
roles = ["operator"]
[poll]
zone = "control"
[device.pump]
connect = "tcp://10.0.1.1"
[device.pump.tag]
run = { at = "coil:3", write = { roles = ["operator"] } }
valve = { at = "coil:4", write = { roles = ["operator"], after = { tag = "run", is = 1, within = "5s" } } }
speed = { at = "holding:200", scale = 0.1, range = [0, 50], write = { roles = ["operator"], min = 20, max = 50, max_step = 0.3, rate = "6/min" } }
mask = { at = "holding:210:bit3", write = { roles = ["operator"], after = { tag = "valve", is = 0 } } }
[guard.pump]
listen = ["tcp://0.0.0.0:502"]
to = "pump"
share = true
requests = "50/s"
allow = [
    { from = ["control", "10.0.9.7"], do = "derived", mode = "alert" },
    { name = "set", from = "10.0.9.8", functions = [6], at = ["holding:50-59"], values = [10, 20], times = ["mon-fri 06:00-18:00"], requests = "3/min", refuse = "drop" },
]
deny = [
    { name = "no 8/1", functions = ["8/1"], mode = "alert" },
    { name = "no 8/4", functions = ["8/4"], mode = "enforce", refuse = "reset" },
    { name = "no 43/14", functions = ["43/14"] },
]
"#;

fn rules(site: &Site) -> Vec<String> {
    let policy = compile(site).policy;
    policy
        .conduits
        .iter()
        .flat_map(|conduit| &conduit.rules)
        .map(|rule| show::rule(&policy.zones, rule))
        .collect()
}

#[test]
fn all_that_decides_is_shown() {
    let site = parse(PUMP);
    let told = "; alert: what only its hours, values or rates are against passes, and is told";
    assert_eq!(
        rules(&site),
        [
            "deny anyone: unit 1, function 8/1; alert: keeps nothing back, and only tells".to_owned(),
            "deny anyone: unit 1, function 8/4; enforced; refused by reset".to_owned(),
            "deny anyone: unit 1, function 43/14".to_owned(),
            format!("allow zone control, 10.0.9.7: unit 1, function 1, 3 at coil:3-4, holding:200-210{told}"),
            format!(
                "allow zone control, 10.0.9.7 as role operator: unit 1, function 5, 6, 15, 16, 22 of pump.run at \
                 coil:3 = 0 to 1, pump.valve at coil:4 = 0 to 1 (while pump.run is 1 for less than 5s), pump.speed at \
                 holding:200 = 200 to 500 (steps of 3 at most, 6/min at most), pump.mask at holding:210:bit3 = any \
                 (while pump.valve is 0){told}"
            ),
            "allow 10.0.9.8: unit 1, function 6 at holding:50-59, registers of 10 to 20, mon-fri 06:00-18:00, 3/min a \
             client at most; refused by drop"
                .to_owned(),
        ]
    );
    let conduit = site.conduits().first().map(|conduit| show::conduit(&site, conduit));
    let want = "tcp://0.0.0.0:502 -> pump: enforce, refused by exception:1, 50/s a client, one connection to the \
                device for all";
    assert_eq!(conduit.as_deref(), Some(want));
}

/// What changes in the guard after a piece of the text is replaced.
#[track_caller]
fn changes(old: &str, new: &str) -> Vec<Change> {
    assert!(PUMP.contains(old), "{old}");
    let (a, b) = (parse(PUMP), parse(&PUMP.replacen(old, new, 1)));
    let mut all = diff((&a, &compile(&a)), (&b, &compile(&b)));
    all.retain(|change| matches!(change.part, Part::Guard | Part::Rule));
    all
}

#[test]
fn a_change_of_what_decides_is_one() {
    for (old, new, name, shown) in [
        ("max_step = 0.3", "max_step = 0.4", "pump write pump", "steps of 4 at most"),
        ("rate = \"6/min\"", "rate = \"7/min\"", "pump write pump", "7/min at most"),
        ("is = 1", "is = 0", "pump write pump", "while pump.run is 0"),
        (", within = \"5s\"", "", "pump write pump", "while pump.run is 1)"),
        (", refuse = \"drop\"", "", "pump set", "; enforce, refused by exception:1"),
        ("06:00-18:00", "06:00-19:00", "pump set", "mon-fri 06:00-19:00"),
        ("functions = [\"8/1\"], mode = \"alert\"", "functions = [\"8/1\"]", "pump no 8/1", "; enforce"),
        ("requests = \"50/s\"", "requests = \"60/s\"", "pump", "60/s a client"),
        ("share = true\n", "", "pump", "50/s a client"),
    ] {
        let all = changes(old, new);
        assert_eq!(all.len(), 1, "{old}: {all:?}");
        assert!(all.iter().all(|change| change.name == name), "{old}: {all:?}");
        assert!(
            all.iter().all(|change| change.new.as_ref().is_some_and(|new| new.contains(shown))),
            "{old}: {all:?}"
        );
    }
    let further = changes("from = [\"control\", \"10.0.9.7\"]", "from = \"control\"");
    assert!(further.iter().all(|change| change.part == Part::Rule) && further.len() == 2, "{further:?}");
}

#[test]
fn what_no_rule_allows_passes_in_alert() {
    use port502_inspect::policy::Mode;
    assert_eq!(show::everything_else(Mode::Enforce), "everything else is refused");
    assert_eq!(show::everything_else(Mode::Alert), "everything else passes, and is told");
}

#[test]
fn a_step_is_as_many_registers_as_it_is_meant_to_be() {
    for (scale, step, want) in [
        ("0.1", "0.3", "steps of 3 at most"),
        ("-0.1", "0.7", "steps of 7 at most"),
        ("0.01", "0.29", "steps of 29 at most"),
        ("0.1", "0.25", "steps of 2.5 at most"),
        ("1", "5", "steps of 5 at most"),
        ("1000", "0.5", "steps of 0.0005 at most"),
    ] {
        let new = format!("scale = {scale}, range = [0, 50]");
        let text = PUMP.replacen("scale = 0.1, range = [0, 50]", &new, 1);
        let text = text.replacen("\"holding:200\"", "\"holding:200:i16\"", 1);
        let text = text.replacen(
            "min = 20, max = 50, max_step = 0.3",
            &format!("min = 0, max = 50, max_step = {step}"),
            1,
        );
        let all = rules(&parse(&text));
        assert!(all.iter().any(|rule| rule.contains(&format!("({want},"))), "{scale} {step}: {all:#?}");
    }
}
