//! The Resource Groups Tagging API: the tags of all services of a region in one place. Ours, because it has none of its own to keep:
//! it asks the services, as their clients do.

mod json_services;
mod resource;
mod rest_services;
mod service;

pub(crate) use service::Tagging;
