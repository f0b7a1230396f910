//! Which AWS operation a request is: service, operation and protocol, from what its signature, headers, path and form say.

use axum::body::Bytes;
use http::{HeaderMap, Method, Request};

use super::{lambda, s3};

/// The wire protocol of a request, and so of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `X-Amz-Target` and a JSON body.
    Json,
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
    /// Our name of the service: kinesis, dynamodb, dynamodbstreams, sqs, sns, iam, sts, s3, logs, cloudwatch, kms,
    /// application-autoscaling, lambda.
    pub service: String,
    /// AWS's operation name, e.g. `PutRecords`.
    pub operation: String,
    /// How the request is encoded.
    pub protocol: Protocol,
}

impl Call {
    /// Recognises a request; `None` when nothing in it names a service.
    pub fn of(request: &Request<Bytes>) -> Option<Self> {
        let path = request.uri().path();
        if let Some(call) = from_smithy_path(path) {
            return Some(call);
        }
        if let Some(target) = header(request.headers(), "x-amz-target") {
            let (prefix, operation) = target.rsplit_once('.')?;
            let service = service_of_target(prefix).map(str::to_owned).or_else(|| signed_service(request))?;
            return Some(Self { service, operation: operation.to_owned(), protocol: Protocol::Json });
        }
        if lambda::is_path(path) {
            return Some(Self {
                service: "lambda".into(),
                operation: lambda::operation_name(request.method(), path).into(),
                protocol: Protocol::RestJson,
            });
        }
        let signed = signed_service(request);
        if signed.as_deref() != Some("s3")
            && let Some((action, version)) = query_action(request)
        {
            let service = signed.or_else(|| service_of_version(&version).map(str::to_owned))?;
            return Some(Self { service, operation: action, protocol: Protocol::Query });
        }
        match signed.as_deref() {
            // S3 is also what an unsigned path-style request is for: no other service reads paths.
            Some("s3") | None => Some(Self {
                service: "s3".into(),
                operation: s3::operation_name(
                    request.method(),
                    path,
                    request.uri().query().unwrap_or_default(),
                    request.headers(),
                )
                .into(),
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
    Some(Call {
        service: service_of_target(service)?.into(),
        operation: operation.to_owned(),
        protocol: Protocol::Cbor,
    })
}

fn service_of_target(prefix: &str) -> Option<&'static str> {
    Some(match prefix {
        "DynamoDB_20120810" => "dynamodb",
        "DynamoDBStreams_20120810" => "dynamodbstreams",
        "AmazonSQS" => "sqs",
        "TrentService" => "kms",
        "AnyScaleFrontendService" => "application-autoscaling",
        _ if prefix.starts_with("Kinesis_") => "kinesis",
        _ if prefix.starts_with("Logs_") => "logs",
        _ if prefix.starts_with("GraniteServiceVersion") => "cloudwatch",
        _ => return None,
    })
}

fn service_of_version(version: &str) -> Option<&'static str> {
    Some(match version {
        "2012-11-05" => "sqs",
        "2010-03-31" => "sns",
        "2010-05-08" => "iam",
        "2011-06-15" => "sts",
        "2010-08-01" => "cloudwatch",
        _ => return None,
    })
}

/// The service in the `SigV4` credential scope, of the header or of a presigned URL.
fn signed_service(request: &Request<Bytes>) -> Option<String> {
    let scope = credential(request)?;
    let service = scope.rsplit('/').nth(1)?;
    Some(match service {
        "monitoring" => "cloudwatch".into(),
        other => other.to_owned(),
    })
}

/// The access key that the request was signed with.
pub fn access_key(request: &Request<Bytes>) -> Option<String> {
    credential(request)?.split('/').next().map(str::to_owned)
}

/// What `SigV4` says of the signature: access key, day, region, service.
fn credential(request: &Request<Bytes>) -> Option<String> {
    let from_header = header(request.headers(), "authorization")
        .and_then(|value| value.split_once("Credential="))
        .map(|(_, rest)| rest.split([',', ' ']).next().unwrap_or_default().to_owned());
    from_header.or_else(|| {
        form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
            .find(|(name, _)| name == "X-Amz-Credential")
            .map(|(_, value)| value.into_owned())
    })
}

fn query_action(request: &Request<Bytes>) -> Option<(String, String)> {
    let form: &[u8] = if request.method() == Method::POST { request.body() } else { request.uri().query()?.as_bytes() };
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
