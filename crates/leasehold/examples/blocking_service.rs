//! A service without a runtime that keeps its token, and answers `/health/vault` and `/metrics/vault`.
//!
//! `cargo run -p leasehold --example blocking_service -- http://127.0.0.1:8200 TOKEN_FILE 127.0.0.1:8080`
#![allow(clippy::print_stderr, reason = "an example tells what it does")]

mod shared;

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use leasehold::client::VaultClient;
use leasehold::core::name::Address;
use leasehold::identity::{Identity, Source};
use leasehold::token_manager::TokenManagerSettings;
use leasehold::token_manager::blocking::TokenManager;
use leasehold::transport::TransportSettings;
use nix::sys::signal::{SigSet, Signal};

use shared::Fault;

fn main() -> ExitCode {
    shared::log();
    shared::end(run())
}

fn run() -> Result<(), Fault> {
    let [_, address, file, listen] = &std::env::args().collect::<Vec<_>>()[..] else {
        return Err("usage: blocking_service SERVER TOKEN_FILE LISTEN".into());
    };
    // Before there is another thread, which would take them.
    let ends = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT]);
    ends.thread_block()?;
    let manager = Arc::new(manager(address, file)?);
    manager.start()?;
    let (serving, listener) = (Arc::clone(&manager), TcpListener::bind(listen)?);
    eprintln!("at http://{}/health/vault", listener.local_addr()?);
    thread::spawn(move || serve(&serving, &listener));
    ends.wait()?;
    manager.stop();
    eprintln!("stopped");
    Ok(())
}

fn manager(address: &str, file: &str) -> Result<TokenManager, Fault> {
    let address = Address::parse(address).map_err(|fault| fault.to_string())?;
    let client = VaultClient::new(&TransportSettings::new(vec![address]), None)?;
    let settings = TokenManagerSettings::new(shared::state_dir("blocking_service")?)
        .on_renewal(|seconds| eprintln!("the token lives for {seconds} s more"))
        .on_failure(|message| eprintln!("the token: {message}"))
        .on_expiring(|left| eprintln!("the token ends in {left:?}"));
    // Give it a login instead, and it is replaced when it cannot be renewed.
    Ok(TokenManager::new(client, Identity::Brought(Source::File(file.into())), settings))
}

fn serve(manager: &TokenManager, listener: &TcpListener) {
    for connection in listener.incoming() {
        if let Err(fault) = connection.map_err(Fault::from).and_then(|connection| answer(manager, connection))
        {
            eprintln!("a request failed: {fault}");
        }
    }
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
