//! What a verdict is of: this key, asked for at this endpoint. Of both only a mark is kept.

use hmac::{Hmac, KeyInit, Mac as _};
use leasehold_core::{Failure, Secret};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::hex::{hex, unhex};
use crate::manifest::Provider;
use crate::probe::ProviderKind;
use crate::random;

/// A salt of its own, and the first eight bytes of what HMAC-SHA256 makes of it: enough to see that a key is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    salt: [u8; 16],
    tag: [u8; 8],
}

impl Mark {
    /// The mark of a provider's key, with a new salt.
    pub(super) fn new(provider: &Provider, key: Option<&Secret>) -> Result<Self, Failure> {
        let salt = random::bytes()?;
        Ok(Self { salt, tag: tag(&salt, provider, key) })
    }

    /// Whether it is the mark of this key, asked for at the provider's endpoint.
    pub(super) fn is_of(&self, provider: &Provider, key: Option<&Secret>) -> bool {
        self.tag.ct_eq(&tag(&self.salt, provider, key)).into()
    }

    /// As the file has it: salt and tag in digits.
    pub(super) fn to_text(self) -> String {
        hex([&self.salt[..], &self.tag].concat())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let bytes = unhex(text)?;
        let (salt, tag) = bytes.split_first_chunk()?;
        Some(Self { salt: *salt, tag: tag.try_into().ok()? })
    }
}

/// The key of the HMAC is the provider's: who does not know it can make nothing of the tag.
fn tag(salt: &[u8], provider: &Provider, key: Option<&Secret>) -> [u8; 8] {
    let kind = ProviderKind::of(provider);
    let endpoint = provider.endpoint.as_deref().or(kind.map(ProviderKind::base)).unwrap_or_default();
    let mut tag = [0; 8];
    // A key of any length will do.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.map_or(&[], |key| key.expose().as_bytes())) {
        mac.update(salt);
        mac.update(endpoint.as_bytes());
        tag.copy_from_slice(&mac.finalize().into_bytes()[..8]);
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn provider(fields: &str) -> Provider {
        let text = format!(r#"{{"providers":{{"a":{{{fields}}}}}}}"#);
        Manifest::parse(&text).unwrap().providers()[0].clone()
    }

    #[test]
    fn another_key_and_another_endpoint_have_another_mark() {
        let at_home = r#""vault_key":"k","env_var":"OPENAI_API_KEY""#;
        let key = Secret::new("canary");
        let mark = Mark::new(&provider(at_home), Some(&key)).unwrap();
        let check = |fields: &str, key: Option<&str>, expect: bool| {
            let key = key.map(Secret::new);
            assert_eq!(mark.is_of(&provider(fields), key.as_ref()), expect, "{fields}");
        };
        check(at_home, Some("canary"), true);
        check(r#""vault_key":"moved","env_var":"OPENAI_API_KEY""#, Some("canary"), true);
        check(&format!(r#"{at_home},"endpoint":"https://api.openai.com""#), Some("canary"), true);
        check(at_home, Some("another"), false);
        check(at_home, None, false);
        check(&format!(r#"{at_home},"endpoint":"http://127.0.0.1:11111""#), Some("canary"), false);
        check(r#""vault_key":"k","env_var":"ANTHROPIC_API_KEY""#, Some("canary"), false);
    }

    #[test]
    fn a_mark_is_short_and_of_its_own_salt() {
        let (provider, key) = (provider(r#""vault_key":"k""#), Secret::new("canary"));
        let marks = [Mark::new(&provider, Some(&key)).unwrap(), Mark::new(&provider, Some(&key)).unwrap()];
        assert_ne!(marks[0].tag, marks[1].tag);
        let text = marks[0].to_text();
        assert_eq!((text.len(), Mark::parse(&text)), (48, Some(marks[0])));
        for broken in ["", "00", "zz", &text[1..], &text[2..], &format!("{text}00")] {
            assert_eq!(Mark::parse(broken), None, "{broken}");
        }
    }
}
