//! The unit for systemd, under systemd: a machine of its own starts it, and the guard works with the few rights that it has
//! there.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::machines::is_root;

/// Cgroups of the machine's own, which can be taken away again; then all the rest.
const APART: &str = r#"
for c in . unified systemd memory pids; do
    c=/sys/fs/cgroup/$c
    [ -e $c/cgroup.procs ] && mkdir $c/$GROUP && echo $$ > $c/$GROUP/cgroup.procs
done
exec unshare --pid --fork --mount --uts --ipc --net --cgroup --kill-child bash -c "$BOOT"
"#;

/// A machine of its own: every namespace, the files of this one underneath, and systemd as the first program. Whatever the
/// system does not allow ends it before that, with a word.
const BOOT: &str = r#"
set -e
trap 'echo "cannot: $BASH_COMMAND" >&2' ERR
mount --make-rprivate /
mount -t tmpfs tmpfs "$PLACE"
mkdir "$PLACE"/{up,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$PLACE/up,workdir=$PLACE/work" "$PLACE/root"
cd "$PLACE/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
for d in run tmp dev; do mount -t tmpfs tmpfs $d; done
for d in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 dev/${d%:*} c 1 ${d#*:}; done
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm dev/mqueue dev/hugepages
ln -s pts/ptmx dev/ptmx
mount -t devpts devpts dev/pts
if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
else
    mount -t tmpfs tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/{unified,systemd,memory,pids}
    mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
    mount -t cgroup -o memory cgroup sys/fs/cgroup/memory
    mount -t cgroup -o pids cgroup sys/fs/cgroup/pids
fi
ip link set lo up
# Nothing else of this system is started: some of it would change the kernel's settings, which are everybody's.
rm -rf etc/systemd/system/* usr/lib/systemd/system/*.wants etc/fstab etc/port502
echo 0123456789abcdef0123456789abcdef > etc/machine-id
mkdir -p etc/port502
cp "$SITE" etc/port502/site.toml
rm -f usr/bin/port502
touch usr/bin/port502
mount --bind "$PROGRAM" usr/bin/port502
cp "$UNIT" etc/systemd/system/port502-guard.service
printf '[Service]\nType=exec\nExecStart=/usr/bin/port502 serve --listen tcp://127.0.0.1:1502\n' > etc/systemd/system/device.service
printf '[Unit]\nWants=device.service port502-guard.service systemd-journald.service\n' > etc/systemd/system/try.target
ln -s /etc/systemd/system/try.target etc/systemd/system/default.target
mkdir .old
pivot_root . .old
umount -l .old
trap - ERR
export container=other
exec /lib/systemd/systemd --system --log-target=null --show-status=0
"#;

/// What the service is put through there, once it is active.
const TRY: &str = r#"
until journalctl -u port502-guard -o cat | grep -q 'leads to'; do :; done
main() { systemctl show -p MainPID --value port502-guard; }
first=$(main)
grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/$first/status
port502 read 127.0.0.1 h:0; echo "allowed $?"
port502 read 127.0.0.1 h:5; echo "refused $?"
systemctl reload port502-guard
until journalctl -u port502-guard -o cat | grep -q 'read again'; do :; done
kill -KILL $first
until [ "$(journalctl -u port502-guard -o cat | grep -c 'leads to')" = 2 ]; do :; done
[ $(main) != $first ] && systemctl is-active port502-guard
until port502 journal /var/lib/private/port502 --json | grep -q '"reason":"address"'; do :; done
port502 journal /var/lib/private/port502 --verify
systemctl show -p NRestarts port502-guard
systemctl stop port502-guard
systemctl show -p Result -p ExecMainStatus port502-guard
journalctl -u port502-guard -o cat
"#;

/// One read of one register is all that is allowed.
const SITE: &str = r#"
[site]
name = "Service"
[zone.control]
networks = ["127.0.0.0/8"]
[device.pump]
connect = "tcp://127.0.0.1:1502"
[device.pump.tag.level]
at = "holding:0"
[guard.front]
listen = ["tcp://127.0.0.1:502"]
to = "pump"
allow = [{ from = "control", do = "derived" }]
"#;

/// Ends the machine, and all that runs on it with its first program.
struct Booted {
    group: String,
    outside: Child,
    first: Option<u32>,
}

impl Drop for Booted {
    fn drop(&mut self) {
        // What started it ends when all of it has ended.
        match self.first {
            Some(first) => {
                let _ = Command::new("kill").args(["-KILL", &first.to_string()]).status();
            }
            None => {
                let _ = self.outside.kill();
            }
        }
        let _ = self.outside.wait();
        let of_it = format!("*/{}*", self.group);
        let _ = Command::new("find")
            .args(["/sys/fs/cgroup", "-depth", "-type", "d", "-path", &of_it, "-exec", "rmdir", "{}", ";"])
            .status();
    }
}

/// The program that `unshare` has started.
fn child_of(pid: u32) -> Option<u32> {
    let told = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    told.split_whitespace().next()?.parse().ok()
}

#[test]
fn the_unit_works_under_systemd() {
    if !is_root() {
        return;
    }
    if !Path::new("/lib/systemd/systemd").exists() {
        println!("skipped: systemd is not installed");
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("systemd");
    let place = folder.join("machine");
    std::fs::create_dir_all(&place).unwrap();
    let (site, said) = (folder.join("site.toml"), folder.join("said"));
    std::fs::write(&site, SITE).unwrap();
    let group = format!("port502-{}", std::process::id());
    let outside = Command::new("bash")
        .args(["-c", APART])
        .envs([("GROUP", &*group), ("BOOT", BOOT)])
        .envs([("PLACE", &place), ("SITE", &site)])
        .env("UNIT", root.join("packaging/port502-guard.service").canonicalize().unwrap())
        .env("PROGRAM", env!("CARGO_BIN_EXE_port502"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let mut machine = Booted { group, outside, first: None };
    let until = Instant::now() + Duration::from_secs(60);
    let first = loop {
        if machine.outside.try_wait().unwrap().is_some() {
            println!("skipped: {}", std::fs::read_to_string(&said).unwrap());
            return;
        }
        let first = child_of(machine.outside.id());
        machine.first = first;
        if let Some(first) = first
            && std::fs::read_to_string(format!("/proc/{first}/comm")).is_ok_and(|name| name == "systemd\n")
        {
            break first.to_string();
        }
        assert!(Instant::now() < until, "{}", std::fs::read_to_string(&said).unwrap());
    };
    let inside = |command: &[&str]| {
        let output = Command::new("nsenter").args(["-t", &first, "-a"]).args(command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        said.into_owned()
    };
    while inside(&["systemctl", "is-active", "port502-guard"]) != "active\n" {
        assert!(Instant::now() < until, "{}", inside(&["journalctl", "--no-pager", "-u", "port502-guard"]));
    }
    let told = inside(&["timeout", "60", "bash", "-c", TRY]);
    println!("{told}");
    // Nobody's account, one right of root's, and filters of system calls: systemd's and its own.
    let has = |line: &str| assert!(told.contains(line), "{line:?} is missing in\n{told}");
    assert!(!told.contains("Uid:\t0\t"), "{told}");
    for line in ["CapEff:\t0000000000000400", "CapBnd:\t0000000000000400", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        has(line);
    }
    for line in ["allowed 0", "refused 5", "the site was read again", "NRestarts=1", "Result=success"] {
        has(line);
    }
    for line in ["refused (exception:1)", "whole, 1 entry", "ExecMainStatus=0"] {
        has(line);
    }
    assert!(!told.contains("does not let the guard"), "{told}");
}
