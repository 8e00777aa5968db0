//! Where the kernel keeps no keys.

use leasehold_core::Secret;

use super::Trouble;

pub(super) fn find(_: &str) -> Result<Secret, Trouble> {
    Err(Trouble::NoKeyring)
}

pub(super) fn put(_: &str, _: &Secret) -> Result<(), Trouble> {
    Err(Trouble::NoKeyring)
}

pub(super) fn remove(_: &str) -> Result<bool, Trouble> {
    Err(Trouble::NoKeyring)
}

pub(super) fn contains(_: &str) -> Result<bool, Trouble> {
    Err(Trouble::NoKeyring)
}

pub(super) fn descriptions() -> Result<Vec<String>, Trouble> {
    Err(Trouble::NoKeyring)
}
