//! Whether a provider accepts a key, asked of servers that answer as providers do, and as others do in their place.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use leasehold::core::Secret;
use leasehold::manifest::{Manifest, Provider};
use leasehold::probe::{Prober, Reachability, Verdict};
use leasehold_testkit::{Canaries, Hole, Listener, Manner, Server, Service, Upstream, canary};
use serde_json::json;

use crate::ground::timed;

/// Long enough for any answer that comes at all.
const LIMIT: Duration = Duration::from_secs(10);
/// Short enough to wait for in vain.
const SHORT: Duration = Duration::from_millis(300);

/// A provider with this endpoint that is known as this service.
fn provider(service: Service, endpoint: &str) -> Provider {
    let name = match service {
        Service::Ollama => "base_url_env",
        _ => "env_var",
    };
    let manifest = json!({ "providers": { "p": { name: service.variable() } } }).to_string();
    // Set here, since a manifest does not take every endpoint that is tried.
    Provider { endpoint: Some(endpoint.into()), ..Manifest::parse(&manifest).unwrap().providers()[0].clone() }
}

async fn check(service: Service, endpoint: &str, key: &str, limit: Duration) -> Verdict {
    Prober::within(limit).check(&provider(service, endpoint), Some(&Secret::new(key))).await
}

/// What is made of each service that behaves so, in the order of [`Service::ALL`].
async fn verdicts(manner: &Manner, knows_key: bool, limit: Duration) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for service in Service::ALL {
        let key = canary("key");
        let upstream = Upstream::start(service, if knows_key { &key } else { "another" });
        upstream.behave(manner.clone());
        let verdict = check(service, &upstream.address(), &key, limit).await;
        assert_key_is_where_it_belongs(service, &upstream, &key);
        let mut canaries = Canaries::default();
        canaries.watch(&key);
        canaries.assert_absent(format!("{verdict} {verdict:?}").as_bytes(), "a verdict");
        verdicts.push(verdict);
    }
    verdicts
}

/// It was asked once; the key came once, in the header that is for it, and nowhere else.
fn assert_key_is_where_it_belongs(service: Service, upstream: &Upstream, key: &str) {
    let requests = upstream.listener().requests();
    assert_eq!(requests.len(), 1, "{service:?}");
    let lines: Vec<_> = requests[0].lines().filter(|line| line.contains(key)).collect();
    let expect: Vec<_> = service.key_line().map(|begin| format!("{begin}{key}")).into_iter().collect();
    assert_eq!(lines, expect, "{service:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn each_service_is_understood() {
    let rows: [(Manner, bool, [&str; 6]); 6] = [
        (Manner::Honest, true, ["accepted"; 6]),
        (Manner::Honest, false, ["rejected", "rejected", "rejected", "rejected", "rejected", "accepted"]),
        (
            Manner::Restricted,
            true,
            ["restricted", "restricted", "restricted", "restricted", "restricted", "accepted"],
        ),
        (Manner::Unpaid, true, ["exhausted", "exhausted", "exhausted", "exhausted", "unknown", "unknown"]),
        (Manner::Spent, true, ["exhausted", "exhausted", "exhausted", "accepted", "accepted", "accepted"]),
        (Manner::Hurried, true, ["unknown"; 6]),
    ];
    for (manner, knows_key, expect) in rows {
        let verdicts = verdicts(&manner, knows_key, LIMIT).await;
        let tokens: Vec<_> = verdicts.iter().map(Verdict::token).collect();
        assert_eq!(tokens, expect, "{manner:?} {knows_key}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_no_answer_of_the_service_is_unknown_and_says_why() {
    for (manner, limit, why) in [
        (Manner::Portal, LIMIT, "the answer is not that of"),
        (Manner::Firewall, LIMIT, "an answer that tells nothing of the key (status 403)"),
        (Manner::Down, LIMIT, "it does not work at the moment (status 503)"),
        (Manner::Huge, LIMIT, "is too large"),
        (Manner::Silent, SHORT, "no answer in time"),
        (Manner::Dripping, SHORT, "no answer in time"),
    ] {
        let (verdicts, took) = timed(verdicts(&manner, true, limit)).await;
        for verdict in verdicts {
            assert!(
                matches!(&verdict, Verdict::Unknown(reason) if reason.contains(why)),
                "{manner:?} {verdict}"
            );
        }
        assert!(took < LIMIT, "{manner:?} {took:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn no_redirect_is_followed() {
    let stranger = Listener::stranger();
    for status in [301, 302, 303, 307, 308] {
        let place = format!("{}/v1/models", stranger.address());
        for verdict in verdicts(&Manner::Elsewhere(status, place), true, LIMIT).await {
            let why = format!("it redirects (status {status}), which is not followed");
            assert_eq!(verdict, Verdict::Unknown(why));
        }
    }
    assert_eq!(stranger.connections(), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn a_public_list_proves_nothing() {
    let upstream = Upstream::start(Service::OpenRouter, "good");
    let mut stream = TcpStream::connect(("127.0.0.1", upstream.listener().port())).unwrap();
    write!(stream, "GET /api/v1/models HTTP/1.1\r\nauthorization: Bearer bad\r\n\r\n").unwrap();
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200", "it fools whoever asks for it");
    let endpoint = format!("{}/api/v1", upstream.address());
    assert_eq!(check(Service::OpenRouter, &endpoint, "bad", LIMIT).await, Verdict::Rejected);
    assert_eq!(check(Service::OpenRouter, &endpoint, "good", LIMIT).await, Verdict::Accepted);
}

#[tokio::test(flavor = "current_thread")]
async fn what_cannot_be_asked_is_not_asked() {
    let upstream = Upstream::start(Service::OpenAi, "good");
    let (port, address) = (upstream.listener().port(), upstream.address());
    let check = async |endpoint: &str, key: Option<&str>, why: &str| {
        let key = key.map(Secret::new);
        let verdict = Prober::default().check(&provider(Service::OpenAi, endpoint), key.as_ref()).await;
        assert_eq!(verdict, Verdict::Unknown(why.to_owned()), "{endpoint}");
    };
    check(&address, None, "there is no key to try").await;
    check(&address, Some(" \n"), "there is no key to try").await;
    check(&address, Some("ca\nnary"), "the key has a character that no key has").await;
    let named = format!("http://me:canary@127.0.0.1:{port}/v1");
    check(&named, Some("good"), "its endpoint holds a name or password, which is not used").await;
    check(
        &format!("{address}/v1?key=canary"),
        Some("good"),
        "its endpoint has a query, which is not sent on",
    )
    .await;
    let plain = format!("http://0.0.0.0:{port}");
    check(&plain, Some("good"), &format!("{plain} is not asked without TLS")).await;
    let stranger = "stranger.example is no host of OpenAI, and does not get its key";
    check("https://stranger.example/v1", Some("good"), stranger).await;
    assert_eq!(upstream.listener().connections(), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn a_kind_that_is_not_known_is_not_guessed() {
    let upstream = Upstream::start(Service::OpenAi, "good");
    let text =
        json!({ "providers": { "p": { "endpoint": upstream.address(), "env_var": "MISTRAL_API_KEY" } } });
    let manifest = Manifest::parse(&text.to_string()).unwrap();
    let verdict = Prober::default().check(&manifest.providers()[0], Some(&Secret::new("good"))).await;
    let known = "OpenAI, Anthropic, OpenRouter, Gemini, GitHub, Ollama";
    let why = format!("it is none of those whose answers are known ({known})");
    assert_eq!((verdict, upstream.listener().connections()), (Verdict::Unknown(why), 0));
}

#[tokio::test(flavor = "current_thread")]
async fn a_key_does_not_go_to_a_certificate_that_nobody_trusts() {
    let server = Server::start_tls();
    let verdict = check(Service::Anthropic, server.address(), "key", LIMIT).await;
    let why = "is signed by an authority that is not trusted here";
    assert!(matches!(&verdict, Verdict::Unknown(reason) if reason.ends_with(why)), "{verdict}");
}

#[tokio::test(flavor = "current_thread")]
async fn an_endpoint_is_reachable_if_somebody_listens() {
    let (listener, hole) = (Listener::stranger(), Hole::open());
    let silent = format!("http://127.0.0.1:{}", hole.port());
    let prober = Prober::default();
    assert_eq!(prober.reachable(&format!("{}/v1", listener.address())).await, Reachability::Reachable);
    assert_eq!(listener.requests(), Vec::<String>::new(), "nothing is sent");
    let unreachable = async |endpoint: &str, why: &str| {
        let (reachability, took) = timed(prober.reachable(endpoint)).await;
        assert!(
            matches!(&reachability, Reachability::Unreachable(reason) if reason.ends_with(why)),
            "{endpoint} {reachability:?}"
        );
        assert!(took < Duration::from_secs(2), "{endpoint} {took:?}");
    };
    unreachable("http://127.0.0.1:1", "connection refused").await;
    unreachable(&silent, "in time").await;
    // No label has 64 letters, so that no server of names is asked.
    let nameless = format!("https://{}.invalid/v1", "x".repeat(64));
    unreachable(&nameless, "its name cannot be resolved").await;
    unreachable("ftp://127.0.0.1", "its endpoint is no http or https address").await;
}
