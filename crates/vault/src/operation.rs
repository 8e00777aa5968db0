//! What can be asked of the server: what to send, and what the reply means.

use std::time::Duration;

use leasehold_core::Failure;
use leasehold_core::name::Namespace;

use crate::call::Call;
use crate::failure::classify;
use crate::reply::{Reply, WrapInfo};

/// One thing that can be asked. Carry out [`call`](Self::call), then hand the reply to
/// [`answer`](Self::answer).
pub trait Operation {
    /// What a good reply tells.
    type Answer;

    /// What to send.
    fn call(&self) -> Call;

    /// What a reply with a status of success tells. `Broken` if it has not the shape it must have.
    fn accept(&self, reply: &Reply) -> Result<Self::Answer, Failure>;

    /// What a reply with any other status means.
    fn refuse(&self, reply: &Reply) -> Failure {
        classify(reply, &self.call())
    }

    /// What the reply means.
    fn answer(&self, reply: &Reply) -> Result<Self::Answer, Failure> {
        if !reply.is_success() {
            return Err(self.refuse(reply));
        }
        self.accept(reply).map_err(|failure| failure.context(self.call().plain_path()))
    }

    /// The same, with its answer left on the server for whoever has the wrapping token, for this long.
    fn wrapped(self, ttl: Duration) -> Wrapped<Self>
    where
        Self: Sized,
    {
        Wrapped { operation: self, ttl }
    }

    /// The same in this namespace; in the client's own if there is none.
    fn within(self, namespace: Option<Namespace>) -> Within<Self>
    where
        Self: Sized,
    {
        Within { operation: self, namespace }
    }
}

/// An operation that answers nothing: it is done, or it failed.
pub trait Order {
    /// What to send.
    fn call(&self) -> Call;
}

impl<T: Order> Operation for T {
    type Answer = ();

    fn call(&self) -> Call {
        Order::call(self)
    }

    fn accept(&self, _: &Reply) -> Result<(), Failure> {
        Ok(())
    }
}

/// An operation whose answer is wrapped. The answer's own secrets do not travel.
#[derive(Clone, Debug)]
pub struct Wrapped<O> {
    operation: O,
    ttl: Duration,
}

impl<O: Operation> Operation for Wrapped<O> {
    type Answer = WrapInfo;

    fn call(&self) -> Call {
        Call { wrap: Some(self.ttl), ..self.operation.call() }.once()
    }

    fn accept(&self, reply: &Reply) -> Result<WrapInfo, Failure> {
        reply.wrap_info()
    }
}

/// An operation in another namespace than the client's.
#[derive(Clone, Debug)]
pub struct Within<O> {
    operation: O,
    namespace: Option<Namespace>,
}

impl<O: Operation> Operation for Within<O> {
    type Answer = O::Answer;

    fn call(&self) -> Call {
        let call = self.operation.call();
        let namespace = self.namespace.clone().or_else(|| call.namespace.clone());
        Call { namespace, ..call }
    }

    fn accept(&self, reply: &Reply) -> Result<O::Answer, Failure> {
        self.operation.accept(reply)
    }

    fn refuse(&self, reply: &Reply) -> Failure {
        self.operation.refuse(reply)
    }

    fn answer(&self, reply: &Reply) -> Result<O::Answer, Failure> {
        let answer = self.operation.answer(reply);
        answer.map_err(|failure| match &self.namespace {
            Some(namespace) => failure.context(format_args!("namespace {namespace}")),
            None => failure,
        })
    }
}
