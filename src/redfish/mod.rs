//! The Redfish service (DSP0266): the resource for each URL, and the way from requests to answers.
//!
//! It knows nodes by their views and the types of `node`; it never sees a device. Each DMTF schema has a file of its
//! own with its resources and handlers; [`SITEMAP`] lists every URL, `resource` builds it, and `schema` gives the
//! version of each schema. A GET is a pure function of the view.

pub(crate) mod account_service;
pub(crate) mod accounts;
pub(crate) mod body;
pub(crate) mod body_cache;
pub(crate) mod certificates;
pub(crate) mod chassis;
pub mod dispatch;
pub(crate) mod drives;
pub(crate) mod ethernet_interfaces;
pub(crate) mod event_destinations;
pub(crate) mod event_service;
pub(crate) mod events;
pub(crate) mod json;
pub(crate) mod log_services;
pub(crate) mod managers;
pub(crate) mod memory;
pub(crate) mod message;
pub(crate) mod network_protocol;
pub(crate) mod power_equipment;
pub(crate) mod power_subsystem;
#[cfg(test)]
mod privileges;
pub(crate) mod processors;
pub(crate) mod query;
pub(crate) mod registries;
pub(crate) mod resource;
pub(crate) mod roles;
mod router;
mod schema;
pub(crate) mod sensors;
pub(crate) mod service_root;
pub(crate) mod sessions;
pub(crate) mod simple_storage;
mod sitemap;
pub(crate) mod status_api;
pub(crate) mod systems;
mod tags;
pub(crate) mod task_service;
mod types;
pub(crate) mod update_service;

pub use router::route;
pub(crate) use sitemap::Route;
pub use sitemap::SITEMAP;
pub use types::Service;
pub(crate) use types::{Document, GetRequest, Payload, Pending, Read, Reply, WriteRequest};
