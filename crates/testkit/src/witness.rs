//! The blocking HTTP client that looks at a server on behalf of a test.

use serde_json::Value;
use std::time::Duration;
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

/// The longest a call may take: a server under fault answers late, and a stopped one never.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest that a look at a node's health may take, which needs nothing but the node.
const GLANCE: Duration = Duration::from_millis(500);

/// A client of the API at one plain-HTTP address.
pub(crate) struct Witness {
    agent: Agent,
    base: String,
}

/// One call: who asks for what.
pub(crate) struct Question<'a> {
    pub(crate) token: &'a str,
    pub(crate) method: &'a str,
    /// Below `/v1/`.
    pub(crate) path: &'a str,
    pub(crate) body: Option<Value>,
    pub(crate) namespace: Option<&'a str>,
}

impl<'a> Question<'a> {
    /// A question with this token; what is asked has to be filled in.
    pub(crate) fn by(token: &'a str) -> Self {
        Self { token, method: "", path: "", body: None, namespace: None }
    }
}

impl Witness {
    pub(crate) fn new(base: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .max_redirects(0)
            .timeout_global(Some(PATIENCE))
            .build();
        Self { agent: config.into(), base: base.to_owned() }
    }

    /// The status that tells a node's state: 200 if it leads, 429 if it follows; none if it does not answer.
    pub(crate) fn health(&self) -> Option<u16> {
        let request = self.agent.get(format!("{}/v1/sys/health", self.base));
        let answer = request.config().timeout_global(Some(GLANCE)).build().call();
        answer.ok().map(|response| response.status().as_u16())
    }

    /// Status and JSON body; null where there is no body. The error is the transport's.
    pub(crate) fn ask(&self, question: Question<'_>) -> Result<(u16, Value), String> {
        let mut request = Request::builder()
            .method(question.method)
            .uri(format!("{}/v1/{}", self.base, question.path))
            .header("x-vault-token", question.token)
            .header("x-vault-request", "true");
        if let Some(namespace) = question.namespace {
            request = request.header("x-vault-namespace", namespace);
        }
        if question.method == "PATCH" {
            request = request.header("content-type", "application/merge-patch+json");
        }
        let sent = match question.body {
            Some(body) => self.agent.run(request.body(body.to_string()).map_err(text)?),
            None => self.agent.run(request.body(()).map_err(text)?),
        };
        read(sent.map_err(text)?)
    }
}

fn read(mut response: Response<Body>) -> Result<(u16, Value), String> {
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_string().map_err(text)?;
    Ok((status, serde_json::from_str(&body).unwrap_or(Value::Null)))
}

fn text(error: impl ToString) -> String {
    error.to_string()
}
