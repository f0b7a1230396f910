//! Application Auto Scaling: targets and policies are kept and given back; nothing is scaled.

mod service;

pub(crate) use service::AutoScaling;
