//! Who hands a key of the workstation to a program: ours beside those that do the same, in one session of a desktop.

use super::contender::Contender;
use super::race::{Tally, race};
use crate::step::{Outcome, output, say};
use crate::tools;
use leasehold_testkit::{Desktop, canary, python_keyring};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

pub(super) const BARE: &str = "/bin/true";
pub(super) const SEALED: &str = "leasehold run, sealed file";
pub(super) const KEYRING: &str = "leasehold run, keyring";
const PYTHON: &str = "keyring get";
const SECRETSPEC: &str = "secretspec run";
const FNOX: &str = "fnox exec";
/// Those that we are compared with.
pub(super) const RIVALS: [&str; 3] = [PYTHON, SECRETSPEC, FNOX];

/// The variable and the entry of the provider that `leasehold init` names first.
const VARIABLE: &str = "OPENAI_API_KEY";
const ENTRY: [&str; 2] = ["agent_vault", "api.openai.com/pro_key"];

/// What was measured, and who could not be had.
pub(super) struct Keys {
    pub(super) tallies: Vec<Tally>,
    pub(super) absent: Vec<String>,
}

/// Measures all that can be had.
pub(super) fn measure(leasehold: &Path, rounds: usize) -> Outcome<Keys> {
    let stage = Stage::new(leasehold)?;
    let mut contenders = vec![
        Contender { name: SEALED, command: stage.leasehold(leasehold, false) },
        Contender { name: KEYRING, command: stage.leasehold(leasehold, true) },
        Contender { name: PYTHON, command: stage.python()? },
    ];
    let mut absent = Vec::new();
    for (name, rival) in [(SECRETSPEC, stage.secretspec()), (FNOX, stage.fnox())] {
        match rival {
            Ok(command) => contenders.push(Contender { name, command }),
            Err(why) => {
                say(&format!("{name} is left out: {why}"));
                absent.push(format!("`{name}`"));
            }
        }
    }
    contenders.iter().try_for_each(|contender| stage.prove(contender))?;
    for contender in &mut contenders {
        contender.command = starting(&contender.command, BARE);
    }
    contenders.push(Contender { name: BARE, command: stage.clean(Path::new(BARE), false) });
    Ok(Keys { tallies: race(None, &contenders, rounds)?, absent })
}

/// A desktop's session and a home, with the key in every place.
struct Stage {
    desktop: Desktop,
    home: TempDir,
    key: String,
}

impl Stage {
    fn new(leasehold: &Path) -> Outcome<Self> {
        let home = tempfile::tempdir().map_err(|error| error.to_string())?;
        let stage = Self { desktop: Desktop::start(), home, key: canary("key") };
        output(stage.clean(leasehold, false).arg("init"))?;
        stage.feed(stage.clean(leasehold, false).args(["set-key", "openai_pro", "-"]))?;
        stage.desktop.put(ENTRY[0], ENTRY[1], &stage.key);
        Ok(stage)
    }

    /// A command at home here, in the desktop's session or without one.
    fn clean(&self, program: &Path, has_session: bool) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.home.path());
        command.current_dir(self.home.path());
        if has_session {
            command.env("DBUS_SESSION_BUS_ADDRESS", self.desktop.bus());
        }
        command
    }

    fn leasehold(&self, leasehold: &Path, has_session: bool) -> Command {
        let mut command = self.clean(leasehold, has_session);
        command.args(["run", "--provider", "openai_pro", "--", CHILD]);
        command
    }

    /// It prints the key, and starts no command.
    fn python(&self) -> Outcome<Command> {
        let mut command = self.clean(Path::new("/usr/bin/env"), true);
        command.env("PYTHONPATH", python_keyring()?);
        command.env("PYTHON_KEYRING_BACKEND", "keyring.backends.SecretService.Keyring");
        command.args(["python3", "-m", "keyring", "get"]).args(ENTRY);
        Ok(command)
    }

    /// With the same keyring.
    fn secretspec(&self) -> Outcome<Command> {
        let program = tools::secretspec()?;
        let text = format!(
            "[project]\nname = \"bench\"\nrevision = \"1.0\"\n\n[profiles.default]\n{VARIABLE} = {{ description = \"a key\", \
             required = true }}\n"
        );
        self.write("secretspec.toml", &text)?;
        let file = self.home.path().join("secretspec.toml").display().to_string();
        let with_provider = |verb: &str| {
            let mut command = self.clean(&program, true);
            command.args(["--file", &file, verb, "--provider", "keyring"]);
            command
        };
        output(with_provider("set").args([VARIABLE, &self.key]))?;
        let mut command = with_provider("run");
        command.args(["--", CHILD]);
        Ok(command)
    }

    /// With a file that is encrypted by a key file, as our sealed file is.
    fn fnox(&self) -> Outcome<Command> {
        let program = tools::fnox()?;
        let identity = self.home.path().join("age.txt");
        output(Command::new("age-keygen").arg("-o").arg(&identity))
            .map_err(|why| format!("it needs age-keygen: {why}"))?;
        let recipient = output(Command::new("age-keygen").arg("-y").arg(&identity))?;
        let text = format!(
            "[providers.age]\ntype = \"age\"\nrecipients = [\"{}\"]\nkey_file = \"{}\"\n",
            recipient.trim(),
            identity.display()
        );
        self.write("fnox.toml", &text)?;
        let with_config = || {
            let mut command = self.clean(&program, false);
            command.arg("--config").arg(self.home.path().join("fnox.toml"));
            command
        };
        output(with_config().args(["set", VARIABLE, &self.key, "--provider", "age"]))?;
        let mut command = with_config();
        command.args(["exec", "--", CHILD]);
        Ok(command)
    }

    fn write(&self, name: &str, text: &str) -> Outcome {
        fs::write(self.home.path().join(name), text).map_err(|error| error.to_string())
    }

    fn feed(&self, command: &mut Command) -> Outcome {
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().map_err(|error| error.to_string())?;
        let written = process.stdin.take().map(|mut input| input.write_all(self.key.as_bytes()));
        let status = process.wait().map_err(|error| error.to_string())?;
        match written {
            Some(Ok(())) if status.success() => Ok(()),
            _ => Err("the key could not be set".to_owned()),
        }
    }

    /// Fails unless a contender really hands over the key.
    fn prove(&self, contender: &Contender) -> Outcome {
        match output(&mut starting(&contender.command, CHILD))?.contains(&self.key) {
            true => Ok(()),
            false => Err(format!("{} did not hand over the key", contender.name)),
        }
    }
}

/// What a command starts when it has to prove what it hands over.
const CHILD: &str = "/usr/bin/env";

/// The same command with this program in place of the one that proves.
fn starting(command: &Command, child: &str) -> Command {
    let mut other = Command::new(command.get_program());
    other.args(command.get_args().map(|word| if word == CHILD { child.as_ref() } else { word })).env_clear();
    other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    other
}
