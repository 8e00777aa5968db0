//! What a service tells of its tokens, as routes for axum.

use std::future::ready;
use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::prometheus::{self, Sample};
use crate::signing::Verifier;
use crate::token_manager::TokenManager;
use crate::token_refresh::TokenRefresh;

/// What a service has that keeps or uses tokens: any of the three.
///
/// They are asked at each request, for what they know already: no answer waits for a server.
#[derive(Clone, Default)]
pub struct Vitals {
    manager: Option<Shared<TokenManager>>,
    refresh: Option<Shared<TokenRefresh>>,
    verifier: Option<Shared<Verifier>>,
    is_without_metrics: bool,
}

/// Something that a service has, and that it goes on to use: in an `Arc`, or of the whole process.
type Shared<T> = Arc<dyn Deref<Target = T> + Send + Sync>;

impl Vitals {
    /// It keeps the token that the service has at the server.
    #[must_use]
    pub fn manager(self, manager: impl Deref<Target = TokenManager> + Send + Sync + 'static) -> Self {
        Self { manager: Some(Arc::new(manager)), ..self }
    }

    /// It keeps the token that the service has with its peers.
    #[must_use]
    pub fn refresh(self, refresh: impl Deref<Target = TokenRefresh> + Send + Sync + 'static) -> Self {
        Self { refresh: Some(Arc::new(refresh)), ..self }
    }

    /// It judges the requests of its peers.
    #[must_use]
    pub fn verifier(self, verifier: impl Deref<Target = Verifier> + Send + Sync + 'static) -> Self {
        Self { verifier: Some(Arc::new(verifier)), ..self }
    }

    /// Leaves `/metrics` to the service, which has one already and puts [these](Self::prometheus) in: keep a clone for
    /// it.
    #[must_use]
    pub fn without_metrics(self) -> Self {
        Self { is_without_metrics: true, ..self }
    }

    /// All metrics in Prometheus' text format.
    pub fn prometheus(&self) -> String {
        let of_manager = self.manager.iter().flat_map(|manager| manager.status().metrics().samples());
        let of_refresh = self.refresh.iter().flat_map(|refresh| refresh.metrics().samples());
        let of_verifier = self.verifier.iter().map(|verifier| Sample::refusals(verifier.failures()));
        prometheus::text(of_manager.chain(of_refresh).chain(of_verifier))
    }
}

/// The routes for what the service has, to be merged into its own.
///
/// | path | with | answer |
/// |---|---|---|
/// | `/health` | a refresh | [`AgentHealth`](crate::token_refresh::AgentHealth); 200 or 503 |
/// | `/health/vault` | a manager | [`Health`](crate::token_manager::Health); 200 or 503 |
/// | `/metrics/vault` | a manager | [`Metrics`](crate::token_manager::Metrics) |
/// | `/metrics` | anything, but not [`without_metrics`](Vitals::without_metrics) | all of them in Prometheus' text format |
///
/// They answer GET and HEAD, to anybody, and hold no secret; nothing may keep their answers. A service with a route of
/// the same name nests them elsewhere.
///
/// ```
/// use axum::Router;
/// use axum::routing::get;
/// use leasehold::health::{self, Vitals};
/// use leasehold::signing::Verifier;
/// use leasehold::token_manager::TokenManager;
/// use std::sync::Arc;
///
/// fn service(manager: &Arc<TokenManager>, verifier: &Arc<Verifier>) -> Router {
///     let vitals = Vitals::default().manager(Arc::clone(manager)).verifier(Arc::clone(verifier));
///     Router::new().route("/", get(async || "at your service")).merge(health::router(vitals))
/// }
/// ```
pub fn router<S: Clone + Send + Sync + 'static>(vitals: Vitals) -> Router<S> {
    let mut routes = Router::new();
    if let Some(manager) = vitals.manager.clone() {
        let metrics = manager.clone();
        routes = route(routes, "/health/vault", move || {
            let health = manager.status().health();
            json(health.code(), &health)
        });
        routes = route(routes, "/metrics/vault", move || json(200, &metrics.status().metrics()));
    }
    if let Some(refresh) = vitals.refresh.clone() {
        routes = route(routes, "/health", move || {
            let health = refresh.health();
            json(health.code(), &health)
        });
    }
    if vitals.is_without_metrics {
        return routes;
    }
    route(routes, "/metrics", move || answer(200, prometheus::CONTENT_TYPE, vitals.prometheus()))
}

fn route<S, F>(routes: Router<S>, path: &str, tell: F) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    F: Fn() -> Response<Body> + Clone + Send + Sync + 'static,
{
    routes.route(path, get(move || ready(tell())))
}

fn json(code: u16, body: &impl Serialize) -> Response<Body> {
    // These bodies are numbers, words and dates, which serde_json cannot fail at.
    answer(code, "application/json", serde_json::to_string(body).unwrap_or_default())
}

fn answer(code: u16, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
