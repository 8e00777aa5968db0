//! What 403 with `permission denied` means.

use leasehold_core::{Failure, Kind};

use super::verdict::place;
use super::words::Words;
use crate::call::{Call, Method};

/// Whether 403 is said of a token that is dead, and not of one that lives and is not allowed this.
///
/// A dead one is `permission denied` on its own (OpenBao, Vault before 1.17) or beside `invalid token`; a policy is
/// the same text in a list of errors.
pub(super) fn is_dead(words: &Words) -> bool {
    let stands_alone = words.texts.iter().any(|text| text == "permission denied");
    stands_alone || words.have("permission denied") && words.have("invalid token")
}

/// What 403 with `permission denied` means for whoever made the call.
pub(super) fn failure(words: &Words, call: &Call) -> Failure {
    if is_dead(words) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Reply;

    #[test]
    fn a_denied_call_is_told_the_policy_line() {
        let denied =
            Reply::new(403, None, br#"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#.to_vec());
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
            assert_eq!(failure(&Words::of(&denied), &call).advice(), Some(line));
        }
    }
}
