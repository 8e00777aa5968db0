//! What a reply that is no success means: one function from status and body to a [`Failure`].
//!
//! The server's texts decide before its status does, since it says dead tokens, policies and lockouts all with 403,
//! and a lost leader now with 400 and now with 500. See [`classify`].

use leasehold_core::{Failure, Kind, Retry};
use serde::Deserialize;

use crate::call::{Call, Method};
use crate::parse;
use crate::reply::Reply;

/// At most this many characters of the server's own text are repeated.
const LONGEST_QUOTE: usize = 200;

/// Below this many bytes a body that is no JSON may be a plain sentence; above it is a page.
const LONGEST_SENTENCE: usize = 300;

/// What a reply that is no success means for whoever made the call.
///
/// The first rule whose text occurs in what the server said decides; without one the status does. The message
/// says what happened and at which path. The server's own words are quoted where no rule knows them, and never
/// if the call carried something secret in its body, since they could repeat it.
///
/// ```
/// use leasehold_core::Kind;
/// use leasehold_vault::{Operation, Reply, failure, token};
///
/// let call = token::Lookup(token::Subject::Own).call();
/// let sealed = Reply::new(503, None, br#"{"errors":["Vault is sealed"]}"#.to_vec());
/// let failure = failure::classify(&sealed, &call);
/// assert_eq!(failure.kind(), Kind::Sealed);
/// assert_eq!(failure.message(), "the server is sealed (reading auth/token/lookup-self)");
/// ```
pub fn classify(reply: &Reply, call: &Call) -> Failure {
    let words = Words::of(reply);
    match RULES.iter().find(|rule| words.have(rule.text)) {
        Some(rule) => {
            Verdict::new(rule.kind, rule.again, rule.says).advising(rule.hint).into_failure(reply, call)
        }
        None if reply.status == 403 && words.have("permission denied") => forbidden(&words, call),
        None => by_status(reply.status, &words).quoting(&words, call).into_failure(reply, call),
    }
}

/// Whether the server failed the call without a word: it has nothing there, and nothing against the path.
pub(crate) fn is_silent(reply: &Reply) -> bool {
    let words = Words::of(reply);
    words.is_json && words.texts.is_empty()
}

/// Whether the body is the server's own and not that of something in between.
pub(crate) fn is_from_server(reply: &Reply) -> bool {
    Words::of(reply).is_json
}

/// When a call may be made again.
#[derive(Clone, Copy)]
enum Again {
    /// As the kind of failure says.
    ByKind,
    /// The call may have been carried out.
    Ambiguous,
}

/// A text of the server and what it means.
struct Rule {
    text: &'static str,
    kind: Kind,
    again: Again,
    says: &'static str,
    hint: &'static str,
}

const fn rule(text: &'static str, kind: Kind, says: &'static str, hint: &'static str) -> Rule {
    Rule { text, kind, again: Again::ByKind, says, hint }
}

const fn lost(text: &'static str, says: &'static str) -> Rule {
    Rule { text, kind: Kind::Unreachable, again: Again::Ambiguous, says, hint: "" }
}

const LOOK_AT_PATH: &str = "check the mount and the path";
const ASK_ANEW: &str = "ask for a new one";

/// The texts of OpenBao and Vault, in lower case. A text that contains another stands before it.
const RULES: &[Rule] = &[
    // The server is not up to it at the moment, whatever status it says so with.
    rule("vault is sealed", Kind::Sealed, "the server is sealed", "unseal it first"),
    rule("not yet initialized", Kind::Sealed, "the server is not initialised", "initialise it first"),
    rule("local node not active", Kind::Unreachable, "the cluster has no leader at the moment", ""),
    rule("node is standby", Kind::Unreachable, "this node is a standby", ""),
    lost("leadership lost", "the cluster lost its leader on the way"),
    lost("failed to persist", "the server could not store it"),
    lost("failed to revoke entry", "what issued the credential could not revoke it"),
    lost("context deadline exceeded", "the server took too long"),
    lost("failed to get the response", "a proxy got no answer from the server"),
    rule("rate limit quota exceeded", Kind::Throttled, "a rate limit was reached", ""),
    rule("lease count quota exceeded", Kind::Throttled, "the server holds as many leases as it may", ""),
    rule("required index state not present", Kind::Throttled, "this node has not caught up yet", ""),
    rule(
        "locked by an administrator",
        Kind::Denied,
        "the namespace is locked",
        "ask its administrator to unlock it (sys/namespaces/api-lock/unlock)",
    ),
    rule(
        "preflight capability check",
        Kind::Denied,
        "the token's policies allow nothing below the mount, or there is none",
        "check the mount, or have a policy allow something below it",
    ),
    // Tokens and leases that are no more.
    rule("lease not found or lease is not renewable", Kind::Expired, "the lease has ended", ASK_ANEW),
    rule("lease is not renewable", Kind::Invalid, "it cannot be renewed", ASK_ANEW),
    rule("batch tokens cannot be renewed", Kind::Invalid, "a batch token cannot be renewed", ASK_ANEW),
    rule(
        "batch tokens cannot be revoked",
        Kind::Invalid,
        "a batch token cannot be revoked",
        "it ends with its parent or at its time",
    ),
    rule("invalid lease id", Kind::Invalid, "it has no lease that could be renewed", ""),
    rule("invalid lease", Kind::Expired, "the lease has ended", ASK_ANEW),
    rule("lease not found", Kind::Expired, "the lease has ended", ASK_ANEW),
    rule("lease expired", Kind::Expired, "the lease has ended", ASK_ANEW),
    rule("token not found", Kind::Expired, "that token is dead", ASK_ANEW),
    rule("bad token", Kind::Expired, "that token is dead", ASK_ANEW),
    rule("invalid accessor", Kind::Expired, "the token of that accessor is dead", ASK_ANEW),
    rule(
        "wrapping token is not valid",
        Kind::Expired,
        "the wrapping token has expired or was used before",
        "if nobody here used it, somebody else has: have what was inside revoked, and ask for a new one",
    ),
    // What will be the same the next time.
    rule(
        "does not exist during renewal",
        Kind::Invalid,
        "the role that the token came from is gone",
        "log in again, or have the role made again",
    ),
    rule("missing role_id", Kind::Invalid, "the login has no role id", "give one"),
    rule("missing secret_id", Kind::Invalid, "the login has no secret id", "give one"),
    rule("value being too large", Kind::Invalid, "the value is too large for the server's storage", ""),
    rule("check-and-set parameter did not match", Kind::Invalid, CHANGED, "read it again and decide anew"),
    rule(
        "check-and-set parameter required",
        Kind::Invalid,
        "a write here must name the version it replaces",
        "give the current version, or 0 if there is none",
    ),
    rule(
        "http request to an https server",
        Kind::Invalid,
        "the server speaks TLS",
        "use https:// in its address",
    ),
    rule(
        "operation unavailable in namespaces",
        Kind::Invalid,
        "this can be asked in the root namespace only",
        "leave the namespace out",
    ),
    rule(
        "invalid path for a versioned",
        Kind::NotFound,
        "the mount is KV version 2, which has no secret under this path",
        "use the path without API parts, such as secret/db, or with data/ after the mount",
    ),
    rule("namespace not found", Kind::NotFound, "the namespace does not exist", "check its name"),
    rule("unknown role", Kind::NotFound, "there is no such role", "check its name"),
    rule("already in use", Kind::Invalid, "something is mounted there already", "choose another path"),
    rule("no handler for route", Kind::NotFound, "there is no mount for this path", LOOK_AT_PATH),
    rule("unsupported path", Kind::NotFound, "what is mounted there knows no such path", LOOK_AT_PATH),
    rule("unsupported operation", Kind::Invalid, "this cannot be done at this path", LOOK_AT_PATH),
    rule("x-vault-request", Kind::Invalid, "a proxy wants the X-Vault-Request header", ""),
];

const CHANGED: &str = "somebody else changed it meanwhile";

/// The server says 403 of a token that is dead, and of one that lives and is not allowed this.
///
/// A dead one is `permission denied` on its own (OpenBao, Vault before 1.17) or beside `invalid token`; a policy is
/// the same text in a list of errors.
fn forbidden(words: &Words, call: &Call) -> Failure {
    let stands_alone = words.texts.iter().any(|text| text == "permission denied");
    if stands_alone || words.have("invalid token") {
        return Failure::new(Kind::Expired, format!("the token is not valid any more{}", place(call)))
            .hint("log in again");
    }
    Failure::new(Kind::Denied, format!("the token's policies do not allow it{}", place(call)))
        .hint(policy_line(call))
}

/// The line of a policy that would allow the call.
fn policy_line(call: &Call) -> String {
    let path = call.plain_path();
    let belongs_to_server = path.starts_with("auth/") || path.starts_with("sys/");
    let capability = match call.method {
        Method::Get => r#""read""#,
        Method::List => r#""list""#,
        Method::Post | Method::Put if belongs_to_server => r#""update""#,
        Method::Post | Method::Put => r#""create", "update""#,
        Method::Patch => r#""patch""#,
        Method::Delete => r#""delete""#,
    };
    let sudo = if NEED_SUDO.iter().any(|prefix| path.starts_with(prefix)) { r#", "sudo""# } else { "" };
    format!(r#"path "{path}" {{ capabilities = [{capability}{sudo}] }}"#)
}

/// Below these the server asks for the capability `sudo` too.
const NEED_SUDO: &[&str] = &[
    "auth/token/accessors",
    "auth/token/create-orphan",
    "auth/token/revoke-orphan",
    "sys/auth/",
    "sys/leases/lookup/",
    "sys/leases/revoke-force/",
    "sys/leases/revoke-prefix/",
    "sys/seal",
    "sys/step-down",
];

/// What the status alone says.
fn by_status(status: u16, words: &Words) -> Verdict {
    use Again::{Ambiguous, ByKind};
    let is_foreign = !words.is_json && !matches!(status, 400 | 413 | 414 | 431);
    let (kind, again, says) = match status {
        300..=399 => (Kind::Unreachable, ByKind, "the server points to another address"),
        408 | 425 => (Kind::Unreachable, ByKind, "the server took too long"),
        412 => (Kind::Throttled, ByKind, "this node has not caught up yet"),
        429 => (Kind::Throttled, ByKind, "the server asks to slow down"),
        400..=471 if is_foreign => (Kind::Unreachable, ByKind, "something in front of the server answered"),
        401 | 403 => (Kind::Denied, ByKind, "the server refuses it"),
        404 => (Kind::NotFound, ByKind, "there is nothing"),
        405 => (Kind::Invalid, ByKind, "this cannot be done at this path"),
        413 | 414 | 431 => (Kind::Invalid, ByKind, "the request is too large"),
        415 => (Kind::Invalid, ByKind, "the server does not take this kind of body"),
        472 => (Kind::Unreachable, ByKind, "this cluster is a disaster-recovery secondary"),
        473 => (Kind::Unreachable, ByKind, "this node is a performance standby"),
        400..=499 => (Kind::Invalid, ByKind, "the server refuses the request as wrong"),
        501 => (Kind::Sealed, ByKind, "the server is not initialised"),
        502..=504 => (Kind::Unreachable, Ambiguous, "a gateway got no answer from the server"),
        500..=599 => (Kind::Broken, Ambiguous, "the server failed"),
        _ => (Kind::Broken, Ambiguous, "the server answered with a status that means nothing"),
    };
    Verdict::new(kind, again, says)
}

/// A failure in the making.
struct Verdict {
    kind: Kind,
    again: Again,
    says: String,
    hint: &'static str,
}

impl Verdict {
    fn new(kind: Kind, again: Again, says: &str) -> Self {
        Self { kind, again, says: says.to_owned(), hint: "" }
    }

    fn advising(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    /// Adds the server's own words, unless they might repeat a secret.
    fn quoting(mut self, words: &Words, call: &Call) -> Self {
        let quote = words.quote();
        if !quote.is_empty() && !call.has_secret() {
            self.says = format!("{}, saying \"{quote}\"", self.says);
        }
        self
    }

    fn into_failure(self, reply: &Reply, call: &Call) -> Failure {
        let status =
            if self.kind == Kind::Broken { format!(", status {}", reply.status) } else { String::new() };
        let failure = Failure::new(self.kind, format!("{}{}{status}", self.says, place(call)));
        let failure = match (self.again, failure.retry()) {
            (Again::Ambiguous, _) => failure.with_retry(Retry::Ambiguous),
            (Again::ByKind, Retry::After(_)) => failure.with_retry(Retry::After(reply.retry_after)),
            (Again::ByKind, _) => failure,
        };
        if self.hint.is_empty() { failure } else { failure.hint(self.hint) }
    }
}

/// ` (reading secret/data/db)`.
fn place(call: &Call) -> String {
    let doing = match call.method {
        Method::Get => "reading",
        Method::List => "listing",
        Method::Post | Method::Put => "writing",
        Method::Patch => "patching",
        Method::Delete => "deleting",
    };
    format!(" ({doing} {})", call.plain_path())
}

/// What the server said, in its own words.
struct Words {
    texts: Vec<String>,
    is_json: bool,
}

impl Words {
    /// Errors and warnings of a JSON body; a body that is one short plain sentence; of a page nothing.
    fn of(reply: &Reply) -> Self {
        #[derive(Deserialize)]
        struct Errors {
            #[serde(default, deserialize_with = "parse::or_default")]
            errors: Vec<String>,
            #[serde(default, deserialize_with = "parse::or_default")]
            warnings: Vec<String>,
        }
        match parse::json::<Errors>(&reply.body) {
            Ok(Errors { mut errors, warnings }) => {
                errors.extend(warnings);
                Self { texts: errors, is_json: true }
            }
            Err(_) => Self { texts: sentence(&reply.body).into_iter().collect(), is_json: false },
        }
    }

    /// Whether they contain the text, which is in lower case.
    fn have(&self, text: &str) -> bool {
        self.texts.iter().any(|have| have.to_ascii_lowercase().contains(text))
    }

    /// The first of them on one line, short, without the server's own list marks.
    fn quote(&self) -> String {
        let Some(text) = self.texts.first() else { return String::new() };
        let text = text.split_once("occurred:").map_or(text.as_str(), |(_, list)| list);
        let words =
            text.split(|c: char| c.is_whitespace() || c.is_control() || c == '*').filter(|w| !w.is_empty());
        words.collect::<Vec<_>>().join(" ").chars().take(LONGEST_QUOTE).collect()
    }
}

fn sentence(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let is_sentence = !text.is_empty() && text.len() <= LONGEST_SENTENCE && !text.contains(['<', '{', '\n']);
    is_sentence.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;
    use leasehold_core::Secret;
    use std::time::Duration;

    const HTML: &str = "<html><body>vault is sealed</body></html>";
    const NOW: Retry = Retry::After(None);

    fn errors(text: &str) -> String {
        String::from_utf8_lossy(&Json::object([("errors", Json::List(vec![text.into()]))]).to_bytes())
            .into_owned()
    }

    fn listed(text: &str) -> String {
        errors(&format!("1 error occurred:\n\t* {text}\n\n"))
    }

    fn check(status: u16, body: &str, kind: Kind, retry: Retry) {
        let failure = classify(&Reply::new(status, None, body.into()), &Call::get("secret/data/db"));
        assert_eq!((failure.kind(), failure.retry()), (kind, retry), "{status} {body} {failure}");
        assert!(failure.message().contains("secret/data/db"), "{failure}");
        assert!(!failure.message().contains(['\n', '<']), "{failure}");
    }

    #[test]
    fn states_of_the_server() {
        check(503, &errors("Vault is sealed"), Kind::Sealed, NOW);
        check(501, r#"{"initialized":false}"#, Kind::Sealed, NOW);
        check(
            503,
            &errors(
                "API access to this namespace has been locked by an administrator - \"t/\" must be unlocked",
            ),
            Kind::Denied,
            Retry::Never,
        );
        check(404, &errors("namespace not found"), Kind::NotFound, Retry::Never);
        check(400, &errors("operation unavailable in namespaces"), Kind::Invalid, Retry::Never);
        check(500, &errors("internal error"), Kind::Broken, Retry::Ambiguous);
        check(307, "", Kind::Unreachable, NOW);
        check(472, "", Kind::Unreachable, NOW);
        check(473, "", Kind::Unreachable, NOW);
    }

    #[test]
    fn failover() {
        check(
            500,
            &errors("local node not active but active cluster node not found"),
            Kind::Unreachable,
            NOW,
        );
        check(500, &errors("leadership lost while committing log"), Kind::Unreachable, Retry::Ambiguous);
        let accessor = "failed to persist accessor index entry: leadership lost while committing log";
        check(400, &errors(accessor), Kind::Unreachable, Retry::Ambiguous);
        check(500, &errors("failed to persist lease entry: x"), Kind::Unreachable, Retry::Ambiguous);
        check(
            400,
            &errors("failed to revoke entry: resp: could not delete user"),
            Kind::Unreachable,
            Retry::Ambiguous,
        );
        let proxied = "failed to get the response: context deadline exceeded";
        check(500, &errors(proxied), Kind::Unreachable, Retry::Ambiguous);
    }

    #[test]
    fn tokens() {
        check(403, &errors("permission denied"), Kind::Expired, Retry::Never);
        check(403, &listed("permission denied"), Kind::Denied, Retry::Never);
        check(
            403,
            &errors("2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"),
            Kind::Expired,
            Retry::Never,
        );
        check(403, r#"{"errors":["permission denied","invalid token"]}"#, Kind::Expired, Retry::Never);
        check(403, &errors("bad token"), Kind::Expired, Retry::Never);
        check(
            403,
            &errors("preflight capability check returned 403, please ensure"),
            Kind::Denied,
            Retry::Never,
        );
        check(403, &errors("something else"), Kind::Denied, Retry::Never);
        check(403, HTML, Kind::Unreachable, NOW);
        check(400, &errors("lease is not renewable"), Kind::Invalid, Retry::Never);
        check(400, &errors("invalid lease ID"), Kind::Invalid, Retry::Never);
        check(400, &errors("batch tokens cannot be renewed"), Kind::Invalid, Retry::Never);
        check(400, &errors("batch tokens cannot be revoked"), Kind::Invalid, Retry::Never);
        check(400, &listed("invalid accessor"), Kind::Expired, Retry::Never);
        check(400, &errors("token not found"), Kind::Expired, Retry::Never);
        check(
            500,
            &errors("failed to renew entry: role \"r4\" does not exist during renewal"),
            Kind::Invalid,
            Retry::Never,
        );
        check(500, &errors("missing role_id"), Kind::Invalid, Retry::Never);
        check(400, &errors("missing secret_id"), Kind::Invalid, Retry::Never);
    }

    #[test]
    fn leases_and_wrapping() {
        check(400, &errors("lease not found"), Kind::Expired, Retry::Never);
        check(400, &errors("invalid lease"), Kind::Expired, Retry::Never);
        check(400, &errors("lease expired"), Kind::Expired, Retry::Never);
        check(400, &errors("lease not found or lease is not renewable"), Kind::Expired, Retry::Never);
        check(400, &errors("wrapping token is not valid or does not exist"), Kind::Expired, Retry::Never);
    }

    #[test]
    fn secrets_and_paths() {
        check(404, r#"{"errors":[]}"#, Kind::NotFound, Retry::Never);
        check(
            404,
            &errors("no handler for route \"x\". route entry not found."),
            Kind::NotFound,
            Retry::Never,
        );
        check(404, &listed("unsupported path"), Kind::NotFound, Retry::Never);
        check(
            404,
            r#"{"data":null,"warnings":["Invalid path for a versioned K/V"]}"#,
            Kind::NotFound,
            Retry::Never,
        );
        check(404, HTML, Kind::Unreachable, NOW);
        let changed = "check-and-set parameter did not match the current version";
        check(400, &errors(changed), Kind::Invalid, Retry::Never);
        check(400, &errors("check-and-set parameter required for this call"), Kind::Invalid, Retry::Never);
        check(405, r#"{"errors":[]}"#, Kind::Invalid, Retry::Never);
        check(405, &listed("unsupported operation"), Kind::Invalid, Retry::Never);
        check(415, r#"{"errors":[]}"#, Kind::Invalid, Retry::Never);
        check(500, &errors("put failed due to value being too large"), Kind::Invalid, Retry::Never);
    }

    #[test]
    fn limits_and_things_in_between() {
        check(429, &errors("request path \"kv/data/b\": rate limit quota exceeded"), Kind::Throttled, NOW);
        check(429, r#"{"errors":[]}"#, Kind::Throttled, NOW);
        check(412, &errors("required index state not present"), Kind::Throttled, NOW);
        check(412, r#"{"errors":[]}"#, Kind::Throttled, NOW);
        check(412, "missing 'X-Vault-Request' header", Kind::Invalid, Retry::Never);
        check(413, "http: request body too large", Kind::Invalid, Retry::Never);
        check(431, "431 Request Header Fields Too Large", Kind::Invalid, Retry::Never);
        check(400, "Client sent an HTTP request to an HTTPS server.", Kind::Invalid, Retry::Never);
        check(400, &errors("refused JSON input due to high complexity"), Kind::Invalid, Retry::Never);
        for status in [502, 503, 504] {
            check(status, HTML, Kind::Unreachable, Retry::Ambiguous);
        }
        check(500, HTML, Kind::Broken, Retry::Ambiguous);
        check(999, "", Kind::Broken, Retry::Ambiguous);
    }

    #[test]
    fn requests_that_are_wrong() {
        check(400, &errors("failed to decode \"X-Vault-Index\""), Kind::Invalid, Retry::Never);
        check(400, &errors("invalid role or secret ID"), Kind::Invalid, Retry::Never);
        check(400, &errors("error parsing JSON"), Kind::Invalid, Retry::Never);
        check(400, &errors("batch tokens cannot have a limited use count"), Kind::Invalid, Retry::Never);
        check(400, &errors("cannot create a token with a duplicate ID"), Kind::Invalid, Retry::Never);
        check(400, &errors("cannot enable audit device via API"), Kind::Invalid, Retry::Never);
        let namespace = "operation unavailable in namespaces";
        check(400, &listed(namespace), Kind::Invalid, Retry::Never);
        let deleted = r#"{"data":{"data":null,"metadata":{"deletion_time":"2026-01-01T00:00:00Z"}}}"#;
        check(404, deleted, Kind::NotFound, Retry::Never);
        check(500, &errors("failed to connect to the database"), Kind::Broken, Retry::Ambiguous);
    }

    #[test]
    fn a_reply_without_words_is_told_by_its_status() {
        let check = |status, kind, says: &str| {
            let failure = classify(&Reply::new(status, None, br#"{"errors":[]}"#.to_vec()), &Call::get("a"));
            assert_eq!(failure.kind(), kind, "{status} {failure}");
            assert!(failure.message().starts_with(says), "{status} {failure}");
        };
        check(307, Kind::Unreachable, "the server points to another address");
        check(400, Kind::Invalid, "the server refuses the request as wrong");
        check(403, Kind::Denied, "the server refuses it");
        check(405, Kind::Invalid, "this cannot be done at this path");
        check(408, Kind::Unreachable, "the server took too long");
        check(413, Kind::Invalid, "the request is too large");
        check(415, Kind::Invalid, "the server does not take this kind of body");
        check(425, Kind::Unreachable, "the server took too long");
        check(429, Kind::Throttled, "the server asks to slow down");
        check(500, Kind::Broken, "the server failed");
        check(502, Kind::Unreachable, "a gateway got no answer from the server");
        check(999, Kind::Broken, "the server answered with a status that means nothing");
    }

    #[test]
    fn the_delay_the_server_asks_for_is_kept() {
        let wait = Some(Duration::from_secs(4));
        let reply = Reply::new(429, wait, errors("rate limit quota exceeded").into());
        assert_eq!(classify(&reply, &Call::get("x")).retry(), Retry::After(wait));
    }

    #[test]
    fn a_denied_call_is_told_the_policy_line() {
        let denied = Reply::new(403, None, listed("permission denied").into());
        for (call, line) in [
            (Call::get("secret/data/db"), r#"path "secret/data/db" { capabilities = ["read"] }"#),
            (
                Call::new(Method::Post, "secret/data/a b"),
                r#"path "secret/data/a b" { capabilities = ["create", "update"] }"#,
            ),
            (
                Call::new(Method::Post, "auth/token/create-orphan"),
                r#"path "auth/token/create-orphan" { capabilities = ["update", "sudo"] }"#,
            ),
        ] {
            assert_eq!(classify(&denied, &call).advice(), Some(line));
        }
    }

    #[test]
    fn quotes_are_short_clean_and_never_of_a_call_with_a_secret() {
        let text = format!("1 error occurred:\n\t* odd \u{7}canary {}\n\n", "x".repeat(400));
        let reply = Reply::new(400, None, errors(&text).into());
        let message = classify(&reply, &Call::get("a")).message().to_owned();
        assert!(message.contains("odd canary xx") && message.len() < 280, "{message}");

        let secret = Secret::new("canary");
        let message = classify(&reply, &Call::post("a", &Json::from(&secret))).message().to_owned();
        assert!(!message.contains("canary"), "{message}");
    }

    #[test]
    fn a_hint_goes_with_a_text_and_a_status_with_what_is_broken() {
        let check = |status, text: &str, hint: Option<&str>, tells_status: bool| {
            let failure = classify(&Reply::new(status, None, errors(text).into()), &Call::get("a"));
            assert_eq!(failure.advice(), hint, "{failure}");
            assert_eq!(failure.message().ends_with(&format!(", status {status}")), tells_status, "{failure}");
        };
        check(503, "Vault is sealed", Some("unseal it first"), false);
        check(500, "node is standby", None, false);
        check(500, "odd", None, true);
    }

    #[test]
    fn only_the_server_is_silent_and_only_without_a_word() {
        let check = |body: &str, silent: bool, from_server: bool| {
            let reply = Reply::new(404, None, body.into());
            assert_eq!((is_silent(&reply), is_from_server(&reply)), (silent, from_server), "{body}");
        };
        check(r#"{"errors":[]}"#, true, true);
        check(r#"{"errors":["no handler for route"]}"#, false, true);
        check(HTML, false, false);
    }
}
