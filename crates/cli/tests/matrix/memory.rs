//! What is left of secrets in the memory of a run.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use leasehold_testkit::{Postgres, Server, canary, record, wait_for};
use serde_json::json;

use crate::stage::{Home, PASSWORD, Run, Stage, soon};

const BINARY: &str = env!("CARGO_BIN_EXE_leasehold");
const STATIC: &str = "static=vault://secret/db#password";
const DYNAMIC: &str = "dynamic=vault://database/creds/app#password";
const SLEEP: &str = "touch started; exec sleep 1000";

/// How long after its end a secret may still be found.
const BOUND: Duration = Duration::from_secs(5);
/// How many copies there may be of what is in use.
const COPIES: usize = 4;

/// What a process can write to in its memory, piece by piece, as text.
struct Memory(Vec<String>);

impl Memory {
    /// Reads it as the superuser, whom alone a process that is not dumpable lets in.
    fn of(pid: i32) -> Self {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps"));
        let maps = maps.expect("only root may look into leasehold: run this test as root");
        let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
        Self(maps.lines().filter_map(|line| piece(&memory, line)).collect())
    }

    /// How often a text is in it.
    fn copies(&self, text: &str) -> usize {
        self.0.iter().map(|piece| piece.matches(text).count()).sum()
    }

    /// All that looks like a token.
    fn tokens(&self) -> Vec<String> {
        let starts = self.0.iter().flat_map(|piece| piece.match_indices("s.").map(|(at, _)| &piece[at..]));
        let mut tokens: Vec<_> = starts.filter_map(token).collect();
        tokens.sort();
        tokens.dedup();
        tokens
    }
}

/// The piece that a line of `maps` tells of, if it can be written to.
fn piece(memory: &File, line: &str) -> Option<String> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
    if !rest.starts_with("rw") {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
    memory.read_exact_at(&mut bytes, start).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn token(text: &str) -> Option<String> {
    let token = text.get(..26)?;
    token[2..].bytes().all(|byte| byte.is_ascii_alphanumeric()).then(|| token.to_owned())
}

/// A run over TLS that holds one secret of each kind: its login and its parent token, a dynamic password and a static
/// one. Logins last 8 s and are replaced before.
struct Scene {
    stage: Stage,
    home: Home,
    run: Run,
    _postgres: Postgres,
}

impl Scene {
    fn begin(first: &str) -> Self {
        let server = Server::start_tls();
        let stage = Stage::at(server, json!({"token_ttl": "4s", "token_max_ttl": "8s"}));
        let postgres = Postgres::start();
        stage.server.database(&postgres, "app", "4s", "8s");
        stage.rotate("secret/db", first);
        let home = stage.home();
        fs::write(home.path("secret-id"), stage.secret_id()).unwrap();
        let words = [BINARY, "run", "--secret-id-file", "secret-id", "--refresh-interval", "1s"];
        let secrets = ["--env", PASSWORD, "--file", STATIC, "--file", DYNAMIC];
        let mut command = home.command(&[&words[..], &secrets, &["--", "sh", "-c", SLEEP]].concat());
        let run =
            home.start(command.env_remove("VAULT_SECRET_ID").env("VAULT_CACERT", stage.server.ca_cert()));
        home.wait_for("started", "");
        Self { stage, home, run, _postgres: postgres }
    }

    fn memory(&self) -> Memory {
        Memory::of(self.run.pid())
    }

    /// What the command reads in a file of its own.
    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.home.file_folders()[0].join(name)).unwrap()
    }

    /// The tokens that the run holds and the server knows.
    fn tokens(&self) -> Vec<String> {
        self.memory().tokens().into_iter().filter(|token| self.is_alive(token)).collect()
    }

    fn is_alive(&self, token: &str) -> bool {
        self.stage.server.api("POST", "auth/token/lookup", Some(json!({ "token": token }))).0 == 200
    }

    /// Fails if there are too many copies of something that is in use; how many there are of what has most.
    fn most_copies(&self) -> usize {
        let memory = self.memory();
        let texts = self.tokens().into_iter().chain([self.file("static"), self.file("dynamic")]);
        let counts: Vec<_> = texts.map(|text| memory.copies(&text)).collect();
        assert!(counts.len() >= 3 && counts.iter().all(|count| (1..=COPIES).contains(count)), "{counts:?}");
        counts.into_iter().max().unwrap()
    }

    /// Fails if a copy of something that is not in use any more is found after the bound; how long one was found.
    fn forgets(&self, what: &str, text: &str) -> Duration {
        let begun = Instant::now();
        let gone = wait_for(BOUND, || (self.memory().copies(text) == 0).then_some(()));
        assert!(gone.is_some(), "{what}: {} copies", self.memory().copies(text));
        begun.elapsed()
    }
}

#[test]
fn long_memory_holds_few_copies_of_what_is_in_use_and_none_of_what_was() {
    let first = canary("first");
    let scene = Scene::begin(&first);
    let (tokens, dynamic) = (scene.tokens(), scene.file("dynamic"));
    assert!(tokens.len() == 2 && scene.file("static") == first);
    let most = scene.most_copies();
    let mut longest = scene.forgets("the secret id after login", scene.stage.secret_id());

    scene.stage.rotate("secret/db", "second");
    soon("the rotation", || (scene.file("static") == "second").then_some(()));
    longest = longest.max(scene.forgets("a static secret that was rotated", &first));
    soon("another login", || (!tokens.iter().any(|token| scene.is_alive(token))).then_some(()));
    for token in &tokens {
        longest = longest.max(scene.forgets("a token that has ended", token));
    }
    soon("another password", || (scene.file("dynamic") != dynamic).then_some(()));
    longest = longest.max(scene.forgets("a dynamic secret that has ended", &dynamic));
    longest = longest.max(scene.forgets("the secret id after another login", scene.stage.secret_id()));
    let most = most.max(scene.most_copies());
    record(
        "memory",
        &format!(
            "copies in the memory of a run over TLS: at most {most} of a token or secret in use; none of one that was \
             rotated or has ended, or of the secret id, {longest:.0?} later (`bao agent`: 607 in use, 52 to 182 after)"
        ),
    );
}
