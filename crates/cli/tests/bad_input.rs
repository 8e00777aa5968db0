//! What goes wrong with keys and manifests on a workstation without a desktop and without a server: each is told with its
//! exit code, nothing is lost, and nothing of a secret is shown.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test starts programs, and a failure is a failed test"
)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use leasehold_testkit::canary;
use tempfile::TempDir;

const LEASEHOLD: &str = env!("CARGO_BIN_EXE_leasehold");
const MANIFEST: &str = ".config/ai/ai_agents/manifest.json";
const SEALED: &str = ".local/share/leasehold/sealed";

/// A user's home, with the manifest that `init` writes.
struct Home {
    folder: TempDir,
}

/// What came of a command.
#[derive(Debug)]
struct Outcome {
    code: i32,
    out: String,
    err: String,
}

impl Home {
    fn new() -> Self {
        let home = Self { folder: TempDir::new().unwrap() };
        home.run(&["init"], b"").is(0);
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, words: &[&str], input: &[u8]) -> Outcome {
        self.run_by(&[LEASEHOLD], words, input)
    }

    /// The same by a command that starts ours.
    fn run_by(&self, starter: &[&str], words: &[&str], input: &[u8]) -> Outcome {
        let mut command = Command::new(starter[0]);
        command.args(&starter[1..]).args(words).env_clear().env("PATH", "/usr/bin:/bin");
        command.env("HOME", self.folder.path()).current_dir(self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that does not want its input closes it.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn manifest(&self, text: &str) {
        fs::write(self.path(MANIFEST), text).unwrap();
    }

    /// The key of `openai_pro`, as a command gets it.
    fn key(&self) -> String {
        let words = ["run", "--provider", "openai_pro", "--", "sh", "-c", "printf %s \"$OPENAI_API_KEY\""];
        let outcome = self.run(&words, b"");
        assert_eq!(outcome.code, 0, "{}", outcome.err);
        outcome.out
    }
}

impl Outcome {
    fn is(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }

    fn says(self, what: &str) -> Self {
        assert!(self.err.contains(what), "`{what}` is not in {self:?}");
        self
    }
}

#[test]
fn keys_that_cannot_be_one_are_refused_and_the_old_one_stays() {
    let (home, old) = (Home::new(), canary("old"));
    home.run(&["set-key", "openai_pro"], old.as_bytes()).is(0);
    let sealed = fs::read(home.path(SEALED)).unwrap();
    let check = |input: &[u8], said: &str| {
        let outcome = home.run(&["set-key", "openai_pro", "-"], input).is(2).says(said);
        assert!(!outcome.err.contains("canary"), "{}", outcome.err);
        assert_eq!(fs::read(home.path(SEALED)).unwrap(), sealed, "{said}");
    };
    check(b"", "the key is empty");
    check(b"\n", "the key is empty");
    check(b" \t \n", "the key is blank");
    check(b"canary\0canary", "a zero byte");
    check(b"canary\xff\xfe", "no UTF-8");
    check(&vec![b'c'; 1 << 20], "longer than");
    check(&vec![b'c'; leasehold::workstation::LONGEST + 1], "longer than");
    assert_eq!(home.key(), old);
}

#[test]
fn keys_of_all_lengths_and_with_line_ends_come_out_as_they_went_in() {
    let home = Home::new();
    let check = |input: &str, expect: &str| {
        home.run(&["set-key", "openai_pro", "-"], input.as_bytes()).is(0);
        assert_eq!(home.key(), expect, "{} bytes", input.len());
    };
    check("k", "k");
    check("k\n", "k");
    check("k\r\n", "k");
    check("-----BEGIN KEY-----\nline\n-----END KEY-----\n", "-----BEGIN KEY-----\nline\n-----END KEY-----");
    check("two words", "two words");
    check("schlüssel-鍵-🔑", "schlüssel-鍵-🔑");
    check("$(touch x) `touch x` \"'\\", "$(touch x) `touch x` \"'\\");
    let longest = "k".repeat(leasehold::workstation::LONGEST);
    check(&longest, &longest);
}

#[test]
fn blanks_around_a_key_are_left_out_and_that_is_told() {
    let home = Home::new();
    let check = |input: &str, is_told: bool| {
        let outcome = home.run(&["set-key", "openai_pro"], input.as_bytes()).is(0);
        assert_eq!(outcome.err.contains("blanks before or after the key are left out"), is_told, "{input:?}");
        assert_eq!(home.key(), "sk-canary", "{input:?}");
    };
    check("sk-canary\n", false);
    for input in ["  sk-canary \n", "sk-canary ", "\tsk-canary", "\nsk-canary\n\n", "\u{a0}sk-canary\u{2003}"]
    {
        check(input, true);
    }
}

#[test]
fn what_is_typed_where_no_key_belongs_is_not_shown() {
    let home = Home::new();
    let key = format!("sk-proj-{}", canary("typed"));
    let check = |words: &[&str]| {
        let outcome = home.run(words, b"k").is(2);
        let told = outcome.err + &outcome.out;
        assert!(told.contains("'..'") && !told.contains("hunter2") && !told.contains("typed"), "{told}");
    };
    check(&["store", "rekey", "--to-key", "correct-horse-hunter2"]);
    check(&["store", "migrate", "--from", "hunter2", "--to", "sealed"]);
    check(&["set-key", "openai_pro", &format!("--{key}"), "-"]);
    check(&["set-key", "openai_pro", &format!("---{key}"), "-"]);
    check(&["set-key", "openai_pro", "-", "hunter2"]);
}

#[test]
fn the_hint_is_about_the_place_that_is_missing() {
    let home = Home::new();
    home.run(&["set-key", "openai_pro", "-"], b"key").is(0);
    let check = |flags: &[&str], missing: &str, hint: Option<&str>| {
        let outcome = home.run(&[&["run"], flags, &["--", "true"]].concat(), b"").is(125).says(missing);
        assert_eq!(outcome.err.split_once("hint: ").map(|(_, hint)| hint.trim_end()), hint, "{flags:?}");
    };
    check(&["--provider", "openai_pro", "--env", "X=env://NOPE"], "the variable NOPE is not set", None);
    let set = "set it: leasehold set-key openrouter";
    check(&["--provider", "openrouter"], "api.openrouter.ai/default", Some(set));
    check(&["--provider", "openai_pro", "--provider", "openrouter"], "api.openrouter.ai/default", Some(set));
    home.manifest(r#"{"providers": {"a": {"vault_key": "env://NOPE", "env_var": "KEY"}}}"#);
    check(&["--provider", "a"], "the variable NOPE is not set", Some("put it into the variable NOPE"));
}

#[test]
fn a_missing_manifest_is_made_where_it_was_looked_for() {
    let home = Home::new();
    let hint = format!("leasehold init --manifest '{}'", home.path("new/m n.json").display());
    for words in [&["providers"][..], &["set-key", "a"], &["test"], &["import", "--env-file", "x"]] {
        home.run(&[words, &["--manifest", "new/m n.json"]].concat(), b"").is(5).says(&hint);
    }
    home.run(&["run", "--manifest", "new/m n.json", "--provider", "a", "--", "true"], b"")
        .is(125)
        .says(&hint);
    home.run_by(&["sh", "-c", &format!("exec {LEASEHOLD} {}", &hint["leasehold ".len()..])], &[], b"").is(0);
    home.run(&["providers", "--manifest", "new/m n.json"], b"").is(0);
    fs::remove_file(home.path(MANIFEST)).unwrap();
    assert!(
        !home.run(&["providers"], b"").is(5).says("make one: leasehold init\n").err.contains("--manifest")
    );
}

#[test]
fn names_with_slashes_dots_and_spaces_are_names() {
    let home = Home::new();
    let pointers = ["a/b/c", "../../etc/passwd", "a b", ".", "a#b?c%20d", "ä"];
    let rows: Vec<_> = pointers
        .iter()
        .enumerate()
        .map(|(at, pointer)| format!(r#""p/{at} .":{{"vault_key":"{pointer}","env_var":"K"}}"#))
        .collect();
    home.manifest(&format!(r#"{{"providers":{{{}}}}}"#, rows.join(",")));
    for (at, pointer) in pointers.iter().enumerate() {
        let (name, key) = (format!("p/{at} ."), canary("key"));
        home.run(&["set-key", &name, "-"], key.as_bytes()).is(0);
        let outcome = home.run(&["run", "--provider", &name, "--", "sh", "-c", "echo $K"], b"").is(0);
        assert_eq!(outcome.out.trim_end(), key, "{pointer}");
    }
    // Each has an entry of its own.
    let listed = home.run(&["providers", "--offline"], b"").is(0).out;
    assert_eq!(listed.matches("present").count(), pointers.len(), "{listed}");
}

#[test]
fn faults_of_a_manifest_are_told_together_and_it_is_left_as_it_is() {
    let home = Home::new();
    let key = format!("sk-{}", canary("leak"));
    let text = format!(
        "{{\"providers\": {{\n  \"a\": {{\"vault_key\": \"{key}\"}},\n  \"b\": {{\"priority\": -1}},\n  \
         \"c\": {{\"env_var\": \"A-B\"}}\n}}}}"
    );
    home.manifest(&text);
    for words in [&["providers"][..], &["init"], &["set-key", "a", "-"], &["delete-key", "a"]] {
        let outcome = home.run(words, b"x").is(2).says("manifest.json:2:").says(":3:").says(":4:");
        assert!(!outcome.err.contains(&key), "{}", outcome.err);
    }
    home.run(&["run", "--provider", "a", "--", "true"], b"").is(125).says("manifest.json:2:");
    assert_eq!(fs::read_to_string(home.path(MANIFEST)).unwrap(), text);
    home.manifest("{");
    home.run(&["providers"], b"").is(2).says("not JSON");
    fs::write(home.path(MANIFEST), b"\xff\xfe").unwrap();
    home.run(&["providers"], b"").is(2).says("manifest");
}

#[test]
fn what_others_keep_in_a_manifest_harms_nobody() {
    let home = Home::new();
    let sum = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    home.manifest(&format!(
        "\u{feff}{{\"version\": null, \"identity\": \"{}\", \"providers\": {{\"a\": {{\"vault_key\": \"\", \"env_var\": \"\",
          \"endpoint\": \"\", \"models\": [{{\"name\": \"llama3\", \"digest\": \"{sum}\"}}]}}}}}}",
        &sum[..32]
    ));
    home.run(&["providers"], b"").is(0);
    home.run(&["run", "--", "true"], b"").is(0).says("the provider is a (no key)");
    home.manifest(r#"{"providers": {}}"#);
    home.run(&["providers"], b"").is(0);
    home.run(&["run", "--", "true"], b"").is(125).says("no provider is usable: the manifest names none");
    home.run(&["set-key", "a", "-"], b"k").is(5).says("write a provider into the manifest");
}

#[test]
fn a_key_in_a_manifest_is_refused_and_not_shown() {
    let home = Home::new();
    let known = format!("sk-proj-{}", canary("pasted"));
    let random = "9f86d081884c7d659a2feaa0c55ad015";
    let check = |text: &str| {
        home.manifest(text);
        for words in [&["providers"][..], &["init"], &["test", "--offline"], &["set-key", "a", "-"]] {
            let outcome = home.run(words, b"k").is(2).says("this looks like a key").says("leasehold set-key");
            let told = outcome.err + &outcome.out;
            assert!(!told.contains("pasted") && !told.contains(random), "{told}");
        }
    };
    check(&format!(r#"{{"providers": {{"a": {{"vault_key": "{known}"}}}}}}"#));
    check(&format!(r#"{{"providers": {{"a": {{"vault_key": "keyring://agent_vault/{known}"}}}}}}"#));
    check(&format!(r#"{{"providers": {{"a": {{}}, "{known}": {{}}}}}}"#));
    check(&format!(r#"{{"providers": {{"a": {{"{known}": 1}}}}}}"#));
    check(&format!(r#"{{"providers": {{"a": {{"vault_key": "{random}"}}}}}}"#));
    // A pointer to the server that cannot be used is told at once, not when somebody needs it.
    home.manifest(r#"{"providers": {"a": {"vault_key": "vault://secret/ai"}, "b": {"vault_key": "vault://s/a?version=2#x"}}}"#);
    home.run(&["providers"], b"").is(2).says("add #FIELD").says("neither version nor namespace");
}

#[test]
fn ten_thousand_providers() {
    let home = Home::new();
    let rows: Vec<_> = (0..10_000)
        .map(|n| format!(r#""p{n}":{{"vault_key":"k/{n}","env_var":"K","priority":{n}}}"#))
        .collect();
    home.manifest(&format!(r#"{{"providers":{{{}}}}}"#, rows.join(",")));
    home.run(&["set-key", "p9999", "-"], b"key").is(0);
    let listed = home.run(&["providers"], b"").is(0).out;
    assert_eq!((listed.lines().count(), listed.matches("present").count()), (10_001, 1));
    home.run(&["run", "--provider", "p9999", "--", "sh", "-c", "test $K = key"], b"").is(0);
}

#[test]
fn a_manifest_that_is_a_link_stays_one_and_a_link_in_place_of_the_sealed_file_is_refused() {
    let home = Home::new();
    let elsewhere = home.path("elsewhere.json");
    fs::rename(home.path(MANIFEST), &elsewhere).unwrap();
    symlink(&elsewhere, home.path(MANIFEST)).unwrap();
    home.run(&["set-key", "openai_pro", "-"], b"key").is(0);
    home.run(&["init"], b"").is(0);
    assert!(home.path(MANIFEST).symlink_metadata().unwrap().is_symlink());
    // Where it leads to nothing yet, as a folder of dotfiles does that was just fetched, it is what is written.
    fs::remove_file(&elsewhere).unwrap();
    home.run(&["providers"], b"").is(5).says("leasehold init");
    home.run(&["init"], b"").is(0);
    assert!(home.path(MANIFEST).symlink_metadata().unwrap().is_symlink() && elsewhere.is_file());
    // A sealed file that is a link would let its owner choose what we write over.
    let (sealed, other) = (home.path(SEALED), home.path("other"));
    fs::rename(&sealed, &other).unwrap();
    symlink(&other, &sealed).unwrap();
    let before = fs::read(&other).unwrap();
    home.run(&["set-key", "openai_pro", "-"], b"key2").is(2).says("no symbolic link is followed");
    assert_eq!(fs::read(&other).unwrap(), before);
    // A link to nothing, and to itself.
    fs::remove_file(home.path(MANIFEST)).unwrap();
    symlink(home.path(MANIFEST), home.path(MANIFEST)).unwrap();
    home.run(&["providers"], b"").is(2).says("cannot read the manifest");
}

/// A user who may not do everything, where the tests run as one who may.
fn as_somebody() -> Vec<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return vec![LEASEHOLD];
    }
    let (kept, most) =
        ("--inh-caps=-dac_override,-dac_read_search", "--bounding-set=-dac_override,-dac_read_search");
    vec!["setpriv", kept, most, LEASEHOLD]
}

#[test]
fn a_folder_that_cannot_be_written_to_loses_nothing() {
    let home = Home::new();
    home.run(&["set-key", "openai_pro", "-"], b"key").is(0);
    let starter = as_somebody();
    let folders = [SEALED, MANIFEST].map(|path| home.path(path).parent().unwrap().to_owned());
    let set_mode = |mode: u32| {
        for folder in &folders {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    let before = fs::read(home.path(SEALED)).unwrap();
    set_mode(0o500);
    home.run_by(&starter, &["set-key", "openai_pro", "-"], b"key2").is(4).says("ermission denied");
    home.run_by(
        &starter,
        &["run", "--provider", "openai_pro", "--", "sh", "-c", "test $OPENAI_API_KEY = key"],
        b"",
    )
    .is(0);
    assert_eq!(fs::read(home.path(SEALED)).unwrap(), before);
    // Where even reading is not allowed.
    set_mode(0o000);
    home.run_by(&starter, &["providers"], b"").is(4).says("ermission denied");
    home.run_by(&starter, &["init"], b"").is(4);
    set_mode(0o700);
    assert_eq!(fs::read(home.path(SEALED)).unwrap(), before);
}

/// Gives the command that follows a small disk where the sealed file is, filled up.
const ON_A_FULL_DISK: [&str; 6] = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"];

#[test]
fn a_full_disk_loses_nothing() {
    let home = Home::new();
    home.run(&["set-key", "openai_pro", "-"], b"key").is(0);
    let script = format!(
        "folder=$HOME/.local/share/leasehold; cp $folder/sealed $HOME/copy\n\
         mount -t tmpfs -o size=64k,mode=700 none $folder || exit 77\n\
         cp $HOME/copy $folder/sealed; chmod 600 $folder/sealed\n\
         cat /dev/zero > $folder/fill 2>/dev/null\n\
         printf %s \"$0\" | {LEASEHOLD} set-key openai_pro -; echo \"code $?\"\n\
         cmp $folder/sealed $HOME/copy && ls -a $folder && {LEASEHOLD} run --provider openai_pro -- sh -c 'echo $OPENAI_API_KEY'"
    );
    let big = "canary".repeat(4000);
    let outcome = home.run_by(&ON_A_FULL_DISK, &[&script, &big], b"").is(0).says("No space left");
    assert!(outcome.out.starts_with("code 2\n") && outcome.out.ends_with("\nkey\n"), "{outcome:?}");
    assert!(!outcome.out.contains(".new-"), "a part of a file is left: {outcome:?}");
    assert!(!outcome.err.contains("canary"), "{outcome:?}");
}
