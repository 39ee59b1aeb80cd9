//! Every URL of the service, with its handler for each method and the privileges that it requires.

use super::message::ErrorResponse;
use super::types::{Document, GetRequest, Read, Write};
use super::{
    account_service, accounts, certificates, chassis, drives, ethernet_interfaces, event_destinations, event_service,
    log_services, managers, memory, network_protocol, power_equipment, power_subsystem, processors, registries,
    resource, roles, schema, sensors, service_root, sessions, simple_storage, status_api, systems, task_service,
    update_service,
};
use crate::http::auth::Privilege;

/// One URL: what it does for each method, and who may.
pub struct Route {
    /// The URL; `{}` stands for one part of any value.
    pub path: &'static str,
    /// The schema of the resource that it shows, or that its action belongs to; `None` for what is no resource.
    pub(super) schema: Option<&'static str>,
    pub(super) get: Option<(Privilege, Read)>,
    pub(super) post: Option<(Privilege, Write)>,
    pub(super) patch: Option<(Privilege, Write)>,
    pub(super) delete: Option<(Privilege, Write)>,
}

/// A URL that shows a resource of this schema to callers that may log in.
const fn shows(path: &'static str, schema: &'static str, read: Read) -> Route {
    Route { path, schema: Some(schema), get: Some((Privilege::Login, read)), post: None, patch: None, delete: None }
}

/// A resource that is made again for each request.
macro_rules! fresh {
    ($read:path) => {
        Read::Any(|seen| $read(seen).map(Document::Resource))
    };
}

/// A URL that only takes an action of this schema.
const fn acts(path: &'static str, schema: &'static str, privilege: Privilege, write: Write) -> Route {
    Route { path, schema: Some(schema), get: None, post: Some((privilege, write)), patch: None, delete: None }
}

/// A document that every client may read, as DSP0266 wants it.
const fn open(
    path: &'static str,
    schema: Option<&'static str>,
    read: fn(&GetRequest<'_>) -> Result<Document, ErrorResponse>,
) -> Route {
    Route { path, schema, get: Some((Privilege::None, Read::Any(read))), post: None, patch: None, delete: None }
}

/// A document beside Redfish.
const fn beside(path: &'static str, read: fn(&GetRequest<'_>) -> Result<Document, ErrorResponse>) -> Route {
    Route { path, schema: None, get: Some((Privilege::Login, Read::Any(read))), post: None, patch: None, delete: None }
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
    pub(super) fn is_of_all(&self) -> bool {
        self.path == resource::STATUS
    }

    /// It is about the one node that its path names.
    pub(super) fn is_of_node(&self) -> bool {
        OF_NODES.iter().any(|path| self.path.starts_with(path))
    }

    /// Every client may read it.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.get, Some((Privilege::None, _)))
    }
}

/// What the URLs begin with that are about one node.
const OF_NODES: [&str; 6] = [
    resource::SYSTEM,
    resource::MANAGER,
    resource::CHASSIS_OF_NODE,
    resource::STATUS_OF_NODE,
    resource::TRACE_OF_NODE,
    resource::TRUST_OF_NODE,
];

/// Every URL of the service.
pub static SITEMAP: &[Route] = &[
    open(resource::VERSIONS, None, service_root::versions),
    open(resource::SERVICE_ROOT, Some(schema::SERVICE_ROOT), |seen| service_root::root(seen).map(Document::Resource)),
    open(resource::ODATA, None, service_root::odata),
    open(resource::METADATA, None, service_root::metadata),
    shows(resource::SYSTEMS, schema::COMPUTER_SYSTEM_COLLECTION, fresh!(systems::collection)),
    shows(resource::SYSTEM, schema::COMPUTER_SYSTEM, Read::Node(systems::system))
        .with_patch(Privilege::ConfigureComponents, systems::patch),
    acts(resource::SYSTEM_RESET, schema::COMPUTER_SYSTEM, Privilege::ConfigureComponents, systems::reset),
    shows(resource::PROCESSORS, schema::PROCESSOR_COLLECTION, Read::Node(processors::collection)),
    shows(resource::PROCESSOR, schema::PROCESSOR, Read::Node(processors::processor)),
    shows(resource::MEMORY, schema::MEMORY_COLLECTION, Read::Node(memory::collection)),
    shows(resource::MEMORY_MODULE, schema::MEMORY, Read::Node(memory::memory)),
    shows(resource::SIMPLE_STORAGES, schema::SIMPLE_STORAGE_COLLECTION, Read::Node(simple_storage::collection)),
    shows(resource::SIMPLE_STORAGE, schema::SIMPLE_STORAGE, Read::Node(simple_storage::storage)),
    shows(
        resource::SYSTEM_INTERFACES,
        schema::ETHERNET_INTERFACE_COLLECTION,
        Read::Node(ethernet_interfaces::collection),
    ),
    shows(resource::SYSTEM_INTERFACE, schema::ETHERNET_INTERFACE, Read::Node(ethernet_interfaces::interface)),
    shows(resource::SYSTEM_LOGS.services, schema::LOG_SERVICE_COLLECTION, fresh!(log_services::collection)),
    shows(resource::SYSTEM_LOGS.service, schema::LOG_SERVICE, fresh!(log_services::service)),
    shows(resource::SYSTEM_LOGS.entries, schema::LOG_ENTRY_COLLECTION, fresh!(log_services::entries)),
    shows(resource::SYSTEM_LOGS.entry, schema::LOG_ENTRY, fresh!(log_services::entry)),
    shows(resource::MANAGERS, schema::MANAGER_COLLECTION, fresh!(managers::collection)),
    shows(resource::MANAGER, schema::MANAGER, fresh!(managers::manager)),
    acts(resource::MANAGER_RESET, schema::MANAGER, Privilege::ConfigureManager, managers::reset),
    shows(resource::NETWORK_PROTOCOL, schema::MANAGER_NETWORK_PROTOCOL, fresh!(network_protocol::network_protocol)),
    shows(
        resource::MANAGER_INTERFACES,
        schema::ETHERNET_INTERFACE_COLLECTION,
        Read::Node(ethernet_interfaces::collection),
    ),
    shows(resource::MANAGER_INTERFACE, schema::ETHERNET_INTERFACE, Read::Node(ethernet_interfaces::interface)),
    shows(resource::MANAGER_LOGS.services, schema::LOG_SERVICE_COLLECTION, fresh!(log_services::collection)),
    shows(resource::MANAGER_LOGS.service, schema::LOG_SERVICE, fresh!(log_services::service)),
    shows(resource::MANAGER_LOGS.entries, schema::LOG_ENTRY_COLLECTION, fresh!(log_services::entries)),
    shows(resource::MANAGER_LOGS.entry, schema::LOG_ENTRY, fresh!(log_services::entry)),
    shows(resource::CHASSIS, schema::CHASSIS_COLLECTION, fresh!(chassis::collection)),
    shows(resource::CHASSIS_OF_NODE, schema::CHASSIS, Read::Node(chassis::chassis)),
    acts(resource::CHASSIS_RESET, schema::CHASSIS, Privilege::ConfigureComponents, systems::reset_chassis),
    shows(resource::DRIVES, schema::DRIVE_COLLECTION, Read::Node(drives::collection)),
    shows(resource::DRIVE, schema::DRIVE, Read::Node(drives::drive)),
    shows(resource::POWER, schema::POWER, Read::Node(chassis::power)),
    shows(resource::ENVIRONMENT_METRICS, schema::ENVIRONMENT_METRICS, Read::Node(chassis::environment_metrics)),
    shows(resource::SENSORS, schema::SENSOR_COLLECTION, Read::Node(sensors::collection)),
    shows(resource::SENSOR, schema::SENSOR, Read::Node(sensors::sensor)),
    shows(resource::POWER_SUBSYSTEM, schema::POWER_SUBSYSTEM, Read::Node(power_subsystem::subsystem)),
    shows(resource::POWER_SUPPLIES, schema::POWER_SUPPLY_COLLECTION, Read::Node(power_subsystem::supplies)),
    shows(resource::POWER_SUPPLY, schema::POWER_SUPPLY, Read::Node(power_subsystem::supply)),
    shows(resource::POWER_SUPPLY_METRICS, schema::POWER_SUPPLY_METRICS, Read::Node(power_subsystem::metrics)),
    shows(resource::POWER_EQUIPMENT, schema::POWER_EQUIPMENT, fresh!(power_equipment::service)),
    shows(resource::PDUS, schema::POWER_DISTRIBUTION_COLLECTION, fresh!(power_equipment::pdus)),
    shows(resource::PDU, schema::POWER_DISTRIBUTION, fresh!(power_equipment::pdu)),
    shows(resource::OUTLETS, schema::OUTLET_COLLECTION, fresh!(power_equipment::outlet_collection)),
    shows(resource::OUTLET, schema::OUTLET, fresh!(power_equipment::outlet)),
    shows(resource::REGISTRIES, schema::MESSAGE_REGISTRY_FILE_COLLECTION, fresh!(registries::collection)),
    shows(resource::REGISTRY_FILE, schema::MESSAGE_REGISTRY_FILE, fresh!(registries::file)),
    shows(resource::REGISTRY, schema::MESSAGE_REGISTRY, Read::Any(registries::registry)),
    shows(resource::SESSION_SERVICE, schema::SESSION_SERVICE, fresh!(sessions::service))
        .with_patch(Privilege::ConfigureManager, sessions::patch),
    shows(resource::SESSIONS, schema::SESSION_COLLECTION, fresh!(sessions::collection))
        .with_post(Privilege::None, sessions::create),
    acts(resource::SESSIONS_MEMBERS, schema::SESSION_COLLECTION, Privilege::None, sessions::create),
    shows(resource::SESSION, schema::SESSION, fresh!(sessions::session))
        .read_with(Privilege::ConfigureSelf)
        .with_delete(Privilege::ConfigureSelf, sessions::delete),
    shows(resource::TASK_SERVICE, schema::TASK_SERVICE, fresh!(task_service::service)),
    shows(resource::TASKS, schema::TASK_COLLECTION, fresh!(task_service::collection)),
    shows(resource::UPDATE_SERVICE, schema::UPDATE_SERVICE, fresh!(update_service::service)),
    shows(resource::FIRMWARE_INVENTORY, schema::SOFTWARE_INVENTORY_COLLECTION, fresh!(update_service::collection)),
    shows(resource::FIRMWARE, schema::SOFTWARE_INVENTORY, fresh!(update_service::firmware)),
    shows(resource::EVENT_SERVICE, schema::EVENT_SERVICE, fresh!(event_service::service))
        .with_patch(Privilege::ConfigureManager, event_service::patch),
    acts(
        resource::SUBMIT_TEST_EVENT,
        schema::EVENT_SERVICE,
        Privilege::ConfigureManager,
        event_service::submit_test_event,
    ),
    shows(resource::EVENT_STREAM, schema::EVENT_SERVICE, Read::Stream(event_service::stream)),
    shows(resource::SUBSCRIPTIONS, schema::EVENT_DESTINATION_COLLECTION, fresh!(event_destinations::collection))
        .with_post(Privilege::ConfigureComponents, event_destinations::create),
    acts(
        resource::SUBSCRIPTIONS_MEMBERS,
        schema::EVENT_DESTINATION_COLLECTION,
        Privilege::ConfigureComponents,
        event_destinations::create,
    ),
    shows(resource::SUBSCRIPTION, schema::EVENT_DESTINATION, fresh!(event_destinations::destination))
        .with_patch(Privilege::ConfigureSelf, event_destinations::patch)
        .with_delete(Privilege::ConfigureSelf, event_destinations::delete),
    acts(
        resource::SUSPEND_SUBSCRIPTION,
        schema::EVENT_DESTINATION,
        Privilege::ConfigureSelf,
        event_destinations::suspend,
    ),
    acts(
        resource::RESUME_SUBSCRIPTION,
        schema::EVENT_DESTINATION,
        Privilege::ConfigureSelf,
        event_destinations::resume,
    ),
    shows(resource::ACCOUNT_SERVICE, schema::ACCOUNT_SERVICE, fresh!(account_service::service))
        .with_patch(Privilege::ConfigureUsers, account_service::patch),
    shows(resource::ACCOUNTS, schema::MANAGER_ACCOUNT_COLLECTION, fresh!(accounts::collection))
        .with_post(Privilege::ConfigureUsers, accounts::create),
    acts(resource::ACCOUNTS_MEMBERS, schema::MANAGER_ACCOUNT_COLLECTION, Privilege::ConfigureUsers, accounts::create),
    shows(resource::ACCOUNT, schema::MANAGER_ACCOUNT, fresh!(accounts::account))
        .read_with(Privilege::ConfigureSelf)
        .with_patch(Privilege::ConfigureSelf, accounts::patch)
        .with_delete(Privilege::ConfigureUsers, accounts::delete),
    shows(resource::CERTIFICATE_SERVICE, schema::CERTIFICATE_SERVICE, fresh!(certificates::service)),
    shows(resource::CERTIFICATE_LOCATIONS, schema::CERTIFICATE_LOCATIONS, fresh!(certificates::locations))
        .read_with(Privilege::ConfigureManager),
    acts(
        resource::REPLACE_CERTIFICATE,
        schema::CERTIFICATE_SERVICE,
        Privilege::ConfigureManager,
        certificates::replace,
    ),
    shows(resource::CERTIFICATES, schema::CERTIFICATE_COLLECTION, fresh!(certificates::collection))
        .read_with(Privilege::ConfigureManager),
    shows(resource::CERTIFICATE, schema::CERTIFICATE, fresh!(certificates::certificate))
        .read_with(Privilege::ConfigureManager),
    shows(resource::ROLES, schema::ROLE_COLLECTION, fresh!(roles::collection)),
    shows(resource::ROLE, schema::ROLE, fresh!(roles::role)),
    beside(resource::STATUS, status_api::all),
    beside(resource::STATUS_OF_NODE, status_api::one),
    beside(resource::TRACE_OF_NODE, status_api::trace).read_with(Privilege::ConfigureManager),
    beside(resource::TRUST_OF_NODE, status_api::trust)
        .read_with(Privilege::ConfigureManager)
        .with_delete(Privilege::ConfigureManager, status_api::forget_trust),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_url_is_listed_once_and_does_something() {
        for (index, route) in SITEMAP.iter().enumerate() {
            assert!(!route.allow().is_empty(), "{}", route.path);
            assert!(SITEMAP[index + 1..].iter().all(|other| other.path != route.path), "{} twice", route.path);
        }
    }
}
