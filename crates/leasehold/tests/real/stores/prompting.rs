//! A keyring that does what it is told only after a prompt, as KeePassXC does, and that can do no encryption. It needs a
//! screen, so its side is played here, by the protocol.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use leasehold::core::Kind;
use leasehold::store::{Keyring, Store};
use leasehold_testkit::Desktop;
use zbus::object_server::SignalEmitter;
use zbus::zvariant::{ObjectPath, OwnedObjectPath, OwnedValue, Value};
use zbus::{Connection, fdo, interface};

use super::*;

const ITEM: &str = "/org/freedesktop/secrets/collection/c/1";
const PROMPT: &str = "/org/freedesktop/secrets/prompt/1";

fn path(path: &'static str) -> OwnedObjectPath {
    ObjectPath::from_static_str(path).unwrap().into()
}

/// Has one item, whose secret is `canary`.
struct Service;

#[interface(name = "org.freedesktop.Secret.Service")]
impl Service {
    fn open_session(
        &self,
        algorithm: &str,
        _input: OwnedValue,
    ) -> fdo::Result<(OwnedValue, OwnedObjectPath)> {
        match algorithm {
            "plain" => Ok((Value::from("").try_to_owned().unwrap(), path("/session"))),
            _ => Err(fdo::Error::NotSupported("no encryption".into())),
        }
    }

    fn search_items(
        &self,
        _attributes: HashMap<String, String>,
    ) -> (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) {
        (vec![path(ITEM)], Vec::new())
    }
}

struct Item;

type Parcel = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

#[interface(name = "org.freedesktop.Secret.Item")]
impl Item {
    fn get_secret(&self, session: OwnedObjectPath) -> (Parcel,) {
        ((session, Vec::new(), b"canary".to_vec(), "text/plain".into()),)
    }

    fn delete(&self) -> OwnedObjectPath {
        path(PROMPT)
    }
}

/// Whoever is asked says yes or no.
struct Prompt {
    says_no: bool,
    asked: Arc<AtomicUsize>,
}

#[interface(name = "org.freedesktop.Secret.Prompt")]
impl Prompt {
    async fn prompt(
        &self,
        _window: &str,
        #[zbus(signal_emitter)] emitter: SignalEmitter<'_>,
    ) -> fdo::Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(Self::completed(&emitter, self.says_no, Value::from("")).await?)
    }

    #[zbus(signal)]
    async fn completed(emitter: &SignalEmitter<'_>, dismissed: bool, result: Value<'_>) -> zbus::Result<()>;
}

async fn serve(desktop: &Desktop, says_no: bool) -> (Connection, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let prompt = Prompt { says_no, asked: Arc::clone(&asked) };
    let builder = zbus::connection::Builder::address(&*desktop.bus()).unwrap();
    let builder = builder.serve_at("/org/freedesktop/secrets", Service).unwrap();
    let builder = builder.serve_at(ITEM, Item).unwrap().serve_at(PROMPT, prompt).unwrap();
    (builder.name("org.freedesktop.secrets").unwrap().build().await.unwrap(), asked)
}

#[tokio::test]
async fn a_keyring_that_can_do_no_encryption_is_read() {
    let desktop = Desktop::without_keyring();
    let _service = serve(&desktop, false).await;
    let keyring = Keyring::at(&desktop.bus());
    assert_eq!(found(&keyring, &entry("agent_vault", "a")).await, "canary");
}

#[tokio::test]
async fn a_prompt_is_passed_or_told() {
    for says_no in [false, true] {
        let desktop = Desktop::without_keyring();
        let (_service, asked) = serve(&desktop, says_no).await;
        let removed = Keyring::at(&desktop.bus()).remove(&entry("agent_vault", "a")).await;
        match says_no {
            false => assert_eq!(removed, Ok(true)),
            true => assert_eq!(removed.unwrap_err().kind(), Kind::Denied),
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}
