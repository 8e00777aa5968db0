//! Tells the fixtures of one folder in their order.

use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_core::Failure;
use leasehold_vault::{Bearer, Call, Operation, Reply};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A folder of fixtures, told step by step.
pub(crate) struct Story {
    folder: PathBuf,
    told: usize,
}

#[derive(Deserialize)]
struct Fixture {
    call: Sent,
    reply: Came,
}

#[derive(Deserialize)]
struct Sent {
    method: String,
    path: String,
    body: Option<Value>,
    namespace: Option<String>,
    token: Option<String>,
}

#[derive(Deserialize)]
struct Came {
    status: u16,
    retry_after: Option<u64>,
    body: Option<Box<RawValue>>,
    text: Option<String>,
}

impl Story {
    pub(crate) fn of(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        Self { folder, told: 0 }
    }

    /// Tells the next step: what the operation sends must be what was recorded, and what it makes of the reply is
    /// returned, after a look for secrets in all that could be shown.
    pub(crate) fn tell<O>(&mut self, what: &str, operation: &O) -> Result<O::Answer, Failure>
    where
        O: Operation + Debug,
        O::Answer: Debug,
    {
        let Fixture { call, reply } = self.next(what);
        let sent = operation.call();
        compare(&call, &sent);
        let answer = operation.answer(&reply.into_reply());
        let shown = match &answer {
            Ok(answer) => format!("{answer:?}"),
            Err(failure) => format!("{failure} {failure:?}"),
        };
        for text in [shown, format!("{operation:?}"), format!("{sent:?}")] {
            assert!(!text.contains("canary"), "{what} shows a secret: {text}");
        }
        answer
    }

    /// Passes over a step that no operation can send: it shows what the server says of it.
    pub(crate) fn skip(&mut self, what: &str) {
        let _ = self.next(what);
    }

    /// Checks that nothing is left untold.
    pub(crate) fn end(self) {
        assert_eq!(std::fs::read_dir(&self.folder).unwrap().count(), self.told, "{:?}", self.folder);
    }

    fn next(&mut self, what: &str) -> Fixture {
        self.told += 1;
        let file = self.folder.join(format!("{:02}-{what}.json", self.told));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file:?}: {error}"))
    }
}

impl Came {
    fn into_reply(self) -> Reply {
        let body = self.body.map_or(self.text.unwrap_or_default(), |body| body.get().to_owned());
        Reply::new(self.status, self.retry_after.map(Duration::from_secs), body.into())
    }
}

fn compare(recorded: &Sent, sent: &Call) {
    let query: Vec<_> = sent.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let path = [vec![sent.path.clone()], query].concat().join("?");
    let method = format!("{:?}", sent.method).to_uppercase();
    assert_eq!((method.as_str(), path.as_str()), (recorded.method.as_str(), recorded.path.as_str()));
    let body: Option<Value> = sent.body.as_ref().map(|body| serde_json::from_slice(body.bytes()).unwrap());
    assert_eq!(body, recorded.body, "{path}");
    assert_eq!(sent.namespace.as_ref().map(|name| name.as_str()), recorded.namespace.as_deref(), "{path}");
    let token = recorded.token.as_deref();
    match &sent.bearer {
        Bearer::Nobody => assert_eq!(token, Some("nobody"), "{path}"),
        Bearer::This(secret) => assert_eq!(token, Some(secret.expose()), "{path}"),
        Bearer::Client => assert_ne!(token, Some("nobody"), "{path}"),
    }
}
