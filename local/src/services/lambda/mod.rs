//! AWS Lambda: the `streamkit-lambda` engine, and the ports through which it reaches the other services.

mod ports;
mod service;

pub(crate) use ports::ports;
pub(crate) use service::Lambda;
