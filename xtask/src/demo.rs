//! The main job in front of the reader, against a real server that is started for it and gone afterwards.

mod page;

mod job;

use crate::step::Outcome;
use crate::tools;
use job::{Job, Place};
use leasehold_testkit::{AppRole, Server, canary};
use page::Page;
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Lets the job read the one secret. Logging in and out of its own token is in every token's default policy.
const POLICY: &str = r#"path "secret/data/db" { capabilities = ["read"] }"#;

/// Builds the binary, gets the server and plays the story.
pub(crate) fn demo() -> Outcome {
    let (leasehold, server) = (tools::leasehold()?, tools::server()?);
    let interrupted = interruption()?;
    let begin = Instant::now();
    let played = Story::begin(&server, leasehold).and_then(|mut story| story.play());
    if played.is_err() && interrupted.load(Ordering::SeqCst) {
        return Err("interrupted; nothing is left running".to_owned());
    }
    played?;
    println!("\nDone in {:.1} s; the server and all it held are gone.", begin.elapsed().as_secs_f32());
    Ok(())
}

/// Set by Ctrl-C, so that we live on and clean up. The job gets the signal from the terminal as well, and ends.
fn interruption() -> Outcome<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).map_err(|error| error.to_string())?;
    }
    Ok(flag)
}

/// Everything that the steps share.
struct Story {
    page: Page,
    server: Server,
    leasehold: PathBuf,
    /// The server's command line, as a reader would type it: `bao` or `vault`.
    tool: String,
    place: Place,
}

impl Story {
    fn begin(binary: &Path, leasehold: PathBuf) -> Outcome<Self> {
        let mut page = Page::new();
        page.step("A real server, all in memory, on a free port of the loopback");
        let server = Server::start();
        let tool = binary.file_name().unwrap_or(binary.as_os_str()).to_string_lossy().into_owned();
        let listen = server.address().trim_start_matches("http://");
        page.command(&format!("{tool} server -dev -dev-no-store-token -dev-listen-address={listen}"));
        let (_, health) = server.api("GET", "sys/health", None);
        page.note(&format!("version {} answers at {}", words(&health["version"]), server.address()));
        let place = Place::new(&server)?;
        Ok(Self { page, server, leasehold, tool, place })
    }

    fn play(&mut self) -> Outcome {
        let first = canary("first");
        self.write_secret(&first);
        let login = self.lay_out_login();
        let before = self.server.accessors();
        let mut job = self.run_job(&login)?;
        self.expect_digest(&mut job, &first, "the child has what the server was given")?;
        let tokens: Vec<String> =
            self.server.accessors().into_iter().filter(|one| !before.contains(one)).collect();
        self.show_alive(&tokens)?;
        self.rotate(&mut job)?;
        self.end(&mut job)?;
        self.show_dead(&tokens, &before)
    }

    fn write_secret(&mut self, secret: &str) {
        self.page.step("A secret");
        self.put(secret);
    }

    fn put(&self, secret: &str) {
        self.page.command(&format!("{} kv put secret/db password=-", self.tool));
        let version = self.server.put_secret("secret/db", json!({ "password": secret }));
        self.page.note(&format!("version {version}, {} characters", secret.len()));
    }

    fn lay_out_login(&mut self) -> AppRole {
        self.page.step("A login for the job: an AppRole that may read this secret and nothing else");
        let (page, tool) = (&self.page, &self.tool);
        page.command(&format!("echo '{POLICY}' | {tool} policy write app -"));
        self.server.policy("app", POLICY);
        page.command(&format!("{tool} write auth/approle/role/app token_policies=app token_ttl=60s"));
        let login = self.server.approle("app", &["app"], json!({ "token_ttl": "60s" }));
        page.command(&format!("export VAULT_ADDR={} VAULT_ROLE_ID={}", self.server.address(), login.role_id));
        page.command(&format!(
            "export VAULT_SECRET_ID=$({tool} write -f -field=secret_id auth/approle/role/app/secret-id)"
        ));
        login
    }

    fn run_job(&mut self, login: &AppRole) -> Outcome<Job> {
        self.page.step("The main job: a program that gets the secret, in a variable and in a file");
        self.page.command(&typed(&self.place.words()));
        self.place.start(&self.leasehold, &self.server, login)
    }

    /// Passes on the child's next line and compares it with what the server was given.
    fn expect_digest(&self, job: &mut Job, secret: &str, proof: &str) -> Outcome {
        let line = job.line().ok_or("the child ended too early; what leasehold said is above")?;
        self.page.note(&format!("child: {line}"));
        let expected = format!("{} characters, digest {}", secret.len(), self.place.digest(secret)?);
        if !line.ends_with(&expected) {
            return Err(format!("the child was to have {expected}"));
        }
        self.page.proof(proof);
        Ok(())
    }

    fn show_alive(&mut self, tokens: &[String]) -> Outcome {
        self.page.step("While it runs, its token lives");
        for accessor in tokens {
            self.page.command(&format!("{} token lookup -accessor {accessor}", self.tool));
            let (status, reply) = self.look_up(accessor);
            let data = &reply["data"];
            self.page.note(&format!("{status}: path {}, {} s to live", words(&data["path"]), data["ttl"]));
        }
        if tokens.is_empty() {
            Err("the job has no token of its own on the server".to_owned())
        } else {
            Ok(())
        }
    }

    fn rotate(&mut self, job: &mut Job) -> Outcome {
        self.page.step("The secret is rotated while the program runs");
        let second = canary("the-second");
        self.put(&second);
        self.expect_digest(job, &second, "the running child sees the new secret")
    }

    fn end(&mut self, job: &mut Job) -> Outcome {
        self.page.step("The program ends, and nothing is left behind");
        while let Some(line) = job.line() {
            self.page.note(&format!("child: {line}"));
        }
        let status = job.wait()?;
        self.page.command("echo $?");
        self.page.note(&status.code().map_or_else(|| status.to_string(), |code| code.to_string()));
        if status.success() { Ok(()) } else { Err(format!("the job failed: {status}")) }
    }

    fn show_dead(&self, tokens: &[String], before: &[String]) -> Outcome {
        for accessor in tokens {
            self.page.command(&format!("{} token lookup -accessor {accessor}", self.tool));
            let (status, reply) = self.look_up(accessor);
            self.page.note(&format!("{status}: {}", last_line(&words(&reply["errors"][0]))));
        }
        let left = self.server.accessors().into_iter().filter(|one| !before.contains(one)).count();
        if left > 0 {
            return Err(format!("{left} tokens of the job are still alive"));
        }
        self.page.proof("every token of the job is dead");
        Ok(())
    }

    fn look_up(&self, accessor: &str) -> (u16, Value) {
        self.server.api("POST", "auth/token/lookup-accessor", Some(json!({ "accessor": accessor })))
    }
}

/// A command as it would be typed, with quotes where the shell needs them.
fn typed(words: &[String]) -> String {
    let is_plain = |word: &str| !word.contains(|sign: char| "#$&*;<>?| '\"".contains(sign));
    let quoted = words.iter().map(|word| if is_plain(word) { word.clone() } else { format!("'{word}'") });
    format!("leasehold {}", quoted.collect::<Vec<_>>().join(" "))
}

/// A text of the server without its quotes.
fn words(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The gist of an error that the server spread over several lines.
fn last_line(text: &str) -> &str {
    text.trim().lines().last().unwrap_or_default().trim_start_matches(['\t', '*', ' '])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_quoted_where_the_shell_needs_it() {
        let check = |words: &[&str], expect: &str| {
            let owned: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(typed(&owned), expect);
        };
        check(&["run", "--", "sh"], "leasehold run -- sh");
        check(&["--env", "A=vault://secret/db#password"], "leasehold --env 'A=vault://secret/db#password'");
    }

    #[test]
    fn errors_of_many_lines_have_a_gist() {
        let check = |text: &str, expect: &str| assert_eq!(last_line(text), expect);
        check("1 error occurred:\n\t* invalid accessor\n\n", "invalid accessor");
        check("permission denied", "permission denied");
        check("", "");
    }
}
