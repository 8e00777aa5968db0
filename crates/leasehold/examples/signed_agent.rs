//! An agent that sends signed requests to `axum_service` as fast as it can, and has the token that both go by rotated
//! meanwhile: no request is refused.
//!
//! `cargo run -p leasehold --example signed_agent -- http://127.0.0.1:8200 TOKEN_FILE 127.0.0.1:8080`, with the token in
//! field `token` of `secret/example/token`, which may be written.
//!
//! A peer that meets an unknown signature reads the token, but not when it did so less than 10 s ago. To be sure that it
//! has the token before anybody signs with it, the token is written, the peer's `/health` is watched until it shows, at
//! SIGHUP or after a minute, and only then the agent fetches it.
#![allow(clippy::print_stderr, reason = "an example tells what it does")]

mod shared;

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use leasehold::client::VaultClient;
use leasehold::core::name::Address;
use leasehold::core::policy::Every;
use leasehold::identity::{Identity, Source};
use leasehold::signing::{Covering, Outbound, Signer};
use leasehold::token_refresh::{
    RotationPlan, TokenIssuer, TokenPlace, TokenRefresh, TokenRefreshSettings, VaultAccess,
};
use leasehold::transport::TransportSettings;

use shared::Fault;

/// How many requests are to come through with the new token.
const ENOUGH: u32 = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    shared::log();
    shared::end(run().await)
}

async fn run() -> Result<(), Fault> {
    let [_, address, file, peer] = &std::env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: signed_agent SERVER TOKEN_FILE PEER".into());
    };
    let source = Source::File(file.into());
    let address = Address::parse(address).map_err(|fault| fault.to_string())?;
    let client = VaultClient::new(&TransportSettings::new(vec![address]), None)?;
    client.set_token(source.read()?, None);
    let place = TokenPlace::new("secret", "example")?;
    let issuer = TokenIssuer::new(client.clone(), place.clone());
    let agent = Agent::new(refresh(client, source, place)?, peer)?;
    let worked = tokio::select! {
        worked = agent.work(&issuer) => worked,
        asked = shared::asked_to_stop() => asked,
    };
    agent.refresh.stop().await;
    worked
}

fn refresh(client: VaultClient, source: Source, place: TokenPlace) -> Result<TokenRefresh, Fault> {
    let state_dir = shared::state_dir("signed_agent")?;
    let access = VaultAccess { client, identity: Identity::Brought(source), place, state_dir };
    let mut settings = TokenRefreshSettings::new(access);
    // Nobody else rotates here, and after a minute it could be ahead of its peer.
    settings.refresh = Every::exactly(Duration::from_secs(3600));
    Ok(TokenRefresh::start(settings)?)
}

struct Agent<'a> {
    peer: &'a str,
    refresh: TokenRefresh,
    signer: Signer,
    outbound: Outbound,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl<'a> Agent<'a> {
    fn new(refresh: TokenRefresh, peer: &'a str) -> Result<Self, Fault> {
        let signer = Signer::new(refresh.tokens().clone(), "agent-1", Covering::Body);
        let signer = signer.ok_or("no agent's id")?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { peer, refresh, signer, outbound: Outbound::default(), client })
    }

    async fn work(&self, issuer: &TokenIssuer) -> Result<(), Fault> {
        self.refresh.refresh_now().await?;
        let ([first, then, refused], ()) = tokio::try_join!(self.send_until_enough(), self.rotate(issuer))?;
        eprintln!("accepted {first} and then {then}, refused {refused}");
        Ok(())
    }

    /// The new token is written, and then signed with.
    async fn rotate(&self, issuer: &TokenIssuer) -> Result<(), Fault> {
        let plan = RotationPlan::new([format!("http://{}/health", self.peer)]);
        let rotation = issuer.rotate(&plan).await?;
        if let [(peer, why), ..] = &rotation.missing[..] {
            return Err(format!("{peer} does not have the new token: {why}").into());
        }
        eprintln!("the peer has the new token");
        self.refresh.refresh_now().await?;
        Ok(())
    }

    /// How many were accepted with the first token and with another, and how many refused.
    async fn send_until_enough(&self) -> Result<[u32; 3], Fault> {
        let mut counts = [0; 3];
        let url = format!("http://{}/commands", self.peer);
        let command = Request::post(url).body(Bytes::from("reboot"))?;
        while counts[1] < ENOUGH {
            let send = |request| self.send(request);
            let sent = self.outbound.send(&self.signer, &self.refresh, &command, send).await?;
            let is_accepted = sent.answer.is_ok_and(|answer| answer.status() == StatusCode::OK);
            counts[if is_accepted { usize::from(sent.generation > 1) } else { 2 }] += 1;
        }
        Ok(counts)
    }

    /// Sends a request that is signed.
    async fn send(&self, request: Request<Bytes>) -> Result<Response<()>, Fault> {
        let (head, body) = self.client.request(request.map(Full::new)).await?.into_parts();
        body.collect().await?;
        Ok(Response::from_parts(head, ()))
    }
}
