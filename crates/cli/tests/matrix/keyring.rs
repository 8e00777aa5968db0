//! Row 30: a keyring that is locked, absent, mute or of two minds.

use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use leasehold_testkit::{Desktop, canary, record};
use tempfile::TempDir;

use crate::stage::Stage;

const SERVICE: &str = "agent_vault";
const NAME: &str = "api.openai.com/pro_key";
/// No answer takes longer than this, the start of the program included.
const LIMIT: Duration = Duration::from_secs(5);

/// What `leasehold get` makes of an entry on this bus: exit code, standard output, standard error, and how long it took.
fn get(bus: &str) -> (i32, String, String, Duration) {
    let home = Stage::shared().home();
    let entry = format!("keyring://{SERVICE}/{NAME}");
    let mut command = home.command(&[env!("CARGO_BIN_EXE_leasehold"), "get", &entry]);
    let begin = Instant::now();
    let output = command.env("DBUS_SESSION_BUS_ADDRESS", bus).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr), begin.elapsed())
}

/// The answer fits, came in time, and holds no secret. Says how long it took.
fn check(bus: &str, code: i32, said: &str) -> Duration {
    let (exit, out, err, took) = get(bus);
    assert_eq!((exit, out.as_str()), (code, ""), "{err}");
    assert!(err.contains(said), "{err}");
    assert!(took < LIMIT, "{took:?}: {err}");
    took
}

#[test]
fn row_30_keyring_locked_absent_or_mute() {
    let secret = canary("keyring");
    let mut desktop = Desktop::start();
    let bus = desktop.bus();
    check(&bus, 5, "has no entry");
    desktop.put(SERVICE, NAME, &secret);
    let (code, out, err, _) = get(&bus);
    assert_eq!((code, out.trim_end()), (0, secret.as_str()), "{err}");
    desktop.put_with(&["service", SERVICE, "username", NAME, "target", "other"], canary("second"));
    check(&bus, 2, "several entries");

    let mut slowest = Duration::ZERO;
    let mut answer = |bus: &str, code, said| slowest = slowest.max(check(bus, code, said));
    desktop.lock_keyring();
    answer(&bus, 6, "is locked");
    desktop.stop_keyring();
    answer(&bus, 6, "no answer");
    desktop.kill_keyring();
    answer(&bus, 6, "no keyring on the session's D-Bus");
    answer("unix:path=/nowhere/bus", 6, "no D-Bus session answers");
    let folder = TempDir::new().unwrap();
    let mute = folder.path().join("bus");
    let _listener = UnixListener::bind(&mute).unwrap();
    answer(&format!("unix:path={}", mute.display()), 6, "no answer");
    record(
        "30",
        &format!("told apart: absent, locked, mute, ambiguous; the slowest answer after {slowest:.1?}"),
    );
}

#[test]
fn row_30_a_command_gets_its_key_from_the_keyring() {
    let secret = canary("keyring");
    let desktop = Desktop::start();
    desktop.put(SERVICE, NAME, &secret);
    let home = Stage::shared().home();
    let binding = format!("KEY=keyring://{SERVICE}/{NAME}");
    let words =
        [env!("CARGO_BIN_EXE_leasehold"), "run", "--env", &binding, "--", "sh", "-c", "printf %s \"$KEY\""];
    let output = home.command(&words).env("DBUS_SESSION_BUS_ADDRESS", desktop.bus()).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), secret, "{:?}", output.stderr);
}
