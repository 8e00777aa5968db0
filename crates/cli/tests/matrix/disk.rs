//! Rows 28 and 29: a full disk, and a state that is damaged.
//!
//! The disk is a small one in memory, mounted for the run alone: its errors are the kernel's own.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use leasehold_testkit::{Postgres, random_hex, record};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::stage::{Home, PASSWORD, Run, Stage, soon, soon_or_tell};

const STATE: &str = ".local/state/leasehold";
/// Gives what follows a disk of its own, where it keeps its state and its files. A user is root there, and only there.
const ON_DISK: [&str; 7] = [
    "unshare",
    "--user",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    r#"disk=$HOME/.local/state/leasehold
       mkdir -p $disk && mount -t tmpfs -o size=$0,mode=700 none $disk && mkdir -m 700 $disk/run || exit 77
       [ ! -e fill ] || cat /dev/zero >$disk/fill 2>/dev/null
       export XDG_RUNTIME_DIR=$disk/run; exec "$@""#,
];
const LEASEHOLD: &str = env!("CARGO_BIN_EXE_leasehold");

/// Starts a run on a disk of this size.
fn run_on_disk(home: &Home, size: &str, flags: &[&str], script: &str) -> Run {
    let start = |words: &[&str]| home.start(&mut home.command(&[&ON_DISK[..], &[size], words].concat()));
    let mut trial = start(&["true"]);
    assert_eq!(trial.wait(), 0, "no disk can be mounted here, allow user namespaces: {}", trial.said());
    start(&[&[LEASEHOLD, "run"], flags, &["--", "sh", "-c", script]].concat())
}

/// A run on a disk of its own, as its command sees it.
struct Disk(PathBuf);

impl Disk {
    /// The disk of the run whose command wrote its process id to `pid`.
    fn of(home: &Home) -> Self {
        let root = PathBuf::from(format!("/proc/{}/root", home.number("pid")));
        let path = root.join(home.path(STATE).strip_prefix("/").unwrap());
        Self(path)
    }

    fn fill(&self) {
        let mut file = File::create(self.0.join("fill")).unwrap();
        for size in [4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("fill")).unwrap();
    }

    /// The lines of the run's journal.
    fn journal(&self) -> Vec<String> {
        let file = fs::read_dir(self.0.join("journal")).unwrap().next().unwrap().unwrap();
        fs::read_to_string(file.path()).unwrap().lines().map(str::to_owned).collect()
    }

    /// What the command's file holds.
    fn file(&self) -> String {
        let common = fs::read_dir(self.0.join("run")).unwrap().next().unwrap().unwrap();
        let folder = fs::read_dir(common.path()).unwrap().next().unwrap().unwrap();
        fs::read_to_string(folder.path().join("key")).unwrap()
    }
}

#[test]
fn row_28_a_full_disk_stops_nothing_that_runs_and_tears_no_file() {
    let (stage, postgres) = (Stage::new(), Postgres::start());
    stage.server.database(&postgres, "app", "1h", "2h");
    let home = stage.home();
    let flags =
        ["--env", "U=vault://database/creds/app#username", "--file", "key=vault://secret/db#password"];
    let flags = [&flags[..], &["--refresh-interval", "1s"]].concat();
    let mut run = run_on_disk(&home, "48k", &flags, "echo $$ >pid; exec sleep 60");
    let disk = Disk::of(&home);
    let login = disk.journal()[1].clone();
    disk.fill();
    stage.rotate("secret/db", "two");
    soon_or_tell(
        || run.said(),
        || {
            assert_eq!(disk.file(), "one", "a file is never empty, torn or partial");
            run.said().contains("cannot write").then_some(())
        },
    );

    // What must be done anew is written down in the room that was taken before.
    let accessor = login.split('"').nth(5).unwrap();
    stage.server.api("POST", "auth/token/revoke-accessor", Some(json!({ "accessor": accessor })));
    let gone = format!(r#"{{"gone":{{"token":"{accessor}"}}}}"#);
    let lines = soon_or_tell(
        || format!("{:?}\n{}", disk.journal(), run.said()),
        || Some(disk.journal()).filter(|lines| lines.iter().any(|line| line.contains(&gone))),
    );
    assert!(lines.len() > 4, "{lines:?}");
    let begin = Instant::now();
    disk.make_room();
    soon("the new value", || (disk.file() == "two").then_some(()));
    let written = begin.elapsed();
    disk.fill();
    run.signal(Signal::SIGTERM);
    run.wait();
    assert_eq!(stage.tokens(), 0, "{}", run.said());
    soon("the end of the lease", || stage.server.leases("database/creds/app").is_empty().then_some(()));
    record(
        "28",
        &format!(
            "disk full: the command's file stays whole, a new login and what it replaces are written down, all is \
             given back at the end; the file is new {:.1} s after there is room",
            written.as_secs_f64()
        ),
    );
}

#[test]
fn row_28_without_room_to_write_down_nothing_is_asked_for() {
    let (stage, postgres) = (Stage::new(), Postgres::start());
    let home = stage.home();
    home.touch("fill");
    let mut run = run_on_disk(&home, "16k", &["--env", PASSWORD], "touch started");
    assert_eq!((run.wait(), stage.tokens()), (125, 0), "{}", run.said());
    assert!(run.said().contains("cannot write the journal"), "{}", run.said());
    fs::remove_file(home.path("fill")).unwrap();

    // More leases than there is room for: none is kept that could not be written down.
    const LEASES: usize = 120;
    let name = |n: usize| format!("app{n}");
    (0..LEASES).for_each(|n| stage.server.database(&postgres, &name(n), "1h", "2h"));
    let flags: Vec<_> =
        (0..LEASES).map(|n| format!("U{n}=vault://database/creds/{}#username", name(n))).collect();
    let flags: Vec<_> = flags.iter().flat_map(|flag| ["--env", flag]).collect();
    let mut run = run_on_disk(&home, "20k", &flags, "touch started");
    assert_eq!(run.wait(), 125, "{}", run.said());
    assert!(run.said().contains("cannot write the journal"), "{}", run.said());
    let left = || {
        (0..LEASES).map(|n| stage.server.leases(&format!("database/creds/{}", name(n))).len()).sum::<usize>()
    };
    soon("the end of all leases", || (left() == 0).then_some(()));
    assert_eq!((stage.tokens(), home.path("started").exists()), (0, false));
}

#[test]
fn row_29_a_damaged_state_is_set_aside_and_the_rest_is_given_back() {
    let (stage, postgres) = (Stage::new(), Postgres::start());
    stage.server.database(&postgres, "app", "1h", "2h");
    let home = stage.home();
    let run =
        home.run_started(&["--env", "U=vault://database/creds/app#username"], "touch started; exec sleep 60");
    run.signal(Signal::SIGKILL);
    drop(run);
    assert_eq!((stage.tokens(), stage.server.leases("database/creds/app").len()), (2, 1));
    let folder = home.path(STATE).join("journal");
    let left = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let mut text = fs::read(&left).unwrap();
    // The second thing that is held: the parent's token.
    let at = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
    text[at + 20] ^= 1;
    fs::write(&left, text).unwrap();
    fs::write(folder.join("0.journal"), random_hex().repeat(1 << 18)).unwrap();

    let begin = Instant::now();
    let mut next = home.run(&["--env", PASSWORD], "touch next");
    home.wait_for("next", "");
    let time = begin.elapsed();
    assert!(time < Duration::from_secs(1), "{time:?}");
    assert_eq!(next.wait(), 0, "{}", next.said());
    let names = || {
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    };
    let kept = [folder.join("0.corrupt"), left.with_extension("corrupt")];
    soon_or_tell(
        || format!("the end of all: {:?}, {}", names(), next.said()),
        || {
            // What it had no time for is done by those who come after it.
            assert_eq!(home.run(&["--env", PASSWORD], "true").wait(), 0);
            let has_ended = stage.tokens() == 0 && stage.server.leases("database/creds/app").is_empty();
            (has_ended && names() == kept).then_some(())
        },
    );
    record(
        "29",
        &format!(
            "a journal with a flipped bit and one of {} MB of rubbish: both kept aside, the rest given back; the next \
             command ran after {} ms",
            (random_hex().len() << 18) >> 20,
            time.as_millis()
        ),
    );
}
