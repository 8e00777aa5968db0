//! The engine: a tree of tokens and leases that lives as long as it is wanted and leaves nothing behind.

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use leasehold::client::VaultClient;
use leasehold::core::event::{End, Event};
use leasehold::core::{Holding, Kind, Policy, Scope, SlotId};
use leasehold::credential::Credential;
use leasehold::journal::{Leftover, What, leftovers};
use leasehold::session::{Session, SessionSettings};
use leasehold::vault::token::{Lookup, Subject};
use leasehold_testkit::{AppRole, Canaries, Fault, Postgres, Proxy, Server};
use serde_json::json;

use crate::ground::{assert_failure, reference, settings, timed, until};
use crate::run::{
    APP, CHILD, DYNAMIC, LOGIN, PATIENCE, Run, STATIC, TTL, accessor, approle, brought, changed, field,
    files, identity, journal, token,
};

#[tokio::test(flavor = "current_thread")]
async fn a_tree_lives_beyond_its_leases_and_leaves_nothing_behind() {
    let (server, postgres) = (Server::start(), Postgres::start());
    server.database(&postgres, "app", "4s", "1h");
    let role = approle(&server, json!({}));
    let before = server.accessors();
    let mut run = Run::start(server.address(), identity(&role), &journal(&server));
    let login = run.log_in().await;
    let child = run.ask(CHILD, Scope::Child, Some(LOGIN)).await.unwrap();
    let mut secret = run.secret(STATIC, "secret/db", LOGIN).await.unwrap();
    let dynamic = run.secret(DYNAMIC, "database/creds/app", CHILD).await.unwrap();
    let (user, password) = (field(&dynamic, "username"), field(&dynamic, "password"));
    let mut canaries = Canaries::default();
    for text in [&token(&login), &token(&child), &password, &role.secret_id] {
        canaries.watch(text);
    }
    assert_eq!((postgres.accepts(&user, &password), server.leases("database/creds/app").len()), (true, 1));
    for slot in [LOGIN, CHILD, DYNAMIC] {
        run.wait_for(
            2,
            |event| matches!(event, Event::Renewed { slot: at, extends: true, .. } if *at == slot),
        )
        .await;
    }
    assert_eq!((login.generation(), child.generation(), dynamic.generation()), (1, 1, 1));
    let alive = [server.is_alive(&accessor(&login)), server.is_alive(&accessor(&child))];
    assert_eq!((alive, postgres.accepts(&user, &password)), ([true, true], true));

    server.put_secret("secret/db", json!({ "a": "two" }));
    let ((), time) = timed(changed(&mut secret)).await;
    assert_eq!(field(&secret, "a"), "two");
    assert!(time < Duration::from_millis(1900), "a change was seen after {time:?}");
    let held = [accessor(&login), accessor(&child)];
    canaries.assert_absent(
        format!("{:?} {:?} {login:?} {dynamic:?}", run.engine, run.told).as_bytes(),
        "debug texts",
    );
    for file in journal(&server).read_dir().unwrap() {
        canaries.assert_absent(&std::fs::read(file.unwrap().path()).unwrap(), "the journal");
    }
    let (owed, time) = timed(run.stop()).await;
    assert!(owed.is_empty() && time < Duration::from_secs(3), "{owed:?} after {time:?}");
    assert!(held.iter().all(|accessor| !server.is_alive(accessor)));
    assert_eq!(server.accessors(), before);
    // The server revokes what hangs below a token in its own time, though soon.
    until(|| server.leases("database/creds/app").is_empty() && postgres.roles() == [postgres.user()]);
    assert_eq!(files(&journal(&server)), 0);
    assert!(login.hold().is_none() && dynamic.hold().is_none());
}

#[tokio::test(flavor = "current_thread")]
async fn a_token_that_was_revoked_is_replaced_within_a_second() {
    let server = Server::start();
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    let mut run = Run::start(server.address(), identity(&role), &journal(&server));
    let mut login = run.log_in().await;
    let secret = run.secret(STATIC, "secret/db", LOGIN).await.unwrap();
    let revoke = |credential: &Credential| {
        let body = json!({ "accessor": accessor(credential) });
        assert_eq!(server.api("POST", "auth/token/revoke-accessor", Some(body)).0, 204);
    };
    // A token that is revoked within ten seconds of its login is replaced two seconds later, lest that go on for ever.
    run.wait_for(11, |event| matches!(event, Event::Refreshed { slot: STATIC, .. })).await;
    revoke(&login);
    let first = token(&login);
    run.engine.reject(LOGIN, login.generation());
    let good = async {
        while login.hold().is_none_or(|grant| grant.token().unwrap().expose() == first) {
            login.changed().await;
        }
    };
    let ((), time) = timed(good).await;
    assert!(time < Duration::from_secs(1), "good again after {time:?}");
    assert!(server.is_alive(&accessor(&login)));
    assert!(secret.hold().is_some(), "a static secret stays");
    run.wait_for(1, |event| matches!(event, Event::Ended { slot: LOGIN, end: End::Revoked })).await;

    // Nobody says so this time: the next reading of the secret finds out.
    revoke(&login);
    let ((), time) =
        timed(run.wait_for(2, |event| matches!(event, Event::Obtained { slot: LOGIN, .. }))).await;
    assert!(time < Duration::from_secs(4), "found out after {time:?}");
    run.engine.reject(LOGIN, 1);
    assert!(run.stop().await.is_empty());
    assert_eq!((server.accessors().len(), files(&journal(&server))), (1, 0));
}

#[tokio::test(flavor = "current_thread")]
async fn a_token_that_is_wrongly_suspected_stays() {
    let server = Server::start();
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    let mut run = Run::start(server.address(), identity(&role), &journal(&server));
    let login = run.log_in().await;
    run.engine.reject(LOGIN, login.generation());
    run.wait_for(1, |event| matches!(event, Event::Checked { slot: LOGIN, .. })).await;
    assert_eq!((login.generation(), server.is_alive(&accessor(&login))), (1, true));
    assert!(run.stop().await.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn a_brought_token_is_kept_alive_and_never_revoked() {
    let server = Server::start();
    server.put_secret("secret/db", json!({ "a": "one" }));
    let ours = server.token(json!({ "ttl": "4s", "explicit_max_ttl": "1h" }));
    let mut run = Run::start(server.address(), brought(&ours), &journal(&server));
    let login = run.log_in().await;
    let child = run.ask(CHILD, Scope::Child, Some(LOGIN)).await.unwrap();
    let (kept, child) = (accessor(&login), accessor(&child));
    run.wait_for(2, |event| matches!(event, Event::Renewed { slot: LOGIN, extends: true, .. })).await;
    assert!(run.stop().await.is_empty());
    assert_eq!((server.is_alive(&kept), server.is_alive(&child)), (true, false));
    assert_eq!(files(&journal(&server)), 0);

    let run = Run::start(server.address(), brought(server.root_token()), &journal(&server));
    let root = run.log_in().await;
    assert_eq!(root.hold().unwrap().lease.ttl, None);
    assert!(run.secret(STATIC, "secret/db", LOGIN).await.is_ok());
    assert!(run.stop().await.is_empty());
    assert_eq!(server.api("GET", "auth/token/lookup-self", None).0, 200);
}

#[tokio::test(flavor = "current_thread")]
async fn a_brought_token_that_may_not_look_at_itself_is_taken_as_it_is() {
    let server = Server::start();
    server.put_secret("secret/db", json!({ "a": "one" }));
    server.policy("app", APP);
    let narrow = server.token(json!({ "policies": ["app"], "no_default_policy": true, "ttl": "60s" }));
    let run = Run::start(server.address(), brought(&narrow), &journal(&server));
    let login = run.log_in().await;
    assert_eq!(login.hold().unwrap().lease.ttl, None);
    assert!(run.secret(STATIC, "secret/db", LOGIN).await.is_ok());
    assert!(run.stop().await.is_empty());
    assert_eq!(server.api_as(&narrow, "GET", "secret/data/db", None, None).0, 200);
}

#[tokio::test(flavor = "current_thread")]
async fn a_brought_token_that_is_dead_is_told_so_to_all_who_wait() {
    let server = Server::start();
    let dead = server.token(json!({ "ttl": "60s" }));
    server.api_as(&dead, "POST", "auth/token/revoke-self", None, None);
    let run = Run::start(server.address(), brought(&dead), &journal(&server));
    for failure in [
        run.ask(LOGIN, Scope::Login, None).await.unwrap_err(),
        run.secret(STATIC, "secret/db", LOGIN).await.unwrap_err(),
    ] {
        let hint = "set VAULT_TOKEN to a live one, or configure a login: --auth METHOD";
        assert_failure(&failure, Kind::NeedsLogin, "the token is not valid (any more)", hint);
        assert!(!format!("{failure:?}").contains(&dead));
    }
    assert!(run.stop().await.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn what_may_not_be_revoked_is_told_and_stays_in_the_journal() {
    let server = Server::start();
    let role = approle(&server, json!({ "token_no_default_policy": true, "token_ttl": "10m" }));
    let mut run = Run::start(server.address(), identity(&role), &journal(&server));
    let accessor = accessor(&run.log_in().await);
    let mut events = run.engine.events();
    let (owed, time) = timed(run.engine.stop(PATIENCE)).await;
    assert!(time < Duration::from_secs(1), "{time:?}");
    let [owed] = &owed[..] else { panic!("{owed:?}") };
    assert_eq!(owed.what, What::Token(accessor.clone()));
    let failure = owed.failure.as_ref().unwrap();
    let message = "the token's policies do not allow it (writing auth/token/revoke-self)";
    let hint = r#"path "auth/token/revoke-self" { capabilities = ["update"] }"#;
    assert_failure(failure, Kind::Denied, message, hint);
    run.told.extend(std::iter::from_fn(|| events.try_recv().ok()));
    assert!(run.told.iter().any(|event| matches!(event, Event::Owed { slot: LOGIN, .. })), "{:?}", run.told);
    let left = leftovers(&journal(&server));
    assert_eq!((left.len(), &left[0].held[0].what), (1, &What::Token(accessor.clone())));
    assert!(server.is_alive(&accessor));
}

#[tokio::test(flavor = "current_thread")]
async fn a_server_that_is_away_does_not_hold_up_the_end() {
    for fault in [Fault::Hang, Fault::Refuse] {
        end_without_server(fault).await;
    }
}

/// Ends while the server is away in this manner: what is held is given back by the next run there.
async fn end_without_server(fault: Fault) {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    let run = Run::start(&proxy.address(), identity(&role), &journal(&server));
    let held = accessor(&run.log_in().await);
    proxy.set(fault);
    let (owed, time) = timed(run.engine.stop(Duration::from_secs(1))).await;
    assert!(time >= Duration::from_secs(1) && time < Duration::from_secs(2), "{time:?}");
    assert_eq!(owed.iter().map(|owed| owed.what.clone()).collect::<Vec<_>>(), [What::Token(held.clone())]);
    assert_eq!(leftovers(&journal(&server)).len(), 1);

    proxy.set(Fault::Pass);
    server.policy(
        "app",
        &format!("{APP} path \"auth/token/revoke-accessor\" {{ capabilities = [\"update\"] }}"),
    );
    let session = session(&server, &proxy, &role);
    session.log_in().await.unwrap();
    session.recovered(PATIENCE).await;
    assert!(session.close(PATIENCE).await.is_empty());
    assert!(!server.is_alive(&held));
    assert_eq!(files(&journal(&server)), 0);
}

/// A session whose journal is where that of a [`Run`] is.
fn session(server: &Server, proxy: &Proxy, role: &AppRole) -> Session {
    let client = VaultClient::new(&settings(&[&proxy.address()]), None).unwrap();
    let (identity, policy) = (identity(role), Policy::default());
    let (state_dir, start_spread) = (server.folder().to_owned(), Duration::ZERO);
    Session::start(SessionSettings { client, identity, state_dir, parent_ttl: TTL, start_spread, policy })
        .unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn a_session_whose_token_was_revoked_gives_what_is_asked_for_all_the_same() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    let session = session(&server, &proxy, &role);
    let body = json!({ "accessor": accessor(session.log_in().await.unwrap()) });
    assert_eq!(server.api("POST", "auth/token/revoke-accessor", Some(body)).0, 204);
    let secret = session.ask(&reference("secret/db")).await.unwrap();
    assert_eq!(field(&secret, "a"), "one");
    assert_eq!((proxy.requests("lookup-self").len(), proxy.requests("login").len()), (1, 2));
    assert!(session.close(PATIENCE).await.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn a_server_that_is_slow_fails_nobody_who_waits() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    let run = Run::start(&proxy.address(), identity(&role), &journal(&server));
    let own = run.client.with_token(run.log_in().await.hold().unwrap().token().unwrap().clone());
    let slow = Duration::from_millis(2500);
    // It refuses to say how it is, or is silent about it and answers others.
    for (slot, health) in [(10, Fault::Answer(403, "{}".into())), (11, Fault::Hang)] {
        proxy.set(Fault::Pass);
        proxy.set_for("sys/health", health.clone(), usize::MAX);
        proxy.set_for("token/create", Fault::Delay(slow), 1);
        let others = async {
            let mut beat = tokio::time::interval(Duration::from_millis(200));
            loop {
                beat.tick().await;
                own.send(&Lookup(Subject::Own)).await.unwrap();
            }
        };
        let (looks, begin) = (proxy.requests("sys/health").len(), Instant::now());
        tokio::select! {
            child = run.ask(SlotId(slot), Scope::Child, Some(LOGIN)) => { child.unwrap(); }
            () = others => {}
        }
        assert!(begin.elapsed() >= slow && proxy.requests("sys/health").len() > looks, "{health:?}");
    }
    assert!(run.stop().await.is_empty());
}

#[tokio::test(flavor = "current_thread")]
async fn a_login_is_made_as_short_as_its_parent_where_that_is_possible() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let (ttl, long) = (TTL.as_secs(), 600);
    for (options, granted, asked) in [
        (json!({ "token_ttl": "10m" }), ttl, 1),
        (json!({ "token_ttl": "10m", "token_explicit_max_ttl": "20m" }), ttl, 1),
        (json!({ "token_ttl": "10m", "token_max_ttl": "20m" }), ttl, 1),
        (json!({ "token_ttl": "3s" }), 3, 0),
        (json!({ "token_period": "10m" }), long, 1),
        (json!({ "token_ttl": "10m", "token_no_default_policy": true }), long, 1),
        (json!({ "token_ttl": "10m", "token_num_uses": 9 }), long, 0),
        (json!({ "token_ttl": "10m", "token_type": "batch" }), long, 0),
    ] {
        let role = approle(&server, options.clone());
        let before = proxy.requests("renew-self").len();
        let run = Run::start(&proxy.address(), identity(&role), &journal(&server));
        let lease = run.log_in().await.hold().unwrap().lease.clone();
        assert_eq!(proxy.requests("renew-self").len() - before, asked, "{options}");
        assert_eq!(lease.ttl.unwrap().as_secs(), granted, "{options}");
        if let Holding::Token { accessor: Some(accessor) } = &lease.holding {
            let body = json!({ "accessor": accessor });
            let (_, reply) = server.api("POST", "auth/token/lookup-accessor", Some(body));
            let told = reply["data"]["ttl"].as_u64().unwrap();
            assert!(told <= granted && told + 2 >= granted, "{options}: {told}");
        }
        run.stop().await;
        server.api("DELETE", "auth/approle/role/app", None);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_login_of_which_nobody_knows_whether_it_was_made_short_counts_as_short() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    for fault in [Fault::Cut(0), Fault::Answer(503, "{}".into()), Fault::Hang] {
        proxy.set(Fault::Pass);
        proxy.set_for("renew-self", fault.clone(), 9);
        let mut run = Run::start(&proxy.address(), identity(&role), &journal(&server));
        let (login, time) = timed(run.log_in()).await;
        assert_eq!(login.hold().unwrap().lease.ttl, Some(TTL), "{fault:?}");
        assert!(time < Duration::from_secs(3), "{fault:?}: {time:?}");
        proxy.set(Fault::Pass);
        run.wait_for(1, |event| matches!(event, Event::Renewed { slot: LOGIN, ttl: Some(TTL), .. })).await;
        assert_eq!((login.generation(), run.stop().await.len()), (1, 0), "{fault:?}");
    }
}

const DOOMED: &str = "LEASEHOLD_TEST_DOOMED";

/// What a run obtains that is then killed; its environment names the server and the role.
async fn doomed_run(orders: &str) -> ! {
    let [address, role_id, secret_id, folder] = orders.split('|').collect::<Vec<_>>()[..] else {
        panic!("{orders}")
    };
    let role = AppRole { role_id: role_id.into(), secret_id: secret_id.into() };
    let run = Run::start(address, identity(&role), Path::new(folder));
    run.log_in().await;
    run.ask(CHILD, Scope::Child, Some(LOGIN)).await.unwrap();
    run.secret(DYNAMIC, "database/creds/app", CHILD).await.unwrap();
    std::process::abort();
}

#[tokio::test(flavor = "current_thread")]
async fn a_run_that_is_killed_leaves_a_journal_of_all_it_held() {
    if let Ok(orders) = env::var(DOOMED) {
        doomed_run(&orders).await;
    }
    let (server, postgres) = (Server::start(), Postgres::start());
    server.database(&postgres, "app", "10m", "1h");
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    let folder = journal(&server);
    let before = server.accessors();
    let orders = format!("{}|{}|{}|{}", server.address(), role.role_id, role.secret_id, folder.display());
    let test = "engine::a_run_that_is_killed_leaves_a_journal_of_all_it_held";
    let mut doomed = Command::new(env::current_exe().unwrap());
    let output = doomed.args(["--exact", test]).env(DOOMED, orders).output().unwrap();
    assert!(!output.status.success());
    let left = leftovers(&folder);
    let [Leftover { held, header, .. }] = &left[..] else { panic!("{left:?}") };
    assert_eq!(header.address, server.address());
    let mut named: Vec<_> = held.iter().map(|entry| entry.what.clone()).collect();
    let mut alive: Vec<_> =
        server.accessors().into_iter().filter(|one| !before.contains(one)).map(What::Token).collect();
    alive.extend(server.leases("database/creds/app").into_iter().map(What::Lease));
    named.sort();
    alive.sort();
    assert_eq!((named.len(), named), (3, alive), "what is alive is what the journal says");
    drop(left);
    // Nobody renews the run's own token: what hangs below it ends with it.
    let time = until(|| postgres.roles().len() == 1);
    assert!(time < TTL + Duration::from_secs(2), "the database login lived on for {time:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn an_engine_that_is_dropped_leaves_its_journal_to_the_next() {
    let server = Server::start();
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    let run = Run::start(server.address(), identity(&role), &journal(&server));
    let held = accessor(&run.log_in().await);
    assert!(leftovers(&journal(&server)).is_empty(), "the journal of a living run is its own");
    drop(run);
    // The loop ends when the runtime next looks at it.
    tokio::task::yield_now().await;
    let left = leftovers(&journal(&server));
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].held[0].what, What::Token(held));
}

#[tokio::test(flavor = "current_thread")]
async fn a_login_that_is_refused_and_a_child_that_is_not_allowed() {
    let server = Server::start();
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    server.policy("app", r#"path "secret/data/db" { capabilities = ["read"] }"#);
    let run = Run::start(server.address(), identity(&role), &journal(&server));
    run.log_in().await;
    let failure = run.ask(CHILD, Scope::Child, Some(LOGIN)).await.unwrap_err();
    let message = "the token's policies do not allow it (writing auth/token/create)";
    assert_failure(
        &failure,
        Kind::Denied,
        message,
        r#"path "auth/token/create" { capabilities = ["update"] }"#,
    );
    let below = run.secret(DYNAMIC, "database/creds/app", CHILD).await.unwrap_err();
    assert_eq!(below.kind(), Kind::Denied);
    assert!(run.secret(STATIC, "secret/db", LOGIN).await.is_ok());
    assert!(run.stop().await.is_empty());
    let wrong = AppRole { secret_id: "wrong".into(), ..role };
    let run = Run::start(server.address(), identity(&wrong), &journal(&server));
    let failure = run.ask(LOGIN, Scope::Login, None).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::NeedsLogin);
    assert!(run.stop().await.is_empty());
    assert_eq!((server.accessors().len(), files(&journal(&server))), (1, 0));
}

#[tokio::test(flavor = "current_thread")]
async fn what_one_asks_for_twice_is_fetched_once_and_an_outage_changes_nothing() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    let mut run = Run::start(&proxy.address(), identity(&role), &journal(&server));
    let (first, second) =
        tokio::join!(run.ask(LOGIN, Scope::Login, None), run.ask(LOGIN, Scope::Login, None));
    assert_eq!((token(&first.unwrap()) == token(&second.unwrap()), proxy.requests("login").len()), (true, 1));
    let secret = run.secret(STATIC, "secret/db", LOGIN).await.unwrap();
    proxy.set(Fault::Refuse);
    run.wait_for(2, |event| matches!(event, Event::Failed { slot: STATIC, .. })).await;
    assert_eq!(field(&secret, "a"), "one");
    server.put_secret("secret/db", json!({ "a": "two" }));
    proxy.set(Fault::Pass);
    run.wait_for(1, |event| matches!(event, Event::Refreshed { slot: STATIC, changed: true })).await;
    assert_eq!((field(&secret, "a"), run.engine.status().await.len()), ("two".to_owned(), 2));
    assert!(run.stop().await.is_empty());
}
