//! `VaultClient`: Vault's words over the transport, with a token that is swapped underneath.

mod held;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_core::name::{Address, Namespace, Path, VaultReference};
use leasehold_core::{Failure, Fields, Grant, Holding, Kind, Lease, Moment, Retry, Secret};
use leasehold_vault::call::{Bearer, Call, Repeat};
use leasehold_vault::failure;
use leasehold_vault::kv::{self, Document, Mount, MountOf};
use leasehold_vault::operation::Operation;
use leasehold_vault::reply::Renewal;
use leasehold_vault::secret::{self, Material};
use leasehold_vault::system::{Condition, Health};
use leasehold_vault::token::{self, Subject};

use crate::clock::Clock;
use crate::random;
use crate::transport::{Transport, TransportSettings};

use held::{Held, Place};

/// How often a call is made at the most; the engine above has a patience of its own.
const TRIES: u32 = 3;
/// The first pause between two tries; it doubles, and a random part of it is waited.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a call that is throttled rests at least.
const REST: Duration = Duration::from_millis(50);
/// No try begins later than this after the first: with the last one's own time, a call takes eight seconds at the most,
/// and three more if it had to wait for a leader.
const LATEST_TRY: Duration = Duration::from_secs(5);
/// A server that is alone and took this long to be unreachable is not knocked at again: a caller is told within two
/// seconds.
const LATEST_KNOCK: Duration = Duration::from_millis(500);
/// A server that asks for a longer pause than this gets it from the engine, not from a caller that waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// What a sealed server answers like any other.
const ALWAYS_ANSWERED: [&str; 2] = ["sys/health", "sys/seal-status"];
/// Within this time of its end a token should be renewed.
const RENEWAL_WINDOW: Duration = Duration::from_secs(300);

/// A client of one Vault or OpenBao cluster: cheap to clone, and all clones share the token.
///
/// ```no_run
/// use leasehold::client::VaultClient;
/// use leasehold::core::{Secret, name::Address};
/// use leasehold::transport::TransportSettings;
///
/// # async fn example() -> Result<(), leasehold::core::Failure> {
/// let address = Address::parse("http://127.0.0.1:8200").unwrap();
/// let client = VaultClient::new(&TransportSettings::new(vec![address]), None)?;
/// client.set_token(Secret::new("s.token"), None);
/// let secret = client.read_kv_secret("secret/db").await?;
/// println!("{:?}", secret.names().collect::<Vec<_>>());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct VaultClient {
    transport: Arc<Transport>,
    namespace: Option<Namespace>,
    token: Arc<Place>,
    /// The mounts that were found, since every read has to know its mount's version.
    mounts: Arc<Mutex<Mounts>>,
    /// The server was sealed when it was last asked for something.
    is_sealed: Arc<AtomicBool>,
    repeats: Arc<Repeats>,
}

type Mounts = BTreeMap<(Option<Namespace>, String), Option<Mount>>;

/// The repeats that are left for a server that is alone: they are for hiccups. In an outage, where each call would make
/// them, they would treble the load, and whoever calls has a patience of its own.
#[derive(Default)]
struct Repeats {
    /// When the last that was made is made up for.
    made_up: Mutex<Moment>,
}

impl Repeats {
    const BURST: u32 = 3;
    const EVERY: Duration = Duration::from_secs(10);

    fn take(&self, now: Moment) -> bool {
        let mut made_up = self.made_up.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*made_up).max(now) + Self::EVERY;
        let is_left = next <= now + Self::EVERY * Self::BURST;
        if is_left {
            *made_up = next;
        }
        is_left
    }
}

impl VaultClient {
    /// A client by these settings, without a token. Opens no connection yet.
    pub fn new(settings: &TransportSettings, namespace: Option<Namespace>) -> Result<Self, Failure> {
        Ok(Self {
            transport: Arc::new(Transport::new(settings)?),
            namespace,
            token: Arc::default(),
            mounts: Arc::default(),
            is_sealed: Arc::default(),
            repeats: Arc::default(),
        })
    }

    /// The same client, over the same connections, with a token of its own.
    pub fn with_token(&self, token: Secret) -> Self {
        let own = Self { token: Arc::default(), ..self.clone() };
        own.set_token(token, None);
        own
    }

    /// Swaps the token for this and all clones. `ttl` is how long it lives from now, if it is known to end.
    pub fn set_token(&self, token: Secret, ttl: Option<Duration>) {
        let expiry = ttl.map(|ttl| Clock::default().now() + ttl);
        self.token.put(Held::Token { token, expiry });
    }

    /// Takes the token away from this and all clones. Calls with it fail for this reason then, and ask nobody.
    pub(crate) fn withdraw_token(&self, why: Failure) {
        self.token.put(Held::Gone(why));
    }

    /// Says why there is no token yet, if there is none.
    pub(crate) fn await_token(&self, why: Failure) {
        self.token.put_unless_held(why);
    }

    /// Somebody was refused elsewhere with the token that this has.
    pub(crate) fn doubt_token(&self) {
        self.token.doubt();
    }

    /// Returns once the server has said to this or a clone that its token is dead, or somebody doubts that it lives.
    pub(crate) async fn doubted_token(&self) {
        self.token.doubted().await;
    }

    /// The server's address, as text for messages.
    pub fn address(&self) -> String {
        self.transport.address().to_string()
    }

    /// All addresses that are configured, the preferred one first.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.transport.addresses()
    }

    /// How many answers have come to this client and all its clones: signs of life of the server.
    pub(crate) fn answers(&self) -> u64 {
        self.transport.answers()
    }

    /// The namespace of all calls that name none.
    pub fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// Carries an operation out, in eight seconds at the most. What is harmless twice is tried up to three times,
    /// everything else is repeated only if it surely was not carried out, and takes eleven seconds at the most: with
    /// several addresses it waits for the cluster to have a leader. A server that is alone gets three repeats at
    /// once, and one more every ten seconds. Where the client's token was taken away, nobody is asked.
    pub async fn send<O: Operation>(&self, operation: &O) -> Result<O::Answer, Failure> {
        let (clock, mut call, mut attempt) = (Clock::default(), operation.call(), 0);
        let begun = clock.now();
        self.held(&call)?;
        loop {
            if call.repeat == Repeat::Once {
                self.transport.find_leader(clock.now() - begun).await;
            }
            let failure = match self.send_once(operation, &call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            attempt += 1;
            let now = clock.now();
            match pause(&call, &failure, attempt, self.tries(&failure)) {
                Some(pause) if self.is_worth(&failure, now - begun + pause) && self.may_repeat(now) => {
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(failure),
            }
            call.forward = failure.kind() == Kind::Throttled;
        }
    }

    /// How often a call is made at the most. While a cluster has no leader, only the time counts.
    fn tries(&self, failure: &Failure) -> u32 {
        match failure.kind() {
            Kind::Unreachable if self.transport.has_others() => u32::MAX,
            _ => TRIES,
        }
    }

    /// Whether to try again so long after the first try. Another node of the cluster may be up and open; one that is
    /// alone stays sealed, or out of reach, for a while.
    fn is_worth(&self, failure: &Failure, after: Duration) -> bool {
        let is_down = match (failure.kind(), failure.retry()) {
            (Kind::Sealed, _) => true,
            (Kind::Unreachable, Retry::After(_)) => after > LATEST_KNOCK,
            _ => false,
        };
        after <= LATEST_TRY && (self.transport.has_others() || !is_down)
    }

    /// Whether there is a repeat left. To ask another node is no repeat for that one.
    fn may_repeat(&self, now: Moment) -> bool {
        self.transport.has_others() || self.repeats.take(now)
    }

    async fn send_once<O: Operation>(&self, operation: &O, call: &Call) -> Result<O::Answer, Failure> {
        if self.is_sealed.load(Ordering::Relaxed) && !ALWAYS_ANSWERED.contains(&&*call.path) {
            self.expect_open().await?;
        }
        let held = self.held(call)?;
        let result = self.exchange(operation, call, held.as_ref()).await;
        if result.as_ref().is_err_and(|failure| failure.kind() == Kind::Sealed) {
            self.is_sealed.store(true, Ordering::Relaxed);
        }
        result
    }

    /// A server that was sealed is asked whether it is open before it is sent a token or a login again.
    async fn expect_open(&self) -> Result<(), Failure> {
        let condition = self.exchange(&Health, &Health.call(), None).await?;
        if condition.sealed || !condition.initialized {
            return Err(Failure::new(Kind::Sealed, "the server is still sealed").hint("unseal it first"));
        }
        self.is_sealed.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The client's own token if the call is to come with it. Why it was taken away is no answer of the server: it is
    /// the same however often one asks.
    fn held(&self, call: &Call) -> Result<Option<Secret>, Failure> {
        match self.token.load().filter(|_| matches!(call.bearer, Bearer::Client)).as_deref() {
            Some(Held::Gone(why)) => Err(why.clone().with_retry(Retry::Never)),
            Some(Held::Token { token, .. }) => Ok(Some(token.clone())),
            None => Ok(None),
        }
    }

    async fn exchange<O: Operation>(
        &self,
        operation: &O,
        call: &Call,
        held: Option<&Secret>,
    ) -> Result<O::Answer, Failure> {
        let token = match &call.bearer {
            Bearer::This(token) => Some(token),
            Bearer::Client | Bearer::Nobody => held,
        };
        let namespace = match call.fixed_namespace {
            true => call.namespace.as_ref(),
            false => call.namespace.as_ref().or(self.namespace.as_ref()),
        };
        let mut reply = self.transport.send(call, token, namespace).await?;
        if let Some(token) = token {
            reply.strike_out(token);
        }
        if let Some(held) = held.filter(|_| failure::is_of_bearer(&reply)) {
            self.token.refuse(held);
        }
        operation.answer(&reply)
    }

    /// Renews the client's own token, asking for this much; the server may give less.
    pub async fn renew_self(&self, increment: Option<Duration>) -> Result<Renewal, Failure> {
        let renewal = self.send(&token::Renew { subject: Subject::Own, increment }).await?;
        if let Some((token, _)) = self.token.token() {
            self.set_token(token, Some(renewal.lease_duration));
        }
        Ok(renewal)
    }

    /// Whether the token ends within five minutes. A token of unknown or no end never has to be renewed.
    pub fn should_renew_token(&self) -> bool {
        let expiry = self.token.token().and_then(|(_, expiry)| expiry);
        expiry.is_some_and(|expiry| expiry - Clock::default().now() < RENEWAL_WINDOW)
    }

    /// The newest version of a KV secret. `secret/db` and `secret/data/db` are the same.
    pub async fn read_kv_secret(&self, path: &str) -> Result<Fields, Failure> {
        let path = Path::parse(path)
            .map_err(|fault| Failure::new(Kind::Invalid, format!("`{path}` is no path: {fault}")))?;
        let reference = VaultReference { path, version: None, namespace: None };
        self.read(&reference).await.map(|grant| grant.fields)
    }

    /// The secret at a path of the API, such as `secret/data/db`; of a KV mount, its fields.
    pub async fn get_secret(&self, path: &str) -> Result<Fields, Failure> {
        self.read_kv_secret(path).await
    }

    /// Whether the server is there, unsealed, and of which version.
    pub async fn health_check(&self) -> Result<Condition, Failure> {
        self.send(&Health).await
    }

    /// Whatever a reference names: a KV secret, or the credential that another engine makes, with its lease.
    pub async fn read(&self, reference: &VaultReference) -> Result<Grant, Failure> {
        let Some(known) = self.known_mount(&reference.namespace, &reference.path) else {
            let mount = self.find_mount(reference).await?;
            return self.read_in(mount.as_ref(), reference).await;
        };
        match self.read_in(known.as_ref(), reference).await {
            // What is mounted there may be of another kind or version by now.
            Err(failure) if failure.kind() == Kind::NotFound => match self.find_mount(reference).await? {
                same if same == known => Err(failure),
                other => self.read_in(other.as_ref(), reference).await,
            },
            result => result,
        }
    }

    async fn read_in(&self, mount: Option<&Mount>, reference: &VaultReference) -> Result<Grant, Failure> {
        let path = &reference.path;
        match mount.and_then(|mount| mount.entry(path)) {
            Some(entry) => {
                let read = kv::Read::new(entry, reference.version)?;
                let document = self.send(&read.within(reference.namespace.clone())).await?;
                Ok(static_grant(document))
            }
            None if reference.version.is_some() => {
                Err(Failure::new(Kind::Invalid, format!("{path} is not in a KV engine and has no versions")))
            }
            None => {
                let read = secret::Read { path: path.clone(), is_dynamic: true };
                self.send(&read.within(reference.namespace.clone())).await.map(leased_grant)
            }
        }
    }

    /// The KV mount that a path is in; none if it is in an engine of another kind. Found once a mount.
    pub async fn mount_of(&self, reference: &VaultReference) -> Result<Option<Mount>, Failure> {
        match self.known_mount(&reference.namespace, &reference.path) {
            Some(known) => Ok(known),
            None => self.find_mount(reference).await,
        }
    }

    /// The same, asked of the server in any case.
    pub(crate) async fn find_mount(&self, reference: &VaultReference) -> Result<Option<Mount>, Failure> {
        let (namespace, path) = (reference.namespace.clone(), &reference.path);
        let find = MountOf { path: path.clone() }.within(namespace.clone());
        let info = self.send(&find).await.map_err(|failure| mount_failure(path, failure))?;
        let mount = info.kv();
        let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        mounts.insert((namespace, info.path.trim_matches('/').to_owned()), mount.clone());
        Ok(mount)
    }

    fn known_mount(&self, namespace: &Option<Namespace>, path: &Path) -> Option<Option<Mount>> {
        let mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = path.as_str().match_indices('/').map(|(at, _)| at);
        let prefixes = ends.map(|at| &path.as_str()[..at]);
        prefixes.filter_map(|prefix| mounts.get(&(namespace.clone(), prefix.to_owned()))).next_back().cloned()
    }
}

impl fmt::Debug for VaultClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VaultClient({})", self.transport.address())
    }
}

fn static_grant(document: Document) -> Grant {
    let version = document.version.map(|info| info.version);
    Grant { fields: document.fields, lease: Lease::STATIC, version, refresh_in: None }
}

fn leased_grant(material: Material) -> Grant {
    let lease = match material.lease {
        None => Lease::STATIC,
        Some(id) => Lease {
            holding: Holding::Lease { id: id.as_str().into() },
            ttl: Some(material.lease_duration),
            renewable: material.renewable,
            ours: true,
            ..Lease::STATIC
        },
    };
    Grant { fields: material.fields, lease, version: None, refresh_in: material.rotates_in }
}

/// The server tells a mount to nobody who may not read anything below it, and says the same where there is none.
fn mount_failure(path: &Path, failure: Failure) -> Failure {
    if failure.kind() != Kind::Denied {
        return failure;
    }
    let (mount, name) = path.as_str().split_once('/').unwrap_or((path.as_str(), ""));
    let name = name.strip_prefix("data/").unwrap_or(name);
    let message =
        format!("denied: no policy of the token allows to read {path}, or nothing is mounted there");
    Failure::new(Kind::Denied, message).hint(format!(
        "allow it with `path \"{mount}/data/{name}\" {{ capabilities = [\"read\"] }}` \
         (without `data/` if `{mount}` is not KV version 2)"
    ))
}

/// How long to wait before the call is made again; none if it must not be, or not by us.
fn pause(call: &Call, failure: &Failure, attempt: u32, tries: u32) -> Option<Duration> {
    let asked = match (failure.retry(), call.repeat) {
        (Retry::Never, _) | (Retry::Ambiguous, Repeat::Once) => return None,
        (Retry::Ambiguous, Repeat::Safe) => Duration::ZERO,
        (Retry::After(asked), _) => asked.unwrap_or_default(),
    };
    let rest = if failure.kind() == Kind::Throttled { REST } else { Duration::ZERO };
    let is_hopeless = attempt >= tries || asked > LONGEST_PAUSE;
    let longest = PAUSE * 2_u32.pow((attempt - 1).min(3));
    let part = random::part(longest);
    (!is_hopeless).then(|| asked.max(part).max(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_used_up_and_made_up_for() {
        let (repeats, begun) = (Repeats::default(), Moment::default() + Duration::from_secs(1000));
        let check = |second: u64, expect: u32| {
            let now = begun + Duration::from_secs(second);
            let taken = std::iter::repeat_with(|| repeats.take(now)).take_while(|taken| *taken).count();
            assert_eq!(taken, expect as usize, "after {second} s");
        };
        check(0, 3);
        check(9, 0);
        check(10, 1);
        check(35, 2);
        check(4000, 3);
    }
}
