//! The texts of OpenBao and Vault, and what each means.

use leasehold_core::Kind;

use super::verdict::{Again, Verdict};
use super::words::Words;

/// The verdict of the first rule whose text occurs in what the server said.
pub(super) fn by_text(words: &Words) -> Option<Verdict> {
    let rule = RULES.iter().find(|rule| words.have(rule.text))?;
    Some(Verdict::new(rule.kind, rule.again, rule.says).advising(rule.hint))
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
const CHANGED: &str = "somebody else changed it meanwhile";

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
