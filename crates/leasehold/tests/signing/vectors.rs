//! Ours beside Python's: `crates/testkit/vectors/signing.json`, made by the script beside it.

use std::process::Command;

use http::Request;
use leasehold::clock::Clock;
use leasehold::core::Secret;
use leasehold::signing::{AGENT_ID, Covering, REQUEST_ID, SIGNATURE, SIGNATURE_V2, TIMESTAMP, Verifier};
use leasehold::token_cache::TokenCache;
use serde_json::Value;

use crate::ground::{COVERINGS, OVERLAP};

const VECTORS: &str = include_str!("../../../testkit/vectors/signing.json");

/// `of` names what it is sent to: `path`, as it comes to the service, or `url`, as the client has it.
fn request(vector: &Value, covering: Covering, of: &str) -> Request<()> {
    let text = |name: &str| vector[name].as_str().unwrap();
    let (header, signature) = match covering {
        Covering::Body => (SIGNATURE, "body_signature"),
        Covering::Everything => (SIGNATURE_V2, "everything_signature"),
    };
    let request = Request::builder().method(text("method")).uri(text(of));
    let request =
        request.header(AGENT_ID, text("agent")).header(TIMESTAMP, vector["timestamp"].as_u64().unwrap());
    request.header(REQUEST_ID, text("request_id")).header(header, text(signature)).body(()).unwrap()
}

/// Whether the vector is accepted with its body in pieces of that length.
fn is_accepted(vector: &Value, covering: Covering, of: &str, piece: usize) -> bool {
    let tokens = TokenCache::new(Clock::default(), OVERLAP);
    tokens.rotate(Secret::new(vector["token"].as_str().unwrap()));
    let (verifier, now) = (Verifier::new(tokens, covering), vector["timestamp"].as_u64().unwrap());
    let mut verification = verifier.open_at(&request(vector, covering, of), now).unwrap();
    decode(vector["body"].as_str().unwrap()).chunks(piece).for_each(|piece| verification.update(piece));
    verification.finish_at(now).is_ok_and(|verified| verified.agent == vector["agent"].as_str().unwrap())
}

/// Base64 by the book, and not by the crate that the product uses.
fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |byte: &u8| ALPHABET.iter().position(|letter| letter == byte).unwrap() as u32;
    let quads = text.trim_end_matches('=').as_bytes().chunks(4);
    quads
        .flat_map(|quad| {
            let bits = quad.iter().fold(0, |bits, byte| bits << 6 | value(byte)) << (6 * (4 - quad.len()));
            bits.to_be_bytes()[1..quad.len()].to_vec()
        })
        .collect()
}

#[test]
fn the_vectors_are_what_the_script_makes() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../testkit/vectors/signing.py");
    let made = Command::new("python3").arg(script).output().expect("python3 is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert!(
        made.stdout == VECTORS.as_bytes(),
        "signing.json is made anew by: python3 signing.py > signing.json"
    );
}

#[test]
fn what_python_signs_is_accepted_in_pieces_of_any_length() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert!(vectors.len() >= 12);
    for (number, vector) in vectors.iter().enumerate() {
        for covering in COVERINGS {
            for piece in [1, 7, 64, 1 << 20] {
                let is_accepted = is_accepted(vector, covering, "path", piece);
                assert!(is_accepted, "vector {number}, {covering:?}, by {piece}");
            }
        }
    }
}

#[test]
fn a_vector_of_another_is_not_accepted() {
    let mut vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let (spoilt, other) = (0, 3);
    for name in ["body_signature", "everything_signature"] {
        vectors[spoilt][name] = vectors[other][name].clone();
    }
    assert!(COVERINGS.iter().all(|covering| !is_accepted(&vectors[spoilt], *covering, "path", 64)));
}

#[test]
fn what_a_client_asks_for_is_signed_as_it_is_sent() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let odd: Vec<_> = vectors.iter().filter(|vector| vector["url"].is_string()).collect();
    assert!(!odd.is_empty());
    assert!(odd.iter().all(|vector| is_accepted(vector, Covering::Everything, "url", 64)), "{odd:?}");
}
