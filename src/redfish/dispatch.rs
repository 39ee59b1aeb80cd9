//! From an HTTP request to an HTTP response: size, authentication, the route, the body, the headers that every answer
//! has.

use std::time::Duration;

use actix_web::http::header::{
    ACCEPT, ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    IF_MATCH, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, BytesMut, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt;
use serde_json::{Map, Value};

use super::body::clip;
use super::body_cache::{self, CachedBody, JSON, ODATA_VERSION, head, to_bytes};
use super::message::{ErrorResponse, Message};
use super::query::{self, Query};
use super::resource;
use super::tags;
use super::types::Write;
use super::{Document, GetRequest, Payload, Read, Reply, Route, Service, WriteRequest, json, route};
use crate::http::auth::{AuthError, CHALLENGE, Caller, Privilege};
use crate::http::browser::{Foreign, is_browser};

/// Longest body that is read. The largest request that makes sense here has a few hundred bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long a client may take to send a body.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Largest head of a request, path and headers together.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long a read that is made of many resources may take, with those before it.
const QUERY_DEADLINE: Duration = Duration::from_secs(10);

const X_AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// Answers every request without a route of its own.
pub fn mount(config: &mut ServiceConfig, service: &Data<Service>) {
    config.app_data(service.clone());
    config.default_service(web::to(answer));
}

async fn answer(request: HttpRequest, payload: web::Payload, service: Data<Service>) -> HttpResponse {
    let start = service.clock.now().mono;
    let found = route(request.path());
    let label = found.as_ref().map_or("other", |(route, _)| route.path);
    let response = match dispatch(&request, payload, &service, found).await {
        Ok(response) => response,
        Err(fault) => fault_response(&fault),
    };
    let took = service.clock.now().mono.since(start);
    service.metrics.redfish_request(label, method_label(request.method()), response.status().as_u16(), took);
    response
}

fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

async fn dispatch(
    request: &HttpRequest,
    payload: web::Payload,
    service: &Data<Service>,
    found: Option<(&'static Route, Vec<&str>)>,
) -> Result<HttpResponse, ErrorResponse> {
    check_size(request)?;
    let method = request.method();
    let read = matches!(*method, Method::GET | Method::HEAD);
    // Who asks is judged before anything else is said, also about what is not there.
    let needs_nobody = found.as_ref().is_some_and(|(route, _)| {
        if read { route.is_open() } else { *method == Method::POST && matches!(route.post, Some((Privilege::None, _))) }
    });
    let caller = if needs_nobody { Caller::anyone() } else { who(request, service).await? };
    check_version(request.headers())?;
    let Some((route, ids)) = found else { return Err(ErrorResponse::not_found(request.path())) };
    let seen = GetRequest { service, path: request.path(), ids, caller: &caller };
    if read {
        if let Some((privilege, Read::Stream(open))) = route.get {
            allowed(&seen, route, method, privilege)?;
            return open(&seen, request);
        }
        let answer = match Query::parse(request.query_string())? {
            None if !route.is_of_all() => plain(&seen, route)?,
            Some(query) if !query.reads_members() => queried(&query, &seen, route, Some(&caller))?,
            query => beside(query, &seen, route, request, service).await?,
        };
        check_accept(request.headers(), answer.content_type())?;
        return Ok(answer.read(request.headers(), &service.bodies).await);
    }
    let write = match *method {
        Method::POST => route.post,
        Method::PATCH => route.patch,
        Method::DELETE => route.delete,
        Method::PUT | Method::OPTIONS | Method::TRACE | Method::CONNECT => None,
        _ => return Err(ErrorResponse { status: 501, ..ErrorResponse::not_allowed(route.allow()) }),
    };
    let Some((privilege, write)) = write else { return Err(ErrorResponse::not_allowed(route.allow())) };
    let answer = change(request, payload, seen, route, (privilege, write)).await;
    if !needs_nobody {
        let status = answer.as_ref().map_or_else(|fault| fault.status, |answer| answer.status().as_u16());
        service.access.note_write(&caller, origin(request), method.as_str(), request.path(), status);
    }
    answer
}

/// Does what a request wants to be changed.
async fn change(
    request: &HttpRequest,
    payload: web::Payload,
    seen: GetRequest<'_>,
    route: &'static Route,
    (privilege, write): (Privilege, Write),
) -> Result<HttpResponse, ErrorResponse> {
    let (method, service) = (request.method(), seen.service);
    allowed(&seen, route, method, privilege)?;
    check_accept(request.headers(), &JSON)?;
    if Query::parse(request.query_string())?.is_some() {
        return Err(ErrorResponse::bad_request("QueryNotSupportedOnOperation", &[]));
    }
    let body = if *method == Method::DELETE { Payload(None) } else { body(request, payload, service).await? };
    let if_match = tags::sent(request.headers(), &IF_MATCH);
    let reply = write(WriteRequest { seen, body, if_match: if_match.as_deref(), origin: origin(request) }).await?;
    Ok(match reply {
        Reply::NoContent => head(StatusCode::NO_CONTENT).finish(),
        Reply::Document(document) => CachedBody::of(document, route).response(StatusCode::OK),
        Reply::Created { location, document, token } => {
            let mut response = CachedBody::of(document, route).response(StatusCode::CREATED);
            // Our own URIs and hex digits: always fit for a header.
            if let Ok(location) = HeaderValue::from_str(&location) {
                response.headers_mut().insert(LOCATION, location);
            }
            if let Some(token) = token.and_then(|token| HeaderValue::from_str(&token).ok()) {
                response.headers_mut().insert(X_AUTH_TOKEN, token);
            }
            response
        }
    })
}

/// Whether the caller may do this here. An account that has to change its password may do that, and log out, and nothing else.
fn allowed(seen: &GetRequest<'_>, route: &Route, method: &Method, privilege: Privilege) -> Result<(), ErrorResponse> {
    let caller = seen.caller;
    if caller.must_change_password {
        let path = seen.path.trim_end_matches('/');
        let account = resource::account(&caller.name);
        let own_session = caller.session.as_ref().is_some_and(|id| path == resource::session(id));
        if !(path == account && *method != Method::DELETE || own_session) {
            return Err(ErrorResponse::password_change_required(&account));
        }
    }
    let may = caller.may(privilege) || caller.may_on_node(privilege) && route.is_of_node();
    if may { Ok(()) } else { Err(ErrorResponse::forbidden()) }
}

/// What a route shows to the caller, whole: the one way to a resource, for what was asked for and for what a query looks up.
fn whole(seen: &GetRequest<'_>, route: &Route) -> Result<Document, ErrorResponse> {
    let Some((privilege, read)) = route.get else { return Err(ErrorResponse::not_allowed(route.allow())) };
    allowed(seen, route, &Method::GET, privilege)?;
    match read {
        Read::Any(read) => read(seen),
        Read::Stream(_) => Err(ErrorResponse::bad_request("QueryNotSupportedOnResource", &[])),
        Read::Node(read) => Ok(Document::Resource(read(&seen.node()?.view(), seen)?)),
    }
}

/// The same, as much of it as one answer holds.
fn show(seen: &GetRequest<'_>, route: &Route) -> Result<Document, ErrorResponse> {
    Ok(match whole(seen, route)? {
        Document::Resource(resource) => Document::Resource(query::first_page(resource)),
        other => other,
    })
}

/// Most reads have no query, and are answered with what was kept of the last one.
fn plain(seen: &GetRequest<'_>, route: &'static Route) -> Result<CachedBody, ErrorResponse> {
    let make = || Ok(CachedBody::of(show(seen, route)?, route));
    match route.get {
        Some((privilege, Read::Node(_))) => {
            allowed(seen, route, &Method::GET, privilege)?;
            body_cache::serve(seen.path, &seen.node()?.view(), make)
        }
        _ => make(),
    }
}

/// A read of what is made of many resources: beside the HTTP workers, and once for all that wait for it. A caller that reads an
/// open document without a login is shown nothing that needs one.
async fn beside(
    query: Option<Query>,
    seen: &GetRequest<'_>,
    route: &'static Route,
    request: &HttpRequest,
    service: &Data<Service>,
) -> Result<CachedBody, ErrorResponse> {
    let caller = if route.is_open() { who(request, service).await.ok() } else { Some(seen.caller.clone()) };
    let (path, own, service) = (seen.path.to_owned(), seen.caller.clone(), service.clone());
    let document = format!("{caller:?} {path}?{}", request.query_string());
    let make = {
        let service = service.clone();
        move || {
            let (_, ids) = super::route(&path).ok_or_else(|| ErrorResponse::not_found(&path))?;
            let seen = GetRequest { service: &service, path: &path, ids, caller: &own };
            match query {
                Some(query) => queried(&query, &seen, route, caller.as_ref()),
                None => Ok(CachedBody::of(show(&seen, route)?, route)),
            }
        }
    };
    let made = service.clock.limit(QUERY_DEADLINE, service.turns.render(&document, make)).await;
    made.flatten().unwrap_or_else(|| Err(ErrorResponse::later(None, QUERY_DEADLINE)))
}

/// A read with a query, of what `caller` may see.
fn queried(
    query: &Query,
    seen: &GetRequest<'_>,
    route: &Route,
    caller: Option<&Caller>,
) -> Result<CachedBody, ErrorResponse> {
    let look_up = |uri: &str| {
        let path = uri.split('?').next().unwrap_or(uri);
        let (route, ids) = super::route(path)?;
        match show(&GetRequest { service: seen.service, path, ids, caller: caller? }, route) {
            Ok(Document::Resource(resource)) => Some(resource),
            _ => None,
        }
    };
    let Document::Resource(resource) = whole(seen, route)? else {
        return Err(ErrorResponse::bad_request("QueryNotSupportedOnResource", &[]));
    };
    Ok(CachedBody::of(Document::Resource(query.apply(resource, &look_up)?), route))
}

/// A request is neither read nor kept beyond this size.
fn check_size(request: &HttpRequest) -> Result<(), ErrorResponse> {
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers + request.uri().path_and_query().map_or(0, |path| path.as_str().len()) <= HEAD_BYTES_MAX {
        return Ok(());
    }
    Err(bad_header(431, "(all)", "Send less than 16 KiB of path and headers."))
}

fn bad_header(status: u16, name: &str, advice: &str) -> ErrorResponse {
    let mut message = Message::base("HeaderInvalid", &[name]);
    message.advise(advice);
    ErrorResponse::new(status, message)
}

/// DSP0266, "Request headers": another version of OData is not spoken here.
fn check_version(headers: &HeaderMap) -> Result<(), ErrorResponse> {
    match headers.get(&ODATA_VERSION) {
        Some(version) if version != "4.0" => Err(bad_header(412, "OData-Version", "Send 4.0, or leave it out.")),
        _ => Ok(()),
    }
}

/// Whether the client takes what would be sent to it.
fn check_accept(headers: &HeaderMap, kind: &HeaderValue) -> Result<(), ErrorResponse> {
    let kind = kind.to_str().unwrap_or("").split(';').next().unwrap_or("");
    let (group, _) = kind.split_once('/').unwrap_or((kind, ""));
    let fits = |range: &str| {
        let mut parts = range.split(';').map(str::trim);
        let range = parts.next().unwrap_or("").to_ascii_lowercase();
        let is_refused = parts.any(|part| part.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)));
        !is_refused && (range == "*/*" || range == kind || range.strip_suffix("/*") == Some(group))
    };
    let mut given = headers.get_all(ACCEPT).peekable();
    let takes_anything = given.peek().is_none();
    if takes_anything || given.any(|accept| accept.to_str().is_ok_and(|accept| accept.split(',').any(fits))) {
        return Ok(());
    }
    Err(bad_header(406, "Accept", &format!("This is sent as {kind} and in no other way.")))
}

/// Where a request comes from.
fn origin(request: &HttpRequest) -> Option<std::net::IpAddr> {
    request.peer_addr().map(|address| address.ip())
}

async fn who(request: &HttpRequest, service: &Service) -> Result<Caller, ErrorResponse> {
    let header = |name: &HeaderName| request.headers().get(name).map(HeaderValue::as_bytes);
    service.access.check(header(&X_AUTH_TOKEN), header(&AUTHORIZATION), origin(request)).await.map_err(not_let_in)
}

/// Who reads what is served beside Redfish: accounts that may read resources.
pub async fn reader(request: &HttpRequest, service: &Service) -> Result<Caller, ErrorResponse> {
    check_size(request)?;
    let caller = who(request, service).await?;
    if caller.must_change_password {
        return Err(ErrorResponse::password_change_required(&resource::account(&caller.name)));
    }
    if caller.may(Privilege::Login) { Ok(caller) } else { Err(ErrorResponse::forbidden()) }
}

/// The error for a failed authentication.
pub fn not_let_in(error: AuthError) -> ErrorResponse {
    match error {
        AuthError::Missing | AuthError::Wrong => ErrorResponse::unauthorized(),
        AuthError::Busy => ErrorResponse::later(None, Duration::from_secs(5)),
        AuthError::Slowed(after) => ErrorResponse::later(None, after),
    }
}

/// Reads the body: JSON, an object, not too large, not too slow.
async fn body(request: &HttpRequest, mut payload: web::Payload, service: &Service) -> Result<Payload, ErrorResponse> {
    let too_large = || ErrorResponse::new(413, Message::base("PayloadTooLarge", &[]));
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    let collect = async {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| ErrorResponse::bad_request("MalformedJSON", &[]))?;
            if bytes.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    let bytes = match service.clock.limit(BODY_DEADLINE, collect).await {
        Some(bytes) => bytes?,
        None => return Err(ErrorResponse::new(408, Message::base("OperationTimeout", &[]))),
    };
    check_content_type(request.headers(), bytes.is_empty())?;
    if bytes.is_empty() {
        return Ok(Payload(Some(Map::new())));
    }
    // Windows tools put a mark before UTF-8 (RFC 8259 lets it be ignored).
    match json::read(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes))? {
        Value::Object(object) => Ok(Payload(Some(object))),
        _ => Err(ErrorResponse::bad_request("UnrecognizedRequestBody", &[])),
    }
}

/// Programs may leave the type out, and some send one with no body (curl has `-d ''` for it). A browser sends any of the
/// types that a form can have without asking first, so that there only JSON is taken, with a body or without.
fn check_content_type(headers: &HeaderMap, is_empty: bool) -> Result<(), ErrorResponse> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?").to_ascii_lowercase());
    if !is_empty && text(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(bad_header(415, "Content-Encoding", "Send the body as it is, without Content-Encoding."));
    }
    let kind = text(CONTENT_TYPE).map(|given| given.split(';').next().unwrap_or("").trim().to_owned());
    let fits = match kind.as_deref() {
        Some("application/json") => true,
        None => !is_browser(headers),
        Some("text/plain" | "multipart/form-data") => false,
        Some(_) => is_empty && !is_browser(headers),
    };
    if fits { Ok(()) } else { Err(bad_header(415, "Content-Type", "Send the body as application/json.")) }
}

/// The answer to a request that a browser sent for a page that is not ours, or to a name that is not ours.
pub fn refuse_foreign(path: &str, foreign: Foreign) -> HttpResponse {
    let mut message = Message::base("AccessDenied", &[&clip(path)]);
    message.advise(&format!("{}.", foreign.words()));
    fault_response(&ErrorResponse::new(403, message))
}

/// An error response.
pub fn fault_response(fault: &ErrorResponse) -> HttpResponse {
    let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = head(status);
    builder.insert_header((CONTENT_TYPE, JSON));
    if let Some(allow) = &fault.allow {
        builder.insert_header((ALLOW, allow.as_str()));
    }
    if let Some(after) = fault.retry_after {
        builder.insert_header((RETRY_AFTER, format!("{:.0}", after.as_secs_f64().ceil().max(1.0))));
    }
    if status == StatusCode::UNAUTHORIZED {
        builder.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE)));
    }
    builder.body(to_bytes(&fault.body()))
}
