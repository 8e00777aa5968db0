//! What a server of a few lines answers in the place of Vault.

pub(crate) use leasehold_testkit::{Listener, answer};

/// A KV version 2 answer with one field, and the mount that the client asks for first.
pub(crate) fn kv(request: &str) -> Vec<u8> {
    match request.contains("/internal/ui/mounts/") {
        true => answer(200, "", r#"{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}"#),
        false => answer(200, "", r#"{"data":{"data":{"a":"b"},"metadata":{"version":1}}}"#),
    }
}
