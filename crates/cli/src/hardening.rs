//! What keeps the secrets in this process' memory from others.

use std::alloc::System;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory as it is freed, that of the libraries below us too.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// Closes this process: no other of the same user may look into it or trace it, and a crash leaves no core file.
/// Returns the limit of core files as it was, in bytes, which a child is to have.
pub(crate) fn close() -> nix::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, 0, hard)?;
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_dumpable(false)?;
    Ok(soft)
}
