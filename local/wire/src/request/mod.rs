//! What a request is: service, operation and protocol, and the name of the resource that it is about.

mod call;
mod lambda;
mod resource;
mod s3;

pub use call::{Call, Protocol, access_key, session_token, signed_region};
pub use lambda::operation_name as lambda_operation;
pub use resource::resource_name;
