//! Which crate may depend on which, checked over what `cargo metadata` says of the whole tree.
//!
//! Arrows point down only, as ARCHITECTURE.md draws them. A crate may use any crate of a lower layer, none of its own
//! and none above; [`LAYERS`] is that drawing as a table, and a crate without a row there is a violation itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::licence::{self, Part, Refusal};
use crate::step::{cargo, output};

/// Where a crate of ours stands.
struct Layer {
    name: &'static str,
    level: u8,
    kind: Kind,
    /// Crates of lower layers that it does not know all the same.
    never: &'static [&'static str],
}

/// What a crate may touch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// No sockets, no clock, no files, no threads, and no procedural macros in the way of a quick build.
    Core,
    /// As [`Kind::Core`], but macros may help to read what people write.
    Pure,
    Outer,
}

const fn layer(name: &'static str, level: u8, kind: Kind) -> Layer {
    Layer { name, level, kind, never: &[] }
}

const MODBUS: &[&str] = &["port502-wire", "port502-session", "port502-inspect", "port502-site"];

const LAYERS: &[Layer] = &[
    layer("port502-wire", 0, Kind::Core),
    layer("port502-session", 1, Kind::Core),
    layer("port502-inspect", 2, Kind::Core),
    layer("port502-site", 3, Kind::Pure),
    // Captures know TCP/IP, the store knows points; neither knows Modbus.
    Layer { name: "port502-capture", level: 4, kind: Kind::Pure, never: MODBUS },
    Layer { name: "port502-store", level: 4, kind: Kind::Outer, never: &["port502-wire", "port502-session"] },
    // What other tools have as site files: parsers for their formats, and still no I/O.
    layer("port502-import", 4, Kind::Pure),
    layer("port502-net", 4, Kind::Outer),
    layer("port502", 5, Kind::Outer),
    layer("port502-survey", 5, Kind::Outer),
    layer("port502-guard", 5, Kind::Outer),
    layer("port502-watch", 5, Kind::Outer),
    layer("port502-plant", 5, Kind::Outer),
    layer("port502-scada", 6, Kind::Outer),
    // Screens show verdicts and findings, which are values of `inspect`: who made them is the binary's business.
    Layer { name: "port502-hmi", level: 7, kind: Kind::Outer, never: &["port502-guard", "port502-watch"] },
    layer("port502-outlets", 7, Kind::Outer),
    layer("port502-cli", 8, Kind::Outer),
    layer("xtask", 8, Kind::Outer),
];

/// What a core or pure crate must not reach, by whatever way.
const OUTSIDE: &[&str] = &[
    "async-std",
    "axum",
    "clap",
    "hyper",
    "libsqlite3-sys",
    "miette",
    "mio",
    "notify",
    "rusqlite",
    "rustls",
    "serial2",
    "smol",
    "socket2",
    "tokio",
    "tower",
    "tracing",
];

/// Crates that are one crate's duty: nobody else names them, so that their weight stays in one place.
const DUTIES: &[(&str, &[&str])] = &[
    ("anyhow", &["xtask"]),
    ("async-nats", &["port502-outlets"]),
    ("async-opcua", &["port502-outlets"]),
    ("axum", &["port502-hmi"]),
    ("clap", &["port502-cli"]),
    ("clap_complete", &["port502-cli"]),
    ("clap_mangen", &["port502-cli"]),
    ("miette", &["port502-cli"]),
    ("ratatui", &["port502-cli"]),
    ("rusqlite", &["port502-store"]),
    ("tokio-postgres", &["port502-outlets"]),
];

/// Crates that are nowhere in the tree.
const BANNED: &[(&str, &str)] = &[
    (
        "aws-lc-rs",
        "it needs cmake, and two rustls providers in one binary panic: name `ring`, turn default features off",
    ),
    (
        "aws-lc-sys",
        "it needs cmake, and two rustls providers in one binary panic: name `ring`, turn default features off",
    ),
    ("libudev-sys", "it needs a library of the system: use serial2"),
    ("native-tls", "it needs OpenSSL: use rustls with ring"),
    ("openssl-sys", "it needs a library of the system: use rustls with ring"),
    ("rodbus", "its licence is not open source"),
];

/// One rule broken in one place, as one line.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    what: String,
    place: String,
    remedy: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.what, self.remedy)
    }
}

/// Whether a crate of ours needs no peers and no network to be tested.
pub(crate) fn is_pure(name: &str) -> bool {
    LAYERS.iter().any(|layer| layer.name == name && layer.kind != Kind::Outer)
}

/// Checks the workspace and prints each violation.
pub(crate) fn run() -> Result<()> {
    let violations = check(&Graph::of_workspace(&[])?, &Graph::of_workspace(&["--all-features"])?);
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => Ok(()),
        1 => bail!("1 dependency rule is broken"),
        count => bail!("{count} dependency rules are broken"),
    }
}

/// `usual` is the tree of a plain build, `full` the tree with every feature.
fn check(usual: &Graph, full: &Graph) -> Vec<Violation> {
    let mut violations = Vec::new();
    layers(usual, &mut violations);
    outside(usual, &mut violations);
    duties(usual, &mut violations);
    banned(usual, &mut violations);
    providers(usual, &mut violations);
    licences(usual, full, &mut violations);
    violations
}

fn layers(graph: &Graph, violations: &mut Vec<Violation>) {
    for (id, package) in graph.ours() {
        let name = package.name.as_str();
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
            violations.push(Violation {
                what: "it has no layer".into(),
                place: name.into(),
                remedy: "give it a row in LAYERS of xtask/src/deps.rs and in ARCHITECTURE.md".into(),
            });
            continue;
        };
        for used in graph.built_with(id) {
            let Some(dependency) = graph.packages.get(used).filter(|_| graph.members.contains(used)) else {
                if name == "port502-wire" {
                    violations.push(Violation {
                        what: format!("it depends on {}, and depends on nothing", graph.name(used)),
                        place: name.into(),
                        remedy: "write what is needed, or keep it under [dev-dependencies]".into(),
                    });
                }
                continue;
            };
            // A dependency without a layer is told once, by its own row.
            let Some(below) = LAYERS.iter().find(|layer| layer.name == dependency.name) else { continue };
            if below.level >= layer.level {
                violations.push(Violation {
                    what: format!("it depends on {}, which is not below it", below.name),
                    place: name.into(),
                    remedy: "move what both need down, or pass it in from above".into(),
                });
            } else if layer.never.contains(&below.name) {
                violations.push(Violation {
                    what: format!("it depends on {}, which it must not know", below.name),
                    place: name.into(),
                    remedy: "let the binary wire the two together".into(),
                });
            }
        }
    }
}

fn outside(graph: &Graph, violations: &mut Vec<Violation>) {
    for (id, package) in graph.ours() {
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == package.name) else { continue };
        if layer.kind == Kind::Outer {
            continue;
        }
        for (reached, way) in graph.reached_from(id) {
            let Some(other) = graph.packages.get(reached) else { continue };
            let what = if OUTSIDE.contains(&other.name.as_str()) {
                format!("it reaches {} by {way}, and does no input or output", other.name)
            } else if layer.kind == Kind::Core && other.is_macro {
                format!(
                    "it reaches the procedural macro {} by {way}, and every build waits for it",
                    other.name
                )
            } else {
                continue;
            };
            violations.push(Violation {
                what,
                place: package.name.clone(),
                remedy: "leave it to a crate above the line, or turn its feature off".into(),
            });
        }
    }
}

fn duties(graph: &Graph, violations: &mut Vec<Violation>) {
    for (id, package) in graph.ours() {
        for used in graph.built_with(id) {
            let name = graph.name(used);
            let Some((_, owners)) = DUTIES.iter().find(|(duty, _)| *duty == name) else { continue };
            if !owners.contains(&package.name.as_str()) {
                violations.push(Violation {
                    what: format!("it depends on {name}, which is for {} alone", owners.join(" and ")),
                    place: package.name.clone(),
                    remedy: "return plain values and errors, and leave the rest to that crate".into(),
                });
            }
        }
    }
}

fn banned(graph: &Graph, violations: &mut Vec<Violation>) {
    for (id, package) in &graph.packages {
        if let Some((_, reason)) = BANNED.iter().find(|(name, _)| *name == package.name) {
            violations.push(Violation {
                what: format!("{} {} is in the tree", package.name, package.version),
                place: graph.users_of(id),
                remedy: (*reason).into(),
            });
        }
    }
}

/// Two providers, or two versions of rustls, make its default configuration panic when the program runs.
fn providers(graph: &Graph, violations: &mut Vec<Violation>) {
    let all: Vec<(&String, &Package)> = graph.packages.iter().filter(|(_, p)| p.name == "rustls").collect();
    for (id, package) in &all {
        let of: Vec<&str> = ["ring", "aws_lc_rs", "aws-lc-rs"]
            .into_iter()
            .filter(|&provider| graph.features.get(*id).is_some_and(|features| features.contains(provider)))
            .collect();
        if of.iter().any(|&provider| provider != "ring") {
            violations.push(Violation {
                what: format!("rustls {} is built with {}", package.version, of.join(" and ")),
                place: graph.users_of(id),
                remedy: "turn default features off and name `ring` alone".into(),
            });
        }
    }
    if let [_, (id, second), ..] = all.as_slice() {
        violations.push(Violation {
            what: format!("rustls is in the tree {} times, once as {}", all.len(), second.version),
            place: graph.users_of(id),
            remedy: "bring all users to one version".into(),
        });
    }
}

fn licences(usual: &Graph, full: &Graph, violations: &mut Vec<Violation>) {
    for (id, package) in &full.packages {
        let part = if usual.packages.contains_key(id) { Part::EveryBuild } else { Part::BehindAFeature };
        let named = || format!("{} {}", package.name, package.version);
        let what = match &package.licence {
            None => format!("{} names no licence", named()),
            Some(expression) => match licence::judge(expression, part) {
                Ok(()) => continue,
                Err(Refusal::NotAllowed) => format!("{} is under {expression}", named()),
                Err(Refusal::Malformed) => format!("the licence of {} cannot be read: {expression}", named()),
            },
        };
        violations.push(Violation {
            what,
            place: full.users_of(id),
            remedy: "do without it, or argue for its licence in xtask/src/licence.rs".into(),
        });
    }
}

/// A crate of the workspace.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) has_library: bool,
}

#[derive(Debug)]
struct Package {
    name: String,
    version: String,
    licence: Option<String>,
    is_macro: bool,
    has_library: bool,
}

/// What depends on what, as cargo resolved it for all platforms.
#[derive(Debug)]
pub(crate) struct Graph {
    packages: BTreeMap<String, Package>,
    members: BTreeSet<String>,
    /// Package to the packages that it is built with: normal and build dependencies, not those of its tests.
    built_with: BTreeMap<String, Vec<String>>,
    /// Package to everything that cargo fetches for it, those of its tests included.
    fetched_for: BTreeMap<String, Vec<String>>,
    features: BTreeMap<String, BTreeSet<String>>,
    target_directory: String,
}

impl Graph {
    /// The tree of this workspace; `features` are cargo's flags for them.
    pub(crate) fn of_workspace(features: &[&str]) -> Result<Self> {
        let text = output(cargo().args(["metadata", "--format-version", "1", "--quiet"]).args(features))?;
        let json = serde_json::from_str(&text).context("cargo metadata printed something other than JSON")?;
        Self::of_metadata(&json).context("cargo metadata lacks a field that is read here")
    }

    fn of_metadata(json: &Value) -> Option<Self> {
        let mut graph = Self {
            packages: BTreeMap::new(),
            members: json.get("workspace_members")?.as_array()?.iter().filter_map(text).collect(),
            built_with: BTreeMap::new(),
            fetched_for: BTreeMap::new(),
            features: BTreeMap::new(),
            target_directory: json.get("target_directory").and_then(text)?,
        };
        for package in json.get("packages")?.as_array()? {
            let kinds: Vec<String> =
                list(package, "targets").flat_map(|t| list(t, "kind")).filter_map(text).collect();
            graph.packages.insert(
                package.get("id").and_then(text)?,
                Package {
                    name: package.get("name").and_then(text)?,
                    version: package.get("version").and_then(text)?,
                    licence: package.get("license").and_then(text),
                    is_macro: kinds.iter().any(|kind| kind == "proc-macro"),
                    has_library: kinds.iter().any(|kind| kind.ends_with("lib")),
                },
            );
        }
        for node in json.get("resolve")?.get("nodes")?.as_array()? {
            let id = node.get("id").and_then(text)?;
            let (mut built_with, mut fetched_for) = (Vec::new(), Vec::new());
            for dependency in list(node, "deps") {
                let used = dependency.get("pkg").and_then(text)?;
                // A kind of null is a normal dependency.
                if list(dependency, "dep_kinds")
                    .any(|kind| kind.get("kind").and_then(Value::as_str) != Some("dev"))
                {
                    built_with.push(used.clone());
                }
                fetched_for.push(used);
            }
            graph.features.insert(id.clone(), list(node, "features").filter_map(text).collect());
            graph.built_with.insert(id.clone(), built_with);
            graph.fetched_for.insert(id, fetched_for);
        }
        Some(graph)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = Member> {
        self.ours()
            .map(|(_, package)| Member { name: package.name.clone(), has_library: package.has_library })
    }

    pub(crate) fn target_directory(&self) -> &str {
        &self.target_directory
    }

    fn ours(&self) -> impl Iterator<Item = (&str, &Package)> {
        self.members.iter().filter_map(|id| Some((id.as_str(), self.packages.get(id)?)))
    }

    fn built_with(&self, id: &str) -> impl Iterator<Item = &str> {
        self.built_with.get(id).into_iter().flatten().map(String::as_str)
    }

    fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.packages.get(id).map_or(id, |package| &package.name)
    }

    /// Everything that a package is built with, by whatever way, each with the shortest such way.
    fn reached_from(&self, id: &str) -> BTreeMap<&str, String> {
        let mut ways = BTreeMap::new();
        let mut queue = VecDeque::from([(id, self.name(id).to_owned())]);
        while let Some((from, way)) = queue.pop_front() {
            for used in self.built_with(from) {
                if !ways.contains_key(used) {
                    let longer = format!("{way} -> {}", self.name(used));
                    ways.insert(used, longer.clone());
                    queue.push_back((used, longer));
                }
            }
        }
        ways
    }

    /// The crates that name a package, as the place of a violation.
    fn users_of(&self, id: &str) -> String {
        let users: Vec<&str> = self
            .fetched_for
            .iter()
            .filter(|(_, used)| used.iter().any(|used| used == id))
            .map(|(user, _)| self.name(user))
            .collect();
        if users.is_empty() { self.name(id).to_owned() } else { users.join(", ") }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_workspace_keeps_the_rules() {
        let violations =
            check(&Graph::of_workspace(&[]).unwrap(), &Graph::of_workspace(&["--all-features"]).unwrap());
        let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }

    #[test]
    fn the_table_knows_each_crate_once() {
        let names: BTreeSet<&str> = LAYERS.iter().map(|layer| layer.name).collect();
        assert_eq!(names.len(), LAYERS.len());
        for layer in LAYERS {
            for never in layer.never {
                assert!(names.contains(never), "{} never {never}", layer.name);
            }
        }
        for (duty, owners) in DUTIES {
            assert!(owners.iter().all(|owner| names.contains(owner)), "{duty}");
        }
    }

    /// A crate as a test writes it: its licence, whether it is ours, and what it uses; `true` for tests only.
    type Written = (String, bool, Vec<(String, bool)>);

    /// A tree from lines of `name: dependency dependency`. `+` before a dependency makes it one of tests only. A crate
    /// that has no line of its own is foreign, and so is one whose name is followed by `=licence`.
    fn graph(lines: &str) -> Graph {
        let mut names: BTreeMap<String, Written> = BTreeMap::new();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (name, used) = line.split_once(':').unwrap();
            let (name, licence, ours) = match name.split_once('=') {
                Some((name, licence)) => (name, licence, false),
                None => (name, "MIT", true),
            };
            let used: Vec<(String, bool)> = used
                .split_whitespace()
                .map(|word| (word.trim_start_matches('+').to_owned(), word.starts_with('+')))
                .collect();
            for (name, _) in &used {
                names.entry(name.clone()).or_insert_with(|| ("MIT".into(), false, Vec::new()));
            }
            names.insert(name.into(), (licence.into(), ours, used));
        }
        let packages: Vec<Value> = names
            .iter()
            .map(|(name, (licence, _, _))| {
                let kind = if name.ends_with("-macro") { "proc-macro" } else { "lib" };
                json!({"id": name, "name": name, "version": "1.0.0", "license": licence, "targets": [{"kind": [kind]}]})
            })
            .collect();
        let nodes: Vec<Value> = names
            .iter()
            .map(|(name, (_, _, used))| {
                let deps: Vec<Value> = used
                    .iter()
                    .map(|(name, dev)| json!({"pkg": name, "dep_kinds": [{"kind": dev.then_some("dev")}]}))
                    .collect();
                json!({"id": name, "deps": deps, "features": []})
            })
            .collect();
        let members: Vec<&String> =
            names.iter().filter(|(_, (_, ours, _))| *ours).map(|(name, _)| name).collect();
        Graph::of_metadata(&json!({
            "packages": packages, "workspace_members": members, "resolve": {"nodes": nodes}, "target_directory": "target"
        }))
        .unwrap()
    }

    /// Each violation must contain the wanted words of its row, and there are as many as rows.
    #[track_caller]
    fn check_lines(lines: &str, want: &[&str]) {
        let graph = graph(lines);
        let got: Vec<String> = check(&graph, &graph).iter().map(Violation::to_string).collect();
        assert_eq!(got.len(), want.len(), "{got:#?}");
        for (got, want) in got.iter().zip(want) {
            assert!(got.contains(want), "want {want:?} in {got:?}");
        }
    }

    #[test]
    fn arrows_point_down() {
        check_lines(
            "port502-wire:\nport502-session: port502-wire\nport502-net: port502-session port502-wire",
            &[],
        );
        check_lines(
            "port502-wire: port502-session\nport502-session:",
            &["port502-wire: it depends on port502-session"],
        );
        check_lines("port502-guard: port502-watch\nport502-watch:", &["which is not below it"]);
        check_lines("port502-hmi: port502-guard\nport502-guard:", &["which it must not know"]);
        check_lines(
            "port502-capture: port502-wire\nport502-wire:",
            &["port502-capture: it depends on port502-wire"],
        );
        // What only tests use may come from above.
        check_lines("port502-wire: +port502-net +proptest\nport502-net:", &[]);
        check_lines("port502-new:", &["port502-new: it has no layer"]);
    }

    #[test]
    fn the_core_stays_pure() {
        check_lines("port502-wire: bytes", &["depends on nothing"]);
        check_lines("port502-session: helper\nhelper=MIT: mio", &["port502-session -> helper -> mio"]);
        check_lines("port502-inspect: some-macro", &["the procedural macro some-macro"]);
        check_lines("port502-site: some-macro", &[]);
        check_lines("port502-capture: tokio", &["port502-capture: it reaches tokio"]);
        check_lines("port502-net: tokio socket2 some-macro", &[]);
    }

    #[test]
    fn heavy_crates_have_one_owner() {
        check_lines("port502-cli: clap miette", &[]);
        check_lines("port502-net: clap", &["which is for port502-cli alone"]);
        check_lines("port502-scada: axum", &["which is for port502-hmi alone"]);
    }

    #[test]
    fn banned_crates_and_licences_are_named_with_their_users() {
        check_lines("port502-net: tls\ntls=MIT: aws-lc-rs", &["tls: aws-lc-rs 1.0.0 is in the tree"]);
        check_lines("port502-net: copied\ncopied=GPL-3.0:", &["port502-net: copied 1.0.0 is under GPL-3.0"]);
        check_lines("port502-net: +copied\ncopied=GPL-3.0:", &["port502-net: copied"]);
        check_lines("port502-net: odd\nodd=MIT AND:", &["cannot be read: MIT AND"]);
        let usual = graph("port502-outlets:");
        let full = graph("port502-outlets: opc\nopc=MPL-2.0:");
        assert_eq!(check(&usual, &full), []);
        assert_eq!(check(&full, &full).len(), 1);
    }

    #[test]
    fn rustls_has_one_provider() {
        let mut one = graph("port502-net: rustls");
        one.features.insert("rustls".into(), BTreeSet::from(["ring".to_owned(), "std".to_owned()]));
        assert_eq!(check(&one, &one), []);
        one.features.insert("rustls".into(), BTreeSet::from(["ring".to_owned(), "aws_lc_rs".to_owned()]));
        let got = check(&one, &one);
        assert_eq!(got.len(), 1);
        assert!(got[0].what.contains("ring and aws_lc_rs"), "{}", got[0]);
    }
}
