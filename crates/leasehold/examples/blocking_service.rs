//! A service without a runtime that keeps its token, and answers `/health/vault` and `/metrics/vault`.
//!
//! `blocking_service http://127.0.0.1:8200 TOKEN_FILE 127.0.0.1:8080`
#![allow(clippy::print_stderr, reason = "an example tells what it does")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use leasehold::client::VaultClient;
use leasehold::core::name::Address;
use leasehold::identity::{Identity, Source};
use leasehold::token_manager::TokenManagerSettings;
use leasehold::token_manager::blocking::TokenManager;
use leasehold::transport::TransportSettings;

type Fault = Box<dyn std::error::Error>;

fn main() -> Result<(), Fault> {
    let [_, address, file, listen] = &std::env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: blocking_service SERVER TOKEN_FILE LISTEN".into());
    };
    let address = Address::parse(address).map_err(|fault| fault.to_string())?;
    let client = VaultClient::new(&TransportSettings::new(vec![address]), None)?;
    let settings = TokenManagerSettings::new(std::env::temp_dir().join("leasehold-example"))
        .on_renewal(|seconds| eprintln!("the token lives for {seconds} s more"))
        .on_failure(|message| eprintln!("the token: {message}"))
        .on_expiring(|left| eprintln!("the token ends in {left:?}"));
    // Give it a login instead, and it is replaced when it cannot be renewed.
    let manager = TokenManager::new(client, Identity::Brought(Source::File(file.into())), settings);
    manager.start()?;
    serve(&manager, &TcpListener::bind(listen)?)
}

fn serve(manager: &TokenManager, listener: &TcpListener) -> Result<(), Fault> {
    eprintln!("at http://{}/health/vault", listener.local_addr()?);
    for connection in listener.incoming() {
        if let Err(fault) = connection.map_err(Fault::from).and_then(|connection| answer(manager, connection))
        {
            eprintln!("a request failed: {fault}");
        }
    }
    Ok(())
}

fn answer(manager: &TokenManager, mut connection: TcpStream) -> Result<(), Fault> {
    let mut lines = BufReader::new(&connection).lines();
    let line = lines.next().transpose()?.unwrap_or_default();
    // Where a part of the request is not read, the answer may be lost.
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let status = manager.status();
    let (code, body) = match line.split(' ').nth(1) {
        Some("/health/vault") => (status.health().code(), serde_json::to_string(&status.health())?),
        Some("/metrics/vault") => (200, serde_json::to_string(&status.metrics())?),
        Some("/metrics") => (200, status.metrics().prometheus()),
        _ => (404, String::new()),
    };
    write!(
        connection,
        "HTTP/1.1 {code} \r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}
