//! What an answer of a provider tells of the key. What it does not tell is unknown; nothing is guessed.

use std::fmt;

use serde_json::Value;

use super::kind::ProviderKind;

/// Whether a provider accepts a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Accepted,
    /// It knows the key, which may not do everything: not even what was asked, or only what was asked.
    Restricted,
    /// It does not.
    Rejected,
    /// It knows the key, and wants money first.
    Exhausted,
    /// Nobody knows, for this reason: a few words without a secret.
    Unknown(String),
}

impl Verdict {
    /// The word for machines: `accepted`, `restricted`, `rejected`, `exhausted` or `unknown`.
    pub fn token(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Restricted => "restricted",
            Self::Rejected => "rejected",
            Self::Exhausted => "exhausted",
            Self::Unknown(_) => "unknown",
        }
    }

    /// The verdict of this word, a reason being only for `unknown`.
    pub(crate) fn of(token: &str, reason: &str) -> Option<Self> {
        match token {
            "accepted" => Some(Self::Accepted),
            "restricted" => Some(Self::Restricted),
            "rejected" => Some(Self::Rejected),
            "exhausted" => Some(Self::Exhausted),
            "unknown" => Some(Self::Unknown(reason.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restricted => f.write_str("accepted, but restricted"),
            Self::Unknown(reason) => write!(f, "unknown: {reason}"),
            _ => f.write_str(self.token()),
        }
    }
}

/// What a complaint means: its status, a word of it (none: any complaint), and the verdict (none: it tells nothing of
/// the key). The first that fits counts.
type Meaning = (u16, &'static str, Option<Verdict>);

const PERMISSION: &str = "insufficient permissions";

/// A restricted key may be told so with 401, in words that only the message has.
const OPENAI: &[Meaning] = &[
    (401, PERMISSION, Some(Verdict::Restricted)),
    (403, PERMISSION, Some(Verdict::Restricted)),
    (401, "ip_not_authorized", Some(Verdict::Restricted)),
    (401, "", Some(Verdict::Rejected)),
    (402, "", Some(Verdict::Exhausted)),
    (429, "insufficient_quota", Some(Verdict::Exhausted)),
    (429, "billing_hard_limit_reached", Some(Verdict::Exhausted)),
];

/// A 403 of another type comes from what stands before it, which refuses whole countries.
const ANTHROPIC: &[Meaning] = &[
    (401, "oauth authentication is currently not supported", None),
    (401, "", Some(Verdict::Rejected)),
    (403, "permission_error", Some(Verdict::Restricted)),
    (402, "", Some(Verdict::Exhausted)),
    (400, "credit balance is too low", Some(Verdict::Exhausted)),
];

const OPENROUTER: &[Meaning] = &[
    (401, "", Some(Verdict::Rejected)),
    (402, "", Some(Verdict::Exhausted)),
    (403, "key limit exceeded", Some(Verdict::Exhausted)),
];

/// A 403 with none of these words also comes where no key was seen at all.
const GEMINI: &[Meaning] = &[
    (400, "api_key_invalid", Some(Verdict::Rejected)),
    (401, "access_token_type_unsupported", None),
    (401, "", Some(Verdict::Rejected)),
    (403, "reported as leaked", Some(Verdict::Rejected)),
    (403, "consumer_suspended", Some(Verdict::Rejected)),
    (403, "api_key_", Some(Verdict::Restricted)),
    (403, "service_disabled", Some(Verdict::Restricted)),
    (402, "", Some(Verdict::Exhausted)),
];

/// Most of its 403 are about the address or the pace of who asks.
const GITHUB: &[Meaning] =
    &[(401, "", Some(Verdict::Rejected)), (403, "resource not accessible", Some(Verdict::Restricted))];

/// What GitHub allows an hour to somebody whom it does not know.
const ANONYMOUS: u64 = 60;

/// What an answer tells of the key.
pub(super) fn judge(kind: ProviderKind, status: u16, body: &[u8]) -> Verdict {
    let verdict = match status {
        300..400 | 500.. => None,
        _ => serde_json::from_slice::<Value>(body).ok().and_then(|body| match status {
            200 => accepted(kind, &body),
            _ => refused(kind, status, &body),
        }),
    };
    verdict.unwrap_or_else(|| Verdict::Unknown(silence(kind, status)))
}

/// Why an answer tells nothing.
fn silence(kind: ProviderKind, status: u16) -> String {
    match status {
        200 => format!("the answer is not that of {} to a key it knows", kind.name()),
        300..400 => format!("it redirects (status {status}), which is not followed"),
        429 => "it asks us to slow down (status 429)".into(),
        500.. => format!("it does not work at the moment (status {status})"),
        _ => format!("an answer that tells nothing of the key (status {status})"),
    }
}

/// What an answer with status 200 tells, if it is the provider's answer to that call.
fn accepted(kind: ProviderKind, body: &Value) -> Option<Verdict> {
    let is_so = match kind {
        ProviderKind::OpenAi => body["object"] == "list" && is_list(&body["data"], "id"),
        ProviderKind::Anthropic => body["has_more"].is_boolean() && is_list(&body["data"], "id"),
        ProviderKind::OpenRouter => return allowance(&body["data"]),
        ProviderKind::Gemini | ProviderKind::Ollama => is_list(&body["models"], "name"),
        ProviderKind::GitHub => body["resources"]["core"]["limit"].as_u64()? > ANONYMOUS,
    };
    is_so.then_some(Verdict::Accepted)
}

/// Whether this is a list of things that have this field.
fn is_list(value: &Value, field: &str) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(|item| item[field].is_string()))
}

/// What OpenRouter says of a key. One that only manages other keys gets no answers of models.
fn allowance(data: &Value) -> Option<Verdict> {
    let is_key = data["usage"].is_number() && data.get("limit").is_some();
    let is_for_keys = ["is_management_key", "is_provisioning_key"].iter().any(|name| data[*name] == true);
    let is_spent = data["limit_remaining"].as_f64().is_some_and(|left| left <= 0.0);
    is_key.then_some(match (is_for_keys, is_spent) {
        (true, _) => Verdict::Restricted,
        (false, true) => Verdict::Exhausted,
        (false, false) => Verdict::Accepted,
    })
}

/// What a complaint tells.
fn refused(kind: ProviderKind, status: u16, body: &Value) -> Option<Verdict> {
    let meanings = match kind {
        ProviderKind::OpenAi => OPENAI,
        ProviderKind::Anthropic => ANTHROPIC,
        ProviderKind::OpenRouter => OPENROUTER,
        ProviderKind::Gemini => GEMINI,
        ProviderKind::GitHub => GITHUB,
        ProviderKind::Ollama => &[],
    };
    let words = complaint(kind, body);
    let fits = |(of, word, _): &&Meaning| *of == status && words.iter().any(|found| found.contains(word));
    meanings.iter().find(fits)?.2.clone()
}

/// The texts of a complaint, in lower case; none where the body is no complaint of such a provider.
fn complaint(kind: ProviderKind, body: &Value) -> Vec<String> {
    let error = &body["error"];
    let reasons = error["details"].as_array().into_iter().flatten().map(|detail| &detail["reason"]);
    let own = [error, &error["message"], &error["type"], &error["code"], &error["status"]];
    let at_top = (kind == ProviderKind::GitHub).then_some(&body["message"]);
    let texts = own.into_iter().chain(reasons).chain(at_top).filter_map(Value::as_str);
    texts.map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProviderKind::{Anthropic, Gemini, GitHub, Ollama, OpenAi, OpenRouter};

    fn check(kind: ProviderKind, status: u16, body: &str, expect: &str) {
        assert_eq!(judge(kind, status, body.as_bytes()).token(), expect, "{} {status} {body}", kind.name());
    }

    #[test]
    fn an_answer_counts_only_if_it_is_that_of_the_call() {
        check(OpenAi, 200, r#"{"object":"list","data":[{"id":"gpt-5","object":"model"}]}"#, "accepted");
        check(OpenAi, 200, r#"{"object":"list","data":[]}"#, "accepted");
        check(OpenAi, 200, r#"{"data":[{"id":"gpt-5"}]}"#, "unknown");
        check(OpenAi, 200, r#"{"object":"list","data":["gpt-5"]}"#, "unknown");
        check(Anthropic, 200, r#"{"data":[{"type":"model","id":"claude"}],"has_more":false}"#, "accepted");
        check(Anthropic, 200, r#"{"object":"list","data":[{"id":"claude"}]}"#, "unknown");
        check(Gemini, 200, r#"{"models":[{"name":"models/gemini"}]}"#, "accepted");
        check(Ollama, 200, r#"{"models":[]}"#, "accepted");
        check(Ollama, 200, "Ollama is running", "unknown");
        check(GitHub, 200, r#"{"resources":{"core":{"limit":5000,"remaining":0}}}"#, "accepted");
        check(GitHub, 200, r#"{"resources":{"core":{"limit":60}}}"#, "unknown");
        for kind in ProviderKind::ALL {
            for body in
                ["", "{}", "[]", "null", "7", "<html>please log in</html>", r#"{"ok":true}"#, "\u{1f}x"]
            {
                check(kind, 200, body, "unknown");
            }
        }
    }

    #[test]
    fn what_openrouter_says_of_a_key() {
        let check = |more: &str, expect| {
            let body = format!(r#"{{"data":{{"label":"sk","usage":1.5,"limit":10{more}}}}}"#);
            check(OpenRouter, 200, &body, expect);
        };
        check("", "accepted");
        check(r#","limit_remaining":null"#, "accepted");
        check(r#","limit_remaining":0.01"#, "accepted");
        check(r#","limit_remaining":0"#, "exhausted");
        check(r#","limit_remaining":-0.5"#, "exhausted");
        check(r#","limit_remaining":0,"is_provisioning_key":true"#, "restricted");
    }

    #[test]
    fn a_complaint_tells_by_its_words() {
        let error = |text: &str| format!(r#"{{"error":{{"message":"no","code":"{text}"}}}}"#);
        let reason = |text: &str| format!(r#"{{"error":{{"code":7,"details":[{{"reason":"{text}"}}]}}}}"#);
        let scopes = r#"{"error":{"message":"You have insufficient permissions for this operation."}}"#;
        check(OpenAi, 401, &error("invalid_api_key"), "rejected");
        check(OpenAi, 401, scopes, "restricted");
        check(OpenAi, 403, scopes, "restricted");
        check(OpenAi, 403, r#"{"error":"You have insufficient permissions."}"#, "restricted");
        check(OpenAi, 403, &error("unsupported_country_region_territory"), "unknown");
        check(OpenAi, 429, &error("insufficient_quota"), "exhausted");
        check(OpenAi, 429, &error("rate_limit_exceeded"), "unknown");
        check(OpenAi, 402, &error("unpaid"), "exhausted");
        check(Anthropic, 401, r#"{"error":{"type":"authentication_error"}}"#, "rejected");
        check(Anthropic, 401, &error("OAuth authentication is currently not supported."), "unknown");
        check(Anthropic, 403, r#"{"error":{"type":"permission_error"}}"#, "restricted");
        check(Anthropic, 403, r#"{"error":{"type":"forbidden","message":"Request not allowed"}}"#, "unknown");
        check(Anthropic, 400, &error("Your credit balance is too low"), "exhausted");
        check(OpenRouter, 401, r#"{"error":{"message":"User not found.","code":401}}"#, "rejected");
        check(OpenRouter, 402, &error("Insufficient credits"), "exhausted");
        check(Gemini, 400, &reason("API_KEY_INVALID"), "rejected");
        check(Gemini, 400, &reason("FIELD_INVALID"), "unknown");
        check(Gemini, 403, &reason("API_KEY_SERVICE_BLOCKED"), "restricted");
        check(Gemini, 403, &error("Your API key was reported as leaked."), "rejected");
        check(Gemini, 403, &error("Method doesn't allow unregistered callers"), "unknown");
        check(GitHub, 401, r#"{"message":"Bad credentials","status":"401"}"#, "rejected");
        check(GitHub, 403, r#"{"message":"Resource not accessible by integration"}"#, "restricted");
        check(GitHub, 403, r#"{"message":"API rate limit exceeded"}"#, "unknown");
        check(Ollama, 401, &error("unauthorized"), "unknown");
    }

    #[test]
    fn what_somebody_else_answers_tells_nothing() {
        for kind in ProviderKind::ALL {
            for status in
                [101, 204, 301, 302, 307, 400, 401, 402, 403, 404, 407, 429, 451, 500, 502, 503, 529]
            {
                for body in ["<html>blocked</html>", "", "{}", r#"{"detail":"no"}"#] {
                    check(kind, status, body, "unknown");
                }
            }
            check(kind, 503, r#"{"error":{"message":"insufficient_quota"}}"#, "unknown");
        }
    }

    #[test]
    fn verdicts_have_words_for_people_and_for_machines() {
        for (token, told) in [
            ("accepted", "accepted"),
            ("restricted", "accepted, but restricted"),
            ("rejected", "rejected"),
            ("exhausted", "exhausted"),
            ("unknown", "unknown: why"),
        ] {
            let verdict = Verdict::of(token, "why").unwrap();
            assert_eq!((verdict.token(), verdict.to_string().as_str()), (token, told));
        }
        assert_eq!(Verdict::of("guessed", ""), None);
    }
}
