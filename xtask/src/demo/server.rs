//! Secrets of a real server: handed over, rotated, and nothing left behind.

use super::job::{Job, Place, typed};
use super::page::Page;
use crate::step::Outcome;
use leasehold_testkit::{AppRole, Server, canary};
use serde_json::{Value, json};
use std::path::Path;

/// Lets the job read the one secret. Logging in and out of its own token is in every token's default policy.
const POLICY: &str = r#"path "secret/data/db" { capabilities = ["read"] }"#;

/// Starts the server and plays the story with it.
pub(super) fn play(page: &mut Page, leasehold: &Path, binary: &Path) -> Outcome {
    Story::begin(page, leasehold, binary)?.play()
}

/// Everything that the steps share.
struct Story<'a> {
    page: &'a mut Page,
    server: Server,
    leasehold: &'a Path,
    /// The server's command line, as a reader would type it: `bao` or `vault`.
    tool: String,
    place: Place,
}

impl<'a> Story<'a> {
    fn begin(page: &'a mut Page, leasehold: &'a Path, binary: &Path) -> Outcome<Self> {
        page.step("A real server, all in memory, on a free port of the loopback");
        let server = Server::start();
        let tool = binary.file_name().unwrap_or(binary.as_os_str()).to_string_lossy().into_owned();
        let listen = server.address().trim_start_matches("http://");
        page.command(&format!("{tool} server -dev -dev-no-store-token -dev-listen-address={listen}"));
        let (_, health) = server.api("GET", "sys/health", None);
        page.note(&format!("version {} answers at {}", words(&health["version"]), server.address()));
        let place = Place::new(&server.folder().join("demo"))?;
        Ok(Self { page, server, leasehold, tool, place })
    }

    fn play(&mut self) -> Outcome {
        let first = canary("first");
        self.write_secret(&first);
        let login = self.lay_out_login();
        let before = self.server.accessors();
        let mut job = self.run_job(&login)?;
        job.expect(self.page, &self.place, &first, "the child has what the server was given")?;
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
        let words = words_of_job(&self.place);
        self.page.command(&typed(&words));
        let variables = [
            ("VAULT_ADDR", self.server.address()),
            ("VAULT_ROLE_ID", &login.role_id),
            // It goes through the environment: an argument could be seen by everybody.
            ("VAULT_SECRET_ID", &login.secret_id),
        ];
        self.place.start(self.leasehold, &words, &variables)
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
        job.expect(self.page, &self.place, &second, "the running child sees the new secret")
    }

    fn end(&mut self, job: &mut Job) -> Outcome {
        self.page.step("The program ends, and nothing is left behind");
        job.end(self.page)
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

/// The arguments of the job.
fn words_of_job(place: &Place) -> Vec<String> {
    let file = place.path("db-password");
    let named = |name: &str| format!("{name}=vault://secret/db#password");
    let words = [
        "run",
        "--env",
        &named("DB_PASSWORD"),
        "--file",
        &named(&file),
        "--refresh-interval",
        "1s",
        "--on-change",
        "signal:USR1",
        "--",
        "sh",
        "app.sh",
        "DB_PASSWORD",
        &file,
    ];
    words.map(str::to_owned).to_vec()
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
    fn errors_of_many_lines_have_a_gist() {
        let check = |text: &str, expect: &str| assert_eq!(last_line(text), expect);
        check("1 error occurred:\n\t* invalid accessor\n\n", "invalid accessor");
        check("permission denied", "permission denied");
        check("", "");
    }
}
