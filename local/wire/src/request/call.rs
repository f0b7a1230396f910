//! Which AWS operation a request is: service, operation and protocol, from what its signature, headers, path and form say.

use axum::body::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri};

use super::{lambda, s3};
use crate::service::Service;

/// The wire protocol of a request, and so of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `X-Amz-Target` and a JSON body.
    Json,
    /// `X-Amz-Target` and a body of `application/x-amz-cbor-1.1`: what the Java SDKs send to Kinesis.
    AwsCbor,
    /// Smithy `rpc-v2-cbor`.
    Cbor,
    /// A form in, XML out.
    Query,
    /// Method and path, JSON bodies (Lambda).
    RestJson,
    /// Method and path, XML bodies (S3).
    RestXml,
}

/// One operation of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Whose operation it is.
    pub service: Service,
    /// AWS's operation name, e.g. `PutRecords`.
    pub operation: String,
    /// How the request is encoded.
    pub protocol: Protocol,
}

impl Call {
    /// Recognises a request; `None` when nothing in it names a service.
    pub fn of(request: &Request<Bytes>) -> Option<Self> {
        Self::recognise(request.method(), request.uri(), request.headers(), request.body())
    }

    /// Recognises a request whose body is still to come. Unsigned forms are taken for S3's.
    pub fn of_head(head: &Parts) -> Option<Self> {
        Self::recognise(&head.method, &head.uri, &head.headers, &[])
    }

    fn recognise(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let path = uri.path();
        if let Some(call) = from_smithy_path(path) {
            return Some(call);
        }
        if let Some(target) = header(headers, "x-amz-target") {
            let (prefix, operation) = target.rsplit_once('.')?;
            let service = Service::of_target(prefix).or_else(|| signed_service(uri, headers))?;
            let is_cbor = header(headers, "content-type").is_some_and(|kind| kind.ends_with("cbor-1.1"));
            let protocol = if is_cbor { Protocol::AwsCbor } else { Protocol::Json };
            return Some(Self { service, operation: operation.to_owned(), protocol });
        }
        if lambda::is_path(path) {
            return Some(Self {
                service: Service::Lambda,
                operation: lambda::operation_name(method, path).into(),
                protocol: Protocol::RestJson,
            });
        }
        let signed = signed_service(uri, headers);
        if signed != Some(Service::S3)
            && let Some((action, version)) = query_action(method, uri, body)
        {
            let service = signed.or_else(|| Service::of_query_version(&version))?;
            return Some(Self { service, operation: action, protocol: Protocol::Query });
        }
        match signed {
            // S3 is also what an unsigned path-style request is for: no other service reads paths.
            Some(Service::S3) | None => Some(Self {
                service: Service::S3,
                operation: s3::operation_name(method, path, uri.query().unwrap_or_default(), headers).into(),
                protocol: Protocol::RestXml,
            }),
            Some(_) => None,
        }
    }

    /// Whether the operation changes something, for the call log.
    pub fn mutating(&self) -> bool {
        const READS: [&str; 12] = [
            "Get",
            "List",
            "Describe",
            "Head",
            "BatchGet",
            "Query",
            "Scan",
            "Receive",
            "Filter",
            "TransactGet",
            "Select",
            "SubscribeToShard",
        ];
        !READS.iter().any(|prefix| self.operation.starts_with(prefix))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn from_smithy_path(path: &str) -> Option<Call> {
    let (service, operation) = path.strip_prefix("/service/")?.split_once("/operation/")?;
    Some(Call { service: Service::of_target(service)?, operation: operation.to_owned(), protocol: Protocol::Cbor })
}

/// The service in the `SigV4` credential scope, of the header or of a presigned URL.
fn signed_service(uri: &Uri, headers: &HeaderMap) -> Option<Service> {
    Some(Service::signed(credential(uri, headers)?.rsplit('/').nth(1)?))
}

/// The access key that the request was signed with.
pub fn access_key(request: &Request<Bytes>) -> Option<String> {
    credential(request.uri(), request.headers())?.split('/').next().map(str::to_owned)
}

/// The region that the request was signed for, of the header or of a presigned URL.
pub fn signed_region(request: &Request<Bytes>) -> Option<String> {
    credential(request.uri(), request.headers())?
        .rsplit('/')
        .nth(2)
        .filter(|region| !region.is_empty())
        .map(str::to_owned)
}

/// The session token that goes with a temporary access key.
pub fn session_token(request: &Request<Bytes>) -> Option<String> {
    let from_header = header(request.headers(), "x-amz-security-token").map(str::to_owned);
    from_header.or_else(|| {
        form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
            .find(|(name, _)| name == "X-Amz-Security-Token")
            .map(|(_, value)| value.into_owned())
    })
}

/// What `SigV4` says of the signature: access key, day, region, service.
fn credential(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let from_header = header(headers, "authorization")
        .and_then(|value| value.split_once("Credential="))
        .map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or_default().to_owned());
    from_header.or_else(|| {
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .find(|(name, _)| name == "X-Amz-Credential")
            .map(|(_, value)| value.into_owned())
    })
}

fn query_action(method: &Method, uri: &Uri, body: &[u8]) -> Option<(String, String)> {
    let form = if method == Method::POST { body } else { uri.query()?.as_bytes() };
    if !form.windows(7).any(|part| part == b"Action=") {
        return None;
    }
    let (mut action, mut version) = (None, String::new());
    for (name, value) in form_urlencoded::parse(form) {
        match &*name {
            "Action" => action = Some(value.into_owned()),
            "Version" => version = value.into_owned(),
            _ => {}
        }
    }
    Some((action?, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_is_that_of_the_signature_in_a_header_or_a_presigned_url() {
        let scope = "AKIA/20260101/eu-west-1/sqs/aws4_request";
        let header = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let presigned = format!("/?X-Amz-Credential={}&X-Amz-Signature=0", scope.replace('/', "%2F"));
        let request = |path: &str, authorization: Option<&str>| {
            let request = Request::builder().uri(path);
            let request = match authorization {
                Some(value) => request.header("authorization", value),
                None => request,
            };
            request.body(Bytes::new()).expect("a request")
        };
        for (path, authorization, region) in [
            ("/", Some(&*header), Some("eu-west-1")),
            (&*presigned, None, Some("eu-west-1")),
            ("/", Some("AWS4-HMAC-SHA256 Credential=AKIA"), None),
            ("/", Some("Bearer x"), None),
            ("/?X-Amz-Credential=%2F%2F%2F%2F", None, None),
            ("/", None, None),
        ] {
            assert_eq!(signed_region(&request(path, authorization)).as_deref(), region, "{path} {authorization:?}");
        }
    }
}
