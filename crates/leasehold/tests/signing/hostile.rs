//! A table of what must not be accepted, and of what looks odd and must be.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use leasehold::core::Secret;
use leasehold::signing::{
    AGENT_ID, Covering, REQUEST_ID, Refusal, SIGNATURE, SIGNATURE_V2, SKEW_SECONDS, TIMESTAMP, Verifier,
};
use leasehold_testkit::record;

use crate::ground::{COVERINGS, Ground, NOW, OVERLAP};

type Spoil<'a> = &'a dyn Fn(&mut Request<&'static str>);

/// A good request, spoilt, is refused for that reason, and each refusal is counted.
fn check(covering: Covering, what: &str, spoil: Spoil<'_>, expect: Result<(), Refusal>) {
    let ground = Ground::new(covering);
    let mut request = ground.signed();
    spoil(&mut request);
    assert_eq!(ground.verify(&request).map(drop), expect, "{covering:?}: {what}");
    assert_eq!(ground.verifier.failures(), u64::from(expect.is_err()), "{covering:?}: {what}");
    // What was refused has left nothing behind that a good one could stumble over.
    let good = ground.verify(&ground.signed());
    assert!(good.is_ok(), "{covering:?}: {what}, and then {good:?}");
}

fn headers(covering: Covering) -> [(HeaderName, &'static str); 4] {
    let signature = match covering {
        Covering::Body => (SIGNATURE, "X-Agent-Signature"),
        Covering::Everything => (SIGNATURE_V2, "X-Agent-Signature-V2"),
    };
    [(AGENT_ID, "X-Agent-Id"), (TIMESTAMP, "X-Timestamp"), (REQUEST_ID, "X-Request-Id"), signature]
}

fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    headers[name].to_str().unwrap().to_owned()
}

#[test]
fn each_header_is_there_once_and_of_ascii() {
    for covering in COVERINGS {
        for (name, shown) in headers(covering) {
            let malformed = Err(Refusal::MalformedHeader(shown));
            check(
                covering,
                "none",
                &|request| drop(request.headers_mut().remove(&name)),
                Err(Refusal::MissingHeader(shown)),
            );
            let double = |request: &mut Request<_>| {
                let value = request.headers()[&name].clone();
                request.headers_mut().append(&name, value);
            };
            check(covering, "two of the same", &double, Err(Refusal::DoubledHeader(shown)));
            for value in ["", " ", "caf\u{e9}", "\u{661}", "a\tb", ","] {
                let replace = |request: &mut Request<_>| {
                    let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                    request.headers_mut().insert(&name, value);
                };
                // A comma is a fine name for an agent; with the rest signed, it is another one's.
                let expect = match (covering, shown, value) {
                    (Covering::Body, "X-Agent-Id", ",") => Ok(()),
                    (Covering::Everything, "X-Agent-Id", ",") => Err(Refusal::Signature),
                    _ => malformed,
                };
                check(covering, value, &replace, expect);
            }
            let mixed = |request: &mut Request<_>| {
                let value = request.headers_mut().remove(&name).unwrap();
                let name = HeaderName::from_bytes(shown.to_uppercase().as_bytes()).unwrap();
                request.headers_mut().insert(name, value);
            };
            check(covering, "in capitals", &mixed, Ok(()));
        }
    }
}

#[test]
fn a_signature_is_written_in_one_way() {
    let mut ways = 0;
    for covering in COVERINGS {
        let [.., (name, shown)] = headers(covering);
        let mut spoil = |change: &dyn Fn(String) -> String, what: &str, expect: Refusal| {
            let replace = |request: &mut Request<_>| {
                let value = change(text(request.headers(), &name));
                request.headers_mut().insert(&name, HeaderValue::from_str(&value).unwrap());
            };
            check(covering, what, &replace, Err(expect));
            ways += 1;
        };
        let malformed = Refusal::MalformedHeader(shown);
        spoil(&|good| good.trim_end_matches('=').to_owned(), "without padding", malformed);
        spoil(&|good| good + "=", "more padding", malformed);
        spoil(&|good| format!("-_{}", &good[2..]), "the alphabet of URLs", malformed);
        spoil(&|good| format!(" {good}"), "a space before", malformed);
        spoil(&|good| format!("{good} "), "a space behind", malformed);
        spoil(&|good| format!("{} {}", &good[..20], &good[20..]), "a space within", malformed);
        spoil(&|good| good[4..].to_owned(), "shorter", malformed);
        spoil(&|good| format!("AAAA{good}"), "longer", malformed);
        spoil(&|good| good.repeat(500), "very long", malformed);
        spoil(&|_| "0".repeat(64), "in hexadecimal", malformed);
        spoil(&|_| format!("{}=", "A".repeat(43)), "of zeros", Refusal::Signature);
        spoil(&|good| format!("{}{}", other_letter(&good), &good[1..]), "another letter", Refusal::Signature);
    }
    let each = ways / COVERINGS.len();
    record("signing-signatures", &format!("{each} ways to miswrite a signature, each refused"));
}

fn other_letter(text: &str) -> char {
    if text.starts_with('A') { 'B' } else { 'A' }
}

#[test]
fn each_bit_of_the_body_counts() {
    let body = "reboot";
    let flipped = (0..body.len() * 8).map(|bit| {
        let mut bytes = body.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    let others = [vec![], b"reboo".to_vec(), b"reboot ".to_vec(), b"reboot\0".to_vec()];
    let mut refused = 0;
    for covering in COVERINGS {
        let ground = Ground::new(covering);
        let request = ground.signed();
        for other in flipped.clone().chain(others.clone()) {
            let mut verification = ground.verifier.open_at(&request, NOW).unwrap();
            verification.update(&other);
            assert_eq!(verification.finish_at(NOW), Err(Refusal::Signature), "{covering:?}: {other:?}");
            refused += 1;
        }
        assert!(ground.verify(&request).is_ok());
        assert_eq!(ground.verifier.failures(), 52, "6 bytes of 8 bits, and 4 others");
    }
    let each = refused / COVERINGS.len();
    record("signing", &format!("{each} changes of a signed body, each refused"));
}

#[test]
fn with_everything_covered_nothing_else_can_be_changed() {
    let refused_if_covered = |what: &str, spoil: Spoil<'_>| {
        check(Covering::Everything, what, spoil, Err(Refusal::Signature));
        // This is what the contract's own signature leaves open.
        check(Covering::Body, what, spoil, Ok(()));
    };
    let insert = |name: HeaderName, value: &'static str| {
        move |request: &mut Request<&'static str>| {
            request.headers_mut().insert(&name, HeaderValue::from_static(value));
        }
    };
    refused_if_covered("agent", &insert(AGENT_ID, "agent-2"));
    refused_if_covered("time", &insert(TIMESTAMP, "1800000001"));
    refused_if_covered("id", &insert(REQUEST_ID, "6f1c2a9e-0b7d-4e57-9a3c-5d2f8b1e7c40"));
    refused_if_covered("method", &|request| *request.method_mut() = Method::PUT);
    refused_if_covered("path", &|request| *request.uri_mut() = "/command?wait=1".parse().unwrap());
    refused_if_covered("query", &|request| *request.uri_mut() = "/commands?wait=2".parse().unwrap());
}

#[test]
fn one_covering_is_not_taken_for_the_other() {
    let [body, everything] = COVERINGS.map(Ground::new);
    let missing = |name| Err(Refusal::MissingHeader(name));
    assert_eq!(body.verify(&everything.signed()), missing("X-Agent-Signature"));
    assert_eq!(everything.verify(&body.signed()), missing("X-Agent-Signature-V2"));
    let mut renamed = body.signed();
    let signature = renamed.headers_mut().remove(SIGNATURE).unwrap();
    renamed.headers_mut().insert(SIGNATURE_V2, signature);
    assert_eq!(everything.verify(&renamed), Err(Refusal::Signature));
}

#[test]
fn the_window_is_two_minutes_either_way_and_no_second_more() {
    for covering in COVERINGS {
        for (timestamp, expect) in [
            (NOW - SKEW_SECONDS - 1, Err(Refusal::Skew)),
            (NOW - SKEW_SECONDS, Ok(())),
            (NOW + SKEW_SECONDS, Ok(())),
            (NOW + SKEW_SECONDS + 1, Err(Refusal::Skew)),
        ] {
            let ground = Ground::new(covering);
            let request = ground.signed_at("reboot", timestamp);
            assert_eq!(ground.verify(&request).map(drop), expect, "{covering:?}: {timestamp}");
        }
    }
}

#[test]
fn a_body_that_comes_too_slowly_is_refused() {
    for (takes, expect) in [(SKEW_SECONDS, Ok(())), (SKEW_SECONDS + 1, Err(Refusal::Skew))] {
        let ground = Ground::new(Covering::Everything);
        let request = ground.signed();
        let mut verification = ground.verifier.open_at(&request, NOW).unwrap();
        verification.update(request.body().as_bytes());
        assert_eq!(verification.finish_at(NOW + takes).map(drop), expect, "{takes} s");
    }
}

#[test]
fn no_request_is_accepted_twice_while_its_time_is_good() {
    for covering in COVERINGS {
        let ground = Ground::new(covering);
        let request = ground.signed_at("reboot", NOW + SKEW_SECONDS);
        assert!(ground.verify(&request).is_ok());
        for second in 0..=2 * SKEW_SECONDS {
            assert_eq!(ground.verify_at(&request, NOW + second), Err(Refusal::Replay), "{second} s later");
        }
        let late = NOW + 2 * SKEW_SECONDS + 1;
        assert_eq!(ground.verify_at(&request, late), Err(Refusal::Skew));
        assert_eq!(ground.verify(&request), Err(Refusal::Replay), "the clock was set back");
    }
}

#[test]
fn an_id_in_capitals_is_the_same_id() {
    for covering in COVERINGS {
        let ground = Ground::new(covering);
        let mut request = ground.signed();
        assert!(ground.verify(&request).is_ok());
        let capitals = text(request.headers(), &REQUEST_ID).to_uppercase();
        request.headers_mut().insert(REQUEST_ID, HeaderValue::from_str(&capitals).unwrap());
        assert_eq!(ground.verify(&request), Err(Refusal::Replay));
    }
}

#[test]
fn two_that_come_at_once_with_one_id_are_not_both_accepted() {
    let ground = Ground::new(Covering::Body);
    let request = ground.signed();
    let both = [(); 2].map(|()| {
        let mut verification = ground.verifier.open_at(&request, NOW).unwrap();
        verification.update(request.body().as_bytes());
        verification
    });
    let accepted = both.map(|verification| verification.finish_at(NOW).is_ok());
    assert_eq!(accepted, [true, false]);
}

#[test]
fn a_wrong_signature_uses_no_id_up() {
    let ground = Ground::new(Covering::Body);
    let request = ground.signed();
    let mut forged = request.clone();
    *forged.body_mut() = "halt";
    assert_eq!(ground.verify(&forged), Err(Refusal::Signature));
    assert!(ground.verify(&request).is_ok());
    assert_eq!(ground.verify(&forged), Err(Refusal::Signature), "and it is not told that the id was used");
}

#[test]
fn equal_bodies_are_lawful() {
    let ground = Ground::new(Covering::Body);
    assert!((0..100).all(|_| ground.verify(&ground.signed_at("", NOW)).is_ok()));
}

#[test]
fn a_token_has_to_be_good_still_when_the_body_is_whole() {
    let check = |what: &str, before: &[&str], meanwhile: fn(&Ground), expect: Result<bool, Refusal>| {
        for covering in COVERINGS {
            let ground = Ground::new(covering);
            let request = ground.signed();
            before.iter().for_each(|token| ground.rotate(token));
            let mut verification = ground.verifier.open_at(&request, NOW).unwrap();
            meanwhile(&ground);
            verification.update(request.body().as_bytes());
            let verdict = verification.finish_at(NOW).map(|verified| verified.by_previous);
            assert_eq!(verdict, expect, "{covering:?}: {what}");
        }
    };
    let rotated: fn(&Ground) = |ground| ground.rotate("third");
    let passed: fn(&Ground) = |ground| ground.steering.sleep(OVERLAP);
    let forgotten: fn(&Ground) = |ground| ground.tokens.forget_previous();
    let refused = Err(Refusal::Signature);
    check("nothing", &[], |_| {}, Ok(false));
    check("a long time", &[], passed, Ok(false));
    check("a rotation", &[], rotated, Ok(true));
    check(
        "a rotation, and its overlap",
        &[],
        |ground| {
            ground.rotate("third");
            ground.steering.sleep(OVERLAP);
        },
        refused,
    );
    check(
        "a rotation that leaves no overlap",
        &[],
        |ground| {
            ground.rotate("third");
            ground.tokens.forget_previous();
        },
        refused,
    );
    check(
        "two rotations",
        &[],
        |ground| {
            ground.rotate("third");
            ground.rotate("fourth");
        },
        refused,
    );
    check("nothing, in the overlap", &["second"], |_| {}, Ok(true));
    check("the rest of the overlap", &["second"], passed, refused);
    check("the end of the overlap", &["second"], forgotten, refused);
    check("the next rotation", &["second"], rotated, refused);
}

#[test]
fn a_clock_that_leaps_while_a_body_comes_does_no_lasting_harm() {
    let day = 86_400;
    for leapt in [NOW + day, NOW - day] {
        let ground = Ground::new(Covering::Body);
        let [slow, seen, next] = [(); 3].map(|()| ground.signed());
        assert!(ground.verify(&seen).is_ok());
        let mut verification = ground.verifier.open_at(&slow, NOW).unwrap();
        verification.update(slow.body().as_bytes());
        assert_eq!(verification.finish_at(leapt), Err(Refusal::Skew));
        assert!(ground.verify(&next).is_ok(), "the clock is right again");
        assert_eq!(ground.verify(&seen), Err(Refusal::Replay));
    }
}

#[test]
fn the_token_before_is_good_within_the_overlap_alone() {
    for covering in COVERINGS {
        let ground = Ground::new(covering);
        let [soon, late, later] = [(); 3].map(|()| ground.signed());
        ground.tokens.rotate(Secret::new("second"));
        assert!(ground.verify(&soon).is_ok_and(|verified| verified.by_previous));
        assert!(ground.verify(&ground.signed()).is_ok_and(|verified| !verified.by_previous));
        ground.steering.sleep(OVERLAP);
        assert_eq!(ground.verify(&late), Err(Refusal::Signature));
        ground.tokens.rotate(Secret::new("third"));
        assert_eq!(ground.verify(&later), Err(Refusal::Signature), "it is two rotations old");
    }
}

#[test]
fn there_is_no_key_of_no_token() {
    let ground = Ground::new(Covering::Body);
    let request = ground.signed();
    let (clock, _) = leasehold::clock::Clock::steered();
    let tokens = leasehold::token_cache::TokenCache::new(clock, OVERLAP);
    assert!(["", "\n", " \t "].iter().all(|blank| !tokens.rotate(Secret::new(*blank))));
    let verifier = Verifier::new(tokens, Covering::Body);
    assert_eq!(verifier.open_at(&request, NOW).map(drop), Err(Refusal::NoToken));
    assert_eq!(verifier.failures(), 1);
}

#[test]
fn no_refusal_shows_what_was_sent() {
    let ground = Ground::new(Covering::Everything);
    let request = ground.signed();
    let signature = text(request.headers(), &SIGNATURE_V2);
    let verification = ground.verifier.open_at(&request, NOW).unwrap();
    let shown = format!("{verification:?} {:?} {:?}", ground.verifier, ground.signer);
    assert!(!shown.contains("first") && !shown.contains(&signature), "{shown}");
}
