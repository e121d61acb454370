//! What would change between two sites.

use port502_site::compile::compile;
use port502_site::compile::diff::{Part, diff, restarted};

use super::example::{WATERWORKS, parse};

/// The changes after a piece of the water works' text is replaced: part, sign, name.
#[track_caller]
fn check(old: &str, new: &str, want: &[(Part, char, &str)], anew: &[&str]) {
    assert!(WATERWORKS.contains(old), "{old}");
    let (a, b) = (parse(WATERWORKS), parse(&WATERWORKS.replacen(old, new, 1)));
    let changes = diff((&a, &compile(&a)), (&b, &compile(&b)));
    let shown: Vec<_> = changes
        .iter()
        .map(|change| {
            let sign = match (&change.old, &change.new) {
                (None, _) => '+',
                (_, None) => '-',
                _ => '~',
            };
            (change.part, sign, change.name.as_str())
        })
        .filter(|(part, ..)| *part != Part::Expected)
        .collect();
    assert_eq!(shown, want, "{old} -> {new}");
    assert_eq!(restarted(&changes), anew, "{old} -> {new}");
}

#[test]
fn what_is_said_is_what_would_change() {
    check("# ---- who", "# ---- WHO", &[], &[]);
    check("description = \"Booster station\"", "description = \"Boosters\"", &[], &[]);
    check("timeout = \"300ms\"", "timeout = \"400ms\"", &[(Part::Lane, '~', "bus-a")], &["bus-a"]);
    check("high = { above = 5.2", "high = { above = 5.3", &[(Part::Alarm, '~', "tank.level high")], &[]);
    check(
        "min = 20, max = 50",
        "min = 20, max = 55",
        &[
            (Part::Write, '~', "intake.speed_sp"),
            (Part::Rule, '~', "pumps write intake"),
            (Part::Rule, '~', "pumps write intake #3"),
        ],
        &[],
    );
    check(
        "washing = { at = \"discrete:4\" }\n",
        "",
        &[
            (Part::Tag, '-', "filter.washing"),
            (Part::Request, '-', "filter normal discrete:4"),
            (Part::Rule, '~', "pumps read filter"),
            (Part::Rule, '~', "pumps read filter #2"),
        ],
        &[],
    );
    check(
        "mode = \"alert\"",
        "mode = \"enforce\"",
        &[
            (Part::Guard, '~', "booster"),
            (Part::Rule, '~', "booster read booster"),
            (Part::Rule, '~', "booster read booster #2"),
            (Part::Rule, '~', "booster read booster #3"),
            (Part::Rule, '~', "booster who are you"),
            (Part::Rule, '~', "booster write booster"),
            (Part::Rule, '~', "booster write booster #2"),
            (Part::Rule, '~', "booster write booster #3"),
            (Part::Rule, '~', "booster write booster #4"),
            (Part::Rule, '~', "booster write booster #5"),
        ],
        &[],
    );
}

#[test]
fn two_conduits_to_a_device_whose_steps_are_counted_deserve_a_look() {
    use port502_site::compile::attention::attention;
    let text = |limit: &str| {
        format!(
            r#"
[site]
name = "x"
[role.operator]
[zone.a]
networks = ["10.0.0.0/24"]
[poll]
zone = "a"
[device.pump]
connect = "tcp://10.0.1.1"
[device.pump.tag]
speed = {{ at = "holding:0", range = [0, 50], write = {{ roles = ["operator"]{limit} }} }}
[guard.first]
listen = ["tcp://0.0.0.0:502"]
to = "pump"
[guard.second]
listen = ["tls://0.0.0.0:802"]
to = "pump"
cert = "a.pem"
key = "a.key"
"#
        )
    };
    let told = |limit: &str| {
        let site = crate::example::parse(&text(limit));
        let all = attention(&site, &compile(&site));
        all.iter().map(|it| format!("{} {}", it.name(), it.text(&site))).collect::<Vec<_>>()
    };
    assert_eq!(told(""), Vec::<String>::new());
    let want = "guarded-twice \"pump\" is behind guard.first and guard.second, and each counts steps and rates for \
                itself: what one lets pass the other does not see; one with two places to listen does";
    assert_eq!(told(", max_step = 5"), [want]);
    assert_eq!(told(", rate = \"6/min\""), [want]);
}
