//! `leasehold verify`: does the role work, and does rotation?

use leasehold::core::name::{Path, VaultReference};
use leasehold::core::{Failure, Kind};
use leasehold::identity::Identity;
use leasehold::journal::Journal;
use leasehold::verify::{Step, verify as verify_role};
use serde_json::json;

use super::{block_on, client, pretty, settings};
use crate::arguments::login::LoginArguments;
use crate::arguments::{Connection, VerifyArguments};
use crate::config::environment::Environment;
use crate::exit::Exit;
use crate::ui::{self, Ui};

/// Verifies a role, and prints what was done step by step.
pub(crate) fn verify(
    arguments: &VerifyArguments,
    environment: &Environment,
    ui: Ui,
) -> Result<Exit, Failure> {
    let settings = settings(&connection(arguments), environment)?;
    let Identity::Login(method) = settings.identity()? else {
        return Err(Failure::new(Kind::Invalid, "a token cannot be verified as a role: there is no login")
            .hint("configure one, such as VAULT_ROLE_ID and VAULT_SECRET_ID, or --auth kubernetes"));
    };
    let path = Path::parse(&arguments.path).map_err(|fault| {
        Failure::new(Kind::Invalid, format!("a bad path:\n{}", fault.picture(&arguments.path)))
    })?;
    let secret = VaultReference { path, version: None, namespace: None };
    let client = client(&settings)?;
    let namespace = settings.namespace.as_ref().map(ToString::to_string);
    let journal =
        Journal::create(&settings.state_dir.join("journal"), &client.address(), namespace.as_deref())?;
    let steps =
        block_on(async { Ok(verify_role(&client, &method, &journal, &arguments.role, &secret).await) })?;
    ui::answer(&if arguments.json { as_json(&steps) } else { as_table(&steps) });
    let failed = steps.iter().find_map(|step| step.result.as_ref().err());
    Ok(failed.map_or(Exit::OK, |failure| {
        ui.failure(failure);
        failure.kind().into()
    }))
}

/// The connection with the role to log in with. AppRole logs in by ids: there, the role is checked afterwards.
fn connection(arguments: &VerifyArguments) -> Connection {
    let login = LoginArguments { role: Some(arguments.role.clone()), ..arguments.connection.login.clone() };
    Connection { login, server: arguments.connection.server.clone() }
}

fn as_json(steps: &[Step]) -> String {
    let is_good = steps.iter().all(|step| step.result.is_ok());
    let steps = steps.iter().map(|step| {
        let milliseconds = step.took.as_millis();
        match &step.result {
            Ok(detail) => {
                json!({"step": step.name, "ok": true, "detail": detail, "milliseconds": milliseconds})
            }
            Err(failure) => json!({
                "step": step.name, "ok": false, "kind": failure.kind().token(), "error": failure.message(),
                "hint": failure.advice(), "milliseconds": milliseconds,
            }),
        }
    });
    pretty(&json!({"ok": is_good, "steps": steps.collect::<Vec<_>>()}))
}

fn as_table(steps: &[Step]) -> String {
    let row = |step: &Step| {
        let (result, detail) = match &step.result {
            Ok(detail) => ("ok", detail.clone()),
            Err(failure) => ("failed", failure.message().to_owned()),
        };
        vec![step.name.to_owned(), result.to_owned(), format!("{} ms", step.took.as_millis()), detail]
    };
    ui::table(&["step", "result", "time", "detail"], &steps.iter().map(row).collect::<Vec<_>>())
}
