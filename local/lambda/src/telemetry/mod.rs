//! What functions write and what is measured of them, on its way to CloudWatch and CloudWatch Logs.

pub(crate) mod emf;
pub(crate) mod log_writer;
pub(crate) mod metric_writer;
pub(crate) mod output;
