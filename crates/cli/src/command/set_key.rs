//! `leasehold set-key`: sets or replaces a provider's key.

use leasehold::child::{ChildSignal, Exit as ChildExit};
use leasehold::core::{Failure, Kind, Secret};
use leasehold::workstation::{Choice, LONGEST};
use serde_json::json;

use super::pretty;
use super::workstation::at_key;
use crate::arguments::Dash;
use crate::arguments::workstation::SetKeyArguments;
use crate::config::environment::Environment;
use crate::exit::Exit;
use crate::ui::{self, Ui};

/// Asks for the key, tells where it goes, and puts it there.
pub(crate) fn set_key(
    arguments: &SetKeyArguments,
    environment: &Environment,
    ui: Ui,
) -> Result<Exit, Failure> {
    if arguments.stdin == Some(Dash::Other) {
        return Err(typed());
    }
    at_key(&arguments.provider, &arguments.common, environment, ui, async |workstation, provider, place| {
        // What stands in the way is told before anybody types a key.
        let is_there = workstation.contains(&place).await?;
        let verb = if is_there { "replaces the one at" } else { "goes to" };
        ui.note(&format!("the key of {} {verb} {place}", provider.name));
        if let Some(caveat) = Choice::of(&place).and_then(|choice| choice.caveat()) {
            ui.note(caveat);
        }
        let secret = match read(arguments, &provider.name).await? {
            Ok(secret) => without_blanks(secret, ui),
            Err(signal) => return Ok(Exit(ChildExit::Signal(signal).code())),
        };
        workstation.set_key(provider, &secret).await?;
        ui::answer(&match arguments.common.json {
            true => {
                let answer =
                    json!({"status": "stored", "provider": provider.name, "place": place.to_string()});
                pretty(&answer)
            }
            false => "stored".into(),
        });
        Ok(Exit::OK)
    })
}

/// Somebody gave the key as an argument, where others can read it.
fn typed() -> Failure {
    Failure::new(Kind::Invalid, "a key is never an argument; nothing was stored").hint(
        "change this key, since it is in your shell's history; leave it out here and type it when it is asked for, or give \
         it on standard input",
    )
}

/// No provider's key begins or ends with a blank; copying leaves some there. One that is all blanks stays as it is.
fn without_blanks(secret: Secret, ui: Ui) -> Secret {
    match secret.expose().trim() {
        "" => secret,
        key if key.len() == secret.expose().len() => secret,
        key => {
            ui.note("blanks before or after the key are left out");
            Secret::new(key)
        }
    }
}

/// From the terminal, or from standard input where that is asked for or there is nobody to ask; else the signal that came
/// first.
async fn read(arguments: &SetKeyArguments, name: &str) -> Result<Result<Secret, ChildSignal>, Failure> {
    match arguments.stdin.is_none() && ui::can_ask() {
        true => ui::ask_secret(&format!("Key of {name} (not shown)")).await,
        false => ui::secret_from_stdin(LONGEST).map(Ok),
    }
}
