//! What the audit is told of a refusal.

use http::header::HeaderValue;
use leasehold::signing::{AGENT_ID, Covering, REQUEST_ID, Refusal, SIGNATURE, TIMESTAMP};
use leasehold_testkit::Log;

use crate::ground::{Ground, NOW};

#[test]
fn each_refusal_is_told_with_its_reason_and_without_a_secret() {
    let (ground, log) = (Ground::new(Covering::Body), Log::default());
    let request = ground.signed();
    let (mut forged, mut nameless) = (request.clone(), request.clone());
    *forged.body_mut() = "halt";
    nameless.headers_mut().insert(AGENT_ID, HeaderValue::from_static("two\tnames"));
    // While there is only one, what other threads do not listen to is not told to it either.
    let _second = tracing::Dispatch::new(log.clone());
    tracing::subscriber::with_default(log.clone(), || {
        assert!(ground.verify(&forged).is_err());
        assert!(ground.verify(&nameless).is_err());
        assert!(ground.verify(&request).is_ok());
        assert!(ground.verify(&request).is_err());
    });
    let told = log.of_target("audit");
    let id = request.headers()[REQUEST_ID].to_str().unwrap();
    let of = |reason: &str| {
        format!(
            "message=Request refused timestamp=\"2027-01-15T08:00:00Z\" agent_id=\"agent-1\" request_id={id} reason={reason}"
        )
    };
    let nobody =
        "message=Request refused timestamp=\"2027-01-15T08:00:00Z\" reason=header X-Agent-Id is malformed";
    let expect = [&*of("wrong signature"), nobody, &*of("its id was used before")];
    assert_eq!(told, expect);
    let signature = request.headers()[SIGNATURE].to_str().unwrap();
    let text = log.text();
    assert!(!text.contains("first") && !text.contains(signature));
}

/// The lines that tell of so many bad requests within a second, and of what comes `after` them.
fn told_of(refusals: usize, after: fn(Ground)) -> Vec<String> {
    let (ground, log) = (Ground::new(Covering::Body), Log::default());
    let mut forged = ground.signed();
    *forged.body_mut() = "halt";
    // While there is only one, what other threads do not listen to is not told to it either.
    let _second = tracing::Dispatch::new(log.clone());
    tracing::subscriber::with_default(log.clone(), || {
        for _ in 0..refusals {
            assert_eq!(ground.verify(&forged), Err(Refusal::Signature));
        }
        assert_eq!(ground.verifier.failures(), refusals as u64, "all are counted");
        assert!(ground.verify(&ground.signed()).is_ok());
        after(ground);
    });
    log.of_target("audit")
}

#[test]
fn a_flood_is_told_in_eleven_lines_a_second() {
    let check = |refusals, after, ones, more: &[&str]| {
        let told = told_of(refusals, after);
        let (first, rest) = told.split_at(ones);
        assert!(first.iter().all(|line| line.starts_with("message=Request refused ")), "{told:#?}");
        assert_eq!(rest, more, "{refusals}");
    };
    let more = "message=More requests refused timestamp=\"2027-01-15T08:00:01Z\" count=990";
    let next =
        "message=Request refused timestamp=\"2027-01-15T08:00:01Z\" reason=header X-Timestamp is missing";
    let good = |ground: Ground| drop(ground.verify_at(&ground.signed(), NOW + 1).unwrap());
    let bad = |ground: Ground| {
        let mut request = ground.signed();
        request.headers_mut().remove(TIMESTAMP);
        assert!(ground.verify_at(&request, NOW + 1).is_err());
    };
    check(10, good, 10, &[]);
    check(1_000, good, 10, &[more]);
    check(1_000, bad, 10, &[more, next]);
    let gone = told_of(1_000, drop);
    let last = gone.last().unwrap();
    assert!(
        gone.len() == 11 && last.starts_with("message=More ") && last.ends_with(" count=990"),
        "{gone:#?}"
    );
}
