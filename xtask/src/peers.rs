//! The peers: real Modbus programs that the tests talk with, made ready from their package registries.
//!
//! | peer | from | where it ends up |
//! |---|---|---|
//! | pymodbus | PyPI, `tests/peers/requirements.txt` | `venv` |
//! | modbus-serial | npm, `tests/peers/node/package.json` | `node` |
//! | two programs on libmodbus | Debian, `tests/peers/c` | `libmodbus_client`, `libmodbus_server` |
//! | mbpoll | Debian | the system |
//! | asyncua, python-snap7 | PyPI: servers of OPC UA and S7 for `port502 check` | `venv` |
//! | ip, ss, lsof, nft, openssl | Debian: networks for `port502 check`, and what it is compared with | the system |
//!
//! All of it lies under `target/peers`. A stamp beside each part holds what it was made from, so that a second run
//! does nothing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::deps::Graph;
use crate::step::{command, must, output, root, succeeds};

/// A program or library of the system that the peers need.
struct Need {
    what: &'static str,
    package: &'static str,
    /// Ends well when it is there.
    probe: &'static [&'static str],
}

const NEEDS: &[Need] = &[
    Need {
        what: "Python 3 with venv and pip",
        package: "python3-venv",
        probe: &["python3", "-c", "import venv, ensurepip"],
    },
    Need { what: "Node.js", package: "nodejs", probe: &["node", "--version"] },
    Need { what: "npm", package: "npm", probe: &["npm", "--version"] },
    Need { what: "mbpoll", package: "mbpoll", probe: &["mbpoll", "-V"] },
    // The compiler looks for the header itself, as it will when the peers are built.
    Need {
        what: "libmodbus with its headers",
        package: "libmodbus-dev",
        probe: &["gcc", "-E", "-include", "modbus/modbus.h", "-x", "c", "/dev/null"],
    },
    Need { what: "ip and ss", package: "iproute2", probe: &["ss", "-V"] },
    Need { what: "lsof", package: "lsof", probe: &["lsof", "-v"] },
    // It is where only root's shell looks for it.
    Need {
        what: "nft",
        package: "nftables",
        probe: &["sh", "-c", "PATH=$PATH:/usr/sbin:/sbin nft --version"],
    },
    Need { what: "openssl", package: "openssl", probe: &["openssl", "version"] },
];

/// Makes every peer ready, and says in which directory.
pub(crate) fn ready() -> Result<PathBuf> {
    let sources = root().join("tests/peers");
    let directory = Path::new(Graph::of_workspace(&[])?.target_directory()).join("peers");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    system()?;
    python(&sources, &directory)?;
    node(&sources, &directory)?;
    for program in ["libmodbus_client", "libmodbus_server"] {
        c(&sources, &directory, program)?;
    }
    Ok(directory)
}

/// Installs what the system lacks, where that is possible without asking anybody.
fn system() -> Result<()> {
    if !succeeds(command("gcc").arg("--version")) {
        bail!("gcc is missing; install it (on Debian: apt-get install gcc libc6-dev)");
    }
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !is_there(need)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    let names: Vec<&str> = missing.iter().map(|need| need.what).collect();
    let by_hand = format!("apt-get install {}", packages.join(" "));
    if !succeeds(command("apt-get").arg("--version")) {
        bail!("missing: {}; install them (on Debian: {by_hand})", names.join(", "));
    }
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is_root && !succeeds(command("sudo").args(["-n", "true"])) {
        bail!("missing: {}; run `{by_hand}` as root, then this again", names.join(", "));
    }
    println!("installing {}", packages.join(" "));
    let apt_get = || -> Command {
        let mut apt_get = if is_root { command("env") } else { command("sudo") };
        if !is_root {
            apt_get.args(["-n", "env"]);
        }
        apt_get.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "--yes", "-oDpkg::Use-Pty=0"]);
        apt_get
    };
    // On a fresh machine the lists are empty and nothing can be found without this.
    must(apt_get().arg("update"))?;
    must(apt_get().args(["install", "--no-install-recommends"]).args(&packages))?;
    match NEEDS.iter().find(|need| !is_there(need)) {
        None => Ok(()),
        Some(need) => bail!("{} is still missing after `{by_hand}`", need.what),
    }
}

fn is_there(need: &Need) -> bool {
    need.probe.split_first().is_some_and(|(program, arguments)| succeeds(command(*program).args(arguments)))
}

fn python(sources: &Path, directory: &Path) -> Result<()> {
    let requirements = sources.join("requirements.txt");
    let venv = directory.join("venv");
    let made_from = format!("{}{}", output(command("python3").arg("--version"))?, read(&requirements)?);
    once(&venv, &made_from, || {
        println!("installing the Python peers");
        must(command("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        let mut pip = command(venv.join("bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        must(pip.arg(&requirements))
    })
}

fn node(sources: &Path, directory: &Path) -> Result<()> {
    let package = sources.join("node/package.json");
    let node = directory.join("node");
    once(&node, &read(&package)?, || {
        println!("installing the Node.js peers");
        fs::create_dir_all(&node).with_context(|| format!("cannot make {}", node.display()))?;
        fs::copy(&package, node.join("package.json")).context("cannot copy package.json")?;
        // Without the optional dependency on a serial port, which compiles; and without running anybody's scripts.
        let mut npm = command("npm");
        npm.args([
            "install",
            "--omit=optional",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
        ]);
        must(npm.args(["--loglevel=error", "--prefix"]).arg(&node))
    })
}

fn c(sources: &Path, directory: &Path, program: &str) -> Result<()> {
    let source = sources.join("c").join(program).with_extension("c");
    let program = directory.join(program);
    once(&program, &read(&source)?, || {
        println!("building {}", program.display());
        let mut gcc = command("gcc");
        gcc.args(["-O1", "-g", "-Wall", "-Wextra", "-Werror", "-I/usr/include/modbus", "-o"]);
        must(gcc.arg(&program).arg(source).arg("-lmodbus"))
    })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Makes a file or folder, unless it is there and the stamp beside it says that it was made from the same. The stamp
/// is written last: what was interrupted is made again.
fn once(product: &Path, made_from: &str, make: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = product.with_extension("stamp");
    if product.exists() && fs::read_to_string(&stamp).is_ok_and(|before| before == made_from) {
        return Ok(());
    }
    make()?;
    fs::write(&stamp, made_from).with_context(|| format!("cannot write {}", stamp.display()))
}
