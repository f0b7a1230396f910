//! AWS IAM: roles are ours, because the embeddable engine gives them back without description, tags and boundary; users and
//! managed policies are answered by `winterbaume-iam`. Who calls and what policies let that caller do is judged here, too.

mod access;
mod caller;
mod condition;
mod directory;
mod managed;
mod pattern;
mod policy;
mod principal;
mod roles;
mod service;
mod simulate;

pub(crate) use access::{Access, Credentials};
pub(crate) use caller::{Caller, Denial, Identity};
pub(crate) use directory::{Policies, parsed_document};
pub(crate) use policy::{Context, Question};
pub(crate) use principal::Deliverer;
pub(crate) use roles::Roles;
pub(crate) use service::Iam;
