//! `leasehold get`: one secret.

use std::path::PathBuf;

use leasehold::core::name::Place;
use leasehold::core::{Failure, Fields, Kind, Secret};
use leasehold::identity::Source;

use super::run::bindings::{json, one};
use super::{in_session, settings};
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
        print(&secret, !arguments.no_newline)
    };
    match reference.place() {
        Place::Env(name) => {
            let value = environment.variable(name).and_then(|value| value.to_str());
            let value = value
                .ok_or_else(|| Failure::new(Kind::NotFound, format!("the variable {name} is not set")))?;
            print(&single(name, Secret::new(value)))
        }
        Place::File(path) => print(&single("content", Source::File(PathBuf::from(&**path)).read_whole()?)),
        Place::Vault(vault) => {
            in_session(&settings(&arguments.connection, environment)?, ui, async |session| {
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
            })
        }
    }
}

fn single(name: &str, value: Secret) -> Fields {
    Fields::from_iter([(name, value)])
}

fn print(secret: &Secret, newline: bool) -> Result<Exit, Failure> {
    match ui::secret(secret, newline) {
        Ok(()) => Ok(Exit::OK),
        Err(error) => Err(Failure::new(Kind::Broken, format!("cannot write to standard output: {error}"))),
    }
}
