//! Answers that are lost on the way: what the server did then, and nobody was told of, does not outlive the session.

use std::time::{Duration, Instant};

use leasehold::client::VaultClient;
use leasehold::core::name::{Address, Path, VaultReference};
use leasehold::core::{Kind, Policy, Secret};
use leasehold::identity::{Credentials, Identity, Method, Source};
use leasehold::session::{Session, SessionSettings};
use leasehold::transport::TransportSettings;
use leasehold::vault::operation::Operation;
use leasehold::vault::secret::Write;
use leasehold_testkit::{AppRole, Fault, Postgres, Proxy, Server, random_hex, record, wait_for};
use serde_json::json;

const POLICY: &str = r#"
    path "database/creds/app" { capabilities = ["read"] }
    path "auth/token/create" { capabilities = ["update"] }
"#;
/// How long a session's tokens live when nobody renews them.
const PARENT_TTL: Duration = Duration::from_secs(10);
/// What the server takes to end a token on time, and what hangs below it.
const SLACK: Duration = Duration::from_secs(2);
const LATER: Duration = Duration::from_secs(60);
const SECRET_ID: &str = "auth/approle/role/app/secret-id";

/// Requests whose answer is lost, and how often.
const LOSSES: [(&str, usize); 3] = [
    ("POST /v1/auth/token/create", 75),
    ("GET /v1/database/creds/app", 75),
    ("POST /v1/sys/wrapping/unwrap", 50),
];

struct Field {
    server: Server,
    proxy: Proxy,
    role: AppRole,
    _postgres: Postgres,
}

impl Field {
    fn new() -> Self {
        let (server, postgres) = (Server::start(), Postgres::start());
        server.database(&postgres, "app", "1h", "2h");
        server.policy("app", POLICY);
        let role = server.approle("app", &["app"], json!({ "token_ttl": "1h" }));
        Self { proxy: Proxy::start(server.address()), server, role, _postgres: postgres }
    }

    fn session(&self, wrapped: Option<Secret>) -> Session {
        let wrapped_at = wrapped.as_ref().map(|_| SECRET_ID.to_owned());
        let secret_id = wrapped.unwrap_or_else(|| Secret::new(&*self.role.secret_id));
        let credentials = Credentials::AppRole {
            role_id: Source::Value(Secret::new(&*self.role.role_id)),
            secret_id: Some(Source::Value(secret_id)),
            wrapped_at,
        };
        Session::start(SessionSettings {
            client: client(&self.proxy.address()),
            identity: Identity::Login(Box::new(Method::new(credentials, None, None))),
            state_dir: self.server.folder().join(random_hex()),
            parent_ttl: PARENT_TTL,
            start_spread: Duration::ZERO,
            policy: Policy::default(),
        })
        .unwrap()
    }

    async fn wrapped_secret_id(&self) -> Secret {
        let root = client(self.server.address());
        root.set_token(Secret::new(self.server.root_token()), None);
        let write = Write { path: Path::parse(SECRET_ID).unwrap(), fields: Default::default() };
        root.send(&write.wrapped(LATER)).await.unwrap().token
    }

    /// A session that loses one answer. Every second one is given up without an end, as by a crash.
    async fn lose(&self, request: &str, n: usize) {
        let is_unwrap = request.ends_with("unwrap");
        let wrapped = if is_unwrap { Some(self.wrapped_secret_id().await) } else { None };
        let session = self.session(wrapped);
        self.proxy.set_for(request, Fault::Cut(0), 1);
        let lease = VaultReference {
            path: Path::parse("database/creds/app").unwrap(),
            version: None,
            namespace: None,
        };
        let asked = session.ask(&lease).await;
        // Where the parent's token is lost, the login's own stands in for it.
        assert_eq!(asked.is_ok(), request.ends_with("create"), "{request}: {asked:?}");
        if let (true, Err(failure)) = (is_unwrap, asked) {
            let told = "the wrapped secret id is used up, and the answer with it was lost";
            assert_eq!(
                (failure.kind(), failure.message().contains(told)),
                (Kind::NeedsLogin, true),
                "{failure}"
            );
        }
        if n.is_multiple_of(2) {
            assert!(session.close(SLACK).await.is_empty());
        }
    }

    fn is_clean(&self) -> bool {
        self.server.accessors().len() == 1 && self.server.leases("database/creds/app").is_empty()
    }
}

fn client(address: &str) -> VaultClient {
    let settings = TransportSettings::new(vec![Address::parse(address).unwrap()]);
    VaultClient::new(&settings, None).unwrap()
}

#[tokio::test(flavor = "current_thread")]
async fn long_what_was_done_and_not_told_does_not_outlive_the_session() {
    let field = Field::new();
    for (request, times) in LOSSES {
        for n in 0..times {
            field.lose(request, n).await;
        }
        let asked = field.proxy.requests(request).len();
        let whole = if request.starts_with("GET") { LOSSES[0].1 } else { 0 };
        assert_eq!(asked, times + whole, "nothing is repeated: {request}");
    }
    let end = Instant::now();
    let living = field.server.accessors().len() - 1;
    wait_for(PARENT_TTL + SLACK, || field.is_clean().then_some(())).expect("all is dead");
    let time = end.elapsed();
    let risen = wait_for(LATER.saturating_sub(time), || (!field.is_clean()).then_some(()));
    assert_eq!(risen, None, "nothing comes to life again");
    let lost: usize = LOSSES.iter().map(|(_, times)| times).sum();
    record(
        "lost",
        &format!(
            "{lost} answers lost (75 to a new token, 75 to a new lease, 50 to an unwrapping), half of them in sessions \
             that ended as by a crash: {living} tokens alive at the end, 0 tokens and 0 leases {:.1} s and 60 s later; \
             no request was repeated",
            time.as_secs_f64()
        ),
    );
}
