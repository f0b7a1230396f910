//! AWS IAM: roles, users, groups, policies and keys. Who calls and what policies let that caller do is judged here, too.

mod access;
mod caller;
mod condition;
mod directory;
mod entity;
mod grants;
mod groups;
mod managed;
mod managed_policies;
mod pattern;
mod policy;
mod principal;
mod roles;
mod service;
mod simulate;
mod users;

pub(crate) use access::{Access, Credentials};
pub(crate) use caller::{Caller, Denial, Identity};
pub(crate) use directory::{Policies, parsed_document};
pub(crate) use policy::{Context, Question};
pub(crate) use principal::Deliverer;
pub(crate) use roles::Roles;
pub(crate) use service::Iam;
