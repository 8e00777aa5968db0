//! The verbs, one file each, and what they share.

pub(crate) mod values;
pub(crate) mod workstation;

pub(crate) mod alert;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod delete_key;
pub(crate) mod doctor;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod journal;
pub(crate) mod providers;
pub(crate) mod run;
pub(crate) mod set_key;
pub(crate) mod store;
pub(crate) mod test;
pub(crate) mod token;
pub(crate) mod verify;

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use leasehold::client::VaultClient;
use leasehold::core::name::Reference;
use leasehold::core::{Failure, Kind, Policy};
use leasehold::driver::Owed;
use leasehold::session::{Session, SessionSettings};

use crate::arguments::Connection;
use crate::arguments::workstation::WorkstationArguments;
use crate::config::environment::Environment;
use crate::config::flags::Flags;
use crate::config::profile;
use crate::config::settings::Settings;
use crate::exit::Exit;
use crate::ui::Ui;

/// How long giving everything back may take.
const CLOSING: Duration = Duration::from_secs(3);
/// How long the login's token and all leases live when this host dies, where nothing else is set.
const PARENT_TTL: Duration = Duration::from_secs(60);

/// The settings in force, or all faults in one failure.
fn settings(connection: &Connection, environment: &Environment) -> Result<Settings, Failure> {
    settings_at(connection, &WorkstationArguments::default(), environment)
}

/// The same, for verbs that look after a workstation too.
fn settings_at(
    connection: &Connection,
    workstation: &WorkstationArguments,
    environment: &Environment,
) -> Result<Settings, Failure> {
    let flags = Flags { server: &connection.server, login: &connection.login, workstation };
    Settings::load(flags, environment).map_err(|faults| Failure::new(Kind::Invalid, faults.to_string()))
}

/// Runs this to its end on a runtime of one thread. A panic inside is a failure like others.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Kind::Broken, format!("cannot start: {error}")))?;
    runtime.block_on(work)
}

/// The same work, in which a panic becomes a failure, so that what comes after it is still done.
async fn guarded<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut work = pin!(work);
    std::future::poll_fn(move |cx| {
        let step = std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        step.unwrap_or_else(|_| Poll::Ready(Err(Failure::new(Kind::Broken, "an internal error"))))
    })
    .await
}

/// A session by these settings; nothing is sent yet.
fn session(
    settings: &Settings,
    parent_ttl: Duration,
    start_spread: Duration,
    policy: Policy,
) -> Result<Session, Failure> {
    Session::start(SessionSettings {
        client: client(settings)?,
        identity: settings.identity()?,
        state_dir: settings.state_dir.clone(),
        parent_ttl,
        start_spread,
        policy,
    })
}

/// A session for something short.
fn brief_session(settings: &Settings) -> Result<Session, Failure> {
    session(settings, parent_ttl(settings), Duration::ZERO, Policy::default())
}

/// How long what a session obtains lives when nobody renews it.
fn parent_ttl(settings: &Settings) -> Duration {
    settings.defaults.parent_ttl.unwrap_or(PARENT_TTL)
}

/// A client without a token.
fn client(settings: &Settings) -> Result<VaultClient, Failure> {
    VaultClient::new(&settings.server, settings.namespace.clone())
}

/// Does something in a session that is closed afterwards, however it went.
fn in_session(
    settings: &Settings,
    ui: Ui,
    work: impl AsyncFnOnce(&Session) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    block_on(async {
        let session = brief_session(settings)?;
        let result = guarded(work(&session)).await;
        tell_owed(ui, &session.close(CLOSING).await);
        result
    })
}

/// Tells what could not be given back, by accessor, and what becomes of it.
fn tell_owed(ui: Ui, owed: &[Owed]) {
    for owed in owed {
        let why = owed.failure.as_ref().map_or_else(|| "there was no time".to_owned(), ToString::to_string);
        let hint = owed.failure.as_ref().and_then(Failure::advice).map(|hint| format!(" ({hint})"));
        let hint = hint.unwrap_or_default();
        ui.warn(&format!("the {} was not revoked: {why}{hint}; the next leasehold tries again", owed.what));
    }
}

/// A reference from the command line. What does not look like one may be a secret, and is not shown.
fn reference(text: &str) -> Result<Reference, Failure> {
    profile::reference(text).map_err(|trouble| trouble.into_failure(text))
}

/// A JSON value as text for a person or a program.
fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_failure_and_what_comes_after_it_is_still_done() {
        let mut closed = false;
        let result: Result<(), Failure> = block_on(async {
            let result = guarded(async {
                tokio::task::yield_now().await;
                panic!("canary")
            })
            .await;
            closed = true;
            result
        });
        let failure = result.unwrap_err();
        assert_eq!((failure.kind(), closed), (Kind::Broken, true));
        assert!(!failure.to_string().contains("canary"));
    }
}
