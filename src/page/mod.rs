//! The status page at `/`: three files that a browser loads once, and the one additional document that they need.
//!
//! The page is an ordinary Redfish client: it logs in, switches, and listens for events at the URLs of the service.
//! Only data that Redfish cannot return in one read (curves, ages, the last event of each node) is in `/page/nodes`.
//! This room knows no device, and decides nothing.

mod nodes;
mod words;

use actix_web::dev::HttpServiceFactory;
use actix_web::guard;
use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};

use crate::clock::secret_bytes;
use crate::http::ops::Ops;
use crate::redfish::Service;
use crate::redfish::body_cache::{digest, knows};
use crate::redfish::dispatch::{fault_response, reader};

const HTML: &str = include_str!("assets/page.html");
const STYLE: &str = include_str!("assets/page.css");
const SCRIPT: &str = include_str!("assets/page.js");
const ICON: &str = include_str!("assets/icon.svg");

/// What the page may load and do: nothing from elsewhere, no script or style that is not one of the files, no text that
/// becomes markup, no form that is sent by the browser itself, and no page may show it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// What the HTML says where a login is wanted, and what it says instead where none is.
const LOGIN_WANTED: (&str, &str) = ("data-login=\"wanted\"", "data-login=\"none\"");

/// A file of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    body: Bytes,
    etag: String,
}

impl Asset {
    fn new(path: &'static str, kind: &'static str, text: &str) -> Asset {
        Asset { path, kind, body: Bytes::copy_from_slice(text.as_bytes()), etag: digest(text.as_bytes()) }
    }
}

/// What the page is made of.
pub(crate) struct Page {
    service: Data<Service>,
    ops: Data<Ops>,
    /// Names this process, so that a reader sees that its cursor is of another one.
    run: String,
    assets: Vec<Asset>,
}

impl Page {
    /// The page of a service.
    pub(crate) fn new(service: Data<Service>, ops: Data<Ops>) -> Page {
        let (wanted, none) = LOGIN_WANTED;
        let html = if service.access.wants_login() { HTML.into() } else { HTML.replace(wanted, none) };
        let assets = vec![
            Asset::new("/", "text/html; charset=utf-8", &html),
            Asset::new("/page/page.css", "text/css; charset=utf-8", STYLE),
            Asset::new("/page/page.js", "text/javascript; charset=utf-8", SCRIPT),
            Asset::new("/page/icon.svg", "image/svg+xml", ICON),
            // Some browsers ask for it whatever the page says.
            Asset::new("/favicon.ico", "image/svg+xml", ICON),
        ];
        Page { service, ops, run: hex::encode(secret_bytes::<4>()), assets }
    }
}

/// Registers the routes of the page.
pub(crate) fn mount(config: &mut ServiceConfig, page: &Data<Page>) {
    config.app_data(page.clone());
    for asset in &page.assets {
        config.service(reads(asset.path, web::to(file)));
    }
    config.service(reads("/page/nodes", web::to(document)));
}

/// A URL that is read with GET and HEAD, and answers everything else with 405.
fn reads(path: &str, route: actix_web::Route) -> impl HttpServiceFactory + use<> {
    let refuse = || async { answer(StatusCode::METHOD_NOT_ALLOWED).insert_header((ALLOW, "GET, HEAD")).finish() };
    web::resource(path).route(route.guard(guard::Any(guard::Get()).or(guard::Head()))).default_service(web::to(refuse))
}

/// An answer with the headers that all of them have.
fn answer(status: StatusCode) -> HttpResponseBuilder {
    let mut builder = HttpResponse::build(status);
    builder.insert_header((CONTENT_SECURITY_POLICY, POLICY));
    builder.insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    builder.insert_header((REFERRER_POLICY, "no-referrer"));
    builder
}

async fn file(request: HttpRequest, page: Data<Page>) -> HttpResponse {
    let Some(asset) = page.assets.iter().find(|asset| asset.path == request.path()) else {
        return answer(StatusCode::NOT_FOUND).finish();
    };
    let is_known = knows(request.headers(), asset.etag.as_bytes());
    let mut response = answer(if is_known { StatusCode::NOT_MODIFIED } else { StatusCode::OK });
    // Kept, and asked for again each time: the files of two versions never meet in one browser.
    response.insert_header((CACHE_CONTROL, "no-cache")).insert_header((ETAG, asset.etag.as_str()));
    if is_known {
        return response.finish();
    }
    response.insert_header((CONTENT_TYPE, asset.kind)).body(asset.body.clone())
}

async fn document(request: HttpRequest, page: Data<Page>) -> HttpResponse {
    let caller = match reader(&request, &page.service).await {
        Ok(caller) => caller,
        Err(fault) => return fault_response(&fault),
    };
    let (query, ops) = (request.query_string().to_owned(), page.ops.clone());
    // One document for all readers of this account that ask the same at the same time.
    let name = format!("page {caller:?} {query}");
    let write = move || nodes::document(&page.service, &page.ops.notes(), &page.run, &caller, &query).into();
    let Some(body) = ops.turns.render(&name, write).await else {
        return answer(StatusCode::INTERNAL_SERVER_ERROR).finish();
    };
    let mut head = answer(StatusCode::OK);
    head.insert_header((CACHE_CONTROL, "no-store")).insert_header((CONTENT_TYPE, "application/json"));
    ops.bodies.send(head.finish(), body, request.headers()).await
}
