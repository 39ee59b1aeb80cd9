//! The Redfish service (DSP0266): which URL is answered by what, and how requests become answers.
//!
//! It knows nodes by their views and the words of `node`; it never sees a device. Each DMTF schema has a file of its own
//! with its resources and handlers; [`SITEMAP`] lists every URL. A GET is a pure function of the view.

pub mod account_service;
pub mod accounts;
pub mod body;
pub mod certificates;
pub mod chassis;
pub mod drives;
pub mod ethernet_interfaces;
pub mod event_destinations;
pub mod event_service;
pub mod events;
pub mod exchange;
pub mod json;
pub mod log_services;
pub mod managers;
pub mod memory;
pub mod message;
pub mod network_protocol;
pub mod overview;
pub mod power_equipment;
pub mod power_subsystem;
#[cfg(test)]
mod privileges;
pub mod processors;
pub mod query;
pub mod registries;
pub mod rendered;
pub mod resource;
pub mod roles;
pub mod sensors;
pub mod service_root;
pub mod sessions;
pub mod simple_storage;
pub mod systems;
mod tags;
pub mod task_service;
pub mod update_service;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::clock::Clock;
use crate::http::auth::{Access, Caller, Privilege};
use crate::http::bodies::Bodies;
use crate::http::tls::Certificate;
use crate::http::turns::Turns;
use crate::node::entry::NodeEntry;
use crate::node::fleet::{Fleet, Table};
use crate::node::view::NodeView;
use crate::recorder::FlightRecorder;
use crate::telemetry::Metrics;
use events::Events;
use message::Fault;
use rendered::Rendered;
use resource::Resource;

/// What all handlers need.
pub struct Service {
    /// The nodes.
    pub fleet: Fleet,
    /// Who may come in.
    pub access: Arc<Access>,
    /// Time.
    pub clock: Clock,
    /// `ServiceRoot.UUID`: the same at every start.
    pub uuid: Uuid,
    /// What is counted.
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
    pub turns: Turns<Result<Rendered, Fault>>,
    /// The last exchanges with each device.
    pub recorder: Arc<FlightRecorder>,
}

/// A request as a reader sees it.
pub struct Seen<'a> {
    /// What all handlers need.
    pub service: &'a Service,
    /// The path of the request.
    pub path: &'a str,
    /// The parts of the path where the sitemap has `{}`.
    pub ids: Vec<&'a str>,
    /// Who asks.
    pub caller: &'a Caller,
}

impl<'a> Seen<'a> {
    /// A part of the path; empty when there is none.
    pub fn id(&self, index: usize) -> &'a str {
        self.ids.get(index).copied().unwrap_or("")
    }

    /// 404 for this path.
    pub fn not_found(&self) -> Fault {
        Fault::not_found(self.path)
    }

    /// Whether the caller is the account with this name, or has one of these privileges.
    pub fn is_own_or(&self, account: &str, privileges: &[Privilege]) -> bool {
        self.caller.name.as_ref() == account || privileges.iter().any(|privilege| self.caller.may(*privilege))
    }

    /// The node that the path names. One that the caller does not see is not there for it.
    pub fn node(&self) -> Result<Arc<NodeEntry>, Fault> {
        self.find_node(self.id(0)).ok_or_else(|| self.not_found())
    }

    /// The node of this name, if the caller sees it.
    pub fn find_node(&self, id: &str) -> Option<Arc<NodeEntry>> {
        if self.caller.sees(id) { self.service.fleet.find(id) } else { None }
    }

    /// The nodes of a table that the caller sees, in the order of their names.
    pub fn visible<'t>(&'t self, table: &'t Table) -> impl Iterator<Item = &'t Arc<NodeEntry>> {
        table.values().filter(|entry| self.caller.sees(entry.id.as_str()))
    }

    /// Why the caller may not have something that is there: 404 for one who sees only some nodes, so that it does not learn
    /// what else there is.
    pub fn withheld(&self) -> Fault {
        if self.caller.scope.is_some() { self.not_found() } else { Fault::forbidden() }
    }

    /// The member of a list of a node that the path names by its index.
    pub fn indexed<'l, T>(&self, list: &'l [T]) -> Result<(usize, &'l T), Fault> {
        let id = self.id(1);
        // `007` and `+7` are other URLs than `7`.
        let index = id.parse::<usize>().ok().filter(|index| index.to_string() == id);
        index.and_then(|index| Some((index, list.get(index)?))).ok_or_else(|| self.not_found())
    }
}

/// A request that changes something.
pub struct Asked<'a> {
    /// Who asks for what.
    pub seen: Seen<'a>,
    /// What was sent.
    pub body: Payload,
    /// `If-Match`.
    pub if_match: Option<&'a str>,
    /// Where the request comes from.
    pub origin: Option<IpAddr>,
}

/// The body of a request: a JSON object, or nothing at all.
pub struct Payload(Option<Map<String, Value>>);

impl Payload {
    /// The object; an empty body counts as one without properties only where an action takes no parameter it must have.
    pub fn object(&self) -> Result<&Map<String, Value>, Fault> {
        self.0.as_ref().ok_or_else(|| Fault::bad_request("MalformedJSON", &[]))
    }
}

/// What is sent with a 200 or a 201.
pub enum Document {
    /// A resource.
    Resource(Resource),
    /// JSON that is not a resource.
    Json(Value),
    /// The same as text: of what is large there is no tree in memory.
    Text(Vec<u8>),
    /// XML.
    Xml(String),
}

/// What comes of a request that changes something.
pub enum Reply {
    /// 204.
    NoContent,
    /// 200 with the resource as it is now.
    Document(Document),
    /// 201.
    Created {
        /// `Location`.
        location: String,
        /// The new resource.
        document: Document,
        /// `X-Auth-Token`.
        token: Option<String>,
    },
}

/// A change under way.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<Reply, Fault>> + 'a>>;

/// How a URL is read.
#[derive(Clone, Copy)]
pub enum Read {
    /// Anything, made anew for each request.
    Any(fn(&Seen<'_>) -> Result<Document, Fault>),
    /// A pure function of a node's view (and of the rest of the path): what was made of a view serves until the next one.
    Node(fn(&NodeView, &Seen<'_>) -> Result<Resource, Fault>),
    /// No document: the response is written for as long as the client reads it.
    Stream(fn(&Seen<'_>, &HttpRequest) -> Result<HttpResponse, Fault>),
}

type Write = for<'a> fn(Asked<'a>) -> Pending<'a>;

/// One URL: what it does for each method, and who may.
pub struct Route {
    /// The URL; `{}` stands for one part of any value.
    pub path: &'static str,
    get: Option<(Privilege, Read)>,
    post: Option<(Privilege, Write)>,
    patch: Option<(Privilege, Write)>,
    delete: Option<(Privilege, Write)>,
}

/// A URL that shows something to whoever may log in.
const fn shows(path: &'static str, read: Read) -> Route {
    Route { path, get: Some((Privilege::Login, read)), post: None, patch: None, delete: None }
}

/// A resource that is made anew for each request.
macro_rules! fresh {
    ($read:path) => {
        Read::Any(|seen| $read(seen).map(Document::Resource))
    };
}

/// A URL that only takes an action.
const fn acts(path: &'static str, privilege: Privilege, write: Write) -> Route {
    Route { path, get: None, post: Some((privilege, write)), patch: None, delete: None }
}

/// A document that everybody may read, as DSP0266 wants it.
const fn open(path: &'static str, read: fn(&Seen<'_>) -> Result<Document, Fault>) -> Route {
    Route { path, get: Some((Privilege::None, Read::Any(read))), post: None, patch: None, delete: None }
}

impl Route {
    /// Who may read it, where a login alone is not enough.
    const fn read_with(mut self, privilege: Privilege) -> Route {
        if let Some((_, read)) = self.get {
            self.get = Some((privilege, read));
        }
        self
    }

    const fn with_post(mut self, privilege: Privilege, write: Write) -> Route {
        self.post = Some((privilege, write));
        self
    }

    const fn with_patch(mut self, privilege: Privilege, write: Write) -> Route {
        self.patch = Some((privilege, write));
        self
    }

    const fn with_delete(mut self, privilege: Privilege, write: Write) -> Route {
        self.delete = Some((privilege, write));
        self
    }

    /// The methods that work here, for `Allow`.
    pub fn allow(&self) -> String {
        let methods = [
            ("GET, HEAD", self.get.is_some()),
            ("POST", self.post.is_some()),
            ("PATCH", self.patch.is_some()),
            ("DELETE", self.delete.is_some()),
        ];
        methods.iter().filter(|(_, works)| *works).map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// What a caller needs for a method here; `None` where the method does not work.
    pub fn privilege(&self, method: &str) -> Option<Privilege> {
        let write = |write: &Option<(Privilege, Write)>| write.as_ref().map(|(privilege, _)| *privilege);
        match method {
            "GET" | "HEAD" => self.get.as_ref().map(|(privilege, _)| *privilege),
            "POST" => write(&self.post),
            "PATCH" => write(&self.patch),
            "DELETE" => write(&self.delete),
            _ => None,
        }
    }

    /// What it shows is made of all nodes, and more of them than links.
    fn is_of_all(&self) -> bool {
        self.path == "/status"
    }

    /// It is about the one node that its path names.
    fn is_of_node(&self) -> bool {
        OF_NODES.iter().any(|path| self.path.starts_with(path))
    }

    /// Everybody may read it.
    fn is_open(&self) -> bool {
        matches!(self.get, Some((Privilege::None, _)))
    }
}

/// What the URLs begin with that are about one node.
const OF_NODES: [&str; 6] = [
    "/redfish/v1/Systems/{}",
    "/redfish/v1/Managers/{}",
    "/redfish/v1/Chassis/{}",
    "/status/{}",
    "/trace/{}",
    "/trust/{}",
];

/// Every URL of the service.
pub static SITEMAP: &[Route] = &[
    open("/redfish", service_root::versions),
    open("/redfish/v1", |seen| service_root::root(seen).map(Document::Resource)),
    open("/redfish/v1/odata", service_root::odata),
    open("/redfish/v1/$metadata", service_root::metadata),
    shows("/redfish/v1/Systems", fresh!(systems::collection)),
    shows("/redfish/v1/Systems/{}", Read::Node(systems::system))
        .with_patch(Privilege::ConfigureComponents, systems::patch),
    acts("/redfish/v1/Systems/{}/Actions/ComputerSystem.Reset", Privilege::ConfigureComponents, systems::reset),
    shows("/redfish/v1/Systems/{}/Processors", Read::Node(processors::collection)),
    shows("/redfish/v1/Systems/{}/Processors/{}", Read::Node(processors::processor)),
    shows("/redfish/v1/Systems/{}/Memory", Read::Node(memory::collection)),
    shows("/redfish/v1/Systems/{}/Memory/{}", Read::Node(memory::memory)),
    shows("/redfish/v1/Systems/{}/SimpleStorage", Read::Node(simple_storage::collection)),
    shows("/redfish/v1/Systems/{}/SimpleStorage/{}", Read::Node(simple_storage::storage)),
    shows("/redfish/v1/Systems/{}/EthernetInterfaces", Read::Node(ethernet_interfaces::collection)),
    shows("/redfish/v1/Systems/{}/EthernetInterfaces/{}", Read::Node(ethernet_interfaces::interface)),
    shows("/redfish/v1/Systems/{}/LogServices", fresh!(log_services::collection)),
    shows("/redfish/v1/Systems/{}/LogServices/{}", fresh!(log_services::service)),
    shows("/redfish/v1/Systems/{}/LogServices/{}/Entries", fresh!(log_services::entries)),
    shows("/redfish/v1/Systems/{}/LogServices/{}/Entries/{}", fresh!(log_services::entry)),
    shows("/redfish/v1/Managers", fresh!(managers::collection)),
    shows("/redfish/v1/Managers/{}", fresh!(managers::manager)),
    acts("/redfish/v1/Managers/{}/Actions/Manager.Reset", Privilege::ConfigureManager, managers::reset),
    shows("/redfish/v1/Managers/{}/NetworkProtocol", fresh!(network_protocol::network_protocol)),
    shows("/redfish/v1/Managers/{}/EthernetInterfaces", Read::Node(ethernet_interfaces::collection)),
    shows("/redfish/v1/Managers/{}/EthernetInterfaces/{}", Read::Node(ethernet_interfaces::interface)),
    shows("/redfish/v1/Managers/{}/LogServices", fresh!(log_services::collection)),
    shows("/redfish/v1/Managers/{}/LogServices/{}", fresh!(log_services::service)),
    shows("/redfish/v1/Managers/{}/LogServices/{}/Entries", fresh!(log_services::entries)),
    shows("/redfish/v1/Managers/{}/LogServices/{}/Entries/{}", fresh!(log_services::entry)),
    shows("/redfish/v1/Chassis", fresh!(chassis::collection)),
    shows("/redfish/v1/Chassis/{}", Read::Node(chassis::chassis)),
    acts("/redfish/v1/Chassis/{}/Actions/Chassis.Reset", Privilege::ConfigureComponents, systems::reset_chassis),
    shows("/redfish/v1/Chassis/{}/Drives", Read::Node(drives::collection)),
    shows("/redfish/v1/Chassis/{}/Drives/{}", Read::Node(drives::drive)),
    shows("/redfish/v1/Chassis/{}/Power", Read::Node(chassis::power)),
    shows("/redfish/v1/Chassis/{}/EnvironmentMetrics", Read::Node(chassis::environment_metrics)),
    shows("/redfish/v1/Chassis/{}/Sensors", Read::Node(sensors::collection)),
    shows("/redfish/v1/Chassis/{}/Sensors/{}", Read::Node(sensors::sensor)),
    shows("/redfish/v1/Chassis/{}/PowerSubsystem", Read::Node(power_subsystem::subsystem)),
    shows("/redfish/v1/Chassis/{}/PowerSubsystem/PowerSupplies", Read::Node(power_subsystem::supplies)),
    shows("/redfish/v1/Chassis/{}/PowerSubsystem/PowerSupplies/{}", Read::Node(power_subsystem::supply)),
    shows("/redfish/v1/Chassis/{}/PowerSubsystem/PowerSupplies/{}/Metrics", Read::Node(power_subsystem::metrics)),
    shows("/redfish/v1/PowerEquipment", fresh!(power_equipment::service)),
    shows("/redfish/v1/PowerEquipment/RackPDUs", fresh!(power_equipment::pdus)),
    shows("/redfish/v1/PowerEquipment/RackPDUs/{}", fresh!(power_equipment::pdu)),
    shows("/redfish/v1/PowerEquipment/RackPDUs/{}/Outlets", fresh!(power_equipment::outlet_collection)),
    shows("/redfish/v1/PowerEquipment/RackPDUs/{}/Outlets/{}", fresh!(power_equipment::outlet)),
    shows("/redfish/v1/Registries", fresh!(registries::collection)),
    shows("/redfish/v1/Registries/{}", fresh!(registries::file)),
    shows("/redfish/v1/Registries/{}/{}", Read::Any(registries::registry)),
    shows("/redfish/v1/SessionService", fresh!(sessions::service))
        .with_patch(Privilege::ConfigureManager, sessions::patch),
    shows("/redfish/v1/SessionService/Sessions", fresh!(sessions::collection))
        .with_post(Privilege::None, sessions::create),
    acts("/redfish/v1/SessionService/Sessions/Members", Privilege::None, sessions::create),
    shows("/redfish/v1/SessionService/Sessions/{}", fresh!(sessions::session))
        .read_with(Privilege::ConfigureSelf)
        .with_delete(Privilege::ConfigureSelf, sessions::delete),
    shows("/redfish/v1/TaskService", fresh!(task_service::service)),
    shows("/redfish/v1/TaskService/Tasks", fresh!(task_service::collection)),
    shows("/redfish/v1/UpdateService", fresh!(update_service::service)),
    shows("/redfish/v1/UpdateService/FirmwareInventory", fresh!(update_service::collection)),
    shows("/redfish/v1/UpdateService/FirmwareInventory/{}", fresh!(update_service::firmware)),
    shows("/redfish/v1/EventService", fresh!(event_service::service))
        .with_patch(Privilege::ConfigureManager, event_service::patch),
    acts(
        "/redfish/v1/EventService/Actions/EventService.SubmitTestEvent",
        Privilege::ConfigureManager,
        event_service::submit_test_event,
    ),
    shows("/redfish/v1/EventService/SSE", Read::Stream(event_service::stream)),
    shows("/redfish/v1/EventService/Subscriptions", fresh!(event_destinations::collection))
        .with_post(Privilege::ConfigureComponents, event_destinations::create),
    acts("/redfish/v1/EventService/Subscriptions/Members", Privilege::ConfigureComponents, event_destinations::create),
    shows("/redfish/v1/EventService/Subscriptions/{}", fresh!(event_destinations::destination))
        .with_patch(Privilege::ConfigureSelf, event_destinations::patch)
        .with_delete(Privilege::ConfigureSelf, event_destinations::delete),
    acts(
        "/redfish/v1/EventService/Subscriptions/{}/Actions/EventDestination.SuspendSubscription",
        Privilege::ConfigureSelf,
        event_destinations::suspend,
    ),
    acts(
        "/redfish/v1/EventService/Subscriptions/{}/Actions/EventDestination.ResumeSubscription",
        Privilege::ConfigureSelf,
        event_destinations::resume,
    ),
    shows("/redfish/v1/AccountService", fresh!(account_service::service))
        .with_patch(Privilege::ConfigureUsers, account_service::patch),
    shows("/redfish/v1/AccountService/Accounts", fresh!(accounts::collection))
        .with_post(Privilege::ConfigureUsers, accounts::create),
    acts("/redfish/v1/AccountService/Accounts/Members", Privilege::ConfigureUsers, accounts::create),
    shows("/redfish/v1/AccountService/Accounts/{}", fresh!(accounts::account))
        .read_with(Privilege::ConfigureSelf)
        .with_patch(Privilege::ConfigureSelf, accounts::patch)
        .with_delete(Privilege::ConfigureUsers, accounts::delete),
    shows("/redfish/v1/CertificateService", fresh!(certificates::service)),
    shows("/redfish/v1/CertificateService/CertificateLocations", fresh!(certificates::locations))
        .read_with(Privilege::ConfigureManager),
    acts(
        "/redfish/v1/CertificateService/Actions/CertificateService.ReplaceCertificate",
        Privilege::ConfigureManager,
        certificates::replace,
    ),
    shows("/redfish/v1/Managers/{}/NetworkProtocol/HTTPS/Certificates", fresh!(certificates::collection))
        .read_with(Privilege::ConfigureManager),
    shows("/redfish/v1/Managers/{}/NetworkProtocol/HTTPS/Certificates/{}", fresh!(certificates::certificate))
        .read_with(Privilege::ConfigureManager),
    shows("/redfish/v1/AccountService/Roles", fresh!(roles::collection)),
    shows("/redfish/v1/AccountService/Roles/{}", fresh!(roles::role)),
    shows("/status", Read::Any(overview::all)),
    shows("/status/{}", Read::Any(overview::one)),
    shows("/trace/{}", Read::Any(overview::trace)).read_with(Privilege::ConfigureManager),
    shows("/trust/{}", Read::Any(overview::trust))
        .read_with(Privilege::ConfigureManager)
        .with_delete(Privilege::ConfigureManager, overview::forget_trust),
];

/// The sitemap taken apart, once: finding the route is a good part of the cost of a read.
static PARTS: LazyLock<Vec<(Vec<&str>, &Route)>> =
    LazyLock::new(|| SITEMAP.iter().map(|route| (route.path.split('/').collect(), route)).collect());

/// The route of a path, with a trailing slash or without, and the parts of the path where the sitemap has `{}`.
pub fn route(path: &str) -> Option<(&'static Route, Vec<&str>)> {
    let given: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    let fits = |(part, given): (&&str, &&str)| if *part == "{}" { !given.is_empty() } else { part == given };
    let is_it = |parts: &[&str]| parts.len() == given.len() && parts.iter().zip(&given).all(fits);
    let (parts, route) = PARTS.iter().find(|(parts, _)| is_it(parts))?;
    let ids = parts.iter().zip(&given).filter(|(part, _)| **part == "{}").map(|(_, given)| *given);
    Some((*route, ids.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_find_their_routes() {
        let find = |path| route(path).map(|(route, ids)| (route.path, ids));
        assert_eq!(find("/redfish/v1/"), Some(("/redfish/v1", vec![])));
        assert_eq!(find("/redfish/v1"), Some(("/redfish/v1", vec![])));
        assert_eq!(find("/redfish/v1/Systems/n-1"), Some(("/redfish/v1/Systems/{}", vec!["n-1"])));
        assert_eq!(
            find("/redfish/v1/Systems/n-1/Processors/0/"),
            Some(("/redfish/v1/Systems/{}/Processors/{}", vec!["n-1", "0"]))
        );
        for unknown in ["/", "/redfish/v2", "/redfish/v1/Systems//", "/redfish/v1/systems", "/redfish/v1/Systems/a/b"] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn every_url_is_listed_once_and_does_something() {
        for (index, route) in SITEMAP.iter().enumerate() {
            assert!(!route.allow().is_empty(), "{}", route.path);
            assert!(SITEMAP[index + 1..].iter().all(|other| other.path != route.path), "{} twice", route.path);
        }
    }
}
