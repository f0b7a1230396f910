//! Holds callers to their policies: who calls, which actions on which resources the call needs, and what AWS says to a refusal.

use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{HeaderMap, Method, Request, Uri, header};
use serde_json::{Value, json};
use streamkit_wire::protocol::{self, body_of};
use streamkit_wire::{Call, CallError, Protocol, Service, arn};

use super::needed::{Needed, needed};
use super::needed_kms;
use crate::services::Services;
use crate::services::iam::{Caller, Denial, Question};

/// Answers a call, if its caller may make it.
pub(super) async fn answer(services: &Services, call: &Call, request: Request<Bytes>) -> Response {
    let caller = match services.access.caller_of(&request) {
        Ok(caller) => caller,
        Err(error) => return protocol::error_response(call, &in_words_of(&call.service, error)),
    };
    if caller.is_root() {
        return services.answer(call, request).await;
    }
    let all = match call.service {
        Service::Kms => needed_kms::needed(services, call, &request).await,
        _ => needed(services, call, &request),
    };
    for needed in &all {
        if let Err(denial) = check(services, &caller, needed).await {
            return protocol::error_response(call, &refusal(services, call, &caller, needed, denial));
        }
    }
    let answer = services.answer(call, request).await;
    match (&call.service, call.operation.as_str(), all.first()) {
        (Service::Lambda, "GetFunction", Some(function)) if answer.status().is_success() => {
            without_tags(services, &caller, function, answer).await
        }
        _ => answer,
    }
}

async fn check(services: &Services, caller: &Caller, needed: &Needed) -> Result<(), Denial> {
    let mut context = services.access.context(caller, &services.region);
    context.extend(needed.context.clone());
    if let Some(function) = function_of_mapping(services, &needed.resource).await {
        context.insert("lambda:functionarn".to_owned(), vec![function]);
    }
    let question = Question { action: &needed.action, resource: &needed.resource, context: &context };
    let policy = resource_policy(services, &needed.resource).await;
    if let (Some(policy), true) = (&policy, needed.resource.contains(":key/")) {
        return services.access.check_key(caller, &question, policy);
    }
    services.access.check(caller, &question, policy.as_ref())
}

/// The function of a mapping, which says whose the mapping is: its ARN does not.
async fn function_of_mapping(services: &Services, resource: &str) -> Option<String> {
    let (_, uuid) = resource.split_once(":event-source-mapping:")?;
    let path = format!("/2015-03-31/event-source-mappings/{uuid}");
    let found = asked(services, Service::Lambda, "GetEventSourceMapping", &path).await?;
    serde_json::from_slice::<Value>(&found).ok()?["FunctionArn"].as_str().map(str::to_owned)
}

/// The policy of a queue, topic, bucket, function or key.
async fn resource_policy(services: &Services, resource: &str) -> Option<Value> {
    let mut parts = resource.splitn(6, ':').skip(2);
    let (service, name) = (parts.next()?, parts.nth(2)?);
    let text = match service {
        "sqs" => {
            let input = json!({ "QueueUrl": format!("http://sqs/0/{name}"), "AttributeNames": ["Policy"] });
            let found = services.run(Service::Sqs, "GetQueueAttributes", input).await.ok()?;
            found["Attributes"]["Policy"].as_str()?.to_owned()
        }
        "sns" => {
            let topic = resource.splitn(7, ':').take(6).collect::<Vec<_>>().join(":");
            let found = services.run(Service::Sns, "GetTopicAttributes", json!({ "TopicArn": topic })).await.ok()?;
            found["Attributes"]["Policy"].as_str()?.to_owned()
        }
        "s3" => {
            let bucket = name.split('/').next().unwrap_or(name);
            let found = asked(services, Service::S3, "GetBucketPolicy", &format!("/{bucket}?policy")).await?;
            String::from_utf8_lossy(&found).into_owned()
        }
        "kms" => {
            let input = json!({ "KeyId": resource, "PolicyName": "default" });
            let found = services.run(Service::Kms, "GetKeyPolicy", input).await.ok()?;
            found["Policy"].as_str()?.to_owned()
        }
        "lambda" => {
            let (name, qualifier) = name.strip_prefix("function:")?.split_once(':').map_or_else(
                || (name.trim_start_matches("function:"), String::new()),
                |(name, qualifier)| (name, format!("?Qualifier={qualifier}")),
            );
            let path = format!("/2015-03-31/functions/{name}/policy{qualifier}");
            let found = asked(services, Service::Lambda, "GetPolicy", &path).await?;
            serde_json::from_slice::<Value>(&found).ok()?["Policy"].as_str()?.to_owned()
        }
        _ => return None,
    };
    serde_json::from_str(&text).ok()
}

async fn asked(services: &Services, service: Service, operation: &str, path: &str) -> Option<Bytes> {
    let protocol = if service == Service::S3 { Protocol::RestXml } else { Protocol::RestJson };
    let call = Call { service, operation: operation.to_owned(), protocol };
    let request = Request::builder().method(Method::GET).uri(path.parse::<Uri>().ok()?).body(Bytes::new()).ok()?;
    let answer = services.answer(&call, request).await;
    if answer.status().is_success() { body_of(answer).await.ok() } else { None }
}

/// `GetFunction` shows tags only to who may list them.
async fn without_tags(services: &Services, caller: &Caller, function: &Needed, answer: Response) -> Response {
    let listing = Needed { action: "lambda:ListTags".to_owned(), ..function.clone() };
    let Err(denial) = check(services, caller, &listing).await else { return answer };
    let (mut parts, body) = answer.into_parts();
    let body = protocol::body_of(Response::new(body)).await.unwrap_or_default();
    let Ok(mut shown) = serde_json::from_slice::<Value>(&body) else { return Response::from_parts(parts, body.into()) };
    if let Some(members) = shown.as_object_mut() {
        let message = denial.message(&services.access.arn(caller), &listing.action, &listing.resource);
        members.remove("Tags");
        members.insert("TagsError".to_owned(), json!({ "ErrorCode": "AccessDeniedException", "Message": message }));
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(shown.to_string()))
}

fn refusal(services: &Services, call: &Call, caller: &Caller, needed: &Needed, denial: Denial) -> CallError {
    // SQS writes actions in lower case, SNS its own name in capitals.
    let action = match call.service {
        Service::Sqs => needed.action.to_lowercase(),
        Service::Sns => needed.action.replacen("sns:", "SNS:", 1),
        _ => needed.action.clone(),
    };
    let message = denial.message(&services.access.arn(caller), &action, &needed.resource);
    let (status, code) = match (&call.service, call.protocol) {
        (Service::Sns, _) => (403, "AuthorizationError"),
        (Service::Sqs | Service::S3 | Service::Iam | Service::Sts, _) | (_, Protocol::Query) => (403, "AccessDenied"),
        (Service::Lambda, _) => (403, "AccessDeniedException"),
        _ => (400, "AccessDeniedException"),
    };
    CallError::new(status, code, message)
}

/// The errors of credentials, as services of each protocol name them.
fn in_words_of(service: &Service, error: CallError) -> CallError {
    let code = match (service, error.code.as_str()) {
        (Service::S3, "InvalidClientTokenId") => "InvalidAccessKeyId",
        (Service::S3 | Service::Sts | Service::Iam | Service::Sns | Service::Sqs | Service::CloudWatch, _) => {
            return error;
        }
        (_, "ExpiredToken") => "ExpiredTokenException",
        _ => "UnrecognizedClientException",
    };
    let status = if matches!(service, Service::Lambda | Service::S3) { 403 } else { 400 };
    CallError::new(status, code, error.message)
}

/// The name of the thing that a member of a request names: a name as it is, of an ARN or URL the last part.
pub(super) fn name_in(member: &str) -> String {
    arn::resource_name(member)
}

/// The header of a request, if it is text.
pub(super) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
