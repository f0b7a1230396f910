//! Lambda and S3, whose operations are methods and paths.

use axum::body::Bytes;
use http::{Method, Request};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use streamkit_wire::input::{list, texts};
use streamkit_wire::protocol::{self, elements, escape, unescape};
use streamkit_wire::{Call, CallError, Protocol, Service};

use super::resource::{Resource, Tags, map};
use super::service::Tagging;

/// Lists of Lambda: path, member, member with the ARN.
const LAMBDA_LISTS: [(&str, &str, &str); 2] = [
    ("/2015-03-31/functions", "Functions", "FunctionArn"),
    ("/2015-03-31/event-source-mappings", "EventSourceMappings", "EventSourceMappingArn"),
];

/// Functions and mappings with tags.
pub(super) async fn lambda_resources(tagging: &Tagging) -> Result<Vec<Resource>, CallError> {
    let mut found = Vec::new();
    for (path, member, arn) in LAMBDA_LISTS {
        let mut page_path = path.to_owned();
        loop {
            let page = lambda(tagging, Method::GET, &page_path, &Value::Null).await?;
            for arn in list(&page[member]).iter().filter_map(|element| element[arn].as_str()) {
                // One that was deleted meanwhile is none.
                let Ok(answer) = lambda(tagging, Method::GET, &tags_path(arn), &Value::Null).await else { continue };
                let tags = map(&answer["Tags"]);
                if !tags.is_empty() {
                    found.push(Resource { arn: arn.to_owned(), tags });
                }
            }
            match page["NextMarker"].as_str().filter(|marker| !marker.is_empty()) {
                Some(marker) => page_path = format!("{path}?Marker={}", encoded(marker)),
                None => break,
            }
        }
    }
    Ok(found)
}

pub(super) async fn tag_lambda(tagging: &Tagging, arn: &str, tags: &Tags) -> Result<(), CallError> {
    lambda(tagging, Method::POST, &tags_path(arn), &json!({ "Tags": tags })).await.map(drop)
}

pub(super) async fn untag_lambda(tagging: &Tagging, arn: &str, keys: &Value) -> Result<(), CallError> {
    let keys: Vec<String> = texts(keys).iter().map(|key| format!("tagKeys={}", encoded(key))).collect();
    let path = format!("{}?{}", tags_path(arn), keys.join("&"));
    lambda(tagging, Method::DELETE, &path, &Value::Null).await.map(drop)
}

fn tags_path(arn: &str) -> String {
    format!("/2017-03-31/tags/{}", encoded(arn))
}

async fn lambda(tagging: &Tagging, method: Method, path: &str, body: &Value) -> Result<Value, CallError> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let (call, answer) = send(tagging, Service::Lambda, Protocol::RestJson, method, path, body).await?;
    if answer.is_empty() { Ok(json!({})) } else { protocol::decode(&call, &answer) }
}

/// Buckets of the region with tags.
pub(super) async fn buckets(tagging: &Tagging) -> Result<Vec<Resource>, CallError> {
    let names = s3(tagging, Method::GET, "/", String::new()).await?;
    let mut found = Vec::new();
    for name in texts_in(&names, "Name") {
        let place = s3(tagging, Method::GET, &format!("/{name}?location"), String::new()).await.unwrap_or_default();
        let region = texts_in(&place, "LocationConstraint").into_iter().next().filter(|region| !region.is_empty());
        if region.as_deref().unwrap_or("us-east-1") != tagging.region {
            continue;
        }
        let arn = format!("arn:aws:s3:::{name}");
        // A bucket without tags is refused.
        let tags = bucket_tags(tagging, &arn).await.unwrap_or_default();
        if !tags.is_empty() {
            found.push(Resource { arn, tags });
        }
    }
    Ok(found)
}

async fn bucket_tags(tagging: &Tagging, arn: &str) -> Result<Tags, CallError> {
    let answer = s3(tagging, Method::GET, &format!("/{}?tagging", bucket(arn)), String::new()).await?;
    Ok(texts_in(&answer, "Key").into_iter().zip(texts_in(&answer, "Value")).collect())
}

/// S3 replaces all tags at once.
pub(super) async fn change_bucket(
    tagging: &Tagging,
    arn: &str,
    change: impl FnOnce(&mut Tags) + Send,
) -> Result<(), CallError> {
    let mut tags = match bucket_tags(tagging, arn).await {
        Err(error) if error.code == "NoSuchTagSet" => Tags::new(),
        tags => tags?,
    };
    change(&mut tags);
    let path = format!("/{}?tagging", bucket(arn));
    if tags.is_empty() {
        return s3(tagging, Method::DELETE, &path, String::new()).await.map(drop);
    }
    let tags = tags
        .iter()
        .map(|(key, value)| format!("<Tag><Key>{}</Key><Value>{}</Value></Tag>", escape(key), escape(value)));
    let body = format!("<Tagging><TagSet>{}</TagSet></Tagging>", tags.collect::<String>());
    s3(tagging, Method::PUT, &path, body).await.map(drop)
}

fn bucket(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}

async fn s3(tagging: &Tagging, method: Method, path: &str, body: String) -> Result<String, CallError> {
    let (_, answer) = send(tagging, Service::S3, Protocol::RestXml, method, path, body).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn send(
    tagging: &Tagging,
    service: Service,
    protocol: Protocol,
    method: Method,
    path: &str,
    body: String,
) -> Result<(Call, Bytes), CallError> {
    let request = Request::builder().method(method).uri(path).body(Bytes::from(body)).map_err(CallError::internal)?;
    let asked = tagging.service(&service)?;
    let mut call = Call { service, operation: String::new(), protocol };
    if let Some(known) = Call::of(&request) {
        call.operation = known.operation;
    }
    let answer = asked.answer(&call, request).await;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = protocol::body_of(answer).await?;
    if status >= 300 { Err(protocol::error_of(status, &headers, &body)) } else { Ok((call, body)) }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The texts of all elements of this name.
fn texts_in(xml: &str, name: &str) -> Vec<String> {
    elements(xml, name).map(unescape).collect()
}
