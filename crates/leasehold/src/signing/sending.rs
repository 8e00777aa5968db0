//! A request by the rules: signed, sent by the caller's client, and signed and sent again where the rules say so.

use http::{Request, Response};
use tokio::time::{sleep, timeout};

use super::outbound::{Attempt, Next, Outbound, Outcome};
use super::signer::{Signer, Unsigned};
use super::source::TokenSource;
use crate::token_cache::TokenCache;

/// What came of a request in the end.
#[derive(Debug)]
pub struct Sent<R, E> {
    /// The last answer, good or bad; or why there was none.
    pub answer: Result<Response<R>, E>,
    /// The generation of the token that it was signed with the last time.
    pub generation: u32,
}

impl Outbound {
    /// Signs the request and has it sent by `send`, again where these rules say so: after a refusal once more with
    /// another token, which `source` is asked for; after 5xx or an error up to three times, with pauses. Each time it is
    /// signed anew.
    ///
    /// ```
    /// use http::{Request, Response, StatusCode};
    /// use leasehold::signing::{Outbound, Signer};
    /// use leasehold::token_refresh::TokenRefresh;
    ///
    /// # async fn request(_: Request<&str>) -> std::io::Result<Response<()>> { unimplemented!() }
    /// # async fn example(outbound: Outbound, signer: Signer, refresh: TokenRefresh) -> Result<(), Box<dyn std::error::Error>> {
    /// let command = Request::post("http://127.0.0.1:8080/commands").body("reboot")?;
    /// let sent = outbound.send(&signer, &refresh, &command, |signed| request(signed)).await?;
    /// assert_eq!(sent.answer?.status(), StatusCode::OK);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Why it could not be signed. What the peer or the way to it refused is in [`Sent::answer`].
    pub async fn send<B, R, E, F>(
        &self,
        signer: &Signer,
        source: &impl TokenSource,
        request: &Request<B>,
        mut send: impl FnMut(Request<B>) -> F,
    ) -> Result<Sent<R, E>, Unsigned>
    where
        B: AsRef<[u8]> + Clone,
        F: Future<Output = Result<Response<R>, E>>,
    {
        let (mut attempt, tokens) = (Attempt::default(), signer.tokens());
        loop {
            let mut signed = request.clone();
            let generation = signer.sign(&mut signed)?;
            let answer = send(signed).await;
            let outcome = answer.as_ref().map_or(Outcome::Silence, |answer| Outcome::Answer(answer.status()));
            let next = self.next(&mut attempt, outcome, generation, present(tokens), tokens.clock().now());
            if !self.act(next, generation, tokens, source).await {
                return Ok(Sent { answer, generation });
            }
        }
    }

    /// Does what these rules said of a request that was signed with that generation of the token, for those who sign in
    /// pieces and send by themselves. Whether it is to be signed anew and sent now.
    pub async fn act(&self, next: Next, signed: u32, tokens: &TokenCache, source: &impl TokenSource) -> bool {
        match next {
            Next::Leave => return false,
            Next::Send { after } => {
                sleep(after).await;
                return true;
            }
            Next::Refresh => {
                let _over = Over(self);
                source.refresh().await;
            }
            Next::Await(limit) => {
                // Whether another token came is seen below.
                let _ = timeout(limit, self.wait()).await;
            }
        }
        present(tokens) != signed
    }
}

/// The refresh that was asked for. It is over when this is dropped, also where nobody waits for the answer any more and
/// the request is dropped in the middle: others wait for it.
struct Over<'a>(&'a Outbound);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.refreshed();
    }
}

fn present(tokens: &TokenCache) -> u32 {
    tokens.current().map_or(0, |token| token.generation())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use futures_util::FutureExt;
    use http::StatusCode;
    use std::time::Duration;

    struct Silent;

    impl TokenSource for Silent {
        async fn refresh(&self) {
            std::future::pending::<()>().await;
        }
    }

    #[tokio::test]
    async fn a_request_that_is_dropped_while_it_refreshes_holds_up_no_other() {
        let (outbound, tokens) = (Outbound::default(), TokenCache::new(Clock::default(), Duration::ZERO));
        let refused = Outcome::Answer(StatusCode::UNAUTHORIZED);
        let next = outbound.next(&mut Attempt::default(), refused, 0, 0, tokens.clock().now());
        assert_eq!(next, Next::Refresh);
        assert!(outbound.act(next, 0, &tokens, &Silent).now_or_never().is_none());
        assert!(outbound.wait().now_or_never().is_some());
    }
}
