//! From a static token to one that rotates, in four phases; a peer signs its requests with the same token all along.
//! Each is started by `cargo run -p leasehold --example migration -- ..`.
//!
//! 1. `AGENT_TOKEN=.. migration serve 127.0.0.1:8080`: as before.
//! 2. `AGENT_TOKEN=.. VAULT_ADDRESS=.. VAULT_TOKEN=.. migration prepare`: the token is in the server, and can be read.
//! 3. The service of phase 1 with `VAULT_ADDRESS` and `VAULT_TOKEN` besides; its `/health` says `"last_refresh_ok":true`.
//! 4. `VAULT_ADDRESS=.. VAULT_TOKEN=.. migration rotate http://127.0.0.1:8080/health`: another token. The service has
//!    it at SIGHUP, as soon as a peer signs with it, or after a minute. Its peers' requests are good with the old one for
//!    two minutes more.
//!
//! Then take `AGENT_TOKEN` away from the service: until Vault has answered after a start, whoever has that token is let in.
//!
//! `VAULT_AGENT_PATH_PREFIX` and `DEPLOYMENT_HASH` say where the token is: `status_panel/default/token` without them.
#![allow(clippy::print_stderr, reason = "an example tells what it does")]
#![allow(clippy::disallowed_methods, reason = "a service reads its own environment")]

mod shared;

use std::process::ExitCode;
use std::sync::Arc;

use axum::routing::post;
use axum::{Extension, Router};
use leasehold::core::Secret;
use leasehold::health::{self, Vitals};
use leasehold::identity::Identity;
use leasehold::signing::layer::VerifyLayer;
use leasehold::signing::{Covering, Verified, Verifier};
use leasehold::token_refresh::{RotationPlan, TokenIssuer, TokenRefresh, TokenRefreshSettings, notice};
use tokio::net::TcpListener;

use shared::Fault;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::log();
    shared::end(run().await)
}

async fn run() -> Result<(), Fault> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let state_dir = shared::state_dir("migration")?;
    let settings = TokenRefreshSettings::from_environment(|name| std::env::var_os(name), state_dir)?;
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", listen] => serve(settings, listen).await,
        ["prepare"] => prepare(&issuer(settings)?).await,
        ["rotate", health] => rotate(&issuer(settings)?, health).await,
        _ => Err("usage: migration serve LISTEN | prepare | rotate HEALTH".into()),
    }
}

/// Phases 1 and 3.
async fn serve(settings: TokenRefreshSettings, listen: &str) -> Result<(), Fault> {
    let refresh = Arc::new(TokenRefresh::start(settings)?);
    let verifier = Verifier::new(refresh.tokens().clone(), Covering::Body).refreshed_by(Arc::clone(&refresh));
    let verifier = Arc::new(verifier);
    let layer = VerifyLayer::new(Arc::clone(&verifier), 1 << 20);
    let vitals = Vitals::default().refresh(Arc::clone(&refresh)).verifier(verifier);
    let service = Router::new().route("/commands", post(command)).layer(layer).merge(health::router(vitals));
    let listener = TcpListener::bind(listen).await?;
    eprintln!("at http://{}/health", listener.local_addr()?);
    tokio::select! {
        served = async { axum::serve(listener, service).await } => served?,
        () = refresh.follow(notice::hangups()?) => {}
        asked = shared::asked_to_stop() => asked?,
    }
    refresh.stop().await;
    eprintln!("stopped");
    Ok(())
}

async fn command(Extension(by): Extension<Verified>) -> String {
    format!("done for {}", by.agent)
}

/// What writes where the environment says.
fn issuer(settings: TokenRefreshSettings) -> Result<TokenIssuer, Fault> {
    let vault = settings.vault.ok_or("VAULT_ADDRESS is not set")?;
    if let Identity::Brought(token) = &vault.identity {
        vault.client.set_token(token.read()?, None);
    }
    Ok(TokenIssuer::new(vault.client, vault.place))
}

/// Phase 2.
async fn prepare(issuer: &TokenIssuer) -> Result<(), Fault> {
    let token = Secret::new(std::env::var("AGENT_TOKEN").map_err(|_| "AGENT_TOKEN is not set")?);
    issuer.store_token(&token).await?;
    if !issuer.fetch_token().await?.is_same(&token) {
        return Err("what was stored is not what is read".into());
    }
    eprintln!("stored, and read again");
    Ok(())
}

/// Phase 4.
async fn rotate(issuer: &TokenIssuer, health: &str) -> Result<(), Fault> {
    let rotation = issuer.rotate(&RotationPlan::new([health])).await?;
    for (agent, why) in &rotation.missing {
        eprintln!("{agent} does not show it: {why}");
    }
    for agent in &rotation.shown {
        eprintln!("{agent} shows it");
    }
    if rotation.missing.is_empty() { Ok(()) } else { Err("not everybody has the new token".into()) }
}
