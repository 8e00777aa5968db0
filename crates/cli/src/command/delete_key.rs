//! `leasehold delete-key`: deletes a provider's key.

use leasehold::core::Failure;

use super::workstation::{at_key, tell_deletion};
use crate::arguments::workstation::DeleteKeyArguments;
use crate::config::environment::Environment;
use crate::exit::Exit;
use crate::ui::Ui;

/// Deletes the key, or tells what would be deleted. That there was none is no error.
pub(crate) fn delete_key(
    arguments: &DeleteKeyArguments,
    environment: &Environment,
    ui: Ui,
) -> Result<Exit, Failure> {
    at_key(&arguments.provider, &arguments.common, environment, ui, async |workstation, provider, place| {
        let found = match arguments.dry_run {
            true => workstation.contains(&place).await?,
            false => workstation.delete_key(provider).await?,
        };
        tell_deletion(&place, found, arguments.dry_run, arguments.common.json, ui);
        Ok(Exit::OK)
    })
}
