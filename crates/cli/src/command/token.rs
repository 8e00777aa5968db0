//! `leasehold token`: create, look up, renew, revoke.

use std::collections::BTreeMap;
use std::io::Read;

use leasehold::client::VaultClient;
use leasehold::core::{Failure, Kind, Secret};
use leasehold::identity::Identity;
use leasehold::manifest::looks_like_a_key;
use leasehold::vault::reply::{Auth, TokenKind};
use leasehold::vault::token::{Create, Lookup, Record, Renew, Revoke, Subject};
use serde_json::json;

use super::{block_on, client, in_session, pretty, settings};
use crate::arguments::{
    Dash, TokenArguments, TokenCreateArguments, TokenRenewArguments, TokenSubjectArguments, TokenVerb,
};
use crate::config::environment::Environment;
use crate::exit::Exit;
use crate::ui::{self, Ui};

/// The largest token that is read from standard input.
const LIMIT: u64 = 16 << 10;

/// Does what is asked for to a token.
pub(crate) fn token(arguments: &TokenArguments, environment: &Environment, ui: Ui) -> Result<Exit, Failure> {
    match &arguments.verb {
        TokenVerb::Create(create) => self::create(create, environment, ui),
        TokenVerb::Lookup(subject) => with_subject(subject, environment, ui, async |client, token| {
            let record = client.send(&Lookup(token)).await?;
            ui::answer(&show(&record, subject.json));
            Ok(Exit::OK)
        }),
        TokenVerb::Renew(renew) => self::renew(renew, environment, ui),
        TokenVerb::Revoke(subject) => with_subject(subject, environment, ui, async |client, token| {
            client.send(&Revoke(token)).await?;
            ui::answer(if subject.json { "{\"revoked\": true}" } else { "revoked" });
            Ok(Exit::OK)
        }),
    }
}

fn renew(arguments: &TokenRenewArguments, environment: &Environment, ui: Ui) -> Result<Exit, Failure> {
    with_subject(&arguments.subject, environment, ui, async |client, subject| {
        let renewal = client.send(&Renew { subject, increment: arguments.increment }).await?;
        for warning in &renewal.warnings {
            ui.warn(warning);
        }
        let seconds = renewal.lease_duration.as_secs();
        ui::answer(&match arguments.subject.json {
            true => {
                pretty(&json!({"ttl": seconds, "renewable": renewal.renewable, "warnings": renewal.warnings}))
            }
            false => format!("renewed for {seconds} s"),
        });
        Ok(Exit::OK)
    })
}

/// Does something to the token that is meant. One from standard input does it to itself, which needs no login.
fn with_subject(
    arguments: &TokenSubjectArguments,
    environment: &Environment,
    ui: Ui,
    work: impl AsyncFnOnce(VaultClient, Subject) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    if arguments.stdin == Some(Dash::Other) || arguments.accessor.as_deref().is_some_and(looks_like_a_key) {
        return Err(typed());
    }
    let settings = settings(&arguments.connection, environment)?;
    if arguments.stdin.is_some() {
        let token = from_stdin()?;
        return block_on(async { work(client(&settings)?, Subject::Itself(token)).await });
    }
    let subject = arguments.accessor.clone().map_or(Subject::Own, Subject::Accessor);
    in_session(&settings, ui, async |session| work(session.client().await?, subject).await)
}

/// Somebody gave the token as an argument, where others can read it.
fn typed() -> Failure {
    Failure::new(Kind::Invalid, "a token is never an argument; nothing was done").hint(
        "give it on standard input to `leasehold token revoke -`, since it is in your shell's history; or name a token by \
         its --accessor",
    )
}

fn create(arguments: &TokenCreateArguments, environment: &Environment, ui: Ui) -> Result<Exit, Failure> {
    let settings = settings(&arguments.connection, environment)?;
    if matches!(settings.identity()?, Identity::Login(_)) && !arguments.orphan {
        return Err(Failure::new(
            Kind::Invalid,
            "a token made by a login ends with the login, at the end of this command",
        )
        .hint("bring a token in VAULT_TOKEN, or say --orphan if the policies allow that"));
    }
    let create = Create {
        role: arguments.token_role.clone(),
        orphan: arguments.orphan,
        ttl: arguments.ttl,
        explicit_max_ttl: arguments.explicit_max_ttl,
        period: arguments.period,
        policies: arguments.policies.clone(),
        kind: if arguments.batch { TokenKind::Batch } else { TokenKind::Service },
        display_name: arguments.display_name.clone(),
        meta: notes(&arguments.meta)?,
        num_uses: arguments.uses,
        ..Create::default()
    };
    in_session(&settings, ui, async |session| {
        let auth = session.client().await?.send(&create).await?;
        match arguments.json {
            true => ui::secret(&described(&auth), true),
            false => ui::secret(&auth.client_token, true),
        }
        .map(|()| Exit::OK)
    })
}

fn notes(pairs: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let note = |pair: &String| match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::new(Kind::Invalid, format!("`--meta {pair}` is not KEY=VALUE"))),
    };
    pairs.iter().map(note).collect()
}

/// A new token with what there is to know of it: all of it is secret, since the token stands in it.
fn described(auth: &Auth) -> Secret {
    let value = json!({
        "token": auth.client_token.expose(),
        "accessor": auth.accessor,
        "ttl": auth.lease_duration.as_secs(),
        "renewable": auth.renewable,
        "policies": auth.policies,
    });
    Secret::new(pretty(&value))
}

fn from_stdin() -> Result<Secret, Failure> {
    let mut text = String::new();
    std::io::stdin()
        .take(LIMIT)
        .read_to_string(&mut text)
        .map_err(|_| Failure::new(Kind::Invalid, "cannot read a token from standard input"))?;
    let text = Secret::new(text);
    match text.expose().trim() {
        "" => Err(Failure::new(Kind::Invalid, "there is no token on standard input")),
        token => Ok(Secret::new(token)),
    }
}

fn show(record: &Record, is_json: bool) -> String {
    let ttl = record.left().map(|ttl| ttl.as_secs());
    if is_json {
        return pretty(&json!({
            "accessor": record.accessor,
            "ttl": ttl,
            "creation_ttl": record.creation_ttl.map(|ttl| ttl.as_secs()),
            "explicit_max_ttl": record.explicit_max_ttl.map(|ttl| ttl.as_secs()),
            "period": record.period.map(|ttl| ttl.as_secs()),
            "expire_time": record.expire_time,
            "renewable": record.renewable,
            "policies": record.policies,
            "display_name": record.display_name,
            "entity_id": record.entity_id,
            "uses_left": record.uses_left,
            "orphan": record.orphan,
            "path": record.path,
            "meta": record.meta,
        }));
    }
    let rows = [
        ("accessor", record.accessor.clone()),
        ("ttl", ttl.map_or_else(|| "does not end".into(), |ttl| format!("{ttl} s"))),
        ("ends", record.expire_time.clone().unwrap_or_else(|| "never".into())),
        ("renewable", record.renewable.to_string()),
        ("policies", record.policies.join(", ")),
        ("display name", record.display_name.clone()),
        ("path", record.path.clone()),
        ("orphan", record.orphan.to_string()),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
    ui::table(&["key", "value"], &rows)
}
