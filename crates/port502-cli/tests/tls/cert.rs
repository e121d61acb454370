//! `port502 cert`: what it makes, and what it refuses to.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::support::Folder;

/// What `show --json` says of the first thing in a file.
fn shown(folder: &Folder, file: &str) -> Value {
    let out = folder.must(&format!("port502 cert show {file} --json"));
    serde_json::from_str(out.lines().next().unwrap()).unwrap()
}

#[test]
fn what_is_made_says_what_was_asked_for() {
    let folder = Folder::new();
    folder.must("port502 cert ca --name Plant");
    folder.must("port502 cert server --name plc-7 --name plc-7.plant.example --ip 10.0.0.7 --ip ::1");
    folder.must("port502 cert client --name panel-3 --role Bedienung-Süd --days 7");
    folder.must("port502 cert client --name guest");
    let server = shown(&folder, "pki/plc-7.pem");
    assert_eq!(server["subject"], "CN=plc-7");
    assert_eq!(server["names"], serde_json::json!(["plc-7", "plc-7.plant.example", "10.0.0.7", "::1"]));
    assert_eq!((&server["for"][0], &server["role"]), (&"server".into(), &Value::Null));
    assert_eq!(server["days_left"], 824);
    let client = shown(&folder, "pki/panel-3.pem");
    assert_eq!((&client["role"], &client["for"][0]), (&"Bedienung-Süd".into(), &"client".into()));
    assert_eq!((&client["issuer"], &client["days_left"]), (&"CN=Plant".into(), &6.into()));
    assert_eq!((&client["key"], &client["revoked"]), (&"pki/panel-3.key fits".into(), &false.into()));
    assert_eq!(shown(&folder, "pki/guest.pem")["role"], Value::Null);
    assert_eq!(shown(&folder, "pki/ca.pem")["for"], serde_json::json!(["authority"]));
    assert_eq!(shown(&folder, "pki/panel-3.key")["certificate"], "pki/panel-3.pem fits");
    // The whole chain is sent: the authority's certificate stands behind.
    assert_eq!(folder.read("pki/panel-3.pem").matches("BEGIN CERTIFICATE").count(), 2);
    assert!(folder.read("pki/panel-3.pem").ends_with(&folder.read("pki/ca.pem")));
    // Each has a serial number of its own, and the record has all.
    let record = folder.read("pki/issued.csv");
    assert_eq!(record.lines().count(), 4);
    for file in ["pki/plc-7.pem", "pki/panel-3.pem", "pki/guest.pem"] {
        let serial = shown(&folder, file)["serial"].as_str().unwrap().to_owned();
        assert_eq!(serial.len(), 32);
        assert_eq!(record.matches(&serial).count(), 1, "{record}");
    }
}

#[test]
fn keys_are_the_owners_alone_and_nothing_is_overwritten() {
    let folder = Folder::new();
    folder.must("port502 cert ca");
    folder.must("port502 cert client --name panel");
    let mode = |name: &str| std::fs::metadata(folder.0.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("pki"), mode("pki/ca.key"), mode("pki/panel.key")), (0o700, 0o600, 0o600));
    let before = ["pki/ca.pem", "pki/ca.key", "pki/panel.pem", "pki/panel.key"].map(|file| folder.read(file));
    for line in [
        "port502 cert ca",
        "port502 cert client --name panel",
        "port502 cert client --name ca",
        "port502 cert client --name crl",
        "port502 cert server --name other --out pki/panel.pem",
    ] {
        let ran = folder.run(line);
        assert_eq!(ran.code, 1, "{line}");
        assert!(ran.err.contains("is there already, and stays"), "{line}: {}", ran.err);
    }
    // A key alone is as good a reason.
    std::fs::remove_file(folder.0.join("pki/panel.pem")).unwrap();
    assert!(folder.run("port502 cert client --name panel").err.contains("pki/panel.key is there already"));
    folder.write("pki/panel.pem", &before[2]);
    assert_eq!(
        before,
        ["pki/ca.pem", "pki/ca.key", "pki/panel.pem", "pki/panel.key"].map(|it| folder.read(it))
    );
    // What was refused is not in the record.
    assert_eq!(folder.read("pki/issued.csv").lines().count(), 2);
}

#[test]
fn revoked_by_file_or_by_number_and_never_forgotten() {
    let folder = Folder::new();
    folder.must("port502 cert ca");
    for name in ["a", "b", "c"] {
        folder.must(&format!("port502 cert client --name {name}"));
    }
    let serial = |file: &str| shown(&folder, file)["serial"].as_str().unwrap().to_owned();
    let (a, b) = (serial("pki/a.pem"), serial("pki/b.pem"));
    let out = folder.must("port502 cert revoke pki/a.pem");
    assert!(out.starts_with(&format!("revoked {a} (a); pki/crl.pem says so")), "{out}");
    // As openssl writes numbers, too.
    let colons: Vec<String> =
        b.as_bytes().chunks(2).map(|it| String::from_utf8_lossy(it).to_uppercase()).collect();
    folder.must(&format!("port502 cert revoke {}", colons.join(":")));
    let revoked = |file: &str| shown(&folder, file)["revoked"].clone();
    assert_eq!(
        [revoked("pki/a.pem"), revoked("pki/b.pem"), revoked("pki/c.pem")],
        [true, true, false].map(Value::from)
    );
    let list = shown(&folder, "pki/crl.pem");
    assert_eq!(list["revoked"].as_array().unwrap().len(), 2);
    let dated = folder.read("pki/issued.csv").lines().skip(1).filter(|line| line.ends_with('Z')).count();
    assert_eq!(dated, 2);
    for (line, want) in [
        ("revoke pki/a.pem".to_owned(), "is revoked already"),
        ("revoke pki/ca.pem".to_owned(), "it is the authority itself"),
        ("revoke 0123".to_owned(), "neither a file nor a serial number"),
        ("revoke nobody.pem".to_owned(), "there is no such file"),
        ("revoke pki/issued.csv".to_owned(), "there is no certificate in PEM in it"),
        ("revoke pki/c.pem --dir elsewhere".to_owned(), "make an authority with `port502 cert ca`"),
    ] {
        let ran = folder.run(&format!("port502 cert {line}"));
        assert!(ran.code != 0 && ran.err.contains(want), "{line}: {ran:?}");
        assert_eq!(ran.err.lines().count(), 1);
    }
    // One of another authority.
    folder.must("port502 cert ca --dir other");
    folder.must("port502 cert client --name d --dir other");
    assert!(folder.run("port502 cert revoke other/d.pem").err.contains("pki/ca.pem has not signed it"));
    // A list that cannot be read is not replaced by one that has forgotten.
    folder.write("pki/crl.pem", "nothing");
    assert!(folder.run("port502 cert revoke pki/c.pem").err.contains("it is no revocation list"));
    assert_eq!(folder.read("pki/crl.pem"), "nothing");
}

#[test]
fn at_once_nothing_is_lost() {
    let folder = Folder::new();
    folder.must("port502 cert ca");
    let all_at_once = |line: fn(usize) -> String| {
        let start = |n| {
            let line = line(n);
            let words: Vec<&str> = line.split_whitespace().collect();
            let mut command = folder.command(words[0], &words[1..]);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        };
        let children: Vec<_> = (0..8).map(start).collect();
        for child in children {
            let ended = child.wait_with_output().unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
    };
    all_at_once(|n| format!("port502 cert client --name c{n}"));
    assert_eq!(folder.read("pki/issued.csv").lines().count(), 9);
    let number = |folder: &Folder| {
        let out = folder.read("pki/crl.pem");
        let der = x509_parser::pem::parse_x509_pem(out.as_bytes()).unwrap().1.contents;
        let (_, list) = x509_parser::parse_x509_crl(&der).unwrap();
        u64::try_from(list.crl_number().unwrap()).unwrap()
    };
    let before = number(&folder);
    all_at_once(|n| format!("port502 cert revoke pki/c{n}.pem"));
    assert_eq!(shown(&folder, "pki/crl.pem")["revoked"].as_array().unwrap().len(), 8);
    assert!(number(&folder) >= before + 8);
    let record = folder.read("pki/issued.csv");
    assert_eq!(record.lines().skip(1).filter(|line| line.ends_with('Z')).count(), 8, "{record}");
    let names = std::fs::read_dir(folder.0.join("pki")).unwrap().map(|it| it.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().ends_with(".new")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_link_in_the_folder_leads_nowhere_and_modes_stay() {
    let folder = Folder::new();
    folder.must("port502 cert ca");
    folder.must("port502 cert client --name a");
    folder.write("elsewhere", "mine");
    std::os::unix::fs::symlink("../elsewhere", folder.0.join("pki/crl.pem.new")).unwrap();
    let list = folder.0.join("pki/crl.pem");
    std::fs::set_permissions(&list, std::fs::Permissions::from_mode(0o600)).unwrap();
    folder.must("port502 cert revoke pki/a.pem");
    assert_eq!(folder.read("elsewhere"), "mine");
    let metadata = std::fs::symlink_metadata(&list).unwrap();
    assert!(metadata.is_file());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
}

#[test]
fn files_without_an_end_are_refused() {
    let folder = Folder::new();
    folder.must("port502 cert ca");
    folder.must("port502 cert client --name a");
    let want = "it has more than 16 MiB";
    for line in ["show /dev/zero", "revoke /dev/zero"] {
        let ran = folder.run(&format!("port502 cert {line}"));
        assert!(ran.code == 1 && ran.err.contains(want), "{line}: {ran:?}");
    }
    for (file, want) in [("issued.csv", "it has more than 64 MiB"), ("crl.pem", want), ("ca.pem", want)] {
        let path = folder.0.join("pki").join(file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let ran = folder.run("port502 cert revoke pki/a.pem");
        assert!(ran.code == 1 && ran.err.contains(want), "{file}: {ran:?}");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, whole).unwrap();
    }
}

#[test]
fn what_could_not_be_written_is_not_in_the_record() {
    let folder = Folder::new();
    folder.must("port502 cert ca");
    let ran = folder.run("port502 cert client --name a --out nowhere/a.pem");
    assert!(ran.code == 1 && ran.err.contains("cannot write nowhere/a.key"), "{ran:?}");
    assert_eq!(folder.read("pki/issued.csv").lines().count(), 1);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let folder = Folder::new();
    for (line, code, want) in [
        ("client --name x", 1, "make an authority with `port502 cert ca`"),
        ("client", 2, "--name"),
        ("server", 2, "--name"),
        ("server --name 10.0.0.1", 2, "say it with --ip"),
        ("server --name a_b!c", 2, "want a host name"),
        ("server --ip 10.0.0", 2, "10.0.0"),
        ("client --name x --role *", 2, "choose another name"),
        ("client --name x --role -", 2, "choose another name"),
        ("client --name x --days 0", 2, "from 1 to 36500"),
        ("client --name ../x", 2, "say with --out"),
        ("show", 2, "FILE"),
        ("show nothing.pem", 1, "cannot read nothing.pem"),
    ] {
        let ran = folder.run(&format!("port502 cert {line}"));
        assert!(ran.code == code && ran.err.contains(want), "{line}: {ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
    }
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0, "something was made");
    folder.must("port502 cert ca");
    folder.write("text.pem", "hello");
    assert!(folder.run("port502 cert show text.pem").err.contains("neither a certificate nor a key"));
    // A key that is another's.
    folder.must("port502 cert client --name a");
    folder.must("port502 cert client --name b");
    std::fs::copy(folder.0.join("pki/b.key"), folder.0.join("pki/a.key")).unwrap();
    assert_eq!(shown(&folder, "pki/a.pem")["key"], "pki/a.key DOES NOT FIT");
    std::fs::copy(folder.0.join("pki/b.key"), folder.0.join("pki/ca.key")).unwrap();
    assert!(folder.run("port502 cert client --name c").err.contains("it is not the key of pki/ca.pem"));
}

#[test]
fn to_listen_takes_certificates_and_rights() {
    let folder = Folder::new();
    folder.must("port502 cert ca");
    folder.must("port502 cert server --ip 127.0.0.1 --out pki/s.pem");
    folder.write("rights.csv", "role,access\nviewer,raed\n,read\n");
    for (line, want) in [
        (
            "--listen tls://127.0.0.1:0?cert=pki/s.pem",
            "say what clients with each role may do, with --rights FILE",
        ),
        (
            "--listen tls://127.0.0.1:0?cert=pki/s.pem --rights rights.csv",
            "rights.csv:2:8: \"raed\" is not an access",
        ),
        (
            "--listen tls://127.0.0.1:0?cert=pki/s.pem --rights nothing.csv",
            "cannot read the rights nothing.csv",
        ),
        ("--listen tls://127.0.0.1:0 --rights good.csv", "names no certificate"),
        (
            "--listen tls://127.0.0.1:0?cert=pki/x.pem --rights good.csv",
            "cannot read the certificate pki/x.pem",
        ),
        (
            "--listen tls://127.0.0.1:0?cert=pki/s.pem&key=pki/ca.key --rights good.csv",
            "it is not the key of pki/s.pem",
        ),
    ] {
        folder.write("good.csv", "role,access\n*,rw\n");
        let ran = folder.run(&format!("port502 serve {line}"));
        assert!(ran.code != 0 && ran.err.contains(want), "{line}: {ran:?}");
    }
}
