//! `leasehold get`: one secret.

use leasehold::core::name::Place;
use leasehold::core::{Failure, Fields, Kind};

use super::values::{self, json, one};
use super::workstation::workstation;
use super::{block_on, in_session, settings_at};
use crate::arguments::GetArguments;
use crate::config::environment::Environment;
use crate::exit::Exit;
use crate::ui::{self, Ui};

/// Prints one secret, or all fields of one.
pub(crate) fn get(arguments: &GetArguments, environment: &Environment, ui: Ui) -> Result<Exit, Failure> {
    let reference = super::reference(&arguments.reference)?;
    if ui::is_terminal() && !arguments.reveal {
        return Err(Failure::new(Kind::Invalid, "a secret is not shown on a terminal")
            .hint("pipe it to where it is used, or say --reveal"));
    }
    let print = |fields: &Fields| {
        let secret = if arguments.json { json(fields) } else { one(&reference, fields)? };
        ui::secret(&secret, !arguments.no_newline).map(|()| Exit::OK)
    };
    let settings = settings_at(&arguments.connection, &arguments.workstation, environment)?;
    match reference.place() {
        place @ (Place::Env(_) | Place::File(_) | Place::Stored(..)) => {
            let workstation = workstation(&settings, environment)?;
            print(&block_on(values::of_place(&workstation, place))?)
        }
        Place::Vault(vault) => in_session(&settings, ui, async |session| {
            let credential = session.ask(vault).await?;
            match credential.hold() {
                Some(grant) if grant.lease.is_static() => print(&grant.fields),
                Some(_) => Err(Failure::new(
                    Kind::Invalid,
                    format!("{vault} is dynamic and would end with this command"),
                )
                .hint("use it in `leasehold run`, which keeps its lease alive")),
                None => Err(Failure::new(Kind::Expired, format!("{vault} has ended"))),
            }
        }),
    }
}
