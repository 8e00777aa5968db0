//! What providers last said of their keys, remembered between runs: verdicts and times, and of each key a mark by which
//! another is told from it.

mod mark;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leasehold_core::{Failure, Kind, Secret};
use serde_json::{Map, Value, json};

use crate::clock::{seconds_of, wall_text, wall_time_of};
use crate::files;
use crate::manifest::Provider;
use crate::probe::Verdict;
use mark::Mark;

const VERSION: u64 = 1;
/// The largest file that is read.
const LIMIT: u64 = 4 << 20;
/// After so long somebody may have paid.
const EXHAUSTED: Duration = Duration::from_secs(15 * 60);

/// The last verdict on each provider's key. It is of this key at this endpoint: once either is another, nothing is known.
/// Several processes may write at once; nothing is lost.
///
/// ```no_run
/// use leasehold::checks::Checks;
/// use leasehold::clock::{wall_seconds, wall_time};
/// use leasehold::core::Secret;
/// use leasehold::manifest::Manifest;
/// use leasehold::probe::Verdict;
///
/// let manifest = Manifest::load("manifest.json".as_ref())?;
/// let (provider, now) = (manifest.provider("openai_pro")?, wall_time(wall_seconds()).expect("a time"));
/// let (old, new) = (Secret::new("sk-of-somebody"), Secret::new("sk-of-somebody-else"));
/// let mut checks = Checks::at("/home/me/.local/state/leasehold/checks.json");
/// checks.note(provider, Some(&old), Verdict::Rejected, now)?;
/// assert!(checks.is_usable(provider, Some(&old), now).is_err());
/// assert!(checks.is_usable(provider, Some(&new), now).is_ok());
/// # Ok::<(), leasehold::core::Failure>(())
/// ```
#[derive(Clone, Debug)]
pub struct Checks {
    path: PathBuf,
    rows: Rows,
}

/// By the name of the provider.
type Rows = BTreeMap<String, Row>;

/// What was said of a key, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What the provider said.
    pub verdict: Verdict,
    /// When it was asked, to the second.
    pub at: SystemTime,
}

#[derive(Clone, Debug)]
struct Row {
    check: Check,
    mark: Mark,
}

/// What a provider says of its key; none if it was asked without one.
pub type Said<'a> = (&'a Provider, Option<&'a Secret>, Verdict);

impl Checks {
    /// What the file at this path remembers. One that is not there, or cannot be made out, remembers nothing; the latter
    /// is told as a warning.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let rows = load(&path);
        Self { path, rows }
    }

    /// Remembers a verdict on the key of a provider that was asked for at this time. One that is unknown does not take
    /// the place of one that says something of the same key.
    pub fn note(
        &mut self,
        provider: &Provider,
        key: Option<&Secret>,
        verdict: Verdict,
        at: SystemTime,
    ) -> Result<(), Failure> {
        self.note_all(vec![(provider, key, verdict)], at)
    }

    /// The same of several, in one write; none if there are none.
    pub fn note_all(&mut self, said: Vec<Said<'_>>, at: SystemTime) -> Result<(), Failure> {
        if said.is_empty() {
            return Ok(());
        }
        let marks = said.iter().map(|(provider, key, _)| Mark::new(provider, *key));
        let marks = marks.collect::<Result<Vec<_>, _>>()?;
        self.change(|rows| {
            for ((provider, key, verdict), mark) in said.into_iter().zip(marks) {
                let row = Row { check: Check { verdict, at: whole(at) }, mark };
                let old = rows.get(&provider.name).filter(|old| old.mark.is_of(provider, key));
                if row.says_something() || !old.is_some_and(Row::says_something) {
                    rows.insert(provider.name.clone(), row);
                }
            }
        })
    }

    /// Forgets what was said of a provider's key, as when it is replaced.
    pub fn forget(&mut self, provider: &Provider) -> Result<(), Failure> {
        match self.path.exists() {
            true => self.change(|rows| drop(rows.remove(&provider.name))),
            false => Ok(()),
        }
    }

    /// What was last said of this key of a provider, at the endpoint that it has now.
    pub fn of(&self, provider: &Provider, key: Option<&Secret>) -> Option<&Check> {
        let row = self.rows.get(&provider.name)?;
        row.mark.is_of(provider, key).then_some(&row.check)
    }

    /// Whether a provider's key is worth a try now, or why not: it was rejected, or, in the last 15 minutes, exhausted.
    pub fn is_usable(
        &self,
        provider: &Provider,
        key: Option<&Secret>,
        now: SystemTime,
    ) -> Result<(), String> {
        let Some(check) = self.of(provider, key) else { return Ok(()) };
        let at = wall_text(seconds_of(check.at));
        match check.verdict {
            Verdict::Rejected => Err(format!("its key was rejected at {at}")),
            Verdict::Exhausted if now.duration_since(check.at).is_ok_and(|age| age < EXHAUSTED) => {
                Err(format!("its key was exhausted at {at}"))
            }
            _ => Ok(()),
        }
    }

    /// Changes what the file has, while no other process does.
    fn change(&mut self, change: impl FnOnce(&mut Rows)) -> Result<(), Failure> {
        let changed = self.rewrite(change);
        changed.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::PermissionDenied => Kind::Denied,
                _ => Kind::Invalid,
            };
            Failure::new(kind, format!("cannot remember checks in {}: {error}", self.path.display()))
        })
    }

    fn rewrite(&mut self, change: impl FnOnce(&mut Rows)) -> io::Result<()> {
        files::own_folder(files::folder_of(&self.path))?;
        let _lock = files::Lock::beside(&self.path)?;
        let mut rows = load(&self.path);
        change(&mut rows);
        files::replace(&self.path, text(&rows).as_bytes())?;
        self.rows = rows;
        Ok(())
    }
}

/// The time to the second, as the file has it.
fn whole(at: SystemTime) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds_of(at))
}

fn load(path: &Path) -> Rows {
    let read = read(path).and_then(|text| parse(&text).ok_or_else(|| io::Error::other("it is damaged")));
    read.unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!("what providers said of their keys is forgotten: {}: {error}", path.display());
        }
        Rows::new()
    })
}

/// The text of a plain file. Neither a link nor a pipe is followed.
fn read(path: &Path) -> io::Result<String> {
    let careful = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(careful).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut text = String::new();
    file.take(LIMIT + 1).read_to_string(&mut text)?;
    match text.len() as u64 > LIMIT {
        true => Err(io::Error::other("it is too large")),
        false => Ok(text),
    }
}

/// The rows of a file of our version. A row that cannot be made out is left out, and so is one without a mark, as they
/// once were: nobody knows of which key it is.
fn parse(text: &str) -> Option<Rows> {
    let file: Value = serde_json::from_str(text).ok().filter(|file: &Value| file["version"] == VERSION)?;
    let rows = file["checks"].as_object()?.iter();
    Some(rows.filter_map(|(name, row)| Some((name.clone(), parse_row(row)?))).collect())
}

fn parse_row(row: &Value) -> Option<Row> {
    let field = |name: &str| row[name].as_str();
    let verdict = Verdict::of(field("verdict")?, field("reason").unwrap_or_default())?;
    let at = wall_time_of(field("at")?)?;
    Some(Row { check: Check { verdict, at }, mark: Mark::parse(field("mark")?)? })
}

fn text(rows: &Rows) -> String {
    let checks: Map<_, _> = rows.iter().map(|(name, row)| (name.clone(), row.to_json())).collect();
    format!("{:#}\n", json!({ "version": VERSION, "checks": checks }))
}

impl Row {
    fn says_something(&self) -> bool {
        !matches!(self.check.verdict, Verdict::Unknown(_))
    }

    fn to_json(&self) -> Value {
        let Check { verdict, at } = &self.check;
        let (at, mark) = (wall_text(seconds_of(*at)), self.mark.to_text());
        let mut row = json!({ "verdict": verdict.token(), "at": at, "mark": mark });
        if let Verdict::Unknown(reason) = verdict {
            row["reason"] = reason.as_str().into();
        }
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::random;
    use std::fs::{self, File};
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    fn provider(name: &str) -> Provider {
        let text = json!({ "providers": { name: { "vault_key": "k" } } }).to_string();
        Manifest::parse(&text).unwrap().providers()[0].clone()
    }

    fn key() -> Secret {
        Secret::new("canary")
    }

    fn place(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("leasehold-checks-{name}-{:08x}", random::number()));
        folder.join("state/checks.json")
    }

    fn clear(path: &Path) {
        fs::remove_dir_all(path.ancestors().nth(2).unwrap()).unwrap();
    }

    fn time(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    fn unknown() -> Verdict {
        Verdict::Unknown("no answer in time".into())
    }

    #[test]
    fn verdicts_outlive_the_process_and_are_forgotten_on_demand() {
        let (path, a, b) = (place("life"), provider("a"), provider("b"));
        let mut checks = Checks::at(&path);
        checks.forget(&a).unwrap();
        assert!(!path.exists(), "no file is made to forget in");
        checks.note(&a, Some(&key()), Verdict::Restricted, time(1) + Duration::from_millis(900)).unwrap();
        checks.note(&b, Some(&key()), unknown(), time(2)).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let mut again = Checks::at(&path);
        assert_eq!(again.of(&a, Some(&key())), Some(&Check { verdict: Verdict::Restricted, at: time(1) }));
        assert_eq!(again.of(&b, Some(&key())), Some(&Check { verdict: unknown(), at: time(2) }));
        assert_eq!(again.of(&a, Some(&Secret::new("another"))), None);
        assert_eq!(again.of(&a, None), None, "nobody knows the key");
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("canary"), "{text}");
        again.forget(&a).unwrap();
        assert_eq!((again.of(&a, Some(&key())), Checks::at(&path).of(&a, Some(&key()))), (None, None));
        clear(&path);
    }

    #[test]
    fn what_is_known_is_not_replaced_by_what_is_not() {
        let (path, a) = (place("unknown"), provider("a"));
        let mut checks = Checks::at(&path);
        for (verdict, expect) in [
            (unknown(), "unknown"),
            (Verdict::Rejected, "rejected"),
            (unknown(), "rejected"),
            (Verdict::Accepted, "accepted"),
        ] {
            checks.note(&a, Some(&key()), verdict, time(1)).unwrap();
            assert_eq!(checks.of(&a, Some(&key())).unwrap().verdict.token(), expect);
        }
        let new = Secret::new("another");
        checks.note(&a, Some(&new), unknown(), time(2)).unwrap();
        assert_eq!(checks.of(&a, Some(&new)).unwrap().verdict, unknown(), "nothing was known of that key");
        clear(&path);
    }

    #[test]
    fn several_are_remembered_in_one_write() {
        let (path, a, b) = (place("several"), provider("a"), provider("b"));
        let mut checks = Checks::at(&path);
        checks.note_all(Vec::new(), time(1)).unwrap();
        assert!(!path.exists(), "there is nothing to remember");
        checks.note(&b, Some(&key()), Verdict::Rejected, time(1)).unwrap();
        checks
            .note_all(vec![(&a, Some(&key()), Verdict::Accepted), (&b, Some(&key()), unknown())], time(2))
            .unwrap();
        let told =
            [&a, &b].map(|provider| Checks::at(&path).of(provider, Some(&key())).unwrap().verdict.token());
        assert_eq!(told, ["accepted", "rejected"], "what is known stays");
        clear(&path);
    }

    #[test]
    fn a_key_is_tried_again_once_it_is_another_or_was_paid_for() {
        let (path, a) = (place("usable"), provider("a"));
        let mut checks = Checks::at(&path);
        let mut check = |verdict: &Verdict, tried: &str, now: u64, expect: bool| {
            checks.note(&a, Some(&key()), verdict.clone(), time(100)).unwrap();
            let usable = checks.is_usable(&a, Some(&Secret::new(tried)), time(now));
            assert_eq!(usable.is_ok(), expect, "{verdict} {now} {usable:?}");
        };
        check(&unknown(), "canary", 100, true);
        for (verdict, later) in [(Verdict::Rejected, false), (Verdict::Exhausted, true)] {
            check(&verdict, "canary", 100, false);
            check(&verdict, "canary", 100 + 899, false);
            check(&verdict, "canary", 100 + 900, later);
            check(&verdict, "another", 100, true);
        }
        check(&Verdict::Exhausted, "canary", 99, true);
        check(&Verdict::Accepted, "canary", 100, true);
        check(&Verdict::Restricted, "canary", 100, true);
        checks.note(&a, Some(&key()), Verdict::Rejected, time(100)).unwrap();
        let reason = checks.is_usable(&a, Some(&key()), time(100)).unwrap_err();
        assert_eq!(reason, "its key was rejected at 2027-01-15T08:01:40Z");
        assert_eq!(checks.is_usable(&provider("never"), Some(&key()), time(100)), Ok(()));
        clear(&path);
    }

    #[test]
    fn a_broken_file_remembers_nothing_and_is_written_anew() {
        let (path, a) = (place("broken"), provider("a"));
        Checks::at(&path).note(&a, Some(&key()), Verdict::Rejected, time(1)).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let huge = format!("{good}{}", " ".repeat(4 << 20));
        for text in ["", "{", "[]", "null", "\0", &good[..good.len() / 2], &good.replace(": 1", ": 2"), &huge]
        {
            File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
            let mut checks = Checks::at(&path);
            assert_eq!(checks.of(&a, Some(&key())), None, "{text:.20}");
            checks.note(&a, Some(&key()), Verdict::Accepted, time(2)).unwrap();
            assert!(Checks::at(&path).of(&a, Some(&key())).is_some(), "{text:.20}");
        }
        clear(&path);
    }

    #[test]
    fn a_row_that_is_broken_takes_no_other_with_it() {
        let row = |verdict: &str, at: &str, mark: &str| json!({"verdict": verdict, "at": at, "mark": mark});
        let (at, mark) = ("2027-01-15T08:00:00Z", "07".repeat(24));
        let mut good = row("rejected", at, &mark);
        good["more"] = json!([]);
        let rows = json!({"version": 1, "more": 7, "checks": {
            "good": good, "guess": row("guessed", at, &mark), "never": row("rejected", "never", &mark),
            "short": row("rejected", at, "07"), "old": {"verdict": "rejected", "at": at, "vault_key": "k"},
            "text": "rejected", "null": null}});
        let rows = parse(&rows.to_string()).unwrap();
        assert_eq!(rows.keys().collect::<Vec<_>>(), ["good"]);
    }

    #[test]
    fn a_link_and_a_pipe_are_not_read() {
        let (path, a) = (place("link"), provider("a"));
        let real = path.with_file_name("real.json");
        Checks::at(&real).note(&a, Some(&key()), Verdict::Rejected, time(1)).unwrap();
        std::os::unix::fs::symlink(&real, &path).unwrap();
        assert_eq!(Checks::at(&path).of(&a, Some(&key())), None);
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(Checks::at(&path).of(&a, Some(&key())), None);
        clear(&path);
    }

    #[test]
    fn writers_at_once_lose_nothing() {
        let path = place("many");
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let mut checks = Checks::at(path);
                    for n in 0..10 {
                        let provider = provider(&format!("p{writer}-{n}"));
                        checks.note(&provider, Some(&key()), Verdict::Accepted, time(n)).unwrap();
                    }
                });
            }
        });
        assert_eq!(Checks::at(&path).rows.len(), 80);
        clear(&path);
    }
}
