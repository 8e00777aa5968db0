//! The Secret Service's protocol on the D-Bus: the calls of it that a store needs.

use std::collections::HashMap;

use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zbus::Connection;
use zbus::proxy::{Builder, CacheProperties};
use zbus::zvariant::{DynamicType, ObjectPath, OwnedObjectPath, OwnedValue, Type, Value};
use zeroize::Zeroizing;

use super::exchange::{ALGORITHM, Cipher, Offer};
use super::trouble::Trouble;

const NAME: &str = "org.freedesktop.secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";
const FOLDER: &str = "org.freedesktop.Secret.Collection";
const ITEM: &str = "org.freedesktop.Secret.Item";
const PROMPT: &str = "org.freedesktop.Secret.Prompt";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// What the protocol says for "nothing".
const NOTHING: &str = "/";
const ROOT: ObjectPath<'static> = ObjectPath::from_static_str_unchecked("/org/freedesktop/secrets");
const CONTENT_TYPE: &str = "text/plain";

/// What identifies an item.
pub(super) type Attributes<'a> = HashMap<&'a str, &'a str>;

/// The paths of the items that were found.
#[derive(Debug, Deserialize, Type)]
pub(super) struct Found {
    pub(super) unlocked: Vec<OwnedObjectPath>,
    pub(super) locked: Vec<OwnedObjectPath>,
}

/// What an item tells without its secret.
pub(super) struct Label {
    pub(super) attributes: HashMap<String, String>,
    /// In seconds since 1970; 0 where it is not told.
    pub(super) modified: u64,
}

/// A session in which secrets are passed.
pub(super) struct Session {
    path: OwnedObjectPath,
    /// None with a keyring that can do no encryption.
    cipher: Option<Cipher>,
}

/// A secret on its way.
#[derive(Serialize, Deserialize, Type)]
struct Parcel {
    session: OwnedObjectPath,
    start: Vec<u8>,
    text: Vec<u8>,
    content_type: String,
}

/// The keyring of a session, whichever program it is.
#[derive(Clone)]
pub(super) struct Service(pub(super) Connection);

impl Service {
    /// The folder for new items; none if there is none yet.
    pub(super) async fn default_folder(&self) -> Result<Option<OwnedObjectPath>, Trouble> {
        let path: OwnedObjectPath = self.call(&ROOT, SERVICE, "ReadAlias", &("default",)).await?;
        Ok(Some(path).filter(|path| path.as_str() != NOTHING))
    }

    pub(super) async fn search(&self, attributes: &Attributes<'_>) -> Result<Found, Trouble> {
        self.call(&ROOT, SERVICE, "SearchItems", &(attributes,)).await
    }

    /// Agrees on an encryption, which costs more than all the rest.
    pub(super) async fn session(&self) -> Result<Session, Trouble> {
        let offer = Offer::draw().map_err(|_| Trouble::NoAgreement)?;
        match self.open_session(ALGORITHM, offer.public().into()).await {
            Ok((answer, path)) => {
                let public = Vec::<u8>::try_from(answer).map_err(|_| Trouble::NoAgreement)?;
                let cipher = offer.agree(&public).ok_or(Trouble::NoAgreement)?;
                Ok(Session { path, cipher: Some(cipher) })
            }
            Err(Trouble::Other(name)) if name == "NotSupported" => {
                let (_, path) = self.open_session("plain", "".into()).await?;
                Ok(Session { path, cipher: None })
            }
            Err(trouble) => Err(trouble),
        }
    }

    async fn open_session(
        &self,
        algorithm: &str,
        input: Value<'_>,
    ) -> Result<(OwnedValue, OwnedObjectPath), Trouble> {
        self.call(&ROOT, SERVICE, "OpenSession", &(algorithm, input)).await
    }

    pub(super) async fn secret(
        &self,
        item: &ObjectPath<'_>,
        session: &Session,
    ) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        let parcel: Parcel = self.call(item, ITEM, "GetSecret", &(&session.path,)).await?;
        session.open(parcel)
    }

    pub(super) async fn set_secret(
        &self,
        item: &ObjectPath<'_>,
        session: &Session,
        secret: &[u8],
    ) -> Result<(), Trouble> {
        self.call(item, ITEM, "SetSecret", &(session.seal(secret)?,)).await
    }

    /// Puts a new item into a folder, in the place of one with the same attributes.
    pub(super) async fn create(
        &self,
        folder: &ObjectPath<'_>,
        label: &str,
        attributes: Attributes<'_>,
        parcel: (&Session, &[u8]),
    ) -> Result<(), Trouble> {
        let properties: HashMap<&str, Value<'_>> = HashMap::from([
            ("org.freedesktop.Secret.Item.Label", label.into()),
            ("org.freedesktop.Secret.Item.Attributes", attributes.into()),
        ]);
        let replace = true;
        let arguments = (properties, parcel.0.seal(parcel.1)?, replace);
        let (_, prompt): (OwnedObjectPath, OwnedObjectPath) =
            self.call(folder, FOLDER, "CreateItem", &arguments).await?;
        self.pass(prompt).await
    }

    pub(super) async fn delete(&self, item: &ObjectPath<'_>) -> Result<(), Trouble> {
        let prompt = self.call(item, ITEM, "Delete", &()).await?;
        self.pass(prompt).await
    }

    pub(super) async fn label(&self, item: &ObjectPath<'_>) -> Result<Label, Trouble> {
        let mut told: HashMap<String, OwnedValue> = self.call(item, PROPERTIES, "GetAll", &(ITEM,)).await?;
        let attributes = told.remove("Attributes").and_then(|value| value.try_into().ok());
        let modified = told.remove("Modified").and_then(|value| value.try_into().ok());
        Ok(Label { attributes: attributes.unwrap_or_default(), modified: modified.unwrap_or_default() })
    }

    pub(super) async fn is_locked(&self, folder: &ObjectPath<'_>) -> Result<bool, Trouble> {
        let locked: OwnedValue = self.call(folder, PROPERTIES, "Get", &(FOLDER, "Locked")).await?;
        locked.try_into().map_err(|_| Trouble::BrokeOff)
    }

    /// Some keyrings do what they were told only after a prompt, which may need nobody's answer.
    async fn pass(&self, prompt: OwnedObjectPath) -> Result<(), Trouble> {
        if prompt.as_str() == NOTHING {
            return Ok(());
        }
        let builder: Builder<'_, zbus::Proxy<'_>> = Builder::new(&self.0);
        let prompt = builder.destination(NAME)?.path(prompt)?.interface(PROMPT)?;
        let prompt = prompt.cache_properties(CacheProperties::No).build().await?;
        let mut completed = prompt.receive_signal("Completed").await?;
        let no_window = "";
        prompt.call_method("Prompt", &(no_window,)).await?;
        let message = completed.next().await.ok_or(Trouble::BrokeOff)?;
        let (is_dismissed, _): (bool, OwnedValue) = message.body().deserialize()?;
        if is_dismissed { Err(Trouble::Refused) } else { Ok(()) }
    }

    async fn call<A, R>(
        &self,
        path: &ObjectPath<'_>,
        interface: &str,
        method: &str,
        arguments: &A,
    ) -> Result<R, Trouble>
    where
        A: Serialize + DynamicType,
        R: DeserializeOwned + Type,
    {
        let reply = self.0.call_method(Some(NAME), path, Some(interface), method, arguments).await?;
        Ok(reply.body().deserialize()?)
    }
}

impl Session {
    fn seal(&self, secret: &[u8]) -> Result<Parcel, Trouble> {
        let (start, text) = match &self.cipher {
            Some(cipher) => cipher.seal(secret).map_err(|_| Trouble::NoAgreement)?,
            None => (Vec::new(), secret.to_vec()),
        };
        Ok(Parcel { session: self.path.clone(), start, text, content_type: CONTENT_TYPE.into() })
    }

    fn open(&self, parcel: Parcel) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        match &self.cipher {
            Some(cipher) => cipher.open(&parcel.start, &parcel.text).ok_or(Trouble::NoAgreement),
            None => Ok(Zeroizing::new(parcel.text)),
        }
    }
}
