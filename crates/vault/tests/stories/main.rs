//! What this crate makes of a real server's words. One story a test, told from the fixtures that `record.py`
//! recorded; each step also checks that the call is the one the server accepted, and that nothing shows a secret.

#![allow(clippy::unwrap_used, reason = "a test that meets what it does not expect fails there")]

mod story;

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_core::name::{Namespace, Path};
use leasehold_core::{Failure, Fields, Kind, Retry, Secret};
use leasehold_vault::kv::{self, Version};
use leasehold_vault::login::{AppRole, Userpass};
use leasehold_vault::system::{self, Table};
use leasehold_vault::token::{self, Subject};
use leasehold_vault::wrapping::{self, Unwrapped};
use leasehold_vault::{LeaseId, List, Login, Operation, TokenKind, lease, policy, secret};
use story::Story;

fn path(text: &str) -> Path {
    Path::parse(text).unwrap()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn fields(entries: &[(&str, &str)]) -> Fields {
    entries.iter().map(|(name, value)| (*name, Secret::new(*value))).collect()
}

/// What a caller sees of a failure.
fn kind<T: std::fmt::Debug>(result: Result<T, Failure>) -> Kind {
    result.unwrap_err().kind()
}

fn read(text: &str) -> secret::Read {
    secret::Read { path: path(text), is_dynamic: false }
}

fn approle(role_id: &str, secret_id: Option<&str>) -> Login {
    Login::AppRole(AppRole {
        mount: None,
        role_id: Secret::new(role_id),
        secret_id: secret_id.map(Secret::new),
    })
}

fn userpass(password: &str) -> Login {
    Login::Userpass(Userpass { mount: None, username: "ann".into(), password: Secret::new(password) })
}

#[test]
fn a_login_by_approle() {
    let mut story = Story::of("login-approle");
    let role_id = story.tell("role-id", &read("auth/approle/role/app/role-id")).unwrap().fields;
    let secret_id =
        secret::Write { path: path("auth/approle/role/app/secret-id"), fields: Fields::default() };
    let issued = story.tell("secret-id", &secret_id).unwrap().unwrap().fields;
    assert_eq!(issued.names().count(), 4);

    let role_id = role_id.field("role_id").unwrap().expose();
    let auth = story.tell("login", &approle(role_id, issued.field("secret_id").map(Secret::expose))).unwrap();
    assert_eq!((auth.lease_duration, auth.renewable, auth.orphan), (seconds(3600), true, true));
    assert_eq!((auth.token_type, auth.policies), (TokenKind::Service, vec!["default".to_owned()]));
    assert_eq!(auth.metadata["role_name"], "app");

    let record = story.tell("lookup-self", &token::Lookup(Subject::Itself(auth.client_token))).unwrap();
    assert_eq!((record.role_name(), &record.accessor), (Some("app"), &auth.accessor));

    let wrapped = story.tell("wrapped-secret-id", &secret_id.wrapped(seconds(60))).unwrap();
    let origin = story.tell("origin", &wrapping::LookupWrap { token: wrapped.token.clone() }).unwrap();
    assert_eq!(origin.creation_path, "auth/approle/role/app/secret-id");
    assert_eq!(origin.creation_ttl, wrapped.ttl);
    let inside = story.tell("unwrap", &wrapping::Unwrap { token: wrapped.token }).unwrap();
    assert!(matches!(inside, Unwrapped::Fields(fields) if fields.field("secret_id").is_some()));
    story.end();
}

#[test]
fn a_login_by_name_and_password() {
    let mut story = Story::of("login-userpass");
    let auth = story.tell("login", &userpass("canary-password")).unwrap();
    assert_eq!(auth.metadata["username"], "ann");
    assert!(auth.entity_id.is_some());
    story.end();
}

#[test]
fn logins_that_are_refused() {
    let mut story = Story::of("login-refused");
    let login = approle("canary-role", Some("canary-secret"));
    let wrong = story.tell("wrong-role", &login).unwrap_err();
    assert_eq!(wrong.kind(), Kind::NeedsLogin);
    assert_eq!(wrong.message(), "the server refuses the approle login at auth/approle");
    assert_eq!(kind(story.tell("no-secret-id", &approle("canary-role", None))), Kind::NeedsLogin);
    story.skip("no-role-id");
    assert_eq!(kind(story.tell("wrong-password", &userpass("canary-wrong"))), Kind::NeedsLogin);
    let locked = story.tell("locked-out", &userpass("canary-right")).unwrap_err();
    assert_eq!(locked.kind(), Kind::NeedsLogin);
    assert!(locked.advice().unwrap().contains("locks the name"));
    let elsewhere = Login::AppRole(AppRole {
        mount: Some(path("nowhere")),
        role_id: Secret::new("canary-role"),
        secret_id: Some(Secret::new("canary-secret")),
    });
    assert_eq!(kind(story.tell("no-such-mount", &elsewhere)), Kind::NeedsLogin);
    story.end();
}

#[test]
fn the_life_of_a_token() {
    let mut story = Story::of("token-life");
    let create = token::Create {
        ttl: Some(seconds(3600)),
        policies: vec!["default".into()],
        display_name: Some("story".into()),
        meta: BTreeMap::from([("agent".into(), "research".into())]),
        ..token::Create::default()
    };
    let auth = story.tell("create", &create).unwrap();
    let itself = || Subject::Itself(auth.client_token.clone());
    let by_token = || Subject::Token(auth.client_token.clone());
    let by_accessor = || Subject::Accessor(auth.accessor.clone());

    let record = story.tell("lookup-self", &token::Lookup(itself())).unwrap();
    assert_eq!((record.ttl, record.creation_ttl), (Some(seconds(3600)), Some(seconds(3600))));
    assert_eq!((record.display_name.as_str(), record.meta["agent"].as_str()), ("token-story", "research"));
    assert_eq!((record.path.as_str(), record.orphan, record.uses_left), ("auth/token/create", false, None));
    let same = story.tell("lookup-accessor", &token::Lookup(by_accessor())).unwrap();
    assert_eq!(same.accessor, record.accessor);

    let renew = |subject, increment| token::Renew { subject, increment: Some(seconds(increment)) };
    let renewal = story.tell("renew-self", &renew(itself(), 7200)).unwrap();
    assert_eq!((renewal.lease_duration, renewal.renewable), (seconds(7200), true));
    let renewal = story.tell("renew-accessor", &renew(by_accessor(), 60)).unwrap();
    assert_eq!((renewal.lease_duration, renewal.warnings.is_empty()), (seconds(60), true));

    story.tell("revoke-self", &token::Revoke(itself())).unwrap();
    assert_eq!(kind(story.tell("lookup-dead-self", &token::Lookup(itself()))), Kind::Expired);
    assert_eq!(kind(story.tell("lookup-dead", &token::Lookup(by_token()))), Kind::Expired);
    assert_eq!(kind(story.tell("lookup-dead-accessor", &token::Lookup(by_accessor()))), Kind::Expired);
    let renew_dead = token::Renew { subject: by_token(), increment: None };
    assert_eq!(kind(story.tell("renew-dead", &renew_dead)), Kind::Expired);
    story.tell("revoke-dead", &token::Revoke(by_token())).unwrap();
    story.tell("revoke-dead-accessor", &token::Revoke(by_accessor())).unwrap();
    story.end();
}

#[test]
fn the_kinds_of_token() {
    let mut story = Story::of("token-kinds");
    let root = story.tell("root", &token::Lookup(Subject::Own)).unwrap();
    assert!(root.is_endless() && root.orphan && !root.renewable);
    let renew = |subject, increment| token::Renew { subject, increment };
    assert_eq!(kind(story.tell("renew-root", &renew(Subject::Own, None))), Kind::Invalid);

    let base = || token::Create { policies: vec!["default".into()], ..token::Create::default() };
    let ttl = Some(seconds(60));
    let batch = story.tell("create-batch", &token::Create { ttl, kind: TokenKind::Batch, ..base() }).unwrap();
    assert_eq!((batch.accessor.as_str(), batch.renewable, batch.token_type), ("", false, TokenKind::Batch));
    let subject = || Subject::Token(batch.client_token.clone());
    assert_eq!(story.tell("lookup-batch", &token::Lookup(subject())).unwrap().kind, TokenKind::Batch);
    assert_eq!(kind(story.tell("renew-batch", &renew(subject(), None))), Kind::Invalid);
    assert_eq!(kind(story.tell("revoke-batch", &token::Revoke(subject()))), Kind::Invalid);

    let periodic = token::Create { period: Some(seconds(300)), ..base() };
    let periodic = story.tell("create-periodic", &periodic).unwrap();
    let subject = || Subject::Token(periodic.client_token.clone());
    let record = story.tell("lookup-periodic", &token::Lookup(subject())).unwrap();
    assert_eq!((record.period, record.explicit_max_ttl), (Some(seconds(300)), None));
    let renewal = story.tell("renew-periodic", &renew(subject(), Some(seconds(3600)))).unwrap();
    assert_eq!(renewal.lease_duration, seconds(300));

    let limited = story.tell("create-limited", &token::Create { num_uses: 2, ..base() }).unwrap();
    let itself = || token::Lookup(Subject::Itself(limited.client_token.clone()));
    assert_eq!((limited.num_uses, story.tell("first-use", &itself()).unwrap().uses_left), (2, Some(1)));
    assert_eq!(story.tell("last-use", &itself()).unwrap().uses_left, Some(0));
    assert_eq!(kind(story.tell("used-up", &itself())), Kind::Expired);

    let orphan = story.tell("create-orphan", &token::Create { orphan: true, ..base() }).unwrap();
    let lookup = token::Lookup(Subject::Token(orphan.client_token.clone()));
    assert!(orphan.orphan && story.tell("lookup-orphan", &lookup).unwrap().orphan);
    let by_role = token::Create { role: Some("agent".into()), ..base() };
    assert!(story.tell("create-by-role", &by_role).unwrap().orphan);

    let capped = token::Create { ttl, explicit_max_ttl: Some(seconds(90)), ..base() };
    let capped = Subject::Token(story.tell("create-capped", &capped).unwrap().client_token);
    let renewal = story.tell("renew-capped", &renew(capped, Some(seconds(3600)))).unwrap();
    assert!(renewal.lease_duration <= seconds(90) && renewal.warnings[0].contains("max_ttl"));

    let fixed = token::Create { ttl, renewable: Some(false), ..base() };
    let fixed = Subject::Token(story.tell("create-fixed", &fixed).unwrap().client_token);
    assert_eq!(kind(story.tell("renew-fixed", &renew(fixed, None))), Kind::Invalid);
    story.tell("revoke-orphan", &token::RevokeOrphan { token: orphan.client_token }).unwrap();
    story.end();
}

/// The entry that a path means on the mount that the server told.
fn entry(mount: &kv::MountInfo, text: &str) -> kv::Entry {
    mount.kv().unwrap().entry(&path(text)).unwrap()
}

#[test]
fn a_secret_with_versions() {
    let mut story = Story::of("kv2-story");
    let mount = story.tell("mount", &kv::MountOf { path: path("secret/db") }).unwrap();
    assert_eq!(
        (mount.path.as_str(), mount.kind.as_str(), mount.version),
        ("secret", "kv", Some(Version::V2))
    );
    let db = || entry(&mount, "secret/data/db");
    let versioned = || db().versioned().unwrap();
    let read = |version| kv::Read::new(db(), version).unwrap();

    let never = story.tell("never-written", &read(None)).unwrap_err();
    assert_eq!((never.kind(), never.message()), (Kind::NotFound, "there is no secret secret/db"));
    assert!(story.tell("list-nothing", &entry(&mount, "secret").list()).unwrap().is_empty());

    let first = fields(&[("password", "canary-one"), ("user", "canary-app")]);
    let write = kv::Write::new(db(), first, Some(0)).unwrap();
    assert_eq!(story.tell("write", &write).unwrap().unwrap().version, 1);
    let outdated = story.tell("write-outdated", &write).unwrap_err();
    assert_eq!((outdated.kind(), outdated.retry()), (Kind::Invalid, Retry::Never));
    let document = story.tell("read", &read(None)).unwrap();
    assert_eq!(document.fields.field("password").unwrap().expose(), "canary-one");

    let patch = kv::Patch { entry: versioned(), fields: fields(&[("password", "canary-two")]), cas: None };
    assert_eq!(story.tell("patch", &patch).unwrap().version, 2);
    let patched = story.tell("read-patched", &read(None)).unwrap();
    assert_eq!(patched.fields.field("password").unwrap().expose(), "canary-two");
    assert_eq!(patched.fields.field("user").unwrap().expose(), "canary-app");
    assert_eq!(story.tell("read-version", &read(Some(1))).unwrap().version.unwrap().version, 1);
    let absent = story.tell("read-no-version", &read(Some(9))).unwrap_err();
    assert_eq!(absent.message(), "there is no version 9 of secret/db");

    check_mixed(&story.tell("read-mixed", &kv::Read::new(entry(&mount, "secret/app/mixed"), None).unwrap()));
    assert_eq!(story.tell("list", &entry(&mount, "secret").list()).unwrap(), ["app/", "db"]);
    let unversioned = story.tell("unversioned-path", &crate::read("secret/db")).unwrap_err();
    assert_eq!(unversioned.kind(), Kind::NotFound);
    assert!(unversioned.message().contains("KV version 2"), "{unversioned}");

    tell_deletions(&mut story, &versioned(), &patch);
    let strict = kv::Write::new(entry(&mount, "secret/strict"), fields(&[("a", "canary")]), None).unwrap();
    assert_eq!(kind(story.tell("write-blindly", &strict)), Kind::Invalid);
    story.end();
}

fn check_mixed(document: &Result<kv::Document, Failure>) {
    let fields = &document.as_ref().unwrap().fields;
    let (text, other) = (true, false);
    let expect = [
        ("n", "17", other),
        ("none", "null", other),
        ("o", r#"{"a":[1,"canary"]}"#, other),
        ("odd", "canary \"\\\n\u{e9}\u{1f600}", text),
        ("yes", "true", other),
    ];
    let expect: Fields =
        expect.map(|(name, value, is_text)| (name, Secret::new(value), is_text)).into_iter().collect();
    assert!(fields.is_same(&expect), "{fields:?}");
}

fn tell_deletions(story: &mut Story, versioned: &kv::Versioned, patch: &kv::Patch) {
    let entry = || versioned.clone();
    let read = || kv::Read::new(versioned.entry().clone(), None).unwrap();
    let note = kv::WriteMetadata {
        entry: entry(),
        max_versions: Some(5),
        cas_required: None,
        delete_version_after: None,
        custom_metadata: Some(BTreeMap::from([("team".into(), "a".into())])),
    };
    story.tell("write-metadata", &note).unwrap();

    story.tell("delete", &kv::Delete { entry: versioned.entry().clone() }).unwrap();
    let deleted = story.tell("read-deleted", &read()).unwrap_err();
    assert_eq!(deleted.message(), "version 2 of secret/db was deleted at 2026-01-02T03:04:05.678Z");
    assert!(deleted.advice().unwrap().contains("undelete"));
    assert!(story.tell("patch-deleted", patch).unwrap_err().message().contains("was deleted at"));
    story.tell("undelete", &kv::Undelete { entry: entry(), versions: vec![2] }).unwrap();
    assert_eq!(story.tell("read-undeleted", &read()).unwrap().version.unwrap().custom_metadata["team"], "a");

    story.tell("delete-versions", &kv::DeleteVersions { entry: entry(), versions: vec![1] }).unwrap();
    story.tell("destroy", &kv::Destroy { entry: entry(), versions: vec![2] }).unwrap();
    let destroyed = story.tell("read-destroyed", &read()).unwrap_err();
    assert_eq!(destroyed.message(), "version 2 of secret/db was destroyed");
    let metadata = story.tell("metadata", &kv::ReadMetadata { entry: entry() }).unwrap();
    assert_eq!((metadata.current_version, metadata.max_versions), (2, 5));
    assert!(metadata.versions[&1].deletion_time.is_some() && metadata.versions[&2].destroyed);
    story.tell("delete-metadata", &kv::DeleteMetadata { entry: entry() }).unwrap();
}

#[test]
fn a_secret_without_versions() {
    let mut story = Story::of("kv1-story");
    let enable = |options: &[(&str, &str)]| system::Enable {
        table: Table::Secrets,
        path: path("old/kv"),
        kind: "kv".into(),
        options: options.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    };
    story.tell("enable", &enable(&[("version", "1")])).unwrap();
    assert_eq!(kind(story.tell("enable-again", &enable(&[]))), Kind::Invalid);
    let mount = story.tell("mount", &kv::MountOf { path: path("old/kv/db") }).unwrap();
    assert_eq!((mount.path.as_str(), mount.version), ("old/kv", Some(Version::V1)));

    let db = || entry(&mount, "old/kv/db");
    let values = fields(&[("password", "canary-one"), ("ttl", "300s")]);
    assert!(kv::Write::new(db(), values.clone(), Some(1)).is_err(), "there are no versions to compare");
    story.tell("write", &kv::Write::new(db(), values.clone(), None).unwrap()).unwrap();
    let document = story.tell("read", &kv::Read::new(db(), None).unwrap()).unwrap();
    assert!(document.fields.is_same(&values) && document.version.is_none());
    assert_eq!(story.tell("list", &entry(&mount, "old/kv").list()).unwrap(), ["db"]);
    story.tell("delete", &kv::Delete { entry: db() }).unwrap();
    story.tell("delete-again", &kv::Delete { entry: db() }).unwrap();
    assert_eq!(kind(story.tell("read-deleted", &kv::Read::new(db(), None).unwrap())), Kind::NotFound);
    story.tell("disable", &system::Disable { table: Table::Secrets, path: path("old/kv") }).unwrap();
    story.end();
}

#[test]
fn answers_that_wait_behind_a_token() {
    let mut story = Story::of("wrapping-story");
    let create = token::Create {
        ttl: Some(seconds(60)),
        policies: vec!["default".into()],
        ..token::Create::default()
    };
    let first = story.tell("wrap-token", &create.wrapped(seconds(60))).unwrap();
    assert_eq!((first.ttl, first.wrapped_accessor.is_some()), (seconds(60), true));
    let lookup = || wrapping::LookupWrap { token: first.token.clone() };
    assert_eq!(story.tell("origin", &lookup()).unwrap().creation_path, "auth/token/create");

    let second = story.tell("rewrap", &wrapping::Rewrap { token: first.token.clone() }).unwrap();
    assert_eq!(kind(story.tell("origin-of-old", &lookup())), Kind::Expired);
    let unwrap = wrapping::Unwrap { token: second.token };
    let inside = story.tell("unwrap-token", &unwrap).unwrap();
    assert!(
        matches!(inside, Unwrapped::Auth(auth) if Some(&auth.accessor) == first.wrapped_accessor.as_ref())
    );
    let again = story.tell("unwrap-again", &unwrap).unwrap_err();
    assert_eq!(again.kind(), Kind::Expired);
    assert!(again.advice().unwrap().contains("somebody else"));

    let third = story.tell("wrap-fields", &wrapping::Wrap::fields(fields(&[("a", "canary-a")]), seconds(60)));
    let inside = story.tell("unwrap-fields", &wrapping::Unwrap { token: third.unwrap().token }).unwrap();
    assert!(matches!(inside, Unwrapped::Fields(got) if got.is_same(&fields(&[("a", "canary-a")]))));
    story.end();
}

#[test]
fn a_dynamic_secret_and_its_lease() {
    let mut story = Story::of("lease-story");
    let mount = story.tell("mount", &kv::MountOf { path: path("database/creds/app") }).unwrap();
    assert_eq!((mount.kind.as_str(), mount.kv()), ("database", None));

    let material =
        story.tell("read", &secret::Read { path: path("database/creds/app"), is_dynamic: true }).unwrap();
    assert_eq!(material.fields.names().collect::<Vec<_>>(), ["password", "username"]);
    assert_eq!((material.lease_duration, material.renewable), (seconds(600), true));
    let lease: LeaseId = material.lease.unwrap();
    let (_, name) = lease.as_str().rsplit_once('/').unwrap();

    let lookup = || lease::Lookup { lease: lease.clone() };
    let renew =
        |increment: Option<u64>| lease::Renew { lease: lease.clone(), increment: increment.map(seconds) };
    let record = story.tell("lookup", &lookup()).unwrap();
    assert!(record.renewable && record.ttl <= seconds(600) && record.last_renewal.is_none());
    assert_eq!(story.tell("renew", &renew(Some(60))).unwrap().lease_duration, seconds(60));
    let capped = story.tell("renew-capped", &renew(Some(3600))).unwrap();
    assert!(capped.lease_duration <= seconds(900) && capped.warnings[0].contains("max_ttl"));
    let prefix = path("database/creds/app");
    assert_eq!(story.tell("list", &List::leases(&prefix)).unwrap(), [name]);

    let revoke = || lease::Revoke { lease: lease.clone(), sync: true };
    story.tell("revoke", &revoke()).unwrap();
    assert_eq!(kind(story.tell("lookup-dead", &lookup())), Kind::Expired);
    assert_eq!(kind(story.tell("renew-dead", &renew(None))), Kind::Expired);
    story.tell("revoke-dead", &revoke()).unwrap();
    story.tell("revoke-prefix", &lease::RevokePrefix { prefix: prefix.clone(), sync: true }).unwrap();
    story.tell("revoke-force", &lease::RevokeForce { prefix: prefix.clone() }).unwrap();
    assert!(story.tell("list-nothing", &List::leases(&prefix)).unwrap().is_empty());
    let nobody = secret::Read { path: path("database/creds/nobody"), is_dynamic: true };
    assert_eq!(kind(story.tell("no-such-role", &nobody)), Kind::NotFound);
    story.end();
}

#[test]
fn policies() {
    let mut story = Story::of("policies");
    let text = r#"path "secret/data/db" { capabilities = ["read"] }"#;
    let write = |text: &str| policy::Write { name: "app".into(), text: text.into() };
    let read = || policy::Read { name: "app".into() };
    story.tell("write", &write(text)).unwrap();
    assert_eq!(story.tell("read", &read()).unwrap(), text);
    assert_eq!(story.tell("list", &List::policies()).unwrap(), ["app", "default", "root"]);
    let nonsense = story.tell("write-nonsense", &write("path {")).unwrap_err();
    assert_eq!(nonsense.kind(), Kind::Invalid);
    assert!(nonsense.message().contains("At 1:8"), "the place is told: {nonsense}");
    story.tell("delete", &policy::Delete { name: "app".into() }).unwrap();
    assert_eq!(kind(story.tell("read-deleted", &read())), Kind::NotFound);
    story.end();
}

#[test]
fn calls_that_are_denied() {
    let mut story = Story::of("denied");
    let mount = kv::Mount { path: "secret".into(), version: Version::V2 };
    let entry = |text: &str| mount.entry(&path(text)).unwrap();
    let read = || kv::Read::new(entry("secret/db"), None).unwrap();
    let denied = |failure: Failure, hint: &str| {
        assert_eq!((failure.kind(), failure.advice()), (Kind::Denied, Some(hint)), "{failure}");
    };
    let hint = r#"path "secret/data/db" { capabilities = ["read"] }"#;
    denied(story.tell("read", &read()).unwrap_err(), hint);
    let hint = r#"path "secret/metadata" { capabilities = ["list"] }"#;
    denied(story.tell("list", &entry("secret").list()).unwrap_err(), hint);
    let write = kv::Write::new(entry("secret/db"), fields(&[("a", "canary")]), None).unwrap();
    let hint = r#"path "secret/data/db" { capabilities = ["create", "update"] }"#;
    denied(story.tell("write", &write).unwrap_err(), hint);
    let orphan = token::Create { orphan: true, ..token::Create::default() };
    let hint = r#"path "auth/token/create-orphan" { capabilities = ["update", "sudo"] }"#;
    denied(story.tell("create-orphan", &orphan).unwrap_err(), hint);
    let mount_of = story.tell("mount", &kv::MountOf { path: path("secret/db") }).unwrap_err();
    assert_eq!(mount_of.kind(), Kind::Denied);

    assert_eq!(kind(story.tell("dead-token", &read())), Kind::Expired);
    let nowhere = story.tell("no-such-mount", &crate::read("nowhere/db")).unwrap_err();
    assert_eq!(nowhere.message(), "there is no mount for this path (reading nowhere/db)");
    assert_eq!(kind(story.tell("no-such-path", &crate::read("sys/nowhere"))), Kind::NotFound);
    story.end();
}

#[test]
fn a_rate_limit() {
    let mut story = Story::of("throttled");
    let read = read("secret/data/db");
    let mute = story.tell("mute", &read).unwrap_err();
    assert_eq!((mute.kind(), mute.retry()), (Kind::Throttled, Retry::After(None)));
    let Retry::After(Some(delay)) = story.tell("with-delay", &read).unwrap_err().retry() else {
        panic!("the server's delay is lost");
    };
    assert!(delay > seconds(1) && delay <= seconds(600), "{delay:?}");
    story.end();
}

#[test]
fn namespaces() {
    let mut story = Story::of("namespaces");
    let team = |name: &str| Some(Namespace::parse(name).unwrap());
    assert!(story.tell("list-nothing", &List::namespaces()).unwrap().is_empty());
    story.tell("create", &system::CreateNamespace { name: Namespace::parse("team1").unwrap() }).unwrap();
    assert_eq!(story.tell("list", &List::namespaces()).unwrap(), ["team1/"]);
    let enable = system::Enable {
        table: Table::Secrets,
        path: path("kv"),
        kind: "kv".into(),
        options: BTreeMap::from([("version".into(), "2".into())]),
    };
    story.tell("enable", &enable.within(team("team1"))).unwrap();
    let mounts =
        story.tell("mounts", &system::ListMounts { table: Table::Secrets }.within(team("team1"))).unwrap();
    assert_eq!(mounts["kv"], "kv");
    let above = story.tell("mount-from-above", &kv::MountOf { path: path("team1/kv/db") }).unwrap();
    assert_eq!(above.path, "team1/kv");

    let db = kv::Mount { path: "kv".into(), version: Version::V2 }.entry(&path("kv/db")).unwrap();
    let write = kv::Write::new(db.clone(), fields(&[("a", "canary")]), None).unwrap();
    story.tell("write", &write.within(team("team1"))).unwrap();
    let read = kv::Read::new(db, None).unwrap();
    story.tell("read", &read.clone().within(team("team1"))).unwrap();
    assert_eq!(kind(story.tell("read-elsewhere", &read.clone().within(None))), Kind::NotFound);
    let nowhere = story.tell("read-nowhere", &read.clone().within(team("team2"))).unwrap_err();
    assert_eq!(nowhere.message(), "namespace team2: the namespace does not exist (reading kv/data/db)");
    story.skip("health-inside");
    let locked = story.tell("read-locked", &read.within(team("team1"))).unwrap_err();
    assert_eq!((locked.kind(), locked.retry()), (Kind::Denied, Retry::Never));
    story.tell("delete", &system::DeleteNamespace { name: Namespace::parse("team1").unwrap() }).unwrap();
    story.end();
}

#[test]
fn a_server_open_and_sealed() {
    let mut story = Story::of("states");
    let open = story.tell("open-health", &system::Health).unwrap();
    assert!(open.is_up() && !open.standby && open.version.starts_with("2."));
    assert!(!story.tell("open-seal-status", &system::SealStatus).unwrap().sealed);
    assert!(!story.tell("open-leader", &system::Leader).unwrap().ha_enabled);
    let methods = story.tell("login-methods", &system::ListMounts { table: Table::Auth }).unwrap();
    assert_eq!(methods["token"], "token");

    let sealed = story.tell("sealed-health", &system::Health).unwrap();
    assert!(!sealed.is_up() && sealed.sealed && sealed.initialized && sealed.cluster_name.is_none());
    assert_eq!(story.tell("sealed-seal-status", &system::SealStatus).unwrap().threshold, 1);
    assert_eq!(kind(story.tell("sealed-read", &read("secret/data/db"))), Kind::Sealed);
    assert_eq!(kind(story.tell("sealed-lookup", &token::Lookup(Subject::Own))), Kind::Sealed);
    story.end();
}

#[test]
fn a_server_that_nobody_has_set_up() {
    let mut story = Story::of("blank");
    let health = story.tell("health", &system::Health).unwrap();
    assert!(!health.is_up() && !health.initialized);
    assert!(!story.tell("seal-status", &system::SealStatus).unwrap().initialized);
    assert_eq!(kind(story.tell("read", &read("secret/data/db"))), Kind::Sealed);
    story.end();
}
