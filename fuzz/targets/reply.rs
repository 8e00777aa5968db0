//! Fuzzes what reads a reply: no body makes it panic, and no failure repeats what it read.
#![no_main]

use leasehold_core::name::Path;
use leasehold_core::{Failure, Secret};
use leasehold_vault::{
    LeaseId, List, Login, Operation, Reply, kv, lease, login, policy, secret, system, token, wrapping,
};
use libfuzzer_sys::fuzz_target;
use std::fmt::Debug;

/// Longer than every word of our own that a failure has.
const LONG: usize = 24;

fuzz_target!(|body: &[u8]| {
    let reply = Reply::new(200, None, body.to_vec());
    judge(&reply, reply.envelope());
    of_tokens(&reply);
    of_leases(&reply);
    of_secrets(&reply);
    of_the_server(&reply);
});

fn of_tokens(reply: &Reply) {
    let by_cert = Login::Cert(login::Cert { mount: None, role: None });
    let own = || token::Subject::Own;
    try_out(reply, &by_cert);
    try_out(reply, &token::Create::default());
    try_out(reply, &token::Create::default().wrapped(std::time::Duration::from_secs(60)));
    try_out(reply, &token::Lookup(own()));
    try_out(reply, &token::Renew { subject: own(), increment: None });
    try_out(reply, &wrapping::Unwrap { token: Secret::new("s.1") });
    try_out(reply, &wrapping::LookupWrap { token: Secret::new("s.1") });
}

fn of_leases(reply: &Reply) {
    let Some(lease) = LeaseId::parse("database/creds/app/1") else { return };
    try_out(reply, &lease::Lookup { lease: lease.clone() });
    try_out(reply, &lease::Renew { lease, increment: None });
}

fn of_secrets(reply: &Reply) {
    let Ok(path) = Path::parse("secret/db") else { return };
    let dynamic = secret::Read { path: path.clone(), is_dynamic: true };
    if let Ok(material) = dynamic.answer(reply) {
        let values = material.fields.iter().map(|(_, value)| value);
        values.for_each(|value| stays_unseen(reply, value, &format!("{material:?}")));
    }
    try_out(reply, &dynamic);
    try_out(reply, &List::at(&path));
    try_out(reply, &kv::MountOf { path: path.clone() });
    for version in [kv::Version::V1, kv::Version::V2] {
        let entry = kv::Mount { path: "secret".into(), version }.entry(&path);
        if let Some(Ok(read)) = entry.map(|entry| kv::Read::new(entry, None)) {
            try_out(reply, &read);
        }
    }
}

fn of_the_server(reply: &Reply) {
    try_out(reply, &system::Health);
    try_out(reply, &system::SealStatus);
    try_out(reply, &system::Leader);
    try_out(reply, &system::ListMounts { table: system::Table::Auth });
    try_out(reply, &policy::Read { name: "app".into() });
}

fn try_out<O: Operation>(reply: &Reply, operation: &O)
where
    O::Answer: Debug,
{
    judge(reply, operation.answer(reply));
}

/// What is read can be shown; what cannot be read is told without a word of it.
fn judge<T: Debug>(reply: &Reply, answer: Result<T, Failure>) {
    match answer {
        Ok(answer) => drop(format!("{answer:?}")),
        Err(failure) => {
            let told = format!("{failure} {:?}", failure.advice());
            let words = reply.body.split(|byte| !byte.is_ascii_alphanumeric());
            let mut long =
                words.filter(|word| word.len() >= LONG).filter_map(|word| str::from_utf8(word).ok());
            assert!(!long.any(|word| told.contains(word)), "{told}");
        }
    }
}

/// A value that stands in the reply but once is not shown.
fn stays_unseen(reply: &Reply, value: &Secret, shown: &str) {
    let value = value.expose();
    let places = reply.body.windows(value.len().max(1)).filter(|place| *place == value.as_bytes());
    assert!(value.len() < LONG || places.count() != 1 || !shown.contains(value), "{shown}");
}
