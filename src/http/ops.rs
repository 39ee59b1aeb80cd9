//! The pages for operations: `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, VARY, WWW_AUTHENTICATE};
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use arc_swap::ArcSwap;

use super::auth::{Authenticator, CHALLENGE};
use super::bodies::Bodies;
use super::turns::Turns;
use crate::account::{MetricsAccess, NodeScope};
use crate::telemetry::Metrics;

/// Prometheus names it when it wants this format; a client that names none gets the older one.
const OPEN_METRICS: &str = "application/openmetrics-text";

/// The data of the pages.
pub(crate) struct Ops {
    pub metrics: Arc<Metrics>,
    /// The large bodies on their way.
    pub bodies: Arc<Bodies>,
    /// Whose turn it is to have metrics, or the document of the page, written.
    pub turns: Turns<Bytes>,
    pub metrics_access: MetricsAccess,
    pub access: Arc<Authenticator>,
    /// The fleet is up and the listeners are open; false again when the service is about to stop.
    pub ready: AtomicBool,
    /// What is not as the configuration file says, in sentences.
    pub config_notes: ArcSwap<Vec<String>>,
}

/// Said while the state cannot be written.
const NOT_WRITTEN: &str =
    "the state cannot be written, so that commands are refused; the log says why (event=store_failing)";

impl Ops {
    /// What is not as it should be, in sentences.
    pub(crate) fn notes(&self) -> Vec<String> {
        let store = (!self.metrics.store_can_be_written()).then(|| NOT_WRITTEN.to_owned());
        store.into_iter().chain(self.config_notes.load().iter().cloned()).collect()
    }
}

/// Registers the routes of the pages.
pub(crate) fn mount(config: &mut ServiceConfig, ops: &Data<Ops>) {
    config.app_data(ops.clone());
    config.service(web::resource("/healthz").get(healthz));
    config.service(web::resource("/readyz").get(readyz));
    if ops.metrics_access != MetricsAccess::Off {
        config.service(web::resource("/metrics").get(metrics));
    }
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(ops: Data<Ops>) -> HttpResponse {
    if ops.ready.load(Ordering::Relaxed) {
        let notes = ops.notes();
        HttpResponse::Ok().body(
            std::iter::once("ready\n").chain(notes.iter().flat_map(|note| [note.as_str(), "\n"])).collect::<String>(),
        )
    } else {
        HttpResponse::ServiceUnavailable().body("not ready: starting or stopping\n")
    }
}

async fn metrics(request: HttpRequest, ops: Data<Ops>) -> HttpResponse {
    let mut scope = None;
    let wanted = ops.metrics_access == MetricsAccess::Authenticated;
    let header = |name: &str| request.headers().get(name).map(|value| value.as_bytes());
    let (token, authorization) = (header("x-auth-token"), header(AUTHORIZATION.as_str()));
    // On a public page credentials matter only where they may stand for an account that sees some nodes only.
    if wanted || (token.or(authorization).is_some() && ops.access.has_scopes()) {
        let origin = request.peer_addr().map(|address| address.ip());
        match ops.access.check(token, authorization, origin).await {
            Ok(caller) if !wanted || !caller.must_change_password => scope = caller.scope,
            _ if !wanted => {}
            _ => {
                let challenge = (WWW_AUTHENTICATE, CHALLENGE);
                return HttpResponse::Unauthorized().insert_header(challenge).finish();
            }
        }
    }
    let mut accepted = request.headers().get_all(ACCEPT).filter_map(|value| value.to_str().ok());
    let open = accepted.any(|value| value.contains(OPEN_METRICS));
    let format = if open {
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    let metrics = ops.metrics.clone();
    let document = format!("metrics {open} {scope:?}");
    let render = move || {
        let text = if open { metrics.render() } else { metrics.render_plain() };
        scope.map(|scope| only(&scope, &text)).unwrap_or(text).into()
    };
    match ops.turns.render(&document, render).await {
        Some(body) => {
            let head =
                HttpResponse::Ok().insert_header((CONTENT_TYPE, format)).insert_header((VARY, "Accept")).finish();
            ops.bodies.send(head, body, request.headers()).await
        }
        None => HttpResponse::InternalServerError().body("the metrics could not be written: the service is stopping\n"),
    }
}

/// The metrics without the series of other nodes. Ids need no escapes, so that a label ends at the next quote.
fn only(scope: &NodeScope, text: &str) -> String {
    let node = |line: &str| {
        let labels = line.split_once('{')?.1;
        let value = labels.strip_prefix("node=\"").or_else(|| labels.split_once(",node=\"").map(|(_, rest)| rest))?;
        Some(value.split_once('"')?.0.to_owned())
    };
    let is_visible = |line: &&str| line.starts_with('#') || node(line).is_none_or(|node| scope.has(&node));
    text.split_inclusive('\n').filter(is_visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_account_reads_the_series_of_its_nodes_and_those_of_the_service() {
        let text = "# HELP a x{node=\"n-2\"}\na{node=\"n-1\"} 1\na{node=\"n-2\"} 2\na{le=\"1\",node=\"n-1\"} 3\n\
                    a{le=\"1\",node=\"n-12\"} 4\nb 5\nb{op=\"node\"} 6\n# EOF\n";
        let scope = NodeScope::from_iter(["n-1".to_owned()]);
        let expect =
            "# HELP a x{node=\"n-2\"}\na{node=\"n-1\"} 1\na{le=\"1\",node=\"n-1\"} 3\nb 5\nb{op=\"node\"} 6\n# EOF\n";
        assert_eq!(only(&scope, text), expect);
    }
}
