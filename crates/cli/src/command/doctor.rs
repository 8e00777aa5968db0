//! `leasehold doctor`: is everything as it should be, and what to do where it is not.

mod finding;
mod only;
mod visit;

mod guard;

mod env_files;
mod journal;
mod manifest;
mod orphans;
mod providers;
mod server;
mod stores;

use std::sync::Arc;

use leasehold::core::Failure;
use leasehold::session::Session;
use leasehold::store::ServerStore;
use leasehold::workstation::Workstation;
use serde_json::{Map, Value, json};

use super::workstation::workstation;
use super::{CLOSING, block_on, guarded, pretty, settings_at, tell_owed};
use crate::arguments::doctor::DoctorArguments;
use crate::config::environment::Environment;
use crate::config::settings::Settings;
use crate::exit::{self, Exit};
use crate::ui::{self, Ui};
use finding::{Finding, Status};
use only::{OF_PROVIDERS, Only};
use visit::Visit;

/// Looks, and tells what was found. What a check finds is no failure of this verb.
pub(crate) fn doctor(
    arguments: &DoctorArguments,
    environment: &Environment,
    ui: Ui,
) -> Result<Exit, Failure> {
    let only = Only::parse(&arguments.only)?;
    let common = &arguments.common;
    let mut findings = match settings_at(&common.connection, &common.workstation, environment) {
        Ok(settings) => look(arguments, only, &settings, environment, ui)?,
        Err(failure) => vec![
            Finding::of("config", Status::Failure, &failure)
                .hint("nothing else was looked at; see `leasehold config check`"),
        ],
    };
    findings.sort_by_key(|finding| only::rank(&finding.id));
    ui::answer(&match common.json {
        true => as_json(&findings),
        false => as_lines(&findings, ui),
    });
    Ok(match findings.iter().map(|finding| finding.status).max() {
        Some(Status::Failure) => Exit(exit::FAILURES),
        Some(Status::Warning) => Exit(exit::WARNINGS),
        Some(Status::Ok | Status::Skipped) | None => Exit::OK,
    })
}

/// Everything that was found and is wanted.
fn look(
    arguments: &DoctorArguments,
    only: Only,
    settings: &Settings,
    environment: &Environment,
    ui: Ui,
) -> Result<Vec<Finding>, Failure> {
    let (manifest, opened) = manifest::open(settings, arguments.fix && only.wants("manifest"));
    if let Some(manifest) = &manifest {
        only.expect_known(manifest.providers())?;
    }
    let (is_offline, mends) = (arguments.offline, arguments.fix);
    let mut visit = Visit { settings, environment, manifest, only, is_offline, mends, has_session: false };
    let is_in_the_way = visit.manifest.is_none() && visit.wants_one_of(&OF_PROVIDERS);
    let opened = if is_in_the_way { opened.in_the_way() } else { opened };
    let mut findings = vec![manifest::config(settings), opened];
    if visit.wants("manifest-permissions") {
        findings.push(manifest::permissions(&visit));
    }
    if visit.wants("env-files") {
        findings.push(env_files::check(&visit));
    }
    findings.extend(block_on(ask(&mut visit, ui))?);
    findings.retain(|finding| finding.is_in_the_way || visit.wants(&finding.id));
    Ok(findings)
}

/// Asks the server, the stores and the providers. What was obtained on the way is given back.
async fn ask(visit: &mut Visit<'_>, ui: Ui) -> Result<Vec<Finding>, Failure> {
    let owed = |visit: &Visit<'_>| visit.wants("journal").then(|| journal::Owed::now(visit));
    let before = owed(visit);
    let (mut findings, session) = server::meet(visit).await;
    visit.has_session = session.is_some();
    let absence = server::absence(&findings);
    let asked = guarded(async { Ok(ask_with(visit, session.as_ref(), absence).await) }).await;
    if let Some(session) = session {
        session.recovered(CLOSING).await;
        tell_owed(ui, &session.close(CLOSING).await);
    }
    findings.extend(before.zip(owed(visit)).map(|(before, after)| journal::finding(&before, &after)));
    findings.extend(asked?);
    Ok(findings)
}

/// `absence`: why there is no session, if there is none.
async fn ask_with(visit: &Visit<'_>, session: Option<&Session>, absence: Failure) -> Vec<Finding> {
    let workstation = match workstation(visit.settings, visit.environment) {
        Ok(workstation) => workstation,
        Err(failure) => return vec![Finding::of("store", Status::Failure, &failure).in_the_way()],
    };
    let Some(session) = session else {
        return ask_workstation(visit, &workstation.without_server(absence)).await;
    };
    let mut findings = server::examine(visit, session).await;
    let workstation = workstation.with_server(Arc::new(ServerStore::new(session)));
    findings.extend(ask_workstation(visit, &workstation).await);
    findings
}

/// The stores and the providers, at the same time: each may be slow.
async fn ask_workstation(visit: &Visit<'_>, workstation: &Workstation<'_>) -> Vec<Finding> {
    let (mut findings, of_providers, orphans) = tokio::join!(
        stores::check(visit, workstation),
        providers::check(visit, workstation),
        orphans::check(visit, workstation)
    );
    findings.extend(of_providers);
    findings.push(orphans);
    findings
}

fn as_json(findings: &[Finding]) -> String {
    let count = |status: Status| findings.iter().filter(|finding| finding.status == status).count();
    let counts: Map<_, _> =
        Status::ALL.into_iter().map(|status| (status.word().to_owned(), count(status).into())).collect();
    let checks: Vec<Value> = findings.iter().map(Finding::to_json).collect();
    pretty(&json!({ "checks": checks, "counts": counts }))
}

/// A line a check; its hint, and the rest of a long message, below it.
fn as_lines(findings: &[Finding], ui: Ui) -> String {
    let width = |text: &dyn Fn(&Finding) -> usize| findings.iter().map(text).max().unwrap_or(0);
    let (of_status, of_id) =
        (width(&|finding| finding.status.word().len()), width(&|finding| finding.id.chars().count()));
    let indent = " ".repeat(of_status + of_id + 4);
    let line = |finding: &Finding| {
        let status = ui.coloured(&format!("{:<of_status$}", finding.status.word()), finding.status.colour());
        let mended = if finding.is_mended { "mended: " } else { "" };
        let hint = finding.hint.iter().map(|hint| format!("\nhint: {hint}"));
        let text = format!("{mended}{}{}", finding.message, hint.collect::<String>());
        format!("{status}  {:<of_id$}  {}", finding.id, text.replace('\n', &format!("\n{indent}")))
    };
    let lines: Vec<_> = findings.iter().map(line).collect();
    lines.join("\n")
}
