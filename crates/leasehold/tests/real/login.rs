//! Logging in, by every method that can be had on one machine. LDAP would take a directory server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use leasehold::client::VaultClient;
use leasehold::clock::wall_seconds;
use leasehold::core::name;
use leasehold::core::{Failure, Fields, Kind, Secret};
use leasehold::identity::{Credentials, Method, Source};
use leasehold::transport::{ClientCertificate, Tls, TransportSettings};
use leasehold::vault::Operation;
use leasehold::vault::reply::Auth;
use leasehold::vault::secret::Write;
use leasehold::vault::token::{Lookup, Record, Subject};
use leasehold_testkit::{Canaries, Port, Proxy, Server, canary};
use serde_json::{Value, json};

use crate::ground::{Folder, assert_failure, authority, certificate, namespace, openssl, root, settings};
use crate::listener::{Listener, answer};

fn value(text: &str) -> Source {
    Source::Value(Secret::new(text))
}

/// A client without a token: nothing but the login may help it.
fn nobody(server: &Server) -> VaultClient {
    VaultClient::new(&settings(&[server.address()]), None).unwrap()
}

async fn log_in(client: &VaultClient, credentials: Credentials) -> Result<Auth, Failure> {
    Method::new(credentials, None, None).log_in(client).await
}

/// What the server says of the token of a login.
async fn owner(client: &VaultClient, auth: &Auth) -> Record {
    client.send(&Lookup(Subject::Itself(auth.client_token.clone()))).await.unwrap()
}

fn refused(failure: &Failure, method: &str) {
    let message = format!("the server refuses the {method} login at auth/{method}");
    let hint = "check the role and that its credentials are not wrong, expired or used up";
    assert_failure(failure, Kind::NeedsLogin, &message, hint);
}

fn approle(role_id: &str, secret_id: Option<Source>, wrapped_at: Option<&str>) -> Credentials {
    let wrapped_at = wrapped_at.map(str::to_owned);
    Credentials::AppRole { role_id: value(role_id), secret_id, wrapped_at }
}

#[tokio::test(flavor = "current_thread")]
async fn an_approle_by_value_and_by_file_that_changes() {
    let server = Server::start();
    let mut canaries = Canaries::default();
    let role = server.approle("app", &["default"], json!({ "token_ttl": "60s", "secret_id_num_uses": 2 }));
    canaries.watch(&role.secret_id);
    let client = nobody(&server);
    let auth = log_in(&client, approle(&role.role_id, Some(value(&role.secret_id)), None)).await.unwrap();
    assert_eq!((auth.lease_duration.as_secs(), auth.renewable), (60, true));
    assert_eq!(owner(&client, &auth).await.role_name(), Some("app"));

    let file = server.folder().join("secret-id");
    let method = Method::new(approle(&role.role_id, Some(Source::File(file.clone())), None), None, None);
    let failure = method.log_in(&client).await.unwrap_err();
    let message = format!("cannot read {}: entity not found", file.display());
    assert_failure(&failure, Kind::NeedsLogin, &message, "");
    fs::write(&file, format!("{}\n", role.secret_id)).unwrap();
    assert!(method.log_in(&client).await.is_ok());
    let failure = method.log_in(&client).await.unwrap_err();
    refused(&failure, "approle");
    let fresh = server.approle("app", &["default"], json!({ "token_ttl": "60s" }));
    canaries.watch(&fresh.secret_id);
    fs::write(&file, &fresh.secret_id).unwrap();
    assert!(method.log_in(&client).await.is_ok(), "the file is read at each login");
    canaries.assert_absent(format!("{method:?} {failure:?} {auth:?}").as_bytes(), "debug texts");

    fs::write(&file, "two\nlines").unwrap();
    let failure = method.log_in(&client).await.unwrap_err();
    assert_eq!(failure.message(), format!("cannot read {}: it has more than one line", file.display()));
    fs::write(&file, " \n").unwrap();
    let failure = method.log_in(&client).await.unwrap_err();
    assert_eq!(failure.message(), format!("cannot read {}: it is empty", file.display()));
}

#[tokio::test(flavor = "current_thread")]
async fn logins_that_are_wrong() {
    let server = Server::start();
    let role = server.approle("app", &["default"], json!({}));
    let open = json!({ "bind_secret_id": false, "token_bound_cidrs": "127.0.0.0/8", "role_id": "open" });
    assert_eq!(server.api("POST", "auth/approle/role/open", Some(open)).0, 204);
    let client = nobody(&server);
    assert!(log_in(&client, approle("open", None, None)).await.is_ok(), "bound to the address alone");
    let failure = log_in(&client, approle("no-such-role", Some(value("wrong")), None)).await.unwrap_err();
    refused(&failure, "approle");
    let failure = log_in(&client, approle(&role.role_id, None, None)).await.unwrap_err();
    refused(&failure, "approle");
    let elsewhere = Some(name::Path::parse("nowhere").unwrap());
    let credentials = approle(&role.role_id, Some(value(&role.secret_id)), None);
    let failure = Method::new(credentials, elsewhere, None).log_in(&client).await.unwrap_err();
    assert_failure(
        &failure,
        Kind::NeedsLogin,
        "the server refuses the approle login at auth/nowhere",
        "check the mount; after several wrong logins the server locks the name for some minutes",
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_login_in_a_namespace_at_another_mount() {
    let server = Server::start();
    let (root, team) = (server.root_token(), Some("team"));
    assert_eq!(server.api("POST", "sys/namespaces/team", None).0, 200);
    let ask = |method: &str, path: &str, body: Value| server.api_as(root, method, path, Some(body), team).1;
    ask("POST", "sys/auth/apps/ci", json!({ "type": "approle" }));
    ask("POST", "auth/apps/ci/role/app", json!({ "token_policies": "default" }));
    let text = |reply: Value, name: &str| reply["data"][name].as_str().unwrap().to_owned();
    let role_id = text(ask("GET", "auth/apps/ci/role/app/role-id", json!(null)), "role_id");
    let secret_id = text(ask("POST", "auth/apps/ci/role/app/secret-id", json!({})), "secret_id");
    let mount = Some(name::Path::parse("apps/ci").unwrap());
    let method =
        Method::new(approle(&role_id, Some(value(&secret_id)), None), mount, Some(namespace("team")));
    let client = nobody(&server);
    let auth = method.log_in(&client).await.unwrap();
    assert_eq!(owner(&client, &auth).await.role_name(), Some("app"));
}

const CREATED_AT: &str = "auth/approle/role/app/secret-id";

/// A wrapped answer of that path.
async fn wrap(server: &Server, path: &str) -> String {
    let fields = Fields::from_iter([("ttl", Secret::new("60s"))]);
    let write = Write { path: name::Path::parse(path).unwrap(), fields };
    let info = root(server).send(&write.wrapped(Duration::from_secs(60))).await.unwrap();
    info.token.expose().to_owned()
}

#[tokio::test(flavor = "current_thread")]
async fn a_wrapped_secret_id_is_unwrapped_once_and_only_from_where_it_belongs() {
    let server = Server::start();
    let role = server.approle("app", &["default"], json!({ "token_ttl": "60s" }));
    let proxy = Proxy::start(server.address());
    let client = VaultClient::new(&settings(&[&proxy.address()]), None).unwrap();
    let file = server.folder().join("wrapped");
    let first = wrap(&server, CREATED_AT).await;
    fs::write(&file, &first).unwrap();
    let source = || Some(Source::File(file.clone()));
    let method = Method::new(approle(&role.role_id, source(), Some(CREATED_AT)), None, None);
    for _ in 0..2 {
        assert!(method.log_in(&client).await.is_ok());
    }
    fs::remove_file(&file).unwrap();
    assert!(method.log_in(&client).await.is_ok(), "it was unwrapped already");
    assert_eq!(proxy.requests("wrapping/unwrap").len(), 1);
    fs::write(&file, wrap(&server, CREATED_AT).await).unwrap();
    assert!(method.log_in(&client).await.is_ok());
    assert_eq!(proxy.requests("wrapping/unwrap").len(), 2, "another one is unwrapped too");

    fs::write(&file, &first).unwrap();
    let late = Method::new(approle(&role.role_id, source(), Some(CREATED_AT)), None, None);
    let failure = late.log_in(&client).await.unwrap_err();
    assert_failure(
        &failure,
        Kind::NeedsLogin,
        "the wrapping token has expired or was used before (writing sys/wrapping/lookup)",
        "if nobody here used it, somebody else has: have what was inside revoked, and ask for a new one",
    );

    let swapped = wrap(&server, "sys/wrapping/wrap").await;
    fs::write(&file, &swapped).unwrap();
    let failure = late.log_in(&client).await.unwrap_err();
    assert_failure(
        &failure,
        Kind::NeedsLogin,
        &format!("the wrapped secret id was wrapped at sys/wrapping/wrap, not at {CREATED_AT}"),
        "it may have been replaced on its way: ask for a new one, and look into it",
    );
    assert_eq!(proxy.requests("wrapping/unwrap").len(), 2, "what is suspect is left for others to look at");
    let debug = format!("{late:?} {failure:?}");
    assert!(!debug.contains(&first) && !debug.contains(&swapped));
}

#[tokio::test(flavor = "current_thread")]
async fn a_name_and_a_password() {
    let server = Server::start();
    server.auth_method("userpass", "userpass");
    let password = canary("password");
    server.api(
        "POST",
        "auth/userpass/users/me.home",
        Some(json!({ "password": password, "token_ttl": "60s" })),
    );
    let client = nobody(&server);
    let with =
        |password: &str| Credentials::Userpass { username: "me.home".into(), password: value(password) };
    let auth = log_in(&client, with(&password)).await.unwrap();
    assert_eq!(auth.metadata.get("username").map(String::as_str), Some("me.home"));
    let wrong = with("wrong");
    let failure = log_in(&client, wrong.clone()).await.unwrap_err();
    refused(&failure, "userpass");
    for _ in 0..4 {
        assert!(log_in(&client, wrong.clone()).await.is_err());
    }
    let failure = log_in(&client, with(&password)).await.unwrap_err();
    let hint = "check the mount; after several wrong logins the server locks the name for some minutes";
    assert_eq!((failure.kind(), failure.advice()), (Kind::NeedsLogin, Some(hint)));
    assert!(!format!("{failure:?} {:?}", with(&password)).contains(&password));
}

/// Base64 as it stands in a JSON web token.
fn base64(folder: &Path, bytes: &[u8]) -> String {
    fs::write(folder.join("plain"), bytes).unwrap();
    let text = String::from_utf8(openssl(folder, "base64 -A -in plain")).unwrap();
    text.trim().trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// A token that `key.pem` of the folder signs.
fn jwt(folder: &Path, claims: &Value) -> String {
    let head = base64(folder, br#"{"alg":"RS256","typ":"JWT"}"#);
    let signed = format!("{head}.{}", base64(folder, claims.to_string().as_bytes()));
    fs::write(folder.join("signed"), &signed).unwrap();
    let signature = openssl(folder, "dgst -sha256 -sign key.pem signed");
    format!("{signed}.{}", base64(folder, &signature))
}

#[tokio::test(flavor = "current_thread")]
async fn a_signed_token() {
    let (server, folder) = (Server::start(), Folder::new());
    openssl(&folder.0, "genrsa -out key.pem 2048");
    let public = String::from_utf8(openssl(&folder.0, "rsa -in key.pem -pubout")).unwrap();
    server.auth_method("jwt", "jwt");
    assert_eq!(
        server.api("POST", "auth/jwt/config", Some(json!({ "jwt_validation_pubkeys": [public] }))).0,
        204
    );
    let role = json!({ "role_type": "jwt", "bound_audiences": ["leasehold"], "user_claim": "sub", "token_ttl": "60s" });
    assert!(server.api("POST", "auth/jwt/role/ci", Some(role)).0 < 300);
    let now = wall_seconds();
    let claims = |exp: u64| json!({ "sub": "job", "aud": "leasehold", "iat": now - 900, "nbf": now - 900, "exp": exp });
    let (good, old) = (jwt(&folder.0, &claims(now + 300)), jwt(&folder.0, &claims(now - 600)));
    let file = folder.0.join("jwt");
    fs::write(&file, format!("{good}\n")).unwrap();
    let client = nobody(&server);
    let credentials = Credentials::Jwt { role: Some("ci".into()), jwt: Source::File(file.clone()) };
    let auth = log_in(&client, credentials.clone()).await.unwrap();
    assert_eq!((auth.metadata["role"].as_str(), auth.lease_duration.as_secs()), ("ci", 60));
    // In the midst of the signature: its last character has bits that mean nothing.
    let (head, tail) = good.split_at(good.len() - 100);
    let other = if tail.starts_with('A') { "B" } else { "A" };
    for wrong in [&old, &format!("{head}{other}{}", &tail[1..]), "no.jwt.at-all"] {
        fs::write(&file, wrong).unwrap();
        let failure = log_in(&client, credentials.clone()).await.unwrap_err();
        refused(&failure, "jwt");
        assert!(!format!("{failure:?}").contains(wrong));
    }
    fs::write(&file, good).unwrap();
    let failure =
        log_in(&client, Credentials::Jwt { role: None, jwt: Source::File(file) }).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::NeedsLogin, "there is no default role: {failure}");
}

/// What Kubernetes answers to the question whose token this is.
fn token_review(request: &str) -> Vec<u8> {
    let user = json!({ "username": "system:serviceaccount:shop:web", "uid": "1", "groups": ["system:serviceaccounts"] });
    let known = request.starts_with("POST /apis/authentication.k8s.io/v1/tokenreviews");
    let status = json!({ "authenticated": known && request.contains("\"token\""), "user": user });
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status });
    answer(201, "content-type: application/json\r\n", &review.to_string())
}

#[tokio::test(flavor = "current_thread")]
async fn a_service_account() {
    let (server, folder, kubernetes) = (Server::start(), Folder::new(), Listener::start(token_review));
    openssl(&folder.0, "genrsa -out key.pem 2048");
    server.auth_method("kubernetes", "kubernetes");
    let config = json!({
        "kubernetes_host": kubernetes.address(), "disable_local_ca_jwt": true, "token_reviewer_jwt": "reviewer",
        "disable_iss_validation": true, "kubernetes_ca_cert": fs::read_to_string(authority(&folder.0)).unwrap(),
    });
    assert_eq!(server.api("POST", "auth/kubernetes/config", Some(config)), (204, Value::Null));
    for name in ["web", "other"] {
        let role = json!({ "bound_service_account_names": name, "bound_service_account_namespaces": "shop", "token_ttl": "60s" });
        assert!(server.api("POST", &format!("auth/kubernetes/role/{name}"), Some(role)).0 < 300);
    }
    let now = wall_seconds();
    let account = json!({ "namespace": "shop", "serviceaccount": { "name": "web", "uid": "1" } });
    let file = folder.0.join("token");
    fs::write(&file, jwt(&folder.0, &json!({ "sub": "system:serviceaccount:shop:web", "kubernetes.io": account, "exp": now + 300, "iat": now, "nbf": now }))).unwrap();
    let client = nobody(&server);
    let with = |role: &str| Credentials::Kubernetes { role: role.into(), jwt: Source::File(file.clone()) };
    let auth = log_in(&client, with("web")).await.unwrap();
    assert_eq!(auth.metadata["service_account_name"], "web");
    let failure = log_in(&client, with("other")).await.unwrap_err();
    assert_eq!(failure.kind(), Kind::NeedsLogin, "{failure}");
}

/// Its address, and what opens it in HCL.
fn tls_listener(port: &Port, folder: &Path, more: &str) -> (String, String) {
    let (port, at) = (port.number(), folder.display());
    let listener = format!(
        "listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_cert_file = \"{at}/server.pem\"\n \
         tls_key_file = \"{at}/server.key\"\n tls_client_ca_file = \"{at}/ca.pem\"\n {more}\n}}\n"
    );
    (format!("https://127.0.0.1:{port}"), listener)
}

#[tokio::test(flavor = "current_thread")]
async fn the_certificate_of_the_connection() {
    let folder = Folder::new();
    authority(&folder.0);
    certificate(&folder.0, "server", "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n", 1);
    certificate(&folder.0, "web", "extendedKeyUsage=clientAuth\nbasicConstraints=CA:FALSE\n", 1);
    let ports = [Port::reserve(), Port::reserve()];
    let (open, first) = tls_listener(&ports[0], &folder.0, "");
    let (strict, second) = tls_listener(&ports[1], &folder.0, "tls_require_and_verify_client_cert = true");
    let server = Server::start_with(&format!("{first}{second}"));
    server.auth_method("cert", "cert");
    let ca = fs::read_to_string(folder.0.join("ca.pem")).unwrap();
    let role = json!({ "certificate": ca, "allowed_common_names": "web", "token_ttl": "60s" });
    assert!(server.api("POST", "auth/cert/certs/web", Some(role)).0 < 300);
    let at = |name: &str| folder.0.join(name);
    let ours = ClientCertificate { certificate: at("web.pem"), key: at("web.key") };
    let client = |address: &str, ours: Option<ClientCertificate>| {
        let tls = Tls { ca_file: Some(at("ca.pem")), client: ours, ..Tls::default() };
        VaultClient::new(&TransportSettings { tls, ..settings(&[address]) }, None).unwrap()
    };
    for (address, role) in [(&open, None), (&open, Some("web")), (&strict, Some("web"))] {
        let credentials = Credentials::Cert { role: role.map(str::to_owned) };
        let auth = log_in(&client(address, Some(ours.clone())), credentials).await.unwrap();
        assert_eq!(auth.metadata["common_name"], "web");
    }
    let none = Credentials::Cert { role: None };
    refused(&log_in(&client(&open, None), none.clone()).await.unwrap_err(), "cert");
    let failure = log_in(&client(&strict, None), none).await.unwrap_err();
    assert_failure(
        &failure,
        Kind::Unreachable,
        &format!("{strict} refused our side of TLS"),
        "does it ask for a client certificate (VAULT_CLIENT_CERT, VAULT_CLIENT_KEY)?",
    );
    let mixed = ClientCertificate { certificate: at("web.pem"), key: at("ca.key") };
    let tls = Tls { ca_file: Some(at("ca.pem")), client: Some(mixed), ..Tls::default() };
    let failure = VaultClient::new(&TransportSettings { tls, ..settings(&[&open]) }, None).unwrap_err();
    let message = "the client's certificate and key do not fit together";
    assert_failure(&failure, Kind::Invalid, message, "");
}
