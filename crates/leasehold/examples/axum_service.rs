//! A service on axum that keeps its own token at the server, takes requests that its peers sign with a token that
//! rotates, and answers `/health`, `/health/vault`, `/metrics/vault` and `/metrics`.
//!
//! `cargo run -p leasehold --example axum_service -- http://127.0.0.1:8200 TOKEN_FILE 127.0.0.1:8080`, where
//! the peers' token is field `token` of `secret/example/token`. At SIGHUP it is fetched at once, and else once a minute.
#![allow(clippy::print_stderr, reason = "an example tells what it does")]

mod shared;

use std::process::ExitCode;
use std::sync::Arc;

use axum::routing::post;
use axum::{Extension, Router};
use leasehold::client::VaultClient;
use leasehold::core::name::Address;
use leasehold::health::{self, Vitals};
use leasehold::identity::{Identity, Source};
use leasehold::signing::layer::VerifyLayer;
use leasehold::signing::{Covering, Verified, Verifier};
use leasehold::token_cache::TokenReader;
use leasehold::token_manager::{TokenManager, TokenManagerSettings};
use leasehold::token_refresh::{TokenPlace, TokenRefresh, TokenRefreshSettings, VaultAccess, notice};
use leasehold::transport::TransportSettings;
use tokio::net::TcpListener;

use shared::Fault;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::log();
    shared::end(run().await)
}

async fn run() -> Result<(), Fault> {
    let [_, address, file, listen] = &std::env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: axum_service SERVER TOKEN_FILE LISTEN".into());
    };
    // Give it a login instead, and its token is replaced when it cannot be renewed.
    let identity = Identity::Brought(Source::File(file.into()));
    let manager = Arc::new(manager(address, identity.clone())?);
    manager.start()?;
    let refresh = Arc::new(TokenRefresh::start(refresh(address, identity)?)?);
    let listener = TcpListener::bind(listen).await?;
    eprintln!("at http://{}/health", listener.local_addr()?);
    tokio::select! {
        served = async { axum::serve(listener, service(&manager, &refresh)).await } => served?,
        () = refresh.follow(notice::hangups()?) => {}
        // Both have the same token: what one of them is told of it, the other hears.
        () = manager.follow(refresh.refusals()) => {}
        () = tell(refresh.tokens().reader()) => {}
        asked = shared::asked_to_stop() => asked?,
    }
    refresh.stop().await;
    manager.stop().await;
    eprintln!("stopped");
    Ok(())
}

fn client(address: &str) -> Result<VaultClient, Fault> {
    let address = Address::parse(address).map_err(|fault| fault.to_string())?;
    Ok(VaultClient::new(&TransportSettings::new(vec![address]), None)?)
}

fn manager(address: &str, identity: Identity) -> Result<TokenManager, Fault> {
    let settings = TokenManagerSettings::new(shared::state_dir("axum_service")?)
        .on_failure(|message| eprintln!("the service's token: {message}"));
    Ok(TokenManager::new(client(address)?, identity, settings))
}

fn refresh(address: &str, identity: Identity) -> Result<TokenRefreshSettings, Fault> {
    let place = TokenPlace::new("secret", "example")?;
    let state_dir = shared::state_dir("axum_service")?;
    let access = VaultAccess { client: client(address)?, identity, place, state_dir };
    Ok(TokenRefreshSettings::new(access))
}

/// Commands have to be signed; how the service is, anybody may ask.
fn service(manager: &Arc<TokenManager>, refresh: &Arc<TokenRefresh>) -> Router {
    let verifier = Verifier::new(refresh.tokens().clone(), Covering::Body).refreshed_by(Arc::clone(refresh));
    let verifier = Arc::new(verifier);
    let layer = VerifyLayer::new(Arc::clone(&verifier), 1 << 20);
    let vitals =
        Vitals::default().manager(Arc::clone(manager)).refresh(Arc::clone(refresh)).verifier(verifier);
    Router::new().route("/commands", post(command)).layer(layer).merge(health::router(vitals))
}

async fn command(Extension(by): Extension<Verified>, body: String) -> String {
    eprintln!("{} says: {body}", by.agent);
    format!("done for {}", by.agent)
}

async fn tell(mut tokens: TokenReader) {
    while tokens.changed().await {
        let generation = tokens.current().map(|token| token.generation());
        eprintln!("the peers' token is number {} now", generation.unwrap_or_default());
    }
}
