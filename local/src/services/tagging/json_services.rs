//! Services with an operation for everything: how their resources are listed, and their tags read and changed.

use axum::body::Bytes;
use http::Request;
use serde_json::{Map, Value, json};
use streamkit_wire::input::{list, texts};
use streamkit_wire::{Call, CallError, Protocol, Service, protocol};

use super::resource::{Resource, Tags, map, pairs};
use super::service::Tagging;

/// How a service writes tags.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// `[{Key, Value}]`, or with these names instead.
    Pairs(&'static str, &'static str),
    /// `{key: value}`.
    Map,
}

const PAIRS: Form = Form::Pairs("Key", "Value");

/// The operations of one service on its resources of one kind.
#[derive(Debug)]
pub(super) struct Operations {
    pub(super) service: Service,
    /// The operation that lists all, the member with the list, and the member of an element with its name; without one the element
    /// is the name itself.
    list: (&'static str, &'static str, Option<&'static str>),
    /// The page's token in the answer, and where it goes in the next request.
    token: (&'static str, &'static str),
    /// Operations that read, add and remove tags.
    tagging: [&'static str; 3],
    /// The members with the resource, with the tags, and with the keys of those that go.
    members: [&'static str; 3],
    form: Form,
    /// What stands before the name in an ARN; nothing where the list has ARNs.
    arn: Option<&'static str>,
    /// What the operations on tags name.
    named: Named,
}

/// How an operation names its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Arn,
    Name,
}

const ALL: &[Operations] = &[
    Operations {
        service: Service::Kinesis,
        list: ("ListStreams", "StreamNames", None),
        token: ("NextToken", "NextToken"),
        tagging: ["ListTagsForStream", "AddTagsToStream", "RemoveTagsFromStream"],
        members: ["StreamName", "Tags", "TagKeys"],
        // It lists them as pairs, and takes a map.
        form: Form::Map,
        arn: Some("stream/"),
        named: Named::Name,
    },
    Operations {
        service: Service::DynamoDb,
        list: ("ListTables", "TableNames", None),
        token: ("LastEvaluatedTableName", "ExclusiveStartTableName"),
        tagging: ["ListTagsOfResource", "TagResource", "UntagResource"],
        members: ["ResourceArn", "Tags", "TagKeys"],
        form: PAIRS,
        arn: Some("table/"),
        named: Named::Arn,
    },
    Operations {
        service: Service::Sqs,
        list: ("ListQueues", "QueueUrls", None),
        token: ("NextToken", "NextToken"),
        tagging: ["ListQueueTags", "TagQueue", "UntagQueue"],
        members: ["QueueUrl", "Tags", "TagKeys"],
        form: Form::Map,
        arn: Some(""),
        named: Named::Name,
    },
    Operations {
        service: Service::Sns,
        list: ("ListTopics", "Topics", Some("TopicArn")),
        token: ("NextToken", "NextToken"),
        tagging: ["ListTagsForResource", "TagResource", "UntagResource"],
        members: ["ResourceArn", "Tags", "TagKeys"],
        form: PAIRS,
        arn: None,
        named: Named::Arn,
    },
    Operations {
        service: Service::CloudWatch,
        list: ("DescribeAlarms", "MetricAlarms", Some("AlarmArn")),
        token: ("NextToken", "NextToken"),
        tagging: ["ListTagsForResource", "TagResource", "UntagResource"],
        members: ["ResourceARN", "Tags", "TagKeys"],
        form: PAIRS,
        arn: None,
        named: Named::Arn,
    },
    Operations {
        service: Service::Logs,
        list: ("DescribeLogGroups", "logGroups", Some("logGroupArn")),
        token: ("nextToken", "nextToken"),
        tagging: ["ListTagsForResource", "TagResource", "UntagResource"],
        members: ["resourceArn", "tags", "tagKeys"],
        form: Form::Map,
        arn: None,
        named: Named::Arn,
    },
    Operations {
        service: Service::Kms,
        list: ("ListKeys", "Keys", Some("KeyArn")),
        token: ("NextMarker", "Marker"),
        tagging: ["ListResourceTags", "TagResource", "UntagResource"],
        members: ["KeyId", "Tags", "TagKeys"],
        form: Form::Pairs("TagKey", "TagValue"),
        arn: None,
        named: Named::Arn,
    },
];

impl Operations {
    /// Those of all services.
    pub(super) fn all() -> &'static [Self] {
        ALL
    }

    /// All resources with tags.
    pub(super) async fn resources(&self, tagging: &Tagging) -> Result<Vec<Resource>, CallError> {
        let (operation, member, name) = self.list;
        let mut found = Vec::new();
        let mut input = Map::new();
        if self.service == Service::Sqs {
            // Without it there is no token.
            input.insert("MaxResults".to_owned(), json!(1000));
        }
        loop {
            let page = ask(tagging, &self.service, operation, Value::Object(input.clone())).await?;
            for element in list(&page[member]) {
                let name = name.map_or(element, |name| &element[name]).as_str().unwrap_or_default();
                let name = if self.arn.is_some() { name.rsplit('/').next().unwrap_or(name) } else { name };
                let arn = self.arn_of(tagging, name);
                // One that was deleted meanwhile is none.
                let Ok(tags) = self.tags(tagging, &arn).await else { continue };
                if !tags.is_empty() {
                    found.push(Resource { arn, tags });
                }
            }
            match &page[self.token.0] {
                Value::String(token) if !token.is_empty() => {
                    input.insert(self.token.1.to_owned(), json!(token));
                }
                _ => return Ok(found),
            }
        }
    }

    fn arn_of(&self, tagging: &Tagging, name: &str) -> String {
        self.arn.map_or_else(|| name.to_owned(), |before| tagging.arn(self.service.name(), &format!("{before}{name}")))
    }

    async fn tags(&self, tagging: &Tagging, arn: &str) -> Result<Tags, CallError> {
        let answer = ask(tagging, &self.service, self.tagging[0], self.naming(arn)).await?;
        let tags = &answer[self.members[1]];
        Ok(if tags.is_array() { pairs(tags) } else { map(tags) })
    }

    /// A request that names the resource.
    fn naming(&self, arn: &str) -> Value {
        let name = match self.named {
            Named::Arn => arn,
            Named::Name => arn.rsplit([':', '/']).next().unwrap_or(arn),
        };
        json!({ self.members[0]: name })
    }

    pub(super) async fn tag(&self, tagging: &Tagging, arn: &str, tags: &Tags) -> Result<(), CallError> {
        let mut input = self.naming(arn);
        input[self.members[1]] = match self.form {
            Form::Map => json!(tags),
            Form::Pairs(key, value) => tags.iter().map(|(name, text)| json!({ key: name, value: text })).collect(),
        };
        ask(tagging, &self.service, self.tagging[1], input).await.map(drop)
    }

    pub(super) async fn untag(&self, tagging: &Tagging, arn: &str, keys: &Value) -> Result<(), CallError> {
        let mut input = self.naming(arn);
        input[self.members[2]] = json!(texts(keys));
        ask(tagging, &self.service, self.tagging[2], input).await.map(drop)
    }
}

/// Runs an operation; through its protocol where the engine knows no other way.
async fn ask(tagging: &Tagging, service: &Service, operation: &str, input: Value) -> Result<Value, CallError> {
    let call = Call { service: service.clone(), operation: operation.to_owned(), protocol: Protocol::Json };
    let asked = tagging.service(service)?;
    if *service != Service::Kms {
        return asked.run(&call, input).await;
    }
    let request = Request::post("/")
        .header("x-amz-target", format!("TrentService.{operation}"))
        .header("content-type", "application/x-amz-json-1.1")
        .body(Bytes::from(input.to_string()))
        .map_err(CallError::internal)?;
    let answer = asked.answer(&call, request).await;
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = protocol::body_of(answer).await?;
    if status >= 300 {
        return Err(protocol::error_of(status, &headers, &body));
    }
    if body.is_empty() { Ok(json!({})) } else { protocol::decode(&call, &body) }
}
