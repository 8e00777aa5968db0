//! Lives that cannot go on: what cannot be renewed is replaced while it is still good.

use std::sync::Arc;
use std::time::{Duration, Instant};

use leasehold::core::event::{End, Event};
use leasehold::core::name::VaultReference;
use leasehold::core::{Holding, Kind, Scope, SlotId};
use leasehold::credential::Credential;
use leasehold::identity::{Credentials, Identity, Method, Source};
use leasehold_testkit::{Fault, Postgres, Proxy, Server, record};
use serde_json::{Value, json};

use crate::ground::{namespace, reference, timed, until};
use crate::run::{
    CHILD, DYNAMIC, LOGIN, PATIENCE, Run, STATIC, TTL, accessor, approle, field, files, identity, journal,
    token,
};

/// The generation and the token of each value until this one.
async fn lives(credential: &mut Credential, generation: u32) -> Vec<String> {
    let mut seen = vec![token(credential)];
    let waited = tokio::time::timeout(PATIENCE, async {
        while credential.generation() < generation {
            credential.changed().await;
            assert!(credential.hold().is_some(), "never without a value");
            seen.push(token(credential));
        }
    });
    waited.await.expect("the next generation");
    seen
}

fn replaced(slot: SlotId) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Replaced { slot: at, .. } if *at == slot)
}

#[tokio::test(flavor = "current_thread")]
async fn the_longest_life_ends_in_a_replacement_of_all_that_hangs_below() {
    let (server, postgres) = (Server::start(), Postgres::start());
    server.database(&postgres, "app", "10m", "1h");
    let role = approle(&server, json!({ "token_ttl": "4s", "token_max_ttl": "7s" }));
    let before = server.accessors();
    let mut run = Run::start(server.address(), identity(&role), &journal(&server));
    let mut login = run.log_in().await;
    let child = run.ask(CHILD, Scope::Child, Some(LOGIN)).await.unwrap();
    let secret = run.secret(STATIC, "secret/db", LOGIN).await.unwrap();
    let dynamic = run.secret(DYNAMIC, "database/creds/app", CHILD).await.unwrap();
    let first_user = field(&dynamic, "username");
    let first = accessor(&login);
    let seen = lives(&mut login, 3).await;
    assert!(seen[0] != seen[1] && seen[1] != seen[2]);
    run.wait_for(1, replaced(CHILD)).await;
    run.wait_for(1, replaced(DYNAMIC)).await;
    let ended =
        run.told.iter().filter(|event| matches!(event, Event::Ended { .. } | Event::Failed { .. })).count();
    assert_eq!(ended, 0, "no value was ever withdrawn: {:?}", run.told);
    assert!(postgres.accepts(&field(&dynamic, "username"), &field(&dynamic, "password")));
    assert_ne!(field(&dynamic, "username"), first_user);
    until(|| !server.is_alive(&first));
    assert!(child.hold().is_some() && secret.generation() == 1);
    let owed = run.stop().await;
    assert!(owed.is_empty(), "{owed:?}");
    assert_eq!((server.accessors(), files(&journal(&server))), (before, 0));
    until(|| postgres.roles() == [postgres.user()]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_batch_token_is_replaced_and_never_renewed_or_revoked() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let role = approle(&server, json!({ "token_type": "batch", "token_ttl": "4s" }));
    let run = Run::start(&proxy.address(), identity(&role), &journal(&server));
    let mut login = run.log_in().await;
    assert!(run.secret(STATIC, "secret/db", LOGIN).await.is_ok());
    assert_eq!(lives(&mut login, 2).await.len(), 2);
    let failure = run.ask(CHILD, Scope::Child, Some(LOGIN)).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::Invalid, "{failure}");
    assert!(run.stop().await.is_empty());
    assert_eq!((proxy.requests("renew").len(), proxy.requests("revoke").len()), (0, 0));
    assert_eq!(files(&journal(&server)), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn a_lease_of_another_namespace_is_renewed_and_revoked_when_it_was_replaced() {
    let (server, postgres) = (Server::start(), Postgres::start());
    let root = server.root_token();
    assert_eq!(server.api("POST", "sys/namespaces/team", None).0, 200);
    let ask = |path: &str, body: Value| {
        let (status, reply) = server.api_as(root, "POST", path, Some(body), Some("team"));
        assert!(status < 300, "{path}: {reply}");
    };
    ask("sys/mounts/database", json!({ "type": "database" }));
    let url = postgres.url_for("{{username}}", "{{password}}");
    let (plugin, user, password) = ("postgresql-database-plugin", postgres.user(), postgres.password());
    ask(
        "database/config/postgres",
        json!({ "plugin_name": plugin, "connection_url": url, "username": user, "password": password, "allowed_roles": "*" }),
    );
    let create = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
    let role =
        json!({ "db_name": "postgres", "creation_statements": create, "default_ttl": "4s", "max_ttl": "8s" });
    ask("database/roles/app", role);
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    server.policy(
        "app",
        r#"path "team/database/creds/app" { capabilities = ["read"] }
        path "team/sys/leases/*" { capabilities = ["update"] }"#,
    );
    let mut run = Run::start(server.address(), identity(&role), &journal(&server));
    run.log_in().await;
    let place = VaultReference { namespace: Some(namespace("team")), ..reference("database/creds/app") };
    let dynamic = run.ask(DYNAMIC, Scope::Secret(place), Some(LOGIN)).await.unwrap();
    let first = field(&dynamic, "username");
    run.wait_for(1, |event| matches!(event, Event::Renewed { slot: DYNAMIC, .. } | Event::Failed { .. }))
        .await;
    assert!(matches!(run.told.last(), Some(Event::Renewed { .. })), "{:?}", run.told);
    run.wait_for(1, replaced(DYNAMIC)).await;
    run.wait_for(1, |event| matches!(event, Event::Settled { slot: DYNAMIC, .. } | Event::Owed { .. })).await;
    assert!(matches!(run.told.last(), Some(Event::Settled { .. })), "{:?}", run.told);
    until(|| !postgres.roles().contains(&first));
    run.stop().await;
}

#[tokio::test(flavor = "current_thread")]
async fn what_comes_when_the_end_has_begun_is_given_back_too() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    let before = server.accessors();
    proxy.set_for("login", Fault::Delay(Duration::from_millis(500)), 1);
    let run = Run::start(&proxy.address(), identity(&role), &journal(&server));
    let proxy = Arc::new(proxy);
    let eyes = Arc::clone(&proxy);
    let under_way = tokio::task::spawn_blocking(move || eyes.wait_for("login", 1));
    tokio::select! {
        asked = run.ask(LOGIN, Scope::Login, None) => panic!("answered too soon: {asked:?}"),
        _ = under_way => {}
    }
    assert!(run.stop().await.is_empty());
    assert_eq!(proxy.requests("revoke-self").len(), 1);
    assert_eq!(server.accessors(), before);
}

#[tokio::test(flavor = "current_thread")]
async fn a_login_whose_answer_is_lost_is_made_again_by_the_engine_alone() {
    let server = Server::start();
    let proxy = Proxy::start(server.address());
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    proxy.set_for("login", Fault::Cut(0), 1);
    let begin = Instant::now();
    let mut run = Run::start(&proxy.address(), identity(&role), &journal(&server));
    let failure = run.ask(LOGIN, Scope::Login, None).await.unwrap_err();
    assert_eq!((failure.kind(), proxy.requests("login").len()), (Kind::Unreachable, 1));
    run.wait_for(1, |event| matches!(event, Event::Obtained { slot: LOGIN, .. })).await;
    let time = begin.elapsed();
    assert!(time >= Duration::from_secs(1) && time < Duration::from_secs(4), "{time:?}");
    assert_eq!(proxy.requests("login").len(), 2);
    assert!(run.stop().await.is_empty());
}

/// What the server says is left of a lease.
fn lease_left(server: &Server, id: &str) -> u64 {
    let (status, reply) = server.api("POST", "sys/leases/lookup", Some(json!({ "lease_id": id })));
    assert_eq!(status, 200, "{reply}");
    reply["data"]["ttl"].as_u64().unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn row_24_a_lease_is_never_shown_longer_than_it_is_nor_served_once_revoked() {
    let (server, postgres) = (Server::start(), Postgres::start());
    server.database(&postgres, "app", "1m", "1h");
    let role = approle(&server, json!({ "token_ttl": "10m" }));
    let mut run = Run::start(server.address(), identity(&role), &journal(&server));
    run.log_in().await;
    run.ask(CHILD, Scope::Child, Some(LOGIN)).await.unwrap();
    let lease = run.secret(DYNAMIC, "database/creds/app", CHILD).await.unwrap();
    let grant = lease.hold().unwrap();
    let Holding::Lease { id } = &grant.lease.holding else { panic!("a lease") };
    let status = run.engine.status().await;
    let shown = status.iter().find(|status| status.slot == DYNAMIC).unwrap().expiry.unwrap();
    let shown = shown - leasehold::clock::Clock::default().now();
    // The server says a minute, and the token below which it hangs lives for four seconds.
    assert!(shown <= TTL && shown.as_secs() <= lease_left(&server, id), "{shown:?}");

    let body = json!({ "lease_id": **id, "sync": true });
    assert_eq!(server.api("POST", "sys/leases/revoke", Some(body)).0, 204);
    let (next, time) = timed(run.engine.successor(DYNAMIC, Some(Arc::clone(&grant)))).await;
    let next = next.unwrap();
    assert!(!Arc::ptr_eq(&next, &grant) && time < Duration::from_secs(2), "{time:?}");
    let user = next.fields.field("username").unwrap().expose().to_owned();
    assert!(postgres.roles().contains(&user));

    run.engine.release(DYNAMIC);
    run.wait_for(1, |event| matches!(event, Event::Ended { slot: DYNAMIC, end: End::Released })).await;
    assert!(lease.hold().is_none(), "withdrawn before it is revoked");
    assert!(run.stop().await.is_empty());
    until(|| !postgres.roles().contains(&user));
    record(
        "24b",
        &format!(
            "a lease that somebody reports as dead is replaced in {} ms; its time is shown as that of the token above it \
             ({} s of 60 s); after our own revoke it is not served",
            time.as_millis(),
            TTL.as_secs()
        ),
    );
}

#[tokio::test(flavor = "current_thread")]
async fn row_35_a_wrong_password_locks_nobody_out() {
    let server = Server::start();
    server.policy("app", crate::run::APP);
    server.auth_method("userpass", "userpass");
    let user = json!({ "password": "right", "token_policies": "app" });
    assert_eq!(server.api("POST", "auth/userpass/users/web", Some(user)).0, 204);
    let proxy = Proxy::start(server.address());
    let file = server.folder().join("password");
    let write = |password: &str| std::fs::write(&file, password).unwrap();
    write("wrong");
    let credentials = Credentials::Userpass { username: "web".into(), password: Source::File(file.clone()) };
    let identity = Identity::Login(Box::new(Method::new(credentials, None, None)));
    let mut run = Run::start(&proxy.address(), identity, &journal(&server));
    let failure = run.ask(LOGIN, Scope::Login, None).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::NeedsLogin, "{failure}");
    run.wait_for(1, |event| matches!(event, Event::Halted { slot: LOGIN })).await;
    assert_eq!(proxy.requests("login/web").len(), 3);
    write("wrong again");
    run.wait_for(2, |event| matches!(event, Event::Halted { slot: LOGIN })).await;
    assert_eq!(proxy.requests("login/web").len(), 4);

    // The next has to wait for a quarter of an hour, though it would go well: who else logs in is not locked out.
    write("right");
    let due = loop {
        let status = run.engine.status().await;
        match status[0].due {
            Some(due) => break due - leasehold::clock::Clock::default().now(),
            None => tokio::task::yield_now().await,
        }
    };
    assert!(due > Duration::from_secs(850), "{due:?}");
    let (status, _) =
        server.api_as("", "POST", "auth/userpass/login/web", Some(json!({ "password": "right" })), None);
    assert_eq!((status, proxy.requests("login/web").len()), (200, 4));
    assert!(run.stop().await.is_empty());
    record(
        "35b",
        "a wrong password: 3 refused logins, 1 more when its file changes, then none for 15 min whatever changes; the \
         server locks nobody out",
    );
}
