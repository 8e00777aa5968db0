//! `leasehold set-key`: sets or replaces a provider's key.

use leasehold::child::{ChildSignal, Exit as ChildExit};
use leasehold::core::{Failure, Secret};
use leasehold::workstation::LONGEST;
use serde_json::json;

use super::pretty;
use super::workstation::Desk;
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
    let desk = Desk::open(&arguments.common, environment)?;
    let provider = desk.manifest.provider(&arguments.provider)?;
    let pointer = provider.needed_pointer()?;
    desk.attend([provider], ui, async |workstation| {
        let place = workstation.stores().reference(pointer).await;
        // What stands in the way is told before anybody types a key.
        let is_there = workstation.contains(&place).await?;
        let verb = if is_there { "replaces the one at" } else { "goes to" };
        ui.note(&format!("the key of {} {verb} {place}", provider.name));
        let secret = match read(arguments, &provider.name).await? {
            Ok(secret) => secret,
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

/// From the terminal, or from standard input where that is asked for or there is nobody to ask; else the signal that came
/// first.
async fn read(arguments: &SetKeyArguments, name: &str) -> Result<Result<Secret, ChildSignal>, Failure> {
    match arguments.stdin.is_none() && ui::can_ask() {
        true => ui::ask_secret(&format!("Key of {name} (not shown)")).await,
        false => ui::secret_from_stdin(LONGEST).map(Ok),
    }
}
