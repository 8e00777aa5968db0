//! What a reply that is no success means: one function from status and body to a [`Failure`].
//!
//! The server's texts decide before its status does, since it says dead tokens, policies and lockouts all with 403,
//! and a lost leader now with 400 and now with 500. See [`classify`].

mod words;

mod verdict;

mod rules;
mod forbidden;
mod status;

use leasehold_core::Failure;

use crate::call::Call;
use crate::reply::Reply;
use words::Words;

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
    match rules::by_text(&words) {
        Some(verdict) => verdict.into_failure(reply, call),
        None if reply.status == 403 && words.have("permission denied") => forbidden::failure(&words, call),
        None => status::verdict(reply.status, &words).quoting(&words, call).into_failure(reply, call),
    }
}

/// Whether a reply says that the token which a call came with is dead, and not something that the call was about, such as
/// a lease or another token.
///
/// ```
/// use leasehold_vault::{Reply, failure};
///
/// let is_of_bearer = |status, body: &[u8]| failure::is_of_bearer(&Reply::new(status, None, body.to_vec()));
/// assert!(is_of_bearer(403, br#"{"errors":["permission denied"]}"#));
/// assert!(!is_of_bearer(403, br#"{"errors":["bad token"]}"#));
/// assert!(!is_of_bearer(400, br#"{"errors":["lease not found"]}"#));
/// ```
pub fn is_of_bearer(reply: &Reply) -> bool {
    reply.status == 403 && {
        let words = Words::of(reply);
        rules::by_text(&words).is_none() && forbidden::is_dead(&words)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;
    use leasehold_core::{Kind, Retry, Secret};
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
    fn the_delay_the_server_asks_for_is_kept() {
        let wait = Some(Duration::from_secs(4));
        let reply = Reply::new(429, wait, errors("rate limit quota exceeded").into());
        assert_eq!(classify(&reply, &Call::get("x")).retry(), Retry::After(wait));
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
