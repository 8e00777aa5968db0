//! Where the values of a command come from while it runs: credentials that the engine keeps, and places of this
//! workstation, which are read again and again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use leasehold::core::name::{Place, VaultReference};
use leasehold::core::{Failure, Fields, Kind};
use leasehold::credential::Credential;
use leasehold::workstation::Workstation;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::bindings::{Bindings, Values};
use super::providers::Keys;
use crate::command::values::of_place;
use crate::ui::Ui;

/// What is at each place of this workstation, as it was last read.
pub(super) type Locals = BTreeMap<Place, Fields>;

/// Where the values come from.
pub(super) struct Sources {
    bindings: Bindings,
    keys: Keys,
    credentials: HashMap<VaultReference, Credential>,
    locals: watch::Receiver<Locals>,
    /// Reads the places again; ends with this.
    _reader: JoinSet<()>,
}

impl Sources {
    /// Reads the places of this workstation, now and at each interval. What could not be read again stays as it was, and
    /// so does a key in whose place there is a blank now.
    pub(super) async fn open(
        bindings: Bindings,
        keys: Keys,
        credentials: HashMap<VaultReference, Credential>,
        workstation: Workstation<'static>,
        interval: Duration,
        ui: Ui,
    ) -> Result<Self, Failure> {
        let mut locals = Locals::new();
        for place in bindings.local_places() {
            match of_place(&workstation, place).await {
                Ok(fields) => locals.insert(place.clone(), fields),
                Err(failure) => return Err(keys.explain(failure, place, &workstation).await),
            };
        }
        // A variable of our own environment stays as it is.
        let watched: BTreeSet<_> =
            locals.keys().filter(|place| !matches!(place, Place::Env(_))).cloned().collect();
        let (writer, locals) = watch::channel(locals);
        let mut reader = JoinSet::new();
        if !watched.is_empty() {
            let (workstation, keys) = (workstation.clone(), keys.clone());
            reader.spawn(Reader { workstation, watched, keys, writer, ui }.read_on(interval));
        }
        let sources = Self { bindings, keys, credentials, locals, _reader: reader };
        // A key that is none is told before the command starts.
        sources.check_keys(&workstation).await?;
        sources.values()?;
        if let Some(caveat) = sources.keys.caveat(&workstation).await {
            ui.warn(&caveat);
        }
        Ok(sources)
    }

    async fn check_keys(&self, workstation: &Workstation<'_>) -> Result<(), Failure> {
        for key in self.keys.iter() {
            let fields = self.fields(key.place(), &self.locals.borrow());
            if let Err(failure) = fields.and_then(|fields| key.expect_in(&fields)) {
                return Err(key.explain(failure, workstation).await);
            }
        }
        Ok(())
    }

    pub(super) fn has_files(&self) -> bool {
        self.bindings.has_files()
    }

    pub(super) fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.credentials.values()
    }

    /// What is on this workstation, and its changes.
    pub(super) fn locals(&self) -> watch::Receiver<Locals> {
        self.locals.clone()
    }

    /// The values as they are now.
    pub(super) fn values(&self) -> Result<Values, Failure> {
        let locals = self.locals.borrow();
        let values = self.bindings.values(|place| self.fields(place, &locals))?;
        self.keys.expect_in(&values.env)?;
        Ok(values)
    }

    /// What is at a place now.
    fn fields(&self, place: &Place, locals: &Locals) -> Result<Fields, Failure> {
        match place {
            Place::Vault(vault) => {
                let grant = self.credentials.get(vault).and_then(Credential::hold);
                grant.map(|grant| grant.fields.clone()).ok_or_else(|| {
                    Failure::new(Kind::Expired, format!("{vault} has ended, and there is no new one yet"))
                })
            }
            place => Ok(locals.get(place).cloned().unwrap_or_default()),
        }
    }
}

/// Reads places again and again.
struct Reader {
    workstation: Workstation<'static>,
    watched: BTreeSet<Place>,
    keys: Keys,
    writer: watch::Sender<Locals>,
    ui: Ui,
}

impl Reader {
    async fn read_on(self, interval: Duration) {
        // The places that cannot be read now, so that each is told of once.
        let mut lost = BTreeSet::new();
        loop {
            tokio::time::sleep(interval).await;
            let mut changed = Locals::new();
            for place in &self.watched {
                match self.read(place).await {
                    Ok(fields) => {
                        lost.remove(place);
                        changed.insert(place.clone(), fields);
                    }
                    Err(failure) if lost.insert(place) => {
                        self.ui.warn(&format!("{failure}; the command goes on with what it has"));
                    }
                    Err(_) => {}
                }
            }
            self.publish(changed);
        }
    }

    async fn read(&self, place: &Place) -> Result<Fields, Failure> {
        let fields = of_place(&self.workstation, place).await?;
        self.keys.expect_at(place, &fields)?;
        Ok(fields)
    }

    /// Puts in place what has another value than before. The rest is not told as a change.
    fn publish(&self, read: Locals) {
        self.writer.send_if_modified(|locals| {
            let mut is_changed = false;
            for (place, fields) in read {
                if locals.get(&place).is_none_or(|old| !old.is_same(&fields)) {
                    locals.insert(place, fields);
                    is_changed = true;
                }
            }
            is_changed
        });
    }
}
