//! What the audit is told of a refusal.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};

use http::header::HeaderValue;
use leasehold::signing::{AGENT_ID, Covering, REQUEST_ID, SIGNATURE};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::ground::Ground;

/// The audit's events, a line each.
#[derive(Clone, Default)]
struct Audit(Arc<Mutex<String>>);

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Audit {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "audit"
    }

    fn event(&self, event: &Event<'_>) {
        let mut lines = self.0.lock().unwrap();
        event.record(&mut Line(&mut lines));
        lines.push('\n');
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn each_refusal_is_told_with_its_reason_and_without_a_secret() {
    let (ground, audit) = (Ground::new(Covering::Body), Audit::default());
    let request = ground.signed();
    let (mut forged, mut nameless) = (request.clone(), request.clone());
    *forged.body_mut() = "halt";
    nameless.headers_mut().insert(AGENT_ID, HeaderValue::from_static("two\tnames"));
    tracing::subscriber::with_default(audit.clone(), || {
        assert!(ground.verify(&forged).is_err());
        assert!(ground.verify(&nameless).is_err());
        assert!(ground.verify(&request).is_ok());
        assert!(ground.verify(&request).is_err());
    });
    let told = audit.0.lock().unwrap();
    let id = request.headers()[REQUEST_ID].to_str().unwrap();
    let of = |reason: &str| {
        format!("message=Request refused agent_id=\"agent-1\" request_id={id} reason={reason} ")
    };
    let nobody = "message=Request refused reason=header X-Agent-Id is malformed ";
    let expect = [&*of("wrong signature"), nobody, &*of("its id was used before")];
    assert_eq!(told.lines().collect::<Vec<_>>(), expect);
    let signature = request.headers()[SIGNATURE].to_str().unwrap();
    assert!(!told.contains("first") && !told.contains(signature));
}
