//! AWS IAM: roles are ours, because the embeddable engine gives them back without description, tags and boundary; users and
//! managed policies are answered by `winterbaume-iam`.

mod condition;
mod pattern;
mod policy;
mod roles;
mod service;
mod simulate;

pub(crate) use roles::Roles;
pub(crate) use service::Iam;
