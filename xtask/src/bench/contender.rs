//! Who is measured: three ways to hand one secret to one program.

use super::stage::Stage;
use crate::step::{Outcome, output};
use std::path::Path;
use std::process::Command;

/// The programs under comparison.
#[derive(Clone, Copy)]
pub(super) struct Programs<'a> {
    pub(super) leasehold: &'a Path,
    pub(super) server: &'a Path,
}

/// A secret, and how each language names it.
#[derive(Clone, Copy)]
pub(super) struct Subject {
    pub(super) reference: &'static str,
    template: &'static str,
}

/// A secret that is written by people and read by programs.
pub(super) const STATIC: Subject = Subject {
    reference: "vault://secret/db#password",
    template: r#"{{ with secret "secret/data/db" }}{{ .Data.data.password }}{{ end }}"#,
};

/// A PostgreSQL login that is made for each reader.
pub(super) const DYNAMIC: Subject = Subject {
    reference: "vault://database/creds/app#password",
    template: r#"{{ with secret "database/creds/app" }}{{ .Data.password }}{{ end }}"#,
};

/// The program that gets the secret when time is taken.
const NOTHING: &[&str] = &["/bin/true"];

/// A command that is measured.
pub(super) struct Contender {
    pub(super) name: &'static str,
    pub(super) command: Command,
}

pub(super) const LEASEHOLD: &str = "leasehold run";
pub(super) const AGENT: &str = "bao agent";
pub(super) const KV_GET: &str = "bao kv get";

/// All that can hand over a static secret.
pub(super) fn of_static(stage: &Stage, programs: Programs<'_>) -> Outcome<Vec<Contender>> {
    let mut all = of_dynamic(stage, programs, STATIC)?;
    all.push(Contender { name: KV_GET, command: kv_get(stage, programs) });
    Ok(all)
}

/// Those that start a program with the secret.
pub(super) fn of_dynamic(stage: &Stage, programs: Programs<'_>, subject: Subject) -> Outcome<Vec<Contender>> {
    let leasehold = Contender { name: LEASEHOLD, command: leasehold(stage, programs, subject, NOTHING) };
    let agent = Contender { name: AGENT, command: agent(stage, programs, subject, NOTHING)? };
    Ok(vec![leasehold, agent])
}

/// Fails unless each contender really hands over the secret.
pub(super) fn prove(stage: &Stage, programs: Programs<'_>) -> Outcome {
    let child = ["/usr/bin/env"];
    let commands = [
        leasehold(stage, programs, STATIC, &child),
        agent(stage, programs, STATIC, &child)?,
        kv_get(stage, programs),
    ];
    for mut command in commands {
        if !output(&mut command)?.contains(&stage.secret) {
            return Err(format!("the child of {} did not get the secret", command.get_program().display()));
        }
    }
    Ok(())
}

fn leasehold(stage: &Stage, programs: Programs<'_>, subject: Subject, child: &[&str]) -> Command {
    let mut command = clean(programs.leasehold, stage);
    command.env("VAULT_ROLE_ID", &stage.login.role_id).env("VAULT_SECRET_ID", &stage.login.secret_id);
    command.args(["run", "--env", &format!("P={}", subject.reference), "--"]).args(child);
    command
}

fn agent(stage: &Stage, programs: Programs<'_>, subject: Subject, child: &[&str]) -> Outcome<Command> {
    let folder = stage.server.folder().display();
    let name = format!("agent-{}-{}.hcl", subject.reference.len(), child.concat().replace('/', "-"));
    let config = format!(
        r#"
auto_auth {{
  method "approle" {{
    config = {{
      role_id_file_path                   = "{folder}/role-id"
      secret_id_file_path                 = "{folder}/secret-id"
      remove_secret_id_file_after_reading = false
    }}
  }}
}}
env_template "P" {{
  contents             = {contents:?}
  error_on_missing_key = true
}}
exec {{
  command = {child:?}
}}
"#,
        contents = subject.template,
    );
    let mut command = clean(programs.server, stage);
    command.arg("agent").arg(format!("-config={}", stage.file(&name, &config)?.display()));
    Ok(command)
}

fn kv_get(stage: &Stage, programs: Programs<'_>) -> Command {
    let mut command = clean(programs.server, stage);
    command.env("VAULT_TOKEN", &stage.token).args(["kv", "get", "-field=password", "secret/db"]);
    command
}

/// A command that knows the server and has a home of its own, and nothing else.
fn clean(program: &Path, stage: &Stage) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", stage.server.folder());
    command.env("VAULT_ADDR", stage.server.address());
    command
}
