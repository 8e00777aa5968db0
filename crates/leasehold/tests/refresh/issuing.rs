//! The side that gives the token out.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use leasehold::core::{Kind, Secret};
use leasehold::token_refresh::{RotationPlan, TokenIssuer, TokenPlace, TokenRefresh};
use leasehold_testkit::{Fault, Listener, Proxy, Server, answer};
use serde_json::json;

use crate::ground::{client, root};
use crate::panel::{API, Panel, becomes, token};

fn secret(text: &str) -> Secret {
    Secret::new(text)
}

/// All of these, which read each second, whenever the token before was written.
fn at_once(agents: impl IntoIterator<Item = impl Into<String>>) -> RotationPlan {
    RotationPlan { overlap: Duration::ZERO, interval: Duration::from_secs(2), ..RotationPlan::new(agents) }
}

async fn there(issuer: &TokenIssuer) -> String {
    issuer.fetch_token().await.unwrap().expose().to_owned()
}

#[tokio::test]
async fn a_token_is_stored_read_and_deleted_in_both_versions() {
    let panel = Panel::start();
    panel.0.engine("kv1", "kv", json!({ "options": { "version": "1" } }));
    for prefix in ["status_panel", "kv1"] {
        let issuer = TokenIssuer::new(root(&panel.0), TokenPlace::new(prefix, "d-1").unwrap());
        assert_eq!(issuer.fetch_token().await.unwrap_err().kind(), Kind::NotFound);
        assert_eq!(issuer.delete_token().await, Ok(()), "{prefix}: absent is no error");
        for text in ["one", "two \"é\"\n", "three"] {
            issuer.store_token(&secret(text)).await.unwrap();
            assert_eq!(there(&issuer).await, text);
        }
        let failure = issuer.store_token(&secret(" ")).await.unwrap_err();
        assert_eq!((failure.kind(), failure.message()), (Kind::Invalid, "a token is not empty"));
        for _ in 0..2 {
            assert_eq!(issuer.delete_token().await, Ok(()));
            assert_eq!(issuer.fetch_token().await.unwrap_err().kind(), Kind::NotFound);
        }
        issuer.store_token(&secret("again")).await.unwrap();
        assert_eq!(there(&issuer).await, "again");
    }
}

#[tokio::test]
async fn a_mount_that_was_replaced_is_found_again() {
    let panel = Panel(Server::start());
    panel.0.engine("status_panel", "kv", json!({ "options": { "version": "1" } }));
    let issuer = panel.issuer(panel.0.address());
    issuer.store_token(&secret("of version 1")).await.unwrap();
    assert!(panel.0.api("DELETE", "sys/mounts/status_panel", None).0 < 300);
    panel.0.engine("status_panel", "kv", json!({ "options": { "version": "2" } }));
    issuer.store_token(&secret("of version 2")).await.unwrap();
    assert_eq!((there(&issuer).await.as_str(), panel.versions()), ("of version 2", 1));
}

#[tokio::test]
async fn other_fields_of_the_secret_stay_as_they_are() {
    let panel = Panel::start();
    panel.put_fields(json!({ "token": "old", "owner": "ops", "weight": 17 }));
    panel.issuer(panel.0.address()).store_token(&secret("new")).await.unwrap();
    let (_, reply) = panel.0.api("GET", API, None);
    assert_eq!(reply["data"]["data"], json!({ "token": "new", "owner": "ops", "weight": 17 }));
}

#[tokio::test]
async fn what_somebody_else_wrote_meanwhile_is_not_overwritten() {
    let panel = Panel::with("old");
    let proxy = Proxy::start(panel.0.address());
    let issuer = panel.issuer(&proxy.address());
    proxy.set_for("POST", Fault::Delay(Duration::from_secs(2)), 1);
    let mine = secret("mine");
    let store = issuer.store_token(&mine);
    let other = async {
        crate::panel::eventually(|| !proxy.requests("POST").is_empty()).await;
        panel.put("theirs");
    };
    let (stored, ()) = tokio::join!(store, other);
    let failure = stored.unwrap_err();
    let message = "somebody else has written status_panel/d-1/token meanwhile";
    assert_eq!((failure.kind(), failure.message()), (Kind::Invalid, message));
    assert_eq!((there(&issuer).await.as_str(), panel.versions()), ("theirs", 2));
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_one_version() {
    let panel = Panel::with("old");
    let proxy = Proxy::start(panel.0.address());
    let issuer = panel.issuer(&proxy.address());
    for (count, fault) in (2..).zip([Fault::Reset, Fault::Cut(0), Fault::Cut(40)]) {
        proxy.set_for("POST", fault.clone(), 1);
        let rotation = issuer.rotate(&at_once([""; 0])).await.unwrap();
        assert_eq!(there(&issuer).await, rotation.token.expose(), "{fault:?}");
        assert_eq!((rotation.version, panel.versions()), (Some(count), count), "{fault:?}");
    }
    // The server never saw the first write: so it is made again.
    proxy.set_for("POST", Fault::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{".to_vec()), 1);
    issuer.store_token(&secret("at last")).await.unwrap();
    assert_eq!((there(&issuer).await.as_str(), panel.versions()), ("at last", 5));
}

/// An agent that serves its `/health`.
fn agent(refresh: &Arc<TokenRefresh>) -> String {
    agent_of(&Arc::new(Mutex::new(Arc::clone(refresh))))
}

/// The same of one that may be started anew.
fn agent_of(refresh: &Arc<Mutex<Arc<TokenRefresh>>>) -> String {
    let refresh = Arc::clone(refresh);
    let listener = Listener::start(move |_| {
        let health = refresh.lock().unwrap().health();
        answer(health.code(), "", &serde_json::to_string(&health).unwrap())
    });
    format!("{}/health", listener.address())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_waits_until_the_agents_show_it_and_names_those_who_do_not() {
    let panel = Panel::with("first");
    let (cut_off, proxy) = (Proxy::start(panel.0.address()), Proxy::start(panel.0.address()));
    let start = |address: &str| Arc::new(TokenRefresh::start(panel.hasty(address)).unwrap());
    let (one, two, lone) = (start(panel.0.address()), start(&proxy.address()), start(&cut_off.address()));
    for refresh in [&one, &two, &lone] {
        becomes(refresh, "first").await;
    }
    let agents = [agent(&one), agent(&two)];
    let issuer = panel.issuer(panel.0.address());
    let rotation = issuer.rotate(&RotationPlan::new(agents.clone())).await.unwrap();
    assert_eq!((rotation.shown.len(), rotation.missing.len(), rotation.version), (2, 0, Some(2)));
    for refresh in [&one, &two] {
        assert_eq!(token(refresh.tokens()), rotation.token.expose());
    }

    cut_off.set(Fault::Refuse);
    let nobody = "http://127.0.0.1:9/health".to_owned();
    let mut plan = at_once([agents[0].clone(), agent(&lone), nobody.clone()]);
    (plan.enough, plan.deadline, plan.even_if_unseen) = (3, Duration::from_secs(3), true);
    let begun = Instant::now();
    let mut rotation = issuer.rotate(&plan).await.unwrap();
    assert!((3..6).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(rotation.shown, agents[..1]);
    rotation.missing.sort_by_key(|(agent, _)| *agent == nobody);
    let [(lonely, why), (gone, reason)] = &rotation.missing[..] else { panic!("{rotation:?}") };
    assert_eq!((lonely, why.as_str()), (&plan.agents[1], "its last refresh failed"));
    assert!(*gone == nobody && reason.contains("cannot reach"), "{reason}");

    (plan.enough, plan.deadline) = (1, Duration::from_secs(90));
    let begun = Instant::now();
    assert_eq!(issuer.rotate(&plan).await.unwrap().shown, agents[..1]);
    assert!(begun.elapsed() < plan.deadline / 2, "nobody waits for the others: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_enough_agents_that_read_it_nothing_is_written_but_in_need() {
    let panel = Panel::with("first");
    let cut_off = Proxy::start(panel.0.address());
    let [sound, lone] = [panel.0.address(), &cut_off.address()]
        .map(|at| Arc::new(TokenRefresh::start(panel.hasty(at)).unwrap()));
    for refresh in [&sound, &lone] {
        becomes(refresh, "first").await;
    }
    cut_off.set(Fault::Refuse);
    crate::panel::eventually(|| lone.health().last_refresh_ok == Some(false)).await;
    let agents = [agent(&sound), agent(&lone), "http://127.0.0.1:9/health".to_owned()];
    let issuer = panel.issuer(panel.0.address());
    let failure = issuer.rotate(&at_once(&agents)).await.unwrap_err();
    let beginning = "nothing was written, since too few agents read the token: ";
    assert!(failure.kind() == Kind::Invalid && failure.message().starts_with(beginning), "{failure}");
    for part in [&format!("{}: its last refresh failed", agents[1]), &agents[2]] {
        assert!(failure.message().contains(part) && !failure.message().contains(&agents[0]), "{failure}");
    }
    assert_eq!(panel.versions(), 1);
    let enough = RotationPlan { enough: 1, ..at_once(&agents) };
    assert_eq!(issuer.rotate(&enough).await.unwrap().shown, agents[..1]);
    let leaked = RotationPlan { even_if_unseen: true, deadline: Duration::ZERO, ..at_once(&agents) };
    assert_eq!(issuer.rotate(&leaked).await.unwrap().missing.len(), 3);
    assert_eq!(panel.versions(), 3);
}

#[tokio::test]
async fn within_the_overlap_there_is_no_second_rotation_but_in_need() {
    let panel = Panel::with("first");
    let issuer = panel.issuer(panel.0.address());
    let second = issuer.rotate(&RotationPlan::new([""; 0])).await.unwrap();
    let failure = issuer.rotate(&RotationPlan::new([""; 0])).await.unwrap_err();
    let (kind, message, hint) = (failure.kind(), failure.message(), failure.advice().unwrap_or_default());
    assert!(
        kind == Kind::Invalid && message.starts_with("status_panel/d-1/token was written at 20"),
        "{message}"
    );
    assert!(
        hint.starts_with("rotate in 1") && hint.ends_with(" s, or now if it has leaked, with no overlap")
    );
    assert_eq!((there(&issuer).await.as_str(), panel.versions()), (second.token.expose(), 2));
    let short = RotationPlan { overlap: Duration::from_secs(1), ..RotationPlan::new([""; 0]) };
    tokio::time::timeout(Duration::from_secs(30), async { while issuer.rotate(&short).await.is_err() {} })
        .await
        .unwrap();
    assert_eq!(issuer.rotate(&at_once([""; 0])).await.unwrap().version, Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_outrun_by_another_rotation_does_not_say_that_it_is_shown() {
    let panel = Panel::with("first");
    let refresh = Arc::new(TokenRefresh::start(panel.hasty(panel.0.address())).unwrap());
    becomes(&refresh, "first").await;
    let (one, other) = (panel.issuer(panel.0.address()), panel.issuer(panel.0.address()));
    let plan = at_once([agent(&refresh)]);
    let outrunning = async {
        crate::panel::eventually(|| panel.versions() == 2).await;
        other.rotate(&at_once([""; 0])).await
    };
    let (outrun, outrunning) = tokio::join!(one.rotate(&plan), outrunning);
    let failure = outrun.unwrap_err();
    let message = "somebody else has written status_panel/d-1/token meanwhile";
    assert_eq!((failure.kind(), failure.message()), (Kind::Invalid, message));
    assert_eq!(there(&one).await, outrunning.unwrap().token.expose());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_starts_while_the_token_is_written_has_perhaps_the_old_one() {
    let panel = Panel::with("first");
    let proxy = Proxy::start(panel.0.address());
    let start = || async {
        let refresh = Arc::new(TokenRefresh::start(panel.settings(panel.0.address())).unwrap());
        becomes(&refresh, "first").await;
        refresh
    };
    let present = Arc::new(Mutex::new(start().await));
    let plan = RotationPlan { deadline: Duration::from_secs(3), ..RotationPlan::new([agent_of(&present)]) };
    proxy.set_for("POST", Fault::Delay(Duration::from_secs(2)), 1);
    let issuer = panel.issuer(&proxy.address());
    let anew = async {
        crate::panel::eventually(|| !proxy.requests("POST").is_empty()).await;
        let refresh = start().await;
        *present.lock().unwrap() = refresh;
    };
    let (rotation, ()) = tokio::join!(issuer.rotate(&plan), anew);
    let rotation = rotation.unwrap();
    let why = "its token came while the new one was being written".to_owned();
    assert_eq!((rotation.shown, rotation.missing), (vec![], vec![(plan.agents[0].clone(), why)]));
}

#[tokio::test]
async fn a_plan_that_cannot_be_followed_writes_nothing() {
    let panel = Panel::with("first");
    let issuer = TokenIssuer::new(client(&[panel.0.address()], panel.0.root_token()), crate::panel::place());
    for plan in [
        RotationPlan::new(["https://a:canary@b/health"]),
        RotationPlan { enough: 2, ..RotationPlan::new(["http://a"]) },
    ] {
        let failure = issuer.rotate(&plan).await.unwrap_err();
        assert!(failure.kind() == Kind::Invalid && !failure.to_string().contains("canary"), "{failure}");
    }
    assert_eq!(panel.versions(), 1);
}
