//! The types of this room: the input and output of handlers.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::body_cache::CachedBody;
use super::events::Events;
use super::message::ErrorResponse;
use super::resource::Resource;
use crate::clock::Clock;
use crate::http::auth::{Authenticator, Caller, Privilege};
use crate::http::bodies::Bodies;
use crate::http::tls::Certificate;
use crate::http::turns::Turns;
use crate::node::entry::NodeEntry;
use crate::node::fleet::{Fleet, Table};
use crate::node::view::NodeView;
use crate::recorder::FlightRecorder;
use crate::telemetry::Metrics;

/// The state that all handlers share.
pub struct Service {
    pub fleet: Fleet,
    pub access: Arc<Authenticator>,
    pub clock: Clock,
    /// `ServiceRoot.UUID`: the same at every start.
    pub uuid: Uuid,
    pub metrics: Arc<Metrics>,
    /// The TCP port on which it listens; the first one where there are several.
    pub port: u16,
    /// What happens, and who is told.
    pub events: Arc<Events>,
    /// The certificate that is served with; `None` without TLS.
    pub certificate: Option<Arc<Certificate>>,
    /// The large bodies on their way.
    pub bodies: Arc<Bodies>,
    /// Whose turn it is to read what is made of all nodes.
    pub turns: Turns<Result<CachedBody, ErrorResponse>>,
    /// The last exchanges with each device.
    pub recorder: Arc<FlightRecorder>,
}

/// A request as a reader sees it.
pub(crate) struct GetRequest<'a> {
    /// The state that all handlers share.
    pub service: &'a Service,
    /// The path of the request.
    pub path: &'a str,
    /// The parts of the path where the sitemap has `{}`.
    pub ids: Vec<&'a str>,
    pub caller: &'a Caller,
}

impl<'a> GetRequest<'a> {
    /// A part of the path; empty when there is none.
    pub(crate) fn id(&self, index: usize) -> &'a str {
        self.ids.get(index).copied().unwrap_or("")
    }

    /// 404 for this path.
    pub(crate) fn not_found(&self) -> ErrorResponse {
        ErrorResponse::not_found(self.path)
    }

    /// Whether the caller is the account with this name, or has one of these privileges.
    pub(crate) fn is_own_or(&self, account: &str, privileges: &[Privilege]) -> bool {
        self.caller.name.as_ref() == account || privileges.iter().any(|privilege| self.caller.may(*privilege))
    }

    /// The node that the path names. One that the caller does not see is not there for it.
    pub(crate) fn node(&self) -> Result<Arc<NodeEntry>, ErrorResponse> {
        self.find_node(self.id(0)).ok_or_else(|| self.not_found())
    }

    /// The node of this name, if the caller sees it.
    pub(crate) fn find_node(&self, id: &str) -> Option<Arc<NodeEntry>> {
        if self.caller.sees(id) { self.service.fleet.find(id) } else { None }
    }

    /// The nodes of a table that the caller sees, in the order of their names.
    pub(crate) fn visible<'t>(&'t self, table: &'t Table) -> impl Iterator<Item = &'t Arc<NodeEntry>> {
        table.values().filter(|entry| self.caller.sees(entry.id.as_str()))
    }

    /// Why the caller may not have something that is there: 404 for one who sees only some nodes, so that it does not learn
    /// what else there is.
    pub(crate) fn withheld(&self) -> ErrorResponse {
        if self.caller.scope.is_some() { self.not_found() } else { ErrorResponse::forbidden() }
    }

    /// The member of a list of a node that the path names by its index.
    pub(crate) fn indexed<'l, T>(&self, list: &'l [T]) -> Result<(usize, &'l T), ErrorResponse> {
        let id = self.id(1);
        // `007` and `+7` are other URLs than `7`.
        let index = id.parse::<usize>().ok().filter(|index| index.to_string() == id);
        index.and_then(|index| Some((index, list.get(index)?))).ok_or_else(|| self.not_found())
    }
}

/// A request that changes something.
pub(crate) struct WriteRequest<'a> {
    /// The request without its body.
    pub seen: GetRequest<'a>,
    pub body: Payload,
    /// `If-Match`.
    pub if_match: Option<&'a str>,
    /// Where the request comes from.
    pub origin: Option<IpAddr>,
}

/// The body of a request: a JSON object, or nothing at all.
pub(crate) struct Payload(pub(super) Option<Map<String, Value>>);

impl Payload {
    /// The object; an empty body counts as one without properties only where an action takes no parameter it must have.
    pub(crate) fn object(&self) -> Result<&Map<String, Value>, ErrorResponse> {
        self.0.as_ref().ok_or_else(|| ErrorResponse::bad_request("MalformedJSON", &[]))
    }
}

/// What is sent with a 200 or a 201.
pub enum Document {
    Resource(Resource),
    /// JSON that is not a resource.
    Json(Value),
    /// The same as text: of what is large there is no tree in memory.
    Text(Vec<u8>),
    Xml(String),
}

/// What comes of a request that changes something.
pub(crate) enum Reply {
    /// 204.
    NoContent,
    /// 200 with the resource as it is now.
    Document(Document),
    /// 201.
    Created {
        /// `Location`.
        location: String,
        document: Document,
        /// `X-Auth-Token`.
        token: Option<String>,
    },
}

/// The future of a change.
pub(crate) type Pending<'a> = Pin<Box<dyn Future<Output = Result<Reply, ErrorResponse>> + 'a>>;

/// How a URL is read.
#[derive(Clone, Copy)]
pub(crate) enum Read {
    /// Anything, made again for each request.
    Any(fn(&GetRequest<'_>) -> Result<Document, ErrorResponse>),
    /// A pure function of a node's view (and of the rest of the path): what was made of a view serves until the next one.
    Node(fn(&NodeView, &GetRequest<'_>) -> Result<Resource, ErrorResponse>),
    /// No document: the response is written for as long as the client reads it.
    Stream(fn(&GetRequest<'_>, &HttpRequest) -> Result<HttpResponse, ErrorResponse>),
}

/// How a URL takes a change.
pub(super) type Write = for<'a> fn(WriteRequest<'a>) -> Pending<'a>;
