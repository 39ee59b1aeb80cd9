//! The Redfish service (DSP0266): which URL is answered by what, and how requests become answers.
//!
//! It knows nodes by their views and the words of `node`; it never sees a device. Each DMTF schema has a file of its own
//! with its resources and handlers; [`SITEMAP`] lists every URL, `resource` spells it, and `schema` says in which version a
//! schema is used. A GET is a pure function of the view.

pub mod account_service;
pub mod accounts;
pub mod body;
pub mod body_cache;
pub mod certificates;
pub mod chassis;
pub mod dispatch;
pub mod drives;
pub mod ethernet_interfaces;
pub mod event_destinations;
pub mod event_service;
pub mod events;
pub mod json;
pub mod log_services;
pub mod managers;
pub mod memory;
pub mod message;
pub mod network_protocol;
pub mod power_equipment;
pub mod power_subsystem;
#[cfg(test)]
mod privileges;
pub mod processors;
pub mod query;
pub mod registries;
pub mod resource;
pub mod roles;
mod router;
mod schema;
pub mod sensors;
pub mod service_root;
pub mod sessions;
pub mod simple_storage;
mod sitemap;
pub mod status_api;
pub mod systems;
mod tags;
pub mod task_service;
mod types;
pub mod update_service;

pub use router::route;
pub use sitemap::{Route, SITEMAP};
pub use types::{Document, GetRequest, Payload, Pending, Read, Reply, Service, WriteRequest};
