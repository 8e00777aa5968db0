//! `leasehold import`: the keys of a `.env` file to the stores of their providers.

use std::fmt;
use std::path::Path;

use leasehold::core::name::{Place, Reference};
use leasehold::core::{Failure, Kind, Secret};
use leasehold::env_file::{EnvFile, Variable};
use leasehold::manifest::{Manifest, Provider};
use leasehold::workstation::Workstation;
use serde_json::{Value, json};

use super::pretty;
use super::workstation::Desk;
use crate::arguments::import::ImportArguments;
use crate::config::environment::Environment;
use crate::exit::Exit;
use crate::ui::{self, Ui};

/// The longest text that is read from standard input, in bytes.
const LONGEST: usize = 1 << 20;
const HEAD: [&str; 5] = ["LINE", "VARIABLE", "PROVIDER", "KEY AT", "WHAT"];

/// Shows what would be done, and does it if that is wanted.
pub(crate) fn import(
    arguments: &ImportArguments,
    environment: &Environment,
    ui: Ui,
) -> Result<Exit, Failure> {
    let desk = Desk::open(&arguments.common, environment)?;
    let file = file(arguments, &desk)?;
    let concerned = desk.manifest.providers().iter().filter(|provider| {
        file.variables().iter().any(|variable| provider.env_var.as_deref() == Some(&*variable.name))
    });
    desk.attend(concerned, ui, async |workstation| {
        let plan = Plan::make(workstation, &desk.manifest, &file).await?;
        plan.show(arguments, ui);
        if arguments.delete_file {
            plan.check_deletion(&arguments.env_file, &file)?;
        }
        let is_wanted = arguments.yes || plan.is_agreed(arguments)?;
        if is_wanted {
            plan.carry_out(workstation, ui).await?;
        }
        let is_deleted = is_wanted && arguments.delete_file;
        if is_deleted {
            file.delete()?;
        }
        plan.tell_end(arguments, ui, is_wanted, is_deleted);
        match plan.bar(arguments) {
            Some(failure) if is_wanted && !is_deleted => Err(failure),
            _ => Ok(Exit::OK),
        }
    })
}

/// The file, or the text of standard input.
fn file(arguments: &ImportArguments, desk: &Desk) -> Result<EnvFile, Failure> {
    match is_stdin(arguments) {
        false => EnvFile::load(&arguments.env_file),
        true if arguments.delete_file => {
            Err(Failure::new(Kind::Invalid, "standard input cannot be deleted")
                .hint("leave out --delete-file"))
        }
        true => {
            desk.take_lines()?;
            EnvFile::of_text(Path::new(&shown(arguments)), ui::secret_from_stdin(LONGEST)?)
        }
    }
}

fn is_stdin(arguments: &ImportArguments) -> bool {
    arguments.env_file.as_os_str() == "-"
}

/// What the file is called in messages.
fn shown(arguments: &ImportArguments) -> String {
    match is_stdin(arguments) {
        true => "standard input".into(),
        false => arguments.env_file.display().to_string(),
    }
}

/// What is to be done with each variable of the file.
struct Plan<'a> {
    rows: Vec<Row<'a>>,
}

/// What is to be done with one variable.
struct Row<'a> {
    variable: &'a Variable,
    /// Who has it, and where its key belongs.
    owner: Option<(&'a Provider, Reference)>,
    what: What,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Set,
    Replace,
    Same,
    Empty,
    Unclear(&'static str),
    NoProvider,
    SeveralProviders,
}

impl What {
    fn token(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Replace => "replace",
            Self::Same => "same",
            Self::Empty => "empty",
            Self::Unclear(_) => "unclear",
            Self::NoProvider => "no provider",
            Self::SeveralProviders => "several providers",
        }
    }

    fn is_change(self) -> bool {
        matches!(self, Self::Set | Self::Replace)
    }

    /// Whether somebody's key may be here, and is not taken.
    fn is_refused(self) -> bool {
        matches!(self, Self::Unclear(_) | Self::SeveralProviders)
    }

    /// Whether the file has nothing here that is not in a store in the end.
    fn is_done_with(self) -> bool {
        matches!(self, Self::Set | Self::Replace | Self::Same | Self::Empty)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())?;
        match self {
            Self::Unclear(why) => write!(f, ": {why}"),
            _ => Ok(()),
        }
    }
}

impl Row<'_> {
    fn place(&self) -> Option<&Reference> {
        self.owner.as_ref().map(|(_, place)| place)
    }

    /// The variable, and what is to be done with it.
    fn told(&self) -> String {
        format!("{} ({})", self.variable.name, self.what)
    }

    fn cells(&self) -> Vec<String> {
        let (provider, place) = match &self.owner {
            Some((provider, place)) => (provider.name.clone(), place.to_string()),
            None => ("-".into(), "-".into()),
        };
        let line = self.variable.line.to_string();
        vec![line, self.variable.name.clone(), provider, place, self.what.to_string()]
    }

    fn object(&self) -> Value {
        json!({
            "variable": self.variable.name,
            "line": self.variable.line,
            "provider": self.owner.as_ref().map(|(provider, _)| &provider.name),
            "place": self.owner.as_ref().map(|(_, place)| place.to_string()),
            "outcome": self.what.token().replace(' ', "_"),
            "reason": match self.what {
                What::Unclear(why) => Some(why),
                _ => None,
            },
        })
    }
}

impl<'a> Plan<'a> {
    async fn make(
        workstation: &Workstation<'_>,
        manifest: &'a Manifest,
        file: &'a EnvFile,
    ) -> Result<Self, Failure> {
        let mut rows = Vec::new();
        for variable in file.variables() {
            rows.push(row(workstation, manifest, variable).await);
        }
        let places: Vec<_> = rows.iter().filter_map(Row::place).cloned().collect();
        let mut there = workstation.find_all(&places).await.into_iter();
        for row in &mut rows {
            let there = row.place().and_then(|_| there.next());
            if let (What::Set, Ok(value), Some(there)) = (row.what, &row.variable.value, there) {
                row.what = compare(there, value)?;
            }
        }
        Ok(Self { rows })
    }

    fn names(&self, is_wanted: impl Fn(&Row<'_>) -> bool) -> Vec<&str> {
        self.rows.iter().filter(|row| is_wanted(row)).map(|row| row.variable.name.as_str()).collect()
    }

    /// Shows the plan to a person, and what becomes of variables that look like keys and belong to nobody.
    fn show(&self, arguments: &ImportArguments, ui: Ui) {
        if !arguments.common.json {
            ui::answer(&ui::table(&HEAD, &self.rows.iter().map(Row::cells).collect::<Vec<_>>()));
        }
        let strangers = self.names(|row| row.what == What::NoProvider && row.variable.looks_secret());
        if !strangers.is_empty() {
            let example = r#""NAME": {"vault_key": "SOME/NAME", "env_var": "VARIABLE"}"#;
            let strangers = strangers.join(", ");
            ui.note(&format!("{strangers}: to import it, give the manifest a provider such as {example}"));
        }
    }

    /// The file goes only if nothing is lost with it; that is found out before anything is stored.
    fn check_deletion(&self, path: &Path, file: &EnvFile) -> Result<(), Failure> {
        let invalid = |why: &str| {
            Err(Failure::new(Kind::Invalid, format!("{} would not be deleted: {why}", path.display())).hint(
                "nothing was done; leave out --delete-file, and take the keys out of the file yourself",
            ))
        };
        let rest = self.names(|row| !row.what.is_done_with());
        match (file.bar_to_deletion(), &rest[..]) {
            (Some(why), _) => invalid(why),
            (None, []) => Ok(()),
            (None, rest) => invalid(&format!("it also holds {}", rest.join(", "))),
        }
    }

    /// Whether somebody at the terminal wants it. Whoever reads JSON is no person.
    fn is_agreed(&self, arguments: &ImportArguments) -> Result<bool, Failure> {
        let count = self.names(|row| row.what.is_change()).len();
        let question = match (count, arguments.delete_file) {
            _ if arguments.common.json => return Ok(false),
            (0, false) => return Ok(false),
            (0, true) => "Delete the file?".to_owned(),
            (1, false) => "Store this key?".to_owned(),
            (count, false) => format!("Store these {count} keys?"),
            (_, true) => "Store this, and delete the file?".to_owned(),
        };
        ui::agrees(&question)
    }

    /// Stores what is new until something cannot be stored, and reads back and tells what was.
    async fn carry_out(&self, workstation: &Workstation<'_>, ui: Ui) -> Result<(), Failure> {
        let (mut stored, mut places, mut outcome) = (Vec::new(), Vec::new(), Ok(()));
        for row in self.rows.iter().filter(|row| row.what.is_change()) {
            let (Some((provider, place)), Ok(secret)) = (&row.owner, &row.variable.value) else { continue };
            if let Err(failure) = workstation.set_key(provider, secret).await {
                outcome = Err(failure);
                break;
            }
            stored.push((&row.variable.name, secret));
            places.push(place.clone());
        }
        let there = workstation.find_all(&places).await;
        for (((name, secret), place), there) in stored.into_iter().zip(&places).zip(there) {
            if !there?.is_same(secret) {
                let message = format!("{place} has another key than was put there");
                return Err(Failure::new(Kind::Broken, message).hint("the file was left as it is"));
            }
            ui.note(&format!("stored {name} at {place}"));
        }
        outcome
    }

    /// What was done, and what is left to do.
    fn tell_end(&self, arguments: &ImportArguments, ui: Ui, is_wanted: bool, is_deleted: bool) {
        if arguments.common.json {
            ui::answer(&pretty(&self.object(arguments, is_wanted, is_deleted)));
        }
        let is_change = self.rows.iter().any(|row| row.what.is_change());
        let shown = shown(arguments);
        match (is_wanted, is_change, self.bar(arguments)) {
            (false, true, None) => return ui.note("nothing was done; --yes does it"),
            (false, true, Some(failure)) => {
                return ui.note(&format!("nothing was done; --yes does it. {}", failure.message()));
            }
            (false, false, Some(failure)) => return ui.note(failure.message()),
            _ => {}
        }
        if is_deleted {
            return ui.note(&format!(
                "deleted {shown}; its keys were on the disk, so it is better to change them"
            ));
        }
        let kept: Vec<_> =
            self.rows.iter().filter(|row| row.what.is_done_with() && row.what != What::Empty).collect();
        if !kept.is_empty() && !is_stdin(arguments) {
            let lines: Vec<_> = kept.iter().map(|row| row.variable.line.to_string()).collect();
            ui.note(&format!("{shown} still holds keys that are in a store: lines {}", lines.join(", ")));
        }
    }

    /// What is wrong where this was wanted: a key that was not taken, or none at all.
    fn bar(&self, arguments: &ImportArguments) -> Option<Failure> {
        let invalid = |message: String| Failure::new(Kind::Invalid, message);
        let refused: Vec<_> = self.rows.iter().filter(|row| row.what.is_refused()).map(Row::told).collect();
        if !refused.is_empty() {
            let failure = invalid(format!("not taken: {}", refused.join("; ")));
            return Some(
                failure.hint(
                    "mend the file or the manifest, or give the key by hand: leasehold set-key PROVIDER",
                ),
            );
        }
        let is_strange = self.rows.iter().all(|row| row.owner.is_none());
        is_strange.then(|| {
            invalid(format!("nothing in {} belongs to a provider", shown(arguments)))
                .hint("a variable belongs to the provider that has it as its `env_var` in the manifest")
        })
    }

    fn object(&self, arguments: &ImportArguments, is_wanted: bool, is_deleted: bool) -> Value {
        json!({
            "file": arguments.env_file.to_string_lossy(),
            "applied": is_wanted && self.rows.iter().any(|row| row.what.is_change()),
            "deleted": is_deleted,
            "variables": self.rows.iter().map(Row::object).collect::<Vec<_>>(),
        })
    }
}

/// What can be told of a variable without a look at what is stored. What belongs to a provider is to be set.
async fn row<'a>(workstation: &Workstation<'_>, manifest: &'a Manifest, variable: &'a Variable) -> Row<'a> {
    let mut owners = owners(workstation, manifest, &variable.name).await;
    let owner = if owners.len() == 1 { owners.pop() } else { None };
    let what = match (&variable.value, &owner) {
        (_, None) if !owners.is_empty() => What::SeveralProviders,
        (Ok(value), _) if value.expose().trim().is_empty() => What::Empty,
        (_, None) => What::NoProvider,
        (Err(why), Some(_)) => What::Unclear(why),
        (Ok(_), Some(_)) => What::Set,
    };
    Row { variable, owner, what }
}

/// The providers that have this variable, and a place for its key. Several with the same place are one.
async fn owners<'a>(
    workstation: &Workstation<'_>,
    manifest: &'a Manifest,
    variable: &str,
) -> Vec<(&'a Provider, Reference)> {
    let mut owners: Vec<(&Provider, Reference)> = Vec::new();
    let of_variable =
        manifest.providers().iter().filter(|provider| provider.env_var.as_deref() == Some(variable));
    for provider in of_variable {
        let Some(pointer) = &provider.pointer else { continue };
        let place = workstation.stores().reference(pointer).await;
        let is_written = matches!(place.place(), Place::Stored(..) | Place::Vault(_));
        let is_new = owners.iter().all(|(_, other)| *other != place);
        if is_written && is_new {
            owners.push((provider, place));
        }
    }
    owners
}

fn compare(there: Result<Secret, Failure>, value: &Secret) -> Result<What, Failure> {
    match there {
        Ok(there) if there.is_same(value) => Ok(What::Same),
        Ok(_) => Ok(What::Replace),
        Err(failure) if failure.kind() == Kind::NotFound => Ok(What::Set),
        Err(failure) => Err(failure),
    }
}
