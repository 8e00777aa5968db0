//! By what a key is known that stands where none belongs.

/// How keys of well-known services begin, how many characters follow at the least, and whose they are, as these services
/// document their keys (GitHub, GitLab, Stripe, Slack and HashiCorp list them; others show one). Sorted.
///
/// Of beginnings that a name could have too, as `npm_`, nearly all of a key has to follow. A batch token is encrypted, and
/// the number of the key that it is encrypted with comes first: four bytes, of which three are zero. What has no beginning of
/// its own, as a secret key of AWS, is [random](is_random) at the most.
pub(super) const BEGINNINGS: [(&str, usize, &str); 62] = [
    ("AIza", 20, "Google, Gemini"),
    ("AKIA", 16, "AWS"),
    ("ASIA", 16, "AWS, for a while"),
    ("ATATT3", 20, "Atlassian"),
    ("GOCSPX-", 20, "Google, of a client"),
    ("SG.", 20, "SendGrid"),
    ("b.AAAA", 20, "Vault before 1.10 and OpenBao, batch token"),
    ("csk-", 20, "Cerebras"),
    ("dckr_oat_", 20, "Docker, of an organization"),
    ("dckr_pat_", 20, "Docker"),
    ("doo_v1_", 20, "DigitalOcean, OAuth"),
    ("dop_v1_", 20, "DigitalOcean"),
    ("dp.pt.", 20, "Doppler"),
    ("dp.st.", 20, "Doppler, of a service"),
    ("eyJ", 20, "a JSON Web Token, whose first letters are `{\"`"),
    ("gho_", 20, "GitHub, OAuth"),
    ("ghp_", 20, "GitHub"),
    ("ghr_", 20, "GitHub, to refresh"),
    ("ghs_", 20, "GitHub, of an app"),
    ("ghu_", 20, "GitHub, of an app for a user"),
    ("github_pat_", 20, "GitHub, fine-grained"),
    ("glcbt-", 20, "GitLab, of a job"),
    ("gldt-", 20, "GitLab, to deploy"),
    ("gloas-", 20, "GitLab, of an application"),
    ("glpat-", 20, "GitLab"),
    ("glptt-", 20, "GitLab, of a trigger"),
    ("glrt-", 20, "GitLab, of a runner"),
    ("glsa_", 20, "Grafana"),
    ("gsk_", 20, "Groq"),
    ("hf_", 30, "Hugging Face"),
    ("hvb.", 20, "Vault, batch token"),
    ("hvr.", 20, "Vault, recovery token"),
    ("hvs.", 20, "Vault"),
    ("jina_", 30, "Jina"),
    ("lin_api_", 20, "Linear"),
    ("lsv2_", 30, "LangSmith"),
    ("npm_", 36, "npm"),
    ("ntn_", 30, "Notion"),
    ("nvapi-", 20, "NVIDIA"),
    ("ops_", 40, "1Password"),
    ("pcsk_", 30, "Pinecone"),
    ("pplx-", 30, "Perplexity"),
    ("pypi-", 40, "PyPI"),
    ("r.", 24, "Vault before 1.10 and OpenBao, recovery token"),
    ("r8_", 30, "Replicate"),
    ("rk_live_", 16, "Stripe, restricted"),
    ("rk_test_", 16, "Stripe, restricted"),
    ("s.", 24, "Vault before 1.10 and OpenBao"),
    ("sbp_", 30, "Supabase"),
    ("shpat_", 20, "Shopify"),
    ("sk-", 20, "OpenAI, Anthropic, OpenRouter, DeepSeek and many others"),
    ("sk_", 40, "ElevenLabs"),
    ("sk_live_", 16, "Stripe"),
    ("sk_test_", 16, "Stripe"),
    ("tgp_v1_", 20, "Together"),
    ("tvly-", 20, "Tavily"),
    ("xai-", 30, "xAI"),
    ("xapp-", 20, "Slack, of an app"),
    ("xoxb-", 20, "Slack, of a bot"),
    ("xoxe-", 20, "Slack, to refresh"),
    ("xoxp-", 20, "Slack, of a user"),
    ("ya29.", 20, "Google, OAuth"),
];

/// What of a key follows its beginning, as in a class of a regular expression.
const FOLLOWING: &str = "0-9A-Za-z_-";
/// What follows a beginning that a host could have too, as `s.example.com`.
const LETTERS: &str = "0-9A-Za-z";
/// What does not stand before a key: behind it what looks like one is a part of a word, as in `risk-`.
pub(super) const JOINED: &str = "0-9A-Za-z_.-";
/// A key has at least one of these behind its beginning. A name of small letters and dashes is none.
const TELLING: &str = "0-9A-Z";

/// The shortest text that is taken for random.
const LONG: usize = 32;

/// Whether a text looks like a key, or has one in it: by a well-known beginning, or as a whole since it is
/// long, and letters and digits are in it as nobody writes them.
///
/// ```
/// use leasehold::manifest::looks_like_a_key;
///
/// assert!(looks_like_a_key("Bearer sk-proj-3mQk81vTzR0pXw52LdYc"));
/// assert!(looks_like_a_key("9f86d081884c7d659a2feaa0c55ad015"));
/// assert!(!looks_like_a_key("api.openai.com/pro_key"));
/// assert!(!looks_like_a_key("1b4e28ba-2fa1-11d2-883f-0016d3cca427"));
/// ```
pub fn looks_like_a_key(text: &str) -> bool {
    has_known_beginning(text) || is_random(text)
}

/// What may follow a beginning, as in a class of a regular expression.
fn following(beginning: &str) -> &'static str {
    if matches!(beginning, "r." | "s.") { LETTERS } else { FOLLOWING }
}

/// Regular expressions that all match a text in which [a key begins](has_known_beginning): the one says how long it is, the
/// other that it has what tells it from a name. The rare text with two names of which each has one is a key to them.
pub(super) fn patterns() -> [String; 2] {
    let begin = format!("(^|[^{JOINED}])");
    let dotted = |beginning: &str| beginning.replace('.', r"\.");
    let long = BEGINNINGS
        .map(|(beginning, least, _)| format!("{}[{}]{{{least},}}", dotted(beginning), following(beginning)));
    let telling = BEGINNINGS.map(|(beginning, ..)| dotted(beginning)).join("|");
    [format!("{begin}({})", long.join("|")), format!("{begin}({telling})[{FOLLOWING}]*[{TELLING}]")]
}

/// Whether a key with a well-known beginning is in a text.
pub(super) fn has_known_beginning(text: &str) -> bool {
    let is_joined = |at: usize| text[..at].ends_with(|c: char| is_following(c) || c == '.');
    let begins = |at: usize| {
        BEGINNINGS.iter().any(|(beginning, least, _)| {
            text[at..].strip_prefix(beginning).is_some_and(|rest| is_rest_of_key(beginning, *least, rest))
        })
    };
    text.char_indices().any(|(at, _)| !is_joined(at) && begins(at))
}

/// Whether enough follows a beginning, and what tells a key from a name.
fn is_rest_of_key(beginning: &str, least: usize, text: &str) -> bool {
    let is_plain = following(beginning) == LETTERS;
    let end = text.find(|c| !is_following(c) || (is_plain && matches!(c, '_' | '-'))).unwrap_or(text.len());
    end >= least && text[..end].bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

fn is_following(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-')
}

/// Whether a part of a name looks random: what stands between dots, colons and the like.
pub(super) fn has_random_part(name: &str) -> bool {
    name.split(|c| !is_base64(c)).any(is_random)
}

fn is_base64(letter: char) -> bool {
    is_following(letter) || matches!(letter, '+' | '/' | '=')
}

/// Whether a text is as long and as mixed as what a machine draws: hexadecimal digits, or base64 of any kind. Words with
/// dashes and slashes between them are not; a UUID is not, as people do give such names.
fn is_random(text: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.bytes().any(|byte| is(&byte));
    let is_mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit);
    let mut pieces = text.split(|c: char| !c.is_ascii_alphanumeric());
    let is_drawn = |piece: &str| is_hexadecimal(piece) || is_tangled(piece);
    let is_long = || is_tangled(text) || is_as_of_aws(text);
    text.chars().all(is_base64) && ((is_mixed && is_long()) || pieces.any(is_drawn))
}

/// As long as a secret key of AWS, and of the same letters.
fn is_as_of_aws(text: &str) -> bool {
    text.len() == 40 && !text.contains(['-', '_', '='])
}

fn is_hexadecimal(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    text.len() >= LONG
        && (4..text.len()).contains(&digits)
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a long text turns often: between letters and digits, and from a small letter to a capital one. What is drawn
/// does so at about four of ten letters; words, also those that are `WrittenLikeThis`, at one of five or fewer.
fn is_tangled(text: &str) -> bool {
    let turns = text.as_bytes().windows(2).filter(|pair| match (pair[0], pair[1]) {
        (a, b) if a.is_ascii_digit() => b.is_ascii_alphabetic(),
        (a, b) if a.is_ascii_lowercase() => b.is_ascii_digit() || b.is_ascii_uppercase(),
        (a, b) => a.is_ascii_uppercase() && b.is_ascii_digit(),
    });
    text.len() >= LONG && 4 * turns.count() >= text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_sorted_and_each_is_known_by_itself() {
        assert!(BEGINNINGS.is_sorted_by(|a, b| a.0 < b.0));
        for (beginning, least, _) in BEGINNINGS {
            let rest = match following(beginning) {
                FOLLOWING => "0a-1B_2c3D4e5F6g7H8i9J",
                _ => "0a1B2c3D4e5F6g7H8i9J",
            };
            let key = |length: usize| format!("{beginning}{}", &rest.repeat(2)[..length]);
            for text in [key(least), format!("x: {}", key(least)), format!("a/{}?b=c", key(least))] {
                assert!(has_known_beginning(&text), "{text}");
            }
            assert!(!has_known_beginning(&format!("a-{}", key(least))), "{beginning}");
            // Others may begin with the same letters.
            let is_other = |other: &str| other != beginning && beginning.starts_with(other);
            let others = BEGINNINGS.iter().filter(|(other, ..)| is_other(other)).count();
            assert!(others > 0 || !has_known_beginning(&key(least - 1)), "{beginning}");
        }
    }

    #[test]
    fn what_looks_like_a_key() {
        for text in [
            "sk-0123456789abcdef0123456789abcdef",
            "sk-proj-3mQk81vTzR0pXw52LdYc-a_b",
            "https://x/?key=sk-0123456789abcdefghij",
            "Bearer sk-0123456789abcdefghij",
            "keyring://agent_vault/sk-ant-api03-3mQk81vTzR0pXw52LdYc",
            "api.openai.com/sk-3mQk81vTzR0pXw52LdYc",
            "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",
            "nvapi-Qk81vTzR0pXw52LdYc3mQk81vTzR0pXw52LdYc3mQk81vTzR0pXw52LdYc",
            "r8_Qk81vTzR0pXw52LdYc3mQk81vTzR0pXw52L",
            "npm_Qk81vTzR0pXw52LdYc3mQk81vTzR0pXw52Ld",
            "ghu_Qk81vTzR0pXw52LdYc3mQk81vTzR0pXw52Ld",
            "sk_9f86d081884c7d659a2feaa0c55ad0159f86d081884c7d65",
            "s.Qk81vTzR0pXw52LdYc3mQk81",
            "s.Qk81vTzR0pXw52LdYc3mQk81.nSpc1",
            "b.AAAAAQKq8_-yVx0mKd83LrTzWb71cHsNf5uAeGo4",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxIn0.x",
            // Hexadecimal, base64 with a secret key of AWS, base64url, capitals and digits.
            "0123456789abcdef0123456789abcdef",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "3mQk81v-zR0pXw52Ld_c3mQk81vTzR0pXw52LdYc7Pq",
            "dGhpcyBpcyBhIHRlc3Qgb2YgMzIgYnl0ZXMgMTIzNDU=",
            "9F86D081884C7D659A2FEAA0C55AD015",
        ] {
            assert!(looks_like_a_key(text), "{text}");
        }
    }

    #[test]
    fn what_does_not() {
        for text in [
            "",
            "api.openai.com/pro_key",
            "keyring://agent_vault/api.openai.com/pro_key",
            "vault://secret/data/tenants/a1/Team2/ai#openai",
            "a-long-name-of-a-provider-with-words-2026",
            "OPENAI_API_KEY_OF_THE_TEAM_IN_BERLIN_2026",
            "OpenAiProductionKeyOfTeamB2026ForBerlin",
            "1b4e28ba-2fa1-11d2-883f-0016d3cca427",
            "1B4E28BA-2FA1-11D2-883F-0016D3CCA427",
            "sk-8",
            "sk-the-key-of-our-team-in-berlin",
            "OpenAI/sk-the-key-of-our-team-in-berlin",
            "b.azure-openai-production-eastus2",
            "https://s.openai-gateway-of-team-berlin-2.example.com",
            "r.a-provider-with-a-name-as-long-as-2-keys",
            "risk-0123456789abcdef0123",
            "https://s.example.com/v1",
            "https://api.eu1.k8s.example.com:8443/v1beta2/models/gpt-4.1-mini",
            "s3-eu1-db2-k8s-v2-t1-x3-n4-a5-b6-c7",
            "Schlüssel/für/die/Abteilung/2026/01/02",
            "npm_publish_token_of_team_2",
            "2026-01-02T03:04:05Z",
            "00000000000000000000000000000000",
        ] {
            assert!(!looks_like_a_key(text) && !has_random_part(text), "{text}");
        }
    }

    #[test]
    fn parts_of_names_that_look_random() {
        let check = |name: &str, expect: bool| assert_eq!(has_random_part(name), expect, "{name}");
        check("api.openai.com/9f86d081884c7d659a2feaa0c55ad015", true);
        check("openai: 9f86d081884c7d659a2feaa0c55ad015", true);
        check("api.openai.com/1b4e28ba-2fa1-11d2-883f-0016d3cca427", false);
        check("api.openai.com/pro_key", false);
    }
}
