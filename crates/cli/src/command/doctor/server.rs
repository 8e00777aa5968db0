//! The server: does it answer, is its clock ours, does the login work, and what may its token do?

use std::time::Duration;

use leasehold::client::VaultClient;
use leasehold::clock;
use leasehold::core::{Failure, Kind};
use leasehold::identity::Identity;
use leasehold::session::Session;
use leasehold::vault::policy::Capabilities;
use leasehold::vault::reply::TokenKind;
use leasehold::vault::system::Condition;
use leasehold::vault::token::{Lookup, Record, Subject};

use super::finding::{Finding, OFFLINE, Status};
use super::visit::Visit;
use crate::arguments::login::AuthMethod;
use crate::command::workstation::span;
use crate::command::{brief_session, client, parent_ttl};

/// The checks here, each of which needs what those before it do.
const IDS: [&str; 5] = ["server", "clock", "login", "token", "child-tokens"];
/// Those that need a login.
const OF_LOGIN: [&str; 3] = ["login", "token", "child-tokens"];
/// A clock that is off by more makes tokens and certificates end too early.
const SKEW: u64 = 30;
/// What a run asks for its parent token.
const CREATE: &str = "auth/token/create";

/// Asks the server how it is, and gives the session in which more can be asked, if it can. Nothing was sent in it yet.
pub(super) async fn meet(visit: &Visit<'_>) -> (Vec<Finding>, Option<Session>) {
    if !visit.wants_one_of(&IDS) && !visit.reads_server() {
        return (Vec::new(), None);
    }
    if visit.is_offline {
        return (Finding::all_skipped(&IDS, OFFLINE), None);
    }
    if visit.settings.server.addresses.is_empty() && !visit.needs_server() {
        return (Finding::all_skipped(&IDS, "no server is configured"), None);
    }
    let asked = match client(visit.settings) {
        Ok(client) => client.health_check().await.map(|condition| (client, condition)),
        Err(failure) => Err(failure),
    };
    let (mut findings, is_up) = match asked {
        Ok((client, condition)) => {
            let offset = offset(condition.server_time_utc, clock::wall_seconds());
            (vec![server(&client, &condition), clock_finding(offset)], condition.is_up())
        }
        Err(failure) => {
            let clock = Finding::skipped("clock", "the server does not answer");
            (vec![Finding::of("server", Status::Failure, &failure), clock], false)
        }
    };
    if !is_up {
        findings.extend(Finding::all_skipped(&OF_LOGIN, "the server is not up"));
        return (findings, None);
    }
    let (more, session) = introduce(visit);
    findings.extend(more);
    (findings, session)
}

/// The session to log in with; else why there is none.
fn introduce(visit: &Visit<'_>) -> (Vec<Finding>, Option<Session>) {
    if !visit.wants_one_of(&OF_LOGIN) && !visit.reads_server() {
        return (Vec::new(), None);
    }
    let without = |login: Finding| {
        let mut findings = Finding::all_skipped(&OF_LOGIN[1..], "nobody is logged in");
        findings.push(login);
        (findings, None)
    };
    match visit.settings.identity() {
        Ok(Identity::Login(method)) if !method.is_repeatable() => without(Finding::skipped(
            "login",
            "what this login unwraps works once, and is left for the command that needs it",
        )),
        Err(failure) if failure.kind() == Kind::NeedsLogin && !visit.needs_server() => {
            without(Finding::of("login", Status::Warning, &failure))
        }
        Err(failure) => without(Finding::of("login", Status::Failure, &failure)),
        Ok(_) => match brief_session(visit.settings) {
            Ok(session) => (Vec::new(), Some(session)),
            Err(failure) => without(Finding::of("login", Status::Failure, &failure)),
        },
    }
}

/// Logs in, and looks at the token. The session is closed by whoever made it.
pub(super) async fn examine(visit: &Visit<'_>, session: &Session) -> Vec<Finding> {
    let client = match session.client().await {
        Ok(client) => client,
        Err(failure) => {
            let mut findings = Finding::all_skipped(&OF_LOGIN[1..], "nobody is logged in");
            findings.push(Finding::of("login", Status::Failure, &failure));
            return findings;
        }
    };
    let method = visit.settings.login.method();
    let told = match method {
        AuthMethod::Token => "the server takes the token".to_owned(),
        _ => format!("logged in by {}", method.name()),
    };
    let mut findings = vec![Finding::ok("login", told)];
    let parent_ttl = parent_ttl(visit.settings);
    match client.send(&Lookup(Subject::Own)).await {
        Ok(record) => {
            findings.push(token(&record, method == AuthMethod::Token, parent_ttl));
            findings.push(child_tokens(&client, &record).await);
        }
        Err(failure) => {
            // Without the policy `default`, a token may be used and not looked at.
            let status = if failure.kind() == Kind::Denied { Status::Warning } else { Status::Failure };
            findings.push(Finding::of("token", status, &failure));
            findings.push(Finding::skipped("child-tokens", "the token could not be looked up"));
        }
    }
    findings
}

fn server(client: &VaultClient, condition: &Condition) -> Finding {
    let address = client.address();
    let wrong = |what: &str, hint: &str| {
        Finding::new("server", Status::Failure, format!("{address} {what}")).hint(hint)
    };
    if !condition.initialized {
        return wrong(
            "was never initialised",
            "initialise it: `vault operator init`, or `bao operator init`",
        );
    }
    if condition.sealed {
        return wrong("is sealed", "unseal it: `vault operator unseal`, or `bao operator unseal`");
    }
    if !condition.is_up() {
        return wrong("is a copy that waits for a disaster", "use the address of the primary cluster");
    }
    let part = if condition.standby { "a standby that passes calls on" } else { "active" };
    Finding::ok("server", format!("{address} is unsealed and {part}, version {}", condition.version))
}

/// How many seconds the server's clock is ahead of ours; none if it does not tell.
fn offset(server: i64, ours: u64) -> Option<i64> {
    (server > 0).then(|| server.saturating_sub_unsigned(ours))
}

fn clock_finding(offset: Option<i64>) -> Finding {
    match offset {
        None => Finding::skipped("clock", "the server does not tell the time"),
        Some(offset) if offset.unsigned_abs() <= SKEW => {
            Finding::ok("clock", "the server's clock and ours agree")
        }
        Some(offset) => {
            let way = if offset > 0 { "behind" } else { "ahead of" };
            let told = format!("this clock is {} s {way} the server's", offset.unsigned_abs());
            Finding::warning("clock", told).hint("set both by NTP: certificates and web tokens go by them")
        }
    }
}

/// How long the token lives, and whether it lives too long after a crash.
fn token(record: &Record, is_brought: bool, parent_ttl: Duration) -> Finding {
    let policies: Vec<_> =
        record.policies.iter().chain(&record.identity_policies).map(String::as_str).collect();
    let policies = policies.join(", ");
    let renewable = if record.renewable { "renewable" } else { "not renewable" };
    let Some(ttl) = record.left() else {
        return Finding::ok("token", format!("it does not end; policies {policies}"));
    };
    let told = format!("{} left, {renewable}; policies {policies}", span(ttl));
    let advice =
        "a short token_ttl of the login's role costs nothing here, and ends sooner what a crash leaves";
    match () {
        () if is_brought && !record.renewable => Finding::warning("token", told)
            .hint("it ends without a successor: bring one that can be renewed, or configure a login"),
        () if is_brought => Finding::ok("token", told),
        () if ttl > parent_ttl => {
            Finding::warning("token", format!("{told}; it lives on as long after a crash")).hint(advice)
        }
        () if record.creation_ttl.is_some_and(|ttl| ttl > parent_ttl) => {
            Finding::ok("token", format!("{told}; shortened after the login")).hint(advice)
        }
        () => Finding::ok("token", told),
    }
}

/// Whether a token of its own can be made for each run, below which its leases hang.
async fn child_tokens(client: &VaultClient, record: &Record) -> Finding {
    const ID: &str = "child-tokens";
    let cannot = |why: &str, hint: String| {
        let told = format!("{why}: after a crash, leases live as long as the login's token");
        Finding::warning(ID, told).hint(hint)
    };
    if record.kind == TokenKind::Batch || record.uses_left.is_some() {
        let hint = "give the login's role service tokens without a limit of uses";
        return cannot("no token can hang below the login's", hint.into());
    }
    match client.send(&Capabilities { paths: vec![CREATE.to_owned()] }).await {
        Ok(granted) if may_update(granted.get(CREATE)) => {
            Finding::ok(ID, "each run gets a token of its own, below which its leases hang")
        }
        Ok(_) => {
            let rule = format!("path \"{CREATE}\" {{ capabilities = [\"update\"] }}");
            cannot("the login may not make tokens below its own", format!("allow it with `{rule}`"))
        }
        Err(failure) => Finding::skipped(ID, format!("cannot be found out: {}", failure.message())),
    }
}

fn may_update(granted: Option<&Vec<String>>) -> bool {
    granted.is_some_and(|granted| granted.iter().any(|word| word == "update" || word == "root"))
}

/// Why what is on the server cannot be looked at now, by what was found on the way there.
pub(super) fn absence(findings: &[Finding]) -> Failure {
    let of = |id: &str| findings.iter().find(|finding| finding.id == id);
    let why = of("server").filter(|finding| finding.status == Status::Failure).or(of("login"));
    let told = why.map_or("nobody is logged in", |finding| &finding.message);
    let failure =
        Failure::new(Kind::Unreachable, format!("it is on the server, which could not be asked: {told}"));
    match why.and_then(|finding| finding.hint.clone()) {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_compared() {
        let check = |server: i64, ours: u64, status: Status, told: &str| {
            let finding = clock_finding(offset(server, ours));
            assert_eq!(finding.status, status, "{finding:?}");
            assert!(finding.message.contains(told), "{finding:?}");
        };
        check(0, 100, Status::Skipped, "does not tell");
        check(100, 100, Status::Ok, "agree");
        check(130, 100, Status::Ok, "agree");
        check(131, 100, Status::Warning, "31 s behind");
        check(100, 200, Status::Warning, "100 s ahead of");
        check(i64::MAX, u64::MAX, Status::Warning, "ahead of");
    }

    #[test]
    fn a_token_is_judged_by_what_it_leaves_after_a_crash() {
        let check = |record: &str, is_brought: bool, status: Status, told: &str, has_hint: bool| {
            let record: Record = serde_json::from_str(record).unwrap();
            let finding = token(&record, is_brought, Duration::from_secs(60));
            let got = (finding.status, finding.hint.is_some());
            assert_eq!(got, (status, has_hint), "{finding:?}");
            assert!(finding.message.contains(told), "{finding:?}");
        };
        let short = r#"{"ttl":60,"creation_ttl":60,"renewable":true,"policies":["app"]}"#;
        check(short, false, Status::Ok, "1m left, renewable; policies app", false);
        let shortened = r#"{"ttl":60,"creation_ttl":2764800,"renewable":true}"#;
        check(shortened, false, Status::Ok, "shortened", true);
        check(shortened, true, Status::Ok, "renewable", false);
        let long = r#"{"ttl":7200,"creation_ttl":7200,"renewable":false}"#;
        check(long, false, Status::Warning, "2h left, not renewable", true);
        check(long, true, Status::Warning, "not renewable", true);
        check(r#"{"ttl":0,"policies":["root"]}"#, true, Status::Ok, "does not end; policies root", false);
    }
}
