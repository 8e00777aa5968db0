//! Real servers for tests: OpenBao (or Vault) alone or as a cluster, PostgreSQL, and a proxy that breaks connections
//! on demand.
//!
//! A test looks at the server with other eyes than the code under test: everything here goes through a small
//! blocking client of its own, as root. What is asked for is there or the test fails with a sentence that says
//! what to install; nothing is skipped. Everything started here ends with its value, and with the test process
//! if that is killed (see [processes](self#processes)).
//!
//! # Processes
//!
//! Each program runs in its own process group and is killed and reaped on drop. On Linux it also gets a
//! parent-death signal (through `setpriv` of util-linux), so that it does not survive a test process that was
//! killed. Where `setpriv` is missing only drop ends it. Temporary folders of a killed test process stay.
//!
//! ```no_run
//! use leasehold_testkit::Server;
//! use serde_json::json;
//!
//! let server = Server::start();
//! server.put_secret("secret/db", json!({ "password": "blue" }));
//! let (status, reply) = server.api("GET", "secret/data/db", None);
//! assert_eq!((status, &reply["data"]["data"]["password"]), (200, &json!("blue")));
//! ```

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a tool for tests: it starts programs, reads the environment, and a failure is a failed test"
)]
#![allow(clippy::needless_pass_by_value, reason = "callers write `json!({..})` in place")]

mod authority;
mod canary;
mod deadline;
mod listener;
mod log;
mod port;
mod tools;

mod figures;
mod process;
mod witness;

mod desktop;
mod postgres;
mod proxy;

mod administrator;
mod disk;
mod program;
mod providers;
mod receiver;

mod server;

mod cluster;

pub use administrator::{Administrator, AppRole};
pub use authority::{authority, certificate, openssl};
pub use canary::{Canaries, canary, random_hex};
pub use cluster::Cluster;
pub use deadline::wait_for;
pub use desktop::Desktop;
pub use figures::record;
pub use listener::{Listener, answer};
pub use log::Log;
pub use port::Port;
pub use postgres::Postgres;
pub use providers::{Manner, Service, Upstream};
pub use proxy::{Fault, Hole, Proxy, Tap};
pub use receiver::{Receiver, ReceiverKind};
pub use server::{EmptyServer, Server};
pub use tools::{
    OPENBAO, PYTHON_KEYRING, on_path, postgres_folder, python_keyring, server_binary, workspace,
};
