//! The resource that a call is about: the name of the stream, table, queue, function or other thing that its request mentions.

use std::fmt;

use axum::body::Bytes;
use http::Request;
use percent_encoding::percent_decode_str;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{Call, Protocol};
use crate::arn;
use crate::protocol;

/// Members that name things, the most telling first.
const MEMBERS: [&str; 24] = [
    "StreamName",
    "TableName",
    "QueueName",
    "QueueUrl",
    "TopicArn",
    "RoleName",
    "UserName",
    "FunctionName",
    "AlarmName",
    "DashboardName",
    "logGroupName",
    "logGroupIdentifier",
    "logGroupNamePrefix",
    "StreamARN",
    "StreamArn",
    "ConsumerARN",
    "SubscriptionArn",
    "ResourceArn",
    "ResourceARN",
    "resourceArn",
    "KeyId",
    "ResourceId",
    "Namespace",
    "Name",
];
/// Larger CBOR bodies carry records and metrics; reading all of one for a name costs more than the name is worth.
const LARGEST_CBOR: usize = 16 * 1024;

/// The name of what the call is about, if the request says it where it is cheap to find.
pub fn resource_name(call: &Call, request: &Request<Bytes>) -> Option<String> {
    let found = match call.protocol {
        Protocol::Json => in_json(request.body()),
        Protocol::AwsCbor | Protocol::Cbor if request.body().len() <= LARGEST_CBOR => {
            let tree = protocol::decode(call, request.body()).ok()?;
            MEMBERS.iter().find_map(|member| tree[*member].as_str()).map(str::to_owned)
        }
        Protocol::AwsCbor | Protocol::Cbor => None,
        Protocol::Query => in_form(&protocol::query_bytes(request)),
        Protocol::RestXml => Some(decoded(request.uri().path().trim_matches('/'))),
        Protocol::RestJson => in_lambda_path(request.uri().path()).or_else(|| in_json(request.body())),
    };
    found.filter(|name| !name.is_empty()).map(|name| arn::resource_name(&name))
}

fn in_form(form: &[u8]) -> Option<String> {
    let place = |name: &str| MEMBERS.iter().position(|member| *member == name);
    form_urlencoded::parse(form)
        .filter_map(|(name, value)| Some((place(&name)?, value)))
        .min_by_key(|(place, _)| *place)
        .map(|(_, value)| value.into_owned())
}

/// `/2015-03-31/functions/NAME/…` and `/2017-03-31/tags/ARN`. The UUID of a mapping names nothing that anyone knows.
fn in_lambda_path(path: &str) -> Option<String> {
    let mut parts = path.split('/').skip(2);
    match (parts.next()?, parts.next()?) {
        ("functions" | "tags", name) if !name.is_empty() => Some(decoded(name)),
        _ => None,
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The first of the members at the top of an object, without building the rest of it.
fn in_json(body: &[u8]) -> Option<String> {
    serde_json::Deserializer::from_slice(body).deserialize_map(First).ok().flatten()
}

struct First;

impl<'de> Visitor<'de> for First {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut best: Option<(usize, String)> = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match MEMBERS.iter().position(|member| *member == key) {
                Some(place) if best.as_ref().is_none_or(|(best, _)| place < *best) => {
                    if let serde_json::Value::String(name) = map.next_value()? {
                        best = Some((place, name));
                    }
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(best.map(|(_, name)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(request: http::request::Builder, body: &str) -> Option<String> {
        let request = request.body(Bytes::copy_from_slice(body.as_bytes())).unwrap();
        resource_name(&Call::of(&request).unwrap(), &request)
    }

    #[test]
    fn subjects_are_found_in_every_protocol() {
        let json = |target: &str| Request::post("/").header("x-amz-target", target);
        let scope = |service: &str| format!("AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/{service}/aws4_request");
        let query = |service: &str| Request::post("/").header("authorization", scope(service));
        for (found, wanted) in [
            (
                subject(json("Kinesis_20131202.PutRecords"), r#"{"Records":[{"Data":"eA=="}],"StreamName":"s"}"#),
                Some("s"),
            ),
            (
                subject(
                    json("Kinesis_20131202.DescribeStream"),
                    r#"{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s"}"#,
                ),
                Some("s"),
            ),
            (
                subject(json("DynamoDB_20120810.PutItem"), r#"{"Item":{"TableName":{"S":"not"}},"TableName":"t"}"#),
                Some("t"),
            ),
            (subject(json("AmazonSQS.SendMessage"), r#"{"QueueUrl":"http://127.0.0.1:1/000000000000/q"}"#), Some("q")),
            (subject(json("DynamoDB_20120810.ListTables"), "{}"), None),
            (subject(json("DynamoDB_20120810.ListTables"), "not json"), None),
            (
                subject(query("sns"), "Action=Publish&Version=2010-03-31&TopicArn=arn%3Aaws%3Asns%3Ar%3A1%3Atopic"),
                Some("topic"),
            ),
            (subject(query("iam"), "Action=PutRolePolicy&Version=2010-05-08&PolicyName=p&RoleName=r"), Some("r")),
            (subject(Request::get("/2015-03-31/functions/f/configuration"), ""), Some("f")),
            (
                subject(Request::post("/2015-03-31/functions"), r#"{"Role":"x","FunctionName":"f","Name":"no"}"#),
                Some("f"),
            ),
            (subject(Request::get("/2015-03-31/event-source-mappings/12345"), ""), None),
            (subject(Request::put("/bucket/a%20key"), "x"), Some("bucket/a key")),
        ] {
            assert_eq!(found.as_deref(), wanted);
        }
    }
}
