//! Secrets where they do not belong: searched for in all that is said, written and shown to others.

use std::fs;
use std::path::Path;

use leasehold_testkit::{Canaries, Fault, Proxy, canary, record};
use nix::sys::signal::Signal::{SIGABRT, SIGKILL, SIGTERM};

use crate::stage::{Home, PASSWORD, Run, Stage, is_dead, soon};

const BINARY: &str = env!("CARGO_BIN_EXE_leasehold");
const WAIT: &str = "until [ -e finish ]; do sleep 0.02; done";

/// Fails if a file below this folder holds a secret.
fn assert_clean(canaries: &Canaries, folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            assert_clean(canaries, &path);
        } else {
            canaries.assert_absent(&fs::read(&path).unwrap_or_default(), &path.display().to_string());
        }
    }
}

/// Fails if the arguments of any process hold a secret.
fn assert_no_argument(canaries: &Canaries) {
    for process in fs::read_dir("/proc").unwrap().flatten() {
        // It may have ended, or be no process.
        let arguments = fs::read(process.path().join("cmdline")).unwrap_or_default();
        canaries.assert_absent(&arguments, "the arguments of a process");
    }
}

/// Whether a text holds something that looks like a token.
fn has_token(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    words.any(|word| {
        word.strip_prefix("s.").or(word.strip_prefix("hvs.")).is_some_and(|rest| rest.len() >= 20)
    })
}

#[test]
fn no_secret_is_where_it_does_not_belong() {
    let stage = Stage::new();
    let token = stage.server.token(serde_json::json!({"ttl": "1m"}));
    assert!(has_token(&format!("<{token}>")), "tokens look otherwise");
    for format in ["text", "json"] {
        let mut canaries = Canaries::default();
        stage.rotate("secret/db", &canaries.plant("password"));
        let home = stage.home();
        let flags =
            ["-vvv", "--log-format", format, "--file", "p=vault://secret/db", "--refresh-interval", "1s"];
        let script = format!("echo $PPID >parent; echo $$ >child; touch started; {WAIT}; exec sleep 60");
        let mut run = home.run_started(&[&["--env", PASSWORD], &flags[..]].concat(), &script);
        let (parent, child) = (home.number("parent"), home.number("child"));
        assert_eq!(parent, run.pid());
        for pid in [parent, i32::try_from(std::process::id()).unwrap()] {
            // Where others may not even look, there is nothing to be found.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            canaries.assert_absent(&environment, "the environment of leasehold or its parent");
        }
        // Those that the caller gave may be in the environment that the caller gave, and nowhere else.
        canaries.watch(stage.secret_id());
        let password = canaries.plant("rotated");
        stage.rotate("secret/db", &password);
        let file = home.file_folders()[0].join("p");
        soon("the rotation", || fs::read_to_string(&file).ok()?.contains(&password).then_some(()));
        assert_clean(&canaries, &home.path(""));
        assert_no_argument(&canaries);
        home.touch("finish");
        run.signal(SIGTERM);
        assert_eq!(run.wait(), 143);
        assert!(is_dead(child));
        assert!(run.said().contains("read again"), "it says much: {}", run.said());
        assert!(!has_token(&run.said()), "a token was said");
        assert_clean(&canaries, &home.path(""));
        assert!(home.file_folders().is_empty());
    }
}

#[test]
fn a_killed_run_leaves_no_secret_on_disk_outside_of_its_folder_in_memory() {
    let stage = Stage::new();
    let mut canaries = Canaries::default();
    canaries.watch(stage.secret_id());
    stage.rotate("secret/db", &canaries.plant("password"));
    let home = stage.home();
    let run = home.run_started(&["--env", PASSWORD, "-vv"], &format!("touch started; {WAIT}"));
    run.signal(SIGKILL);
    assert_eq!(home.journal().held().len(), 1);
    assert_clean(&canaries, &home.path(""));
}

/// What is given to each failing command, and what its server does.
struct Trouble {
    name: &'static str,
    /// The variables of the login, in place of a good one. `SECRET` stands for a canary.
    login: &'static [(&'static str, &'static str)],
    flags: &'static [&'static str],
    /// Which requests are answered by what: a status, and a body in which `SECRET` stands for a canary.
    answers: &'static [(&'static str, u16, &'static str)],
}

const SECRET: &str = "SECRET";
const GOOD: &[(&str, &str)] = &[];
const TOKEN: &[(&str, &str)] = &[("VAULT_TOKEN", SECRET)];
const USERPASS: &[&str] = &["--auth", "userpass", "--username", "ann"];
const ECHO: &str = r#"{"errors":["it does not like SECRET at all"]}"#;
const LOGIN: &str = "/login";
/// All requests.
const ANY: &str = "/v1/";

const TROUBLES: &[Trouble] = &[
    Trouble { name: "a wrong secret id", login: &[("VAULT_SECRET_ID", SECRET)], flags: &[], answers: &[] },
    Trouble { name: "a wrong token", login: TOKEN, flags: &[], answers: &[] },
    Trouble {
        name: "a wrong password",
        login: &[("LEASEHOLD_PASSWORD", SECRET)],
        flags: USERPASS,
        answers: &[],
    },
    Trouble { name: "a wrong JWT", login: &[("VAULT_JWT", SECRET)], flags: &["--auth", "jwt"], answers: &[] },
    Trouble {
        name: "a wrapping token that is none",
        login: &[("VAULT_SECRET_ID", SECRET)],
        flags: &["--secret-id-wrapped-at", "auth/approle/role/app/secret-id"],
        answers: &[],
    },
    Trouble {
        name: "a secret id that is echoed",
        login: &[("VAULT_SECRET_ID", SECRET)],
        flags: &[],
        answers: &[(LOGIN, 400, ECHO)],
    },
    Trouble {
        name: "a password that is echoed in a page",
        login: &[("LEASEHOLD_PASSWORD", SECRET)],
        flags: USERPASS,
        answers: &[(LOGIN, 502, "no SECRET")],
    },
    Trouble { name: "a token that is echoed", login: TOKEN, flags: &[], answers: &[(ANY, 400, ECHO)] },
    Trouble {
        name: "a token that is echoed in a page",
        login: TOKEN,
        flags: &[],
        answers: &[(ANY, 418, "no SECRET")],
    },
    Trouble {
        name: "a login that breaks off",
        login: GOOD,
        flags: &[],
        answers: &[(LOGIN, 200, r#"{"auth":{"client_token":"SECRET"#)],
    },
    Trouble {
        name: "a login of another shape",
        login: GOOD,
        flags: &[],
        answers: &[(LOGIN, 200, r#"{"auth":{"client_token":{"SECRET":1},"lease_duration":"SECRET"}}"#)],
    },
    Trouble {
        name: "a secret that breaks off",
        login: GOOD,
        flags: &[],
        answers: &[("secret/data", 200, r#"{"data":{"data":{"password":"SECRET"#)],
    },
    Trouble {
        name: "a secret of another shape",
        login: GOOD,
        flags: &[],
        answers: &[("secret/data", 200, r#"{"data":{"data":["SECRET"],"metadata":"SECRET"}}"#)],
    },
    Trouble {
        name: "a token that cannot be one",
        login: &[("VAULT_TOKEN", "SECRET\n")],
        flags: &[],
        answers: &[],
    },
];

/// What fails in each trouble: the words before the flags and those after them.
const VERBS: &[(&[&str], &[&str])] = &[
    (&["run", "--env", PASSWORD], &["--", "true"]),
    (&["get"], &["vault://secret/db#password"]),
    (&["verify"], &["app", "secret/db"]),
    (&["token", "lookup"], &[]),
];

/// Runs a verb in some trouble to its end, looking at all arguments meanwhile.
fn suffer(stage: &Stage, trouble: &Trouble, verb: (&[&str], &[&str]), format: &str) {
    let secret = canary("leak");
    let mut canaries = Canaries::default();
    canaries.watch(&secret);
    let proxy = Proxy::start(stage.server.address());
    for (part, status, body) in trouble.answers {
        proxy.set_for(part, Fault::Answer(*status, body.replace(SECRET, &secret)), usize::MAX);
    }
    let home = stage.home_at(&proxy.address());
    let words = [&[BINARY], verb.0, trouble.flags, &["-vvv", "--log-format", format], verb.1].concat();
    let mut command = home.command(&words);
    if trouble.login.iter().any(|(name, _)| *name == "VAULT_TOKEN") {
        command.env_remove("VAULT_ROLE_ID").env_remove("VAULT_SECRET_ID");
    }
    for (name, value) in trouble.login {
        command.env(name, value.replace(SECRET, &secret));
    }
    let mut run = home.start(&mut command);
    soon("its end", || {
        assert_no_argument(&canaries);
        run.is_over().then_some(())
    });
    canaries.assert_absent(run.said().as_bytes(), &format!("what {:?} said of {}", verb.0, trouble.name));
    // `token lookup` reads no secret, and has no trouble with one.
    assert!(run.wait() != 0 || verb.0 == ["token", "lookup"], "{}: {}", trouble.name, run.said());
    assert_clean(&canaries, &home.path(""));
}

#[test]
fn no_failure_tells_a_secret() {
    let stage = Stage::new();
    stage.server.auth_method("userpass", "userpass");
    stage.server.auth_method("jwt", "jwt");
    let stage = &stage;
    std::thread::scope(|scope| {
        for (number, trouble) in TROUBLES.iter().enumerate() {
            scope.spawn(move || {
                for (verb, format) in VERBS.iter().zip(["text", "json"].iter().cycle().skip(number % 2)) {
                    suffer(stage, trouble, *verb, format);
                }
            });
        }
    });
    record(
        "leaks",
        &format!(
            "{} troubles times {} verbs, and a run with rotation, at the highest log level in text and JSON: no planted \
             secret in what was said, in files, arguments or environments",
            TROUBLES.len(),
            VERBS.len()
        ),
    );
}

/// Words before a command that make it another user's than root, who may look everywhere.
fn as_a_user() -> &'static [&'static str] {
    const NOBODY: &[&str] = &["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    if nix::unistd::geteuid().is_root() { NOBODY } else { &[] }
}

/// Whether the user of a run can read this of one of his processes.
fn can_read(home: &Home, pid: i32, what: &str) -> bool {
    let path = format!("/proc/{pid}/{what}");
    home.start(&mut home.command(&[as_a_user(), &["cat", &path]].concat())).wait() == 0
}

/// A run of a user who wants core files of a certain size, and ignores hangups.
fn begin_as_a_user(home: &Home) -> Run {
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(home.path(""), Some(65534), Some(65534)).unwrap();
        std::os::unix::fs::chown(home.path("tmp"), Some(65534), Some(65534)).unwrap();
    }
    // The folder that it was built in may be closed to that user.
    let own = home.path("leasehold");
    fs::copy(BINARY, &own).unwrap();
    let script = "ulimit -S -c 2048; trap '' HUP; exec \"$@\"";
    let child = "echo $$ >child; exec sleep 1000";
    let command = [own.to_str().unwrap(), "run", "--env", PASSWORD, "--", "sh", "-c", child];
    home.start(&mut home.command(&[as_a_user(), &["sh", "-c", script, "sh"], &command].concat()))
}

/// A line of `/proc/PID/FILE`.
fn line(pid: i32, file: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    text.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn nobody_looks_into_leasehold_and_a_crash_leaves_no_core_file() {
    let home = Stage::shared().home();
    drop(home.command(&["true"]));
    let mut run = begin_as_a_user(&home);
    let (leasehold, child) = (run.pid(), home.number("child"));
    for what in ["environ", "maps", "mem", "auxv", "stack", "io"] {
        assert!(!can_read(&home, leasehold, what), "{what} of leasehold");
    }
    // The child is its user's as ever, with the limit and the signals of its caller.
    assert!(can_read(&home, child, "environ") && can_read(&home, child, "maps"));
    assert!(line(child, "limits", "Max core file size").starts_with("Max core file size 1048576 "));
    assert!(line(leasehold, "limits", "Max core file size").starts_with("Max core file size 0 "));
    let ignored = u64::from_str_radix(&line(child, "status", "SigIgn:")[8..], 16).unwrap();
    // Above are the signals that the C library keeps for itself.
    assert_eq!(ignored & u64::from(u32::MAX >> 1), 1);
    run.signal(SIGABRT);
    assert_eq!(run.wait(), -6);
    let left: Vec<_> =
        fs::read_dir(home.path("")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("core")), "{left:?}");
    soon("the child's end", || is_dead(child).then_some(()));
}

#[test]
fn what_cannot_be_told_does_not_end_a_run() {
    let stage = Stage::shared();
    let home = stage.home();
    // A panic on the way to a full disk would end leasehold before it has given back.
    let script = format!("exec {BINARY} run -vv --env {PASSWORD} -- sh -c 'exit 9' 2>/dev/full");
    let mut run = home.start(&mut home.command(&["sh", "-c", &script]));
    assert_eq!(run.wait(), 9);
    assert!(home.journal().held().is_empty());
    let mut failing =
        home.start(&mut home.command(&["sh", "-c", &format!("exec {BINARY} get -vv x:y 2>/dev/full")]));
    assert_eq!(failing.wait(), 2);
}
