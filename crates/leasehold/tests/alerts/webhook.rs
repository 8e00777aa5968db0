//! The signature of a webhook, judged by the verifier and by an independent implementation.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use http::Request;
use leasehold::clock::Clock;
use leasehold::signing::{Covering, Refusal, Verifier};
use leasehold::token_cache::TokenCache;

use crate::ground::{Ground, SEALED, alert, arrive, steered};

/// What a receiver does that has nothing of ours: reads the secret's line, and then the request as it came.
const CHECK: &str = r#"
import base64, hashlib, hmac, sys
secret = sys.stdin.buffer.readline().rstrip(b"\n")
head, body = sys.stdin.buffer.read().split(b"\r\n\r\n", 1)
lines = head.decode().split("\r\n")
method, path, _ = lines[0].split(" ")
headers = dict(line.split(": ", 1) for line in lines[1:])
signed = "\n".join(["leasehold-request-2", headers["x-agent-id"], headers["x-timestamp"], headers["x-request-id"],
                    method, path, ""]).encode() + body
tag = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
sys.exit(0 if hmac.compare_digest(tag, headers["x-agent-signature-v2"]) else 1)
"#;

fn python_accepts(secret: &str, request: &str) -> bool {
    let python = Command::new("python3").args(["-c", CHECK]).stdin(Stdio::piped()).spawn();
    let mut python = python.expect("python3 is installed");
    let mut input = python.stdin.take().unwrap();
    write!(input, "{secret}\n{request}").unwrap();
    drop(input);
    python.wait().unwrap().success()
}

/// The request as it came, for the verifier.
fn parsed(text: &str) -> Request<String> {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let path = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let request = headers.fold(Request::post(path), |request, (name, value)| request.header(name, value));
    request.body(body.to_owned()).unwrap()
}

#[tokio::test]
async fn a_webhook_is_signed_for_anybody_who_knows_the_secret() {
    let ground = Ground::new();
    let [webhook, ..] = ground.sinks();
    let (alerts, _steering) = steered([webhook]);
    alerts.send(&alert(SEALED));
    arrive(&ground.webhook, 1);
    alerts.stop(Duration::ZERO).await;

    let request = &ground.webhook.listener().requests()[0];
    assert!(request.starts_with("POST /hook?team=ops HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains("x-agent-id: leasehold\r\n")
            && request.contains("content-type: application/json\r\n")
    );
    assert!(python_accepts(ground.secret().expose(), request));
    assert!(!python_accepts("another", request));
    assert!(!python_accepts(ground.secret().expose(), &request.replace("\"critical\"", "\"info\"")));

    let tokens = TokenCache::new(Clock::default(), Duration::ZERO);
    tokens.rotate(ground.secret());
    let verifier = Verifier::new(tokens, Covering::Everything);
    let request = parsed(request);
    for expect in [Ok("leasehold"), Err(Refusal::Replay)] {
        let mut verification = verifier.open(&request).unwrap();
        verification.update(request.body().as_bytes());
        let agent = verification.finish().map(|verified| verified.agent);
        assert_eq!(agent.as_deref().map_err(|refusal| *refusal), expect);
    }
}
