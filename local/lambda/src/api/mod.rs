//! The Lambda API: its paths, the operations on functions, versions and permissions, and its errors.

pub(crate) mod answer;
pub(crate) mod functions;
pub(crate) mod invoke_api;
pub(crate) mod invoke_configs;
pub(crate) mod mappings;
pub(crate) mod page;
pub(crate) mod permissions;
pub(crate) mod routes;
pub(crate) mod versions;
