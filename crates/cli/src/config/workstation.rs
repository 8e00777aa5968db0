//! The workstation: where the manifest is, which store is used, and what the sealed file is opened with.

use std::path::{Path as FilePath, PathBuf};

use leasehold::core::Failure;
use leasehold::core::name::{Path, Place, Reference, StoreKind};
use leasehold::manifest::SERVICE;
use leasehold::workstation::{Choice, Seal, StoreSettings};

use super::environment::{Environment, homeless};
use super::fault::Trouble;
use super::key;
use super::layers::Layers;
use super::login::{Part, part};

/// Where the manifest is, below the user's home.
const MANIFEST: &str = ".config/ai/ai_agents/manifest.json";
/// The sealed file's key as systemd hands it to a service.
const CREDENTIAL: &str = "leasehold.key";

/// Where the manifest and the stores are. Nothing of it was opened yet.
#[derive(Clone, Debug)]
pub(crate) struct WorkstationSettings {
    pub(crate) manifest: PathBuf,
    pub(crate) sealed_file: PathBuf,
    /// The store that was asked for.
    choice: Option<Choice>,
    sealed_key: Option<Reference>,
    passphrase: Option<Part>,
    /// Where the sealed file's key is drawn to, if nothing else was said.
    drawn_key: PathBuf,
    bus: String,
}

impl WorkstationSettings {
    pub(super) fn settle(layers: &mut Layers, environment: &Environment) -> Self {
        let working_dir = environment.working_dir();
        let passphrase = part(layers, &key::PASSPHRASE, &key::PASSPHRASE_FILE, working_dir);
        let sealed_key = layers.one(&key::SEALED_KEY, parse_key);
        if sealed_key.is_some() && passphrase.is_some() {
            let doubled = layers.winner(&key::SEALED_KEY).map(|text| {
                text.fault("the sealed file is opened with a key or with a passphrase: one is enough")
            });
            layers.faults.extend(doubled);
        }
        let home =
            |path: &str, name: &str| environment.below_home(path).unwrap_or_else(|| homeless().join(name));
        let credential = environment.folder("CREDENTIALS_DIRECTORY").map(|folder| folder.join(CREDENTIAL));
        let credential = credential.filter(|file| file.exists()).map(|file| file_reference(&file));
        let data = environment.folder("XDG_DATA_HOME").map(|folder| folder.join("leasehold/sealed"));
        let config = environment.config_folder().unwrap_or_else(homeless);
        Self {
            manifest: layers
                .path(&key::MANIFEST, working_dir)
                .unwrap_or_else(|| home(MANIFEST, "manifest.json")),
            sealed_file: layers
                .path(&key::SEALED_FILE, working_dir)
                .or(data)
                .unwrap_or_else(|| home(".local/share/leasehold/sealed", "sealed")),
            choice: layers.one(&key::STORE, parse_choice),
            sealed_key: sealed_key.or_else(|| credential.filter(|_| passphrase.is_none())),
            passphrase,
            drawn_key: config.join("leasehold/sealed.key"),
            bus: environment.session_bus(),
        }
    }

    /// Where the stores are, and in which folder it is noted which one was taken. Reads a line of standard input if the
    /// passphrase comes from there.
    pub(crate) fn stores(&self, state_dir: &FilePath) -> Result<StoreSettings, Failure> {
        let seal = match (&self.sealed_key, &self.passphrase) {
            (Some(reference), _) => Seal::Key(reference.clone()),
            (None, Some(passphrase)) => Seal::Passphrase(passphrase.source()?),
            (None, None) => self.drawn_seal(),
        };
        Ok(StoreSettings {
            choice: self.choice.clone(),
            bus: self.bus.clone(),
            sealed_file: self.sealed_file.clone(),
            seal,
            note: state_dir.join("store"),
        })
    }

    /// The key file that is drawn where nothing else was said.
    pub(crate) fn drawn_seal(&self) -> Seal {
        Seal::Drawn(self.drawn_key.clone())
    }

    /// Whether plain pointers are on the server.
    pub(crate) fn is_on_server(&self) -> bool {
        matches!(self.choice, Some(Choice::Server(_)))
    }
}

fn file_reference(path: &FilePath) -> Reference {
    Place::File(path.to_string_lossy().into()).into()
}

/// Parses `keyring`, `sealed`, `kernel`, or `vault://PATH`.
pub(crate) fn parse_choice(text: &str) -> Result<Choice, Trouble> {
    if let Some(path) = text.strip_prefix("vault://").or_else(|| text.strip_prefix("bao://")) {
        let at = text.len() - path.len();
        return match Path::parse(path) {
            Ok(path) if path.as_str().contains('/') => Ok(Choice::Server(path)),
            Ok(_) => Err(Trouble::at(at, "a path is MOUNT/PATH")),
            Err(fault) => Err(Trouble::at(at + fault.at(), fault.message())),
        };
    }
    StoreKind::of_scheme(text).map(Choice::Store).ok_or_else(|| {
        Trouble::at(
            0,
            "a store is keyring, sealed, kernel, or a secret on the server such as vault://secret/ai",
        )
    })
}

/// Parses the place of the sealed file's key.
pub(crate) fn parse_key(text: &str) -> Result<Reference, Trouble> {
    let reference = Reference::parse(text).map_err(|_| Trouble::unseen(KEY_PLACES))?;
    match reference.place() {
        // A key among those that it seals would be taken for one of them: moved into the file, and locked in there.
        Place::Stored(StoreKind::Keyring, entry) if &*entry.service == SERVICE => {
            Err(Trouble::unseen(AMONG_KEYS))
        }
        Place::File(_) | Place::Stored(StoreKind::Keyring, _) => Ok(reference),
        _ => Err(Trouble::unseen(KEY_PLACES)),
    }
}

const AMONG_KEYS: &str = "the service agent_vault is for the keys of providers: name another one, such as keyring://leasehold/sealed-key";

const KEY_PLACES: &str = "the sealed file's key is at a file:///path or a keyring://SERVICE/NAME";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::tests::settings_of;

    #[test]
    fn where_the_manifest_and_the_sealed_file_are() {
        let check = |pairs: &[(&str, &str)], words: &[&str], manifest: &str, sealed: &str| {
            let settings = settings_of(pairs, words).unwrap().workstation;
            let got = (settings.manifest.to_str().unwrap(), settings.sealed_file.to_str().unwrap());
            assert_eq!(got, (manifest, sealed), "{pairs:?} {words:?}");
        };
        let (manifest, sealed) =
            ("/h/.config/ai/ai_agents/manifest.json", "/h/.local/share/leasehold/sealed");
        check(&[("HOME", "/h")], &[], manifest, sealed);
        // Others look for the manifest at this place alone.
        check(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/c")], &[], manifest, sealed);
        check(&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")], &[], manifest, "/d/leasehold/sealed");
        check(&[("HOME", "/h"), ("LEASEHOLD_MANIFEST", "m.json")], &[], "/m.json", sealed);
        check(&[("HOME", "/h"), ("LEASEHOLD_MANIFEST", "/x")], &["--manifest", "/y"], "/y", sealed);
    }

    #[test]
    fn what_the_sealed_file_is_opened_with() {
        let check = |pairs: &[(&str, &str)], expect: &str| {
            let seal = settings_of(pairs, &[])
                .map(|settings| settings.workstation.stores(FilePath::new("/s")).unwrap().seal);
            let got = seal.map_or_else(|fault| fault, |seal| format!("{seal:?}"));
            assert!(got.contains(expect), "{pairs:?}: {got}");
        };
        let credentials = tempfile::tempdir().unwrap();
        let folder = credentials.path().to_str().unwrap();
        check(&[("HOME", "/h")], "Drawn(\"/h/.config/leasehold/sealed.key\")");
        check(&[("HOME", "/h"), ("CREDENTIALS_DIRECTORY", folder)], "Drawn(");
        std::fs::File::create(credentials.path().join(CREDENTIAL)).unwrap();
        check(&[("HOME", "/h"), ("CREDENTIALS_DIRECTORY", folder)], "/leasehold.key");
        check(&[("LEASEHOLD_PASSPHRASE", "canary")], "Passphrase(Value(Secret(..)))");
        check(
            &[("LEASEHOLD_PASSPHRASE", "canary"), ("CREDENTIALS_DIRECTORY", folder)],
            "Passphrase(Value(Secret(..)))",
        );
        check(&[("LEASEHOLD_PASSPHRASE_FILE", "/p")], "Passphrase(File(\"/p\"))");
        check(&[("LEASEHOLD_SEALED_KEY", "keyring://leasehold/sealed.key")], "Stored(Keyring");
        check(&[("LEASEHOLD_SEALED_KEY", "env://X")], "the sealed file's key is at");
        check(&[("LEASEHOLD_SEALED_KEY", "hunter2")], "the sealed file's key is at");
        check(&[("LEASEHOLD_SEALED_KEY", "file:///k"), ("LEASEHOLD_PASSPHRASE", "canary")], "one is enough");
    }

    #[test]
    fn stores_by_name() {
        let check = |text: &str, expect: Result<Choice, usize>| {
            let choice = parse_choice(text);
            assert!(
                choice.as_ref().map(Choice::setting).is_ok_and(|again| again == text) == expect.is_ok(),
                "{text}"
            );
            assert_eq!(choice.map_err(|trouble| trouble.at.unwrap()), expect, "{text}");
        };
        check("keyring", Ok(Choice::Store(StoreKind::Keyring)));
        check("sealed", Ok(Choice::Store(StoreKind::Sealed)));
        check("kernel", Ok(Choice::Store(StoreKind::Kernel)));
        check("vault://secret/ai", Ok(Choice::Server(Path::parse("secret/ai").unwrap())));
        check("vault://secret", Err(8));
        check("vault://secret//ai", Err(15));
        check("Keyring", Err(0));
    }
}
