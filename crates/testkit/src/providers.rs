//! Providers for tests: a loopback server that answers as each of them does, and misbehaves on demand.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::listener::{Listener, answer};

/// Whom an [`Upstream`] plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// OpenAI, whose key goes as `authorization: Bearer`.
    OpenAi,
    /// Anthropic: `x-api-key`.
    Anthropic,
    /// OpenRouter: `authorization: Bearer`. Its list of models is for everybody.
    OpenRouter,
    /// Gemini: `x-goog-api-key`.
    Gemini,
    /// GitHub: `authorization: Bearer`. Without a key it answers too, as to one of many.
    GitHub,
    /// Ollama, which wants no key.
    Ollama,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::OpenAi, Self::Anthropic, Self::OpenRouter, Self::Gemini, Self::GitHub, Self::Ollama];

    /// The variable by which it is known: that of its key, or, for Ollama, of its address.
    pub fn variable(self) -> &'static str {
        match self {
            Self::OpenAi => "OPENAI_API_KEY",
            Self::Anthropic => "ANTHROPIC_API_KEY",
            Self::OpenRouter => "OPENROUTER_API_KEY",
            Self::Gemini => "GEMINI_API_KEY",
            Self::GitHub => "GITHUB_TOKEN",
            Self::Ollama => "OLLAMA_HOST",
        }
    }

    /// The path of the call that a key opens.
    fn path(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Anthropic => "/v1/models",
            Self::OpenRouter => "/api/v1/key",
            Self::Gemini => "/v1beta/models",
            Self::GitHub => "/rate_limit",
            Self::Ollama => "/api/tags",
        }
    }

    /// The header line that a key goes in, up to the key; none if it wants none.
    pub fn key_line(self) -> Option<&'static str> {
        match self {
            Self::OpenAi | Self::OpenRouter | Self::GitHub => Some("authorization: Bearer "),
            Self::Anthropic => Some("x-api-key: "),
            Self::Gemini => Some("x-goog-api-key: "),
            Self::Ollama => None,
        }
    }
}

/// How an [`Upstream`] behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It knows its key, and refuses every other, repeating it in the complaint.
    Honest,
    /// Its key may not do what is asked.
    Restricted,
    /// Its key is not paid for: 402.
    Unpaid,
    /// What its key was given is used up, told as each service tells it.
    Spent,
    /// Too many requests: 429.
    Hurried,
    /// This status, and this place to go instead.
    Elsewhere(u16, String),
    /// It takes the request, and says nothing.
    Silent,
    /// A byte now and then, without end.
    Dripping,
    /// A good answer that is longer than a megabyte.
    Huge,
    /// A page of HTML to log in at, with 200.
    Portal,
    /// A page of HTML, with 403.
    Firewall,
    /// 503.
    Down,
}

/// A provider on a loopback port, until the test process ends.
///
/// ```
/// use leasehold_testkit::{Manner, Service, Upstream};
///
/// let upstream = Upstream::start(Service::OpenAi, "sk-good");
/// // .. somebody asks `upstream.address()`, is accepted, and then:
/// upstream.behave(Manner::Unpaid);
/// assert!(upstream.listener().requests().is_empty());
/// ```
pub struct Upstream {
    listener: Listener,
    manner: Arc<Mutex<Manner>>,
}

impl Upstream {
    /// One that knows this key, and is honest.
    pub fn start(service: Service, key: &str) -> Self {
        let manner = Arc::new(Mutex::new(Manner::Honest));
        let (key, present) = (key.to_owned(), Arc::clone(&manner));
        let listener = Listener::speaking(move |request, stream| {
            let manner = present.lock().expect("nobody panics with it").clone();
            Scene { service, key: &key, request }.play(&manner, stream)
        });
        Self { listener, manner }
    }

    /// From now on it behaves so.
    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().expect("nobody panics with it") = manner;
    }

    /// `http://127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        self.listener.address()
    }

    /// What it heard.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }
}

/// One request to one service.
struct Scene<'a> {
    service: Service,
    key: &'a str,
    request: &'a str,
}

impl Scene<'_> {
    /// Answers, and says whether the connection goes on.
    fn play(&self, manner: &Manner, stream: &mut TcpStream) -> bool {
        let goes_on = misbehave(manner, &good(self.service, manner).to_string(), stream);
        goes_on.unwrap_or_else(|| stream.write_all(&self.speak(manner)).is_ok())
    }

    /// The answer of the service itself.
    fn speak(&self, manner: &Manner) -> Vec<u8> {
        let path = self.request.split(' ').nth(1).unwrap_or_default();
        if (self.service, path) == (Service::OpenRouter, "/api/v1/models") {
            return answer(200, "", &json!({ "data": [{ "id": "some/model" }] }).to_string());
        }
        if path != self.service.path() {
            return self.complain((404, "not_found", "no such path"));
        }
        match self.given() {
            Some(key) if key != self.key => self.complain(wrong(self.service)),
            None if self.service == Service::GitHub => answer(200, "", &rates(60).to_string()),
            None if self.service.key_line().is_some() => self.complain((401, "no_key", "no key was given")),
            _ => self.serve(manner),
        }
    }

    /// The answer to its own key.
    fn serve(&self, manner: &Manner) -> Vec<u8> {
        let refusal = match manner {
            Manner::Restricted => restricted(self.service),
            Manner::Spent => spent(self.service),
            Manner::Unpaid => Some((402, "billing_error", "Insufficient credits")),
            Manner::Hurried => Some((429, "rate_limit_exceeded", "Slow down")),
            _ => None,
        };
        match refusal {
            Some(refusal) => self.complain(refusal),
            None => answer(200, "", &good(self.service, manner).to_string()),
        }
    }

    /// The key that came along.
    fn given(&self) -> Option<&str> {
        let begin = self.service.key_line()?;
        self.request.lines().find_map(|line| line.strip_prefix(begin))
    }

    fn complain(&self, (status, code, message): Complaint) -> Vec<u8> {
        let message = format!("{message}: {}", self.given().unwrap_or_default());
        let body = match self.service {
            Service::OpenAi => json!({ "error": {
                "message": message, "type": "invalid_request_error", "param": null, "code": code } }),
            Service::Anthropic => json!({ "type": "error", "error": { "type": code, "message": message } }),
            Service::OpenRouter => json!({ "error": { "message": message, "code": status } }),
            Service::Gemini => json!({ "error": { "code": status, "message": message, "details": [
                { "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code } ] } }),
            Service::GitHub => json!({ "message": message, "status": status.to_string() }),
            Service::Ollama => json!({ "error": message }),
        };
        answer(status, "content-type: application/json\r\n", &body.to_string())
    }
}

/// Answers as no service does, and says whether the connection goes on; none if the service itself is to answer.
pub(crate) fn misbehave(manner: &Manner, good: &str, stream: &mut TcpStream) -> Option<bool> {
    let page = |status, body: &str| answer(status, "content-type: text/html\r\n", body);
    let whole = match manner {
        Manner::Silent => return Some(listen_on(stream)),
        Manner::Dripping => return Some(drip(stream)),
        Manner::Elsewhere(status, place) => answer(*status, &format!("location: {place}\r\n"), ""),
        Manner::Portal => page(200, "<html><form>Welcome to our network</form></html>"),
        Manner::Firewall => page(403, "<html>Blocked by policy</html>"),
        Manner::Down => page(503, "<html>Service unavailable</html>"),
        Manner::Huge => answer(200, "", &format!("{}{good}", " ".repeat(1 << 20))),
        Manner::Honest | Manner::Restricted | Manner::Unpaid | Manner::Spent | Manner::Hurried => {
            return None;
        }
    };
    Some(stream.write_all(&whole).is_ok())
}

/// Status, code and message.
type Complaint = (u16, &'static str, &'static str);

fn wrong(service: Service) -> Complaint {
    match service {
        Service::OpenAi => (401, "invalid_api_key", "Incorrect API key provided"),
        Service::Anthropic => (401, "authentication_error", "invalid x-api-key"),
        Service::OpenRouter => (401, "", "User not found"),
        Service::Gemini => (400, "API_KEY_INVALID", "API key not valid"),
        Service::GitHub => (401, "", "Bad credentials"),
        Service::Ollama => (401, "", "unauthorized"),
    }
}

/// How a key that may not do this is refused; OpenRouter and Ollama refuse none.
fn restricted(service: Service) -> Option<Complaint> {
    match service {
        Service::OpenAi => Some((401, "", "You have insufficient permissions for this operation")),
        Service::Anthropic => Some((403, "permission_error", "The key may not use this resource")),
        Service::Gemini => Some((403, "API_KEY_SERVICE_BLOCKED", "Requests to this API are blocked")),
        Service::GitHub => Some((403, "", "Resource not accessible by integration")),
        Service::OpenRouter | Service::Ollama => None,
    }
}

/// How a key without means is refused, where it is.
fn spent(service: Service) -> Option<Complaint> {
    match service {
        Service::OpenAi => Some((429, "insufficient_quota", "You exceeded your current quota")),
        Service::Anthropic => Some((400, "invalid_request_error", "Your credit balance is too low")),
        _ => None,
    }
}

/// The answer to a good key, which at OpenRouter also tells what is to be said against it.
fn good(service: Service, manner: &Manner) -> Value {
    match service {
        Service::OpenAi => json!({ "object": "list", "data": [{ "id": "gpt-5", "object": "model" }] }),
        Service::Anthropic => json!({ "data": [{ "type": "model", "id": "claude" }], "has_more": false }),
        Service::OpenRouter => json!({ "data": {
            "label": "sk-or-v1-abc...def", "usage": 2.5, "limit": 10,
            "limit_remaining": if *manner == Manner::Spent { 0.0 } else { 7.5 },
            "is_provisioning_key": *manner == Manner::Restricted } }),
        Service::Gemini => json!({ "models": [{ "name": "models/gemini", "version": "1" }] }),
        Service::GitHub => rates(5000),
        Service::Ollama => json!({ "models": [{ "name": "llama:latest", "model": "llama:latest" }] }),
    }
}

fn rates(limit: u32) -> Value {
    json!({ "resources": { "core": { "limit": limit, "remaining": limit, "used": 0 } } })
}

/// Holds the connection until the other side goes.
fn listen_on(stream: &mut TcpStream) -> bool {
    let _ = stream.read(&mut [0; 1]);
    false
}

fn drip(stream: &mut TcpStream) -> bool {
    let head = b"HTTP/1.1 200 x\r\ncontent-length: 100000\r\n\r\n".as_slice();
    let mut written = stream.write_all(head);
    while written.is_ok() {
        thread::sleep(Duration::from_millis(20));
        written = stream.write_all(b" ");
    }
    false
}
