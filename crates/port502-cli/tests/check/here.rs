//! On this machine, on ports that the system chooses.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Checked, PORT502, Program, check, echo, has_v6, listener, page, python, serve};

fn port(program: &Program) -> String {
    program.port.to_string()
}

#[test]
fn our_server_on_loopback_is_nothing_to_act_on() {
    let server = serve("tcp://127.0.0.1:0");
    let checked = check(&["--port", &port(&server)]);
    checked.finds(&[&format!("{} loopback-only", server.port)]);
    let listener = checked.listener();
    assert_eq!(
        listener["addresses"],
        json!([{"address": "127.0.0.1", "reach": "loopback", "v6_only": null}])
    );
    let process = &listener["processes"][0];
    assert_eq!(
        (process["pid"].as_u64(), process["name"].as_str()),
        (Some(server.pid().into()), Some("port502"))
    );
    assert!(process["executable"].as_str().unwrap().ends_with("/port502"), "{process}");
    // `ps` knows since when it runs; two clocks may differ by a second.
    let started: jiff::Timestamp = process["started"].as_str().unwrap().parse().unwrap();
    let ps = Command::new("ps").args(["-o", "etimes=", "-p", &server.pid().to_string()]).output().unwrap();
    let seconds: i64 = String::from_utf8(ps.stdout).unwrap().trim().parse().unwrap();
    let since = jiff::Timestamp::now().as_second() - started.as_second();
    assert!((since - seconds).abs() <= 2, "{since} {seconds}");
    let answer = &listener["answer"];
    assert_eq!(
        (answer["outcome"].as_str(), answer["objects"][0]["value"].as_str()),
        (Some("speaks"), Some("port502"))
    );
}

#[test]
fn nothing_at_all_is_nothing_to_act_on() {
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let checked = check(&["--port", &port]);
    checked.finds(&[]);
    assert_eq!(checked.kind("summary")[0]["listeners"], 0);
    let page = page(&["--port", &port]);
    assert!(page.out.contains(&format!("Nothing listens on {port} (Modbus/TCP).")), "{}", page.out);
    page.fits();
}

#[test]
fn what_is_not_modbus_is_told() {
    let port = listener("127.0.0.1:0", echo);
    let checked = check(&["--port", &port.to_string()]);
    checked.finds(&[&format!("{port}! something-else")]);
    let answer = &checked.listener()["answer"];
    assert_eq!(answer["bytes"], "00010000000500ff2b0e0100".replace("0500ff", "05ff"));
    let page = page(&["--port", &port.to_string()]);
    assert!(page.out.contains("something else sits on"), "{}", page.out);
    assert!(page.out.contains("an echo: it sends back what it gets"), "{}", page.out);
    page.fits();

    let port = listener("127.0.0.1:0", drop);
    check(&["--port", &port.to_string()])
        .finds(&[&format!("{port}! no-answer"), &format!("{port} loopback-only")]);
    // Asked nothing, it may be anything.
    check(&["--port", &port.to_string(), "--no-probe"]).finds(&[&format!("{port} loopback-only")]);
}

#[test]
fn every_kind_of_address_is_told() {
    let mut cases =
        vec![("tcp://127.0.0.1:0", "127.0.0.1", "loopback"), ("tcp://0.0.0.0:0", "0.0.0.0", "all")];
    if has_v6() {
        cases.push(("tcp://[::1]:0", "::1", "loopback"));
    }
    for (listen, address, reach) in cases {
        let server = serve(listen);
        let checked = check(&["--port", &port(&server)]);
        let listener = checked.listener();
        assert_eq!(
            (&listener["addresses"][0]["address"], &listener["addresses"][0]["reach"]),
            (&json!(address), &json!(reach))
        );
        assert_eq!(listener["answer"]["outcome"], "speaks", "{listener}");
        page(&["--port", &port(&server)]).fits();
    }
    if has_v6() {
        for v6_only in [true, false] {
            let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
            socket.set_only_v6(v6_only).unwrap();
            socket.bind(&"[::]:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
            socket.listen(1).unwrap();
            let port = socket.local_addr().unwrap().as_socket().unwrap().port().to_string();
            let listener = check(&["--port", &port, "--no-probe"]).listener();
            assert_eq!(listener["addresses"], json!([{"address": "::", "reach": "all", "v6_only": v6_only}]));
        }
    }
}

#[test]
fn udp_is_told() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let checked = check(&["--port", &format!("{port}=opc-ua")]);
    checked.finds(&[&format!("{port} unusual-over-udp")]);
    assert_eq!(checked.listener()["transport"], "udp");
    // A device that answers over UDP.
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        let (_, from) = socket.recv_from(&mut buffer).unwrap();
        socket.send_to(&[0, 1, 0, 0, 0, 3, 0xFF, 0xAB, 1], from).unwrap();
        socket
    });
    let checked = check(&["--port", &port.to_string()]);
    checked.finds(&[&format!("{port} loopback-only")]);
    assert_eq!(checked.listener()["answer"]["exception"], 1);
}

#[test]
fn clients_are_told_from_servers() {
    let server = serve("tcp://127.0.0.1:0");
    let client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let checked = check(&["--port", &port(&server), "--no-probe"]);
    let peers = checked.kind("peer");
    let end = client.local_addr().unwrap().to_string();
    let there = format!("127.0.0.1:{}", server.port);
    let ends: Vec<_> = peers
        .iter()
        .map(|peer| {
            (
                peer["direction"].as_str().unwrap(),
                peer["local"].as_str().unwrap(),
                peer["remote"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(ends, [("in", there.as_str(), end.as_str()), ("out", end.as_str(), there.as_str())]);
    assert_eq!(peers[0]["processes"][0]["pid"], server.pid());
    assert_eq!(peers[1]["processes"][0]["pid"], std::process::id());
}

#[test]
fn servers_of_others_are_recognized() {
    for (script, protocol) in
        [("pymodbus_server.py", "modbus"), ("opcua_server.py", "opc-ua"), ("s7_server.py", "s7")]
    {
        let Some(python) = python(script) else { return };
        // asyncua and snap7 cannot be asked for the port that they were given, so that they get one that was free.
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let server = Program::start(Command::new(&python[0]).args(&python[1..]).arg(&free), "listening ");
        let checked = check(&["--port", &format!("{}={protocol}", server.port)]);
        let listener = checked.listener();
        assert_eq!(listener["answer"]["outcome"], "speaks", "{checked:#?}");
        assert!(listener["processes"][0]["name"].as_str().unwrap().starts_with("python"), "{listener}");
        if protocol == "modbus" {
            assert_eq!(listener["answer"]["objects"][0]["value"], "pymodbus peer");
        }
    }
}

/// A TLS server by openssl, with a certificate of its own making.
fn tls_server(arguments: &[&str], days: &str) -> Option<Program> {
    if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: openssl is not installed");
        return None;
    }
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("tls-{}-{days}", arguments.join("")));
    std::fs::create_dir_all(&folder).unwrap();
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=plc", "-keyout", "key.pem",
            "-out", "cert.pem",
        ])
        .args(["-days", days])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-accept", "127.0.0.1:0", "-key", "key.pem", "-cert", "cert.pem"])
        .args(arguments);
    Some(Program::start(command.current_dir(&folder), "ACCEPT "))
}

#[test]
fn security_on_802_is_looked_at() {
    let port = |server: &Program| format!("{}=modbus-security", server.port);
    let Some(good) = tls_server(&["-Verify", "1"], "365") else { return };
    let checked = check(&["--port", &port(&good)]);
    checked.finds(&[&format!("{} loopback-only", good.port)]);
    let tls = &checked.listener()["answer"]["tls"];
    assert_eq!((&tls["version"], &tls["asks_for_certificate"]), (&json!("TLS 1.2"), &json!(true)));
    assert_eq!(tls["subject"], "CN=plc");

    let Some(careless) = tls_server(&[], "5") else { return };
    check(&["--port", &port(&careless)]).finds(&[
        &format!("{}! no-client-certificate", careless.port),
        &format!("{} certificate-ends", careless.port),
        &format!("{} loopback-only", careless.port),
    ]);
    let Some(clear) = tls_server(&["-Verify", "1", "-cipher", "NULL-SHA256:@SECLEVEL=0"], "365") else {
        return;
    };
    check(&["--port", &port(&clear)])
        .finds(&[&format!("{}! no-encryption", clear.port), &format!("{} loopback-only", clear.port)]);
    // Of 1.3 alone there is nothing to see but that it is TLS.
    let Some(newer) = tls_server(&["-tls1_3", "-Verify", "1"], "365") else { return };
    let checked = check(&["--port", &port(&newer)]);
    checked.finds(&[&format!("{} loopback-only", newer.port)]);
    assert_eq!(checked.listener()["answer"]["tls"]["alert"], 70);
}

#[test]
fn a_program_that_ends_meanwhile_is_no_trouble() {
    let (mut told, mut gone) = (0, 0);
    for round in 0..60 {
        let server = serve("tcp://127.0.0.1:0");
        let look = Command::new(PORT502)
            .args(["check", "--json", "--port", &port(&server)])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It ends sooner or later in the look: as long as so many programs take to do nothing.
        for _ in 0..round % 20 {
            assert!(Command::new("true").status().unwrap().success());
        }
        drop(server);
        let checked = Checked::from(look.wait_with_output().unwrap());
        assert!([0, 10].contains(&checked.code) && checked.err.is_empty(), "{checked:#?}");
        let listeners = checked.kind("listener");
        for listener in &listeners {
            // It was seen with its program, or it was seen without: nothing in between.
            let held = listener["processes"].as_array().unwrap().len();
            assert_eq!(held > 0, listener["holder"] == "processes", "{listener}");
        }
        if listeners.is_empty() { gone += 1 } else { told += 1 }
    }
    println!("told in {told} looks, gone in {gone}");
    assert!(told > 0, "no look was in time");
}

/// The ports on which TCP listens here, by the pid of who does, as another program tells it.
fn agrees(program: &str, told: &str, port: u16, pids: &[u32]) {
    for pid in pids {
        assert!(
            told.contains(&pid.to_string()) && told.contains(&port.to_string()),
            "{program} says\n{told}"
        );
    }
}

#[test]
fn ss_and_lsof_agree() {
    let servers = [serve("tcp://127.0.0.1:0"), serve("tcp://0.0.0.0:0")];
    for server in &servers {
        let checked = check(&["--port", &port(server), "--no-probe"]);
        let pids: Vec<u32> = checked.listener()["processes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|process| u32::try_from(process["pid"].as_u64().unwrap()).unwrap())
            .collect();
        assert_eq!(pids, [server.pid()]);
        let address = checked.listener()["addresses"][0]["address"].as_str().unwrap().to_owned();
        let told = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        // LISTEN 0 1024 127.0.0.1:1502 0.0.0.0:* users:(("port502",pid=42,fd=9))
        match told("ss", &["-Hltnp", &format!("sport = :{}", server.port)]) {
            Ok(lines) => {
                agrees("ss", &lines, server.port, &pids);
                for line in lines.lines() {
                    assert!(line.contains(&format!(" {address}:{} ", server.port)), "{line}");
                    let others = line.split("pid=").skip(1).filter_map(|rest| rest.split(',').next());
                    assert!(
                        others.map(|pid| pid.parse::<u32>().unwrap()).all(|pid| pids.contains(&pid)),
                        "{line}"
                    );
                }
            }
            Err(_) => println!("skipped: ss is not installed"),
        }
        // p42, one line for each process.
        match told("lsof", &["-nP", "-Fp", &format!("-iTCP:{}", server.port), "-sTCP:LISTEN"]) {
            Ok(lines) => {
                let found: Vec<u32> =
                    lines.lines().filter_map(|line| line.strip_prefix('p')?.parse().ok()).collect();
                assert_eq!(found, pids, "{lines}");
            }
            Err(_) => println!("skipped: lsof is not installed"),
        }
    }
}

/// All that listens on this machine, not ours alone: what `ss` tells is what we tell.
#[test]
fn the_whole_machine_agrees_with_ss() {
    let _servers = [serve("tcp://127.0.0.1:0"), serve("tcp://0.0.0.0:0")];
    let all = |options: &str| {
        let output = Command::new("ss").args([options]).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let sockets = text.lines().filter_map(|line| {
            let local = line.split_whitespace().nth(3)?;
            let (ip, port) = local.rsplit_once(':')?;
            let ip = ip.split('%').next().unwrap_or_default().trim_matches(['[', ']']);
            Some((port.parse::<u16>().ok()?, if ip == "*" { "::".to_owned() } else { ip.to_owned() }))
        });
        Some(sockets.collect::<std::collections::BTreeSet<_>>())
    };
    for (options, transport) in [("-Hltn", "tcp"), ("-Hlun", "udp")] {
        let Some(before) = all(options) else {
            println!("skipped: ss is not installed");
            return;
        };
        let ports: Vec<String> = before.iter().map(|(port, _)| format!("--port={port}=modbus")).collect();
        if ports.is_empty() {
            continue;
        }
        let ports: Vec<&str> = ports.iter().map(String::as_str).collect();
        let checked = check(&[&ports[..], &["--no-probe"]].concat());
        let after = all(options).unwrap();
        let found: std::collections::BTreeSet<(u16, String)> = checked
            .kind("listener")
            .iter()
            .filter(|listener| listener["transport"] == transport)
            .flat_map(|listener| {
                let port = u16::try_from(listener["port"].as_u64().unwrap()).unwrap();
                let addresses = listener["addresses"].as_array().unwrap().clone();
                addresses
                    .into_iter()
                    .map(move |address| (port, address["address"].as_str().unwrap().to_owned()))
            })
            .collect();
        // Other tests' listeners come and go: what was there before and after was there meanwhile.
        let stayed: std::collections::BTreeSet<_> = before.intersection(&after).cloned().collect();
        let missing: Vec<_> = stayed.difference(&found).collect();
        assert!(missing.is_empty(), "not told: {missing:?}\n{checked:#?}");
        let ghosts: Vec<_> =
            found.iter().filter(|one| !before.contains(*one) && !after.contains(*one)).collect();
        // One that came and went between two runs of ss.
        assert!(ghosts.len() <= 3, "{ghosts:?}");
        assert!(transport == "udp" || stayed.len() >= 2);
    }
}

/// Every field that is printed stands in docs/json.md.
#[test]
fn every_field_is_documented() {
    fn names(value: &serde_json::Value, found: &mut std::collections::BTreeSet<String>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    found.insert(name.clone());
                    names(value, found);
                }
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| names(value, found)),
            _ => {}
        }
    }
    let server = serve("tcp://0.0.0.0:0");
    let _client = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let other = listener("127.0.0.1:0", echo);
    let checked = check(&["--port", &port(&server), "--port", &other.to_string()]);
    let mut found = std::collections::BTreeSet::new();
    for line in checked.out.lines() {
        names(&serde_json::from_str(line).unwrap(), &mut found);
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n## `port502 check --json`").nth(1).unwrap().split("\n## ").next().unwrap();
    let missing: Vec<&String> = found.iter().filter(|name| !section.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty() && found.len() > 30, "{missing:?} of {found:?}");
}
