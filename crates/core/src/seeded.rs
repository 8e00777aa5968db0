//! Mistakes that tests plant in a ledger, to see that the model checker finds them. Outside of this crate's own unit
//! tests none can be planted.

/// One mistake, named by what it makes the ledger do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seeded {
    /// Serve what lived on a token that has ended.
    LiveOn,
    /// Withdraw what is held when an errand fails.
    FailureEnds,
    /// Revoke a token on which something is served.
    CutOff,
    /// Renew in a hurry while another errand is under way.
    HurryTwice,
    /// Forget what was obtained by an errand that was given up.
    ForgetLate,
    /// Revoke what is owed once, and not again.
    TryOnce,
    /// Wait for the answer to a revocation without end.
    NoDeadline,
    /// Start what is due at once, however much was started before.
    NoPace,
}
