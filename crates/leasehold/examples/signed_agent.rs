//! An agent that sends signed requests to `axum_service` as fast as it can, and has the token that both go by rotated
//! meanwhile: no request is refused.
//!
//! `signed_agent http://127.0.0.1:8200 TOKEN_FILE 127.0.0.1:8080`, with the token in field `token` of
//! `secret/example/token`, which may be written.
//!
//! A peer that meets an unknown signature reads the token, but not when it did so less than 10 s ago. To be sure that it
//! has the token before anybody signs with it, the token is written, the peer's `/health` is watched until it shows, at
//! SIGHUP or after a minute, and only then the agent fetches it.
#![allow(clippy::print_stderr, reason = "an example tells what it does")]

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use leasehold::client::VaultClient;
use leasehold::clock::Clock;
use leasehold::core::name::Address;
use leasehold::core::policy::Every;
use leasehold::identity::{Identity, Source};
use leasehold::signing::{Attempt, Covering, Outbound, Outcome, Signer};
use leasehold::token_refresh::{
    RotationPlan, TokenIssuer, TokenPlace, TokenRefresh, TokenRefreshSettings, VaultAccess,
};
use leasehold::transport::TransportSettings;

type Fault = Box<dyn std::error::Error>;

/// How many requests are to come through with the new token.
const ENOUGH: u32 = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Fault> {
    let [_, address, file, peer] = &std::env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: signed_agent SERVER TOKEN_FILE PEER".into());
    };
    let source = Source::File(file.into());
    let address = Address::parse(address).map_err(|fault| fault.to_string())?;
    let client = VaultClient::new(&TransportSettings::new(vec![address]), None)?;
    client.set_token(source.read()?, None);
    let place = TokenPlace::new("secret", "example")?;
    let issuer = TokenIssuer::new(client.clone(), place.clone());
    let state_dir = std::env::temp_dir().join("leasehold-example");
    let access = VaultAccess { client, identity: Identity::Brought(source), place, state_dir };
    let mut settings = TokenRefreshSettings::new(access);
    // Nobody else rotates here, and after a minute it could be ahead of its peer.
    settings.refresh = Every::exactly(Duration::from_secs(3600));
    let refresh = TokenRefresh::start(settings)?;
    refresh.refresh_now().await?;
    let agent = Agent::new(refresh, peer)?;
    let ([first, then, refused], ()) = tokio::try_join!(agent.send_until_enough(), agent.rotate(&issuer))?;
    agent.refresh.stop().await;
    eprintln!("accepted {first} and then {then}, refused {refused}");
    Ok(())
}

struct Agent<'a> {
    peer: &'a str,
    refresh: TokenRefresh,
    signer: Signer,
    outbound: Outbound,
    clock: Clock,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl<'a> Agent<'a> {
    fn new(refresh: TokenRefresh, peer: &'a str) -> Result<Self, Fault> {
        let signer = Signer::new(refresh.tokens().clone(), "agent-1", Covering::Body);
        let signer = signer.ok_or("no agent's id")?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let (outbound, clock) = Default::default();
        Ok(Self { peer, refresh, signer, outbound, clock, client })
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
        while counts[1] < ENOUGH {
            let (status, generation) = self.send("reboot").await?;
            let is_accepted = status == Some(StatusCode::OK);
            counts[if is_accepted { usize::from(generation > 1) } else { 2 }] += 1;
        }
        Ok(counts)
    }

    /// Sends a command by the rules for requests to a peer. What was answered, and with which token it was signed.
    async fn send(&self, command: &'static str) -> Result<(Option<StatusCode>, u32), Fault> {
        let mut attempt = Attempt::default();
        loop {
            let url = format!("http://{}/commands", self.peer);
            let mut request = Request::post(url).body(Bytes::from(command))?;
            let signed = self.signer.sign(&mut request)?;
            let answer = self.client.request(request.map(Full::new)).await;
            let status = answer.as_ref().ok().map(|answer| answer.status());
            let outcome = status.map_or(Outcome::Silence, Outcome::Answer);
            if let Ok(answer) = answer {
                answer.into_body().collect().await?;
            }
            let present = self.refresh.tokens().current().map_or(0, |token| token.generation());
            let next = self.outbound.next(&mut attempt, outcome, signed, present, self.clock.now());
            if !self.refresh.act_on(&self.outbound, next, signed).await {
                return Ok((status, signed));
            }
        }
    }
}
