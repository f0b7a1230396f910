//! Application Auto Scaling: `winterbaume-applicationautoscaling`.

mod service;

pub(crate) use service::autoscaling;
