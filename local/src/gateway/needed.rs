//! The actions of an operation, and the ARNs of the resources that its request names.
//!
//! <https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html>

use axum::body::Bytes;
use http::Request;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use streamkit_wire::{Call, Protocol, Service, protocol};

use super::authorize::name_in;
use super::needed_s3;
use crate::services::Services;
use crate::services::iam::Context;

/// One thing that the caller must be allowed.
#[derive(Debug, Clone)]
pub(super) struct Needed {
    pub(super) action: String,
    /// As in [`crate::services::iam::Question`].
    pub(super) resource: String,
    pub(super) context: Context,
}

impl Needed {
    pub(super) fn new(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Self { action: action.into(), resource: resource.into(), context: Context::new() }
    }

    pub(super) fn with(mut self, key: &str, value: &str) -> Self {
        self.context.insert(key.to_lowercase(), vec![value.to_owned()]);
        self
    }
}

/// Where ARNs of the account begin.
struct Place<'a> {
    region: &'a str,
    account: &'a str,
}

impl Place<'_> {
    fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }
}

/// What a call needs; nothing for what everybody may do.
pub(super) fn needed(services: &Services, call: &Call, request: &Request<Bytes>) -> Vec<Needed> {
    let place = Place { region: &services.region, account: &services.account };
    let operation = call.operation.as_str();
    let body = || match call.protocol {
        Protocol::RestXml => Value::Null,
        _ => protocol::decode(call, &protocol::query_bytes(request)).unwrap_or_default(),
    };
    let mut all = match call.service {
        Service::S3 => needed_s3::needed(operation, request),
        Service::Lambda => lambda(&place, operation, request, &body()),
        Service::Sts => sts(&place, operation, &body()),
        Service::Kinesis => vec![kinesis(&place, operation, &body())],
        Service::DynamoDb | Service::DynamoDbStreams => dynamodb(&place, operation, &body()),
        Service::Sqs => vec![sqs(&place, operation, &body())],
        Service::Sns => vec![sns(&place, operation, &body())],
        Service::Logs => vec![logs(&place, operation, &body())],
        Service::CloudWatch => cloudwatch(&place, operation, &body()),
        Service::Iam => vec![iam(services, operation, &body())],
        Service::Tagging => vec![Needed::new(format!("tag:{operation}"), "*")],
        Service::ApplicationAutoScaling | Service::Other(_) => {
            vec![Needed::new(format!("{}:{operation}", call.service.name()), "*")]
        }
        // Its keys have to be looked up: see `needed_kms`.
        Service::Kms => Vec::new(),
    };
    let tagging = tagging(&call.service, operation).filter(|_| has_tags(&body()));
    let made = all.first().map(|first| first.resource.clone());
    all.extend(tagging.zip(made).map(|(action, made)| Needed::new(action, made)));
    all
}

/// The action that who creates something with tags needs besides.
fn tagging(service: &Service, operation: &str) -> Option<&'static str> {
    Some(match (service, operation) {
        (Service::Sqs, "CreateQueue") => "sqs:TagQueue",
        (Service::Sns, "CreateTopic") => "sns:TagResource",
        (Service::DynamoDb, "CreateTable") => "dynamodb:TagResource",
        // TagResource does not do.
        (Service::Kinesis, "CreateStream") => "kinesis:AddTagsToStream",
        (Service::Lambda, "CreateFunction") => "lambda:TagResource",
        (Service::Logs, "CreateLogGroup") => "logs:TagResource",
        (Service::CloudWatch, "PutMetricAlarm") => "cloudwatch:TagResource",
        (Service::Iam, "CreateRole") => "iam:TagRole",
        _ => return None,
    })
}

fn has_tags(input: &Value) -> bool {
    let some = |tags: &Value| {
        tags.as_object().is_some_and(|tags| !tags.is_empty()) || tags.as_array().is_some_and(|tags| !tags.is_empty())
    };
    some(&input["Tags"]) || some(&input["tags"])
}

/// The first of these members that the input has.
fn first<'a>(input: &'a Value, members: &[&str]) -> Option<&'a str> {
    members.iter().find_map(|member| input[*member].as_str())
}

fn kinesis(place: &Place<'_>, operation: &str, input: &Value) -> Needed {
    let action = format!("kinesis:{operation}");
    let stream = first(input, &["StreamARN", "StreamName", "ResourceARN"]).map(|stream| {
        if stream.starts_with("arn:") { stream.to_owned() } else { place.arn("kinesis", &format!("stream/{stream}")) }
    });
    let consumer = match (input["ConsumerARN"].as_str(), operation) {
        (Some(arn), _) => Some(arn.to_owned()),
        // The end of a consumer's ARN is the time of its registration, which such a request does not say.
        (None, "DescribeStreamConsumer" | "DeregisterStreamConsumer") => {
            let name = input["ConsumerName"].as_str().unwrap_or_default();
            stream.as_ref().map(|stream| format!("{stream}/consumer/{name}:0"))
        }
        _ => None,
    };
    let resource = match operation {
        "ListStreams" | "DescribeLimits" | "DescribeAccountSettings" | "UpdateAccountSettings" => "*".to_owned(),
        // An iterator or page token alone does not say whose it is.
        _ => consumer.or(stream).unwrap_or_default(),
    };
    Needed::new(action, resource)
}

fn dynamodb(place: &Place<'_>, operation: &str, input: &Value) -> Vec<Needed> {
    let table = |name: &str| place.arn("dynamodb", &format!("table/{}", name_in(name)));
    let named = |member: &Value| member.as_str().map(table).unwrap_or_default();
    let action = format!("dynamodb:{operation}");
    match operation {
        "BatchWriteItem" | "BatchGetItem" => {
            let tables = input["RequestItems"].as_object().into_iter().flatten();
            tables.map(|(name, _)| Needed::new(action.clone(), table(name))).collect()
        }
        "TransactWriteItems" | "TransactGetItems" => {
            let items = input["TransactItems"].as_array().into_iter().flatten().filter_map(Value::as_object);
            let each = items.flatten().map(|(kind, item)| {
                let action =
                    if kind == "ConditionCheck" { "ConditionCheckItem".to_owned() } else { format!("{kind}Item") };
                Needed::new(format!("dynamodb:{action}"), named(&item["TableName"]))
            });
            each.collect()
        }
        "ListTables"
        | "DescribeLimits"
        | "DescribeEndpoints"
        | "ListStreams"
        | "ListBackups"
        | "ListGlobalTables"
        | "ListExports"
        | "ListImports"
        | "ListContributorInsights" => vec![Needed::new(action, "*")],
        "Query" | "Scan" if input["IndexName"].is_string() => {
            let index = input["IndexName"].as_str().unwrap_or_default();
            vec![Needed::new(action, format!("{}/index/{index}", named(&input["TableName"])))]
        }
        _ => {
            let arn = first(input, &["StreamArn", "ResourceArn"]).map(str::to_owned);
            let mut all = vec![Needed::new(action, arn.unwrap_or_else(|| named(&input["TableName"])))];
            all.extend(replicas(place, input));
            all
        }
    }
}

/// What adding and removing replicas needs in their regions.
///
/// See <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables-security.html>.
fn replicas(place: &Place<'_>, input: &Value) -> Vec<Needed> {
    const ROLE: &str = "role/aws-service-role/replication.dynamodb.amazonaws.com/AWSServiceRoleForDynamoDBReplication";
    let mut all = Vec::new();
    for update in input["ReplicaUpdates"].as_array().into_iter().flatten() {
        let (update, operations) = match (&update["Create"], &update["Delete"]) {
            (create @ Value::Object(_), _) => {
                let role = format!("arn:aws:iam::{}:{ROLE}", place.account);
                let linked = Needed::new("iam:CreateServiceLinkedRole".to_owned(), role);
                all.push(linked.with("iam:AWSServiceName", "replication.dynamodb.amazonaws.com"));
                let items = ["Query", "Scan", "GetItem", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"];
                (create, [&["CreateTable", "CreateTableReplica"][..], &items].concat())
            }
            (_, delete @ Value::Object(_)) => (delete, vec!["DeleteTable", "DeleteTableReplica"]),
            _ => continue,
        };
        let there = Place { region: update["RegionName"].as_str().unwrap_or_default(), account: place.account };
        let table = name_in(input["TableName"].as_str().unwrap_or_default());
        let table = there.arn("dynamodb", &format!("table/{table}"));
        all.extend(operations.iter().map(|operation| Needed::new(format!("dynamodb:{operation}"), table.clone())));
    }
    all
}

fn sqs(place: &Place<'_>, operation: &str, input: &Value) -> Needed {
    let action = match operation {
        "SendMessageBatch" | "DeleteMessageBatch" | "ChangeMessageVisibilityBatch" => {
            operation.trim_end_matches("Batch")
        }
        _ => operation,
    };
    let queue = first(input, &["QueueUrl", "QueueName", "SourceArn"]).map(|queue| place.arn("sqs", &name_in(queue)));
    let resource = if operation == "ListQueues" { "*".to_owned() } else { queue.unwrap_or_default() };
    Needed::new(format!("sqs:{action}"), resource)
}

fn sns(place: &Place<'_>, operation: &str, input: &Value) -> Needed {
    let action = if operation == "PublishBatch" { "Publish" } else { operation };
    let resource = match operation {
        "CreateTopic" => place.arn("sns", input["Name"].as_str().unwrap_or_default()),
        "ListTopics" | "ListSubscriptions" => "*".to_owned(),
        _ => first(input, &["TopicArn", "TargetArn", "SubscriptionArn", "ResourceArn", "PhoneNumber"])
            .unwrap_or("*")
            .to_owned(),
    };
    Needed::new(format!("sns:{action}"), resource)
}

fn logs(place: &Place<'_>, operation: &str, input: &Value) -> Needed {
    let resource = match operation {
        "DescribeLogGroups" => place.arn("logs", "log-group::log-stream:*"),
        // Tags are a group's own, whose ARN has no star then.
        "TagResource" | "UntagResource" | "ListTagsForResource" => {
            input["resourceArn"].as_str().unwrap_or_default().to_owned()
        }
        _ => match first(input, &["logGroupName", "logGroupIdentifier"]) {
            Some(group) => {
                let stream = input["logStreamName"].as_str().unwrap_or_default();
                place.arn("logs", &format!("log-group:{}:log-stream:{stream}", name_in(group)))
            }
            None => "*".to_owned(),
        },
    };
    Needed::new(format!("logs:{operation}"), resource)
}

fn cloudwatch(place: &Place<'_>, operation: &str, input: &Value) -> Vec<Needed> {
    let alarm = |name: &str| place.arn("cloudwatch", &format!("alarm:{name}"));
    let dashboard = |name: &str| format!("arn:aws:cloudwatch::{}:dashboard/{name}", place.account);
    let each = |member: &str, arn: &dyn Fn(&str) -> String| -> Vec<String> {
        input[member].as_array().into_iter().flatten().filter_map(Value::as_str).map(arn).collect()
    };
    let resources = match operation {
        "PutMetricAlarm" | "SetAlarmState" | "DescribeAlarmHistory" => {
            vec![alarm(input["AlarmName"].as_str().unwrap_or("*"))]
        }
        "DescribeAlarms" => vec![alarm("*")],
        "DeleteAlarms" | "EnableAlarmActions" | "DisableAlarmActions" => each("AlarmNames", &alarm),
        "PutDashboard" | "GetDashboard" => vec![dashboard(input["DashboardName"].as_str().unwrap_or_default())],
        "DeleteDashboards" => each("DashboardNames", &dashboard),
        "TagResource" | "UntagResource" | "ListTagsForResource" => {
            vec![input["ResourceARN"].as_str().unwrap_or_default().to_owned()]
        }
        _ => vec!["*".to_owned()],
    };
    let needed = resources.into_iter().map(|resource| {
        let needed = Needed::new(format!("cloudwatch:{operation}"), resource);
        match input["Namespace"].as_str() {
            Some(namespace) => needed.with("cloudwatch:namespace", namespace),
            None => needed,
        }
    });
    needed.collect()
}

fn iam(services: &Services, operation: &str, input: &Value) -> Needed {
    let account = &services.account;
    let path = input["Path"].as_str().unwrap_or("/");
    let named = |kind: &str, member: &str| {
        let name = input[member].as_str()?;
        let known = services.access.arn_of(kind, name);
        let made = || operation.starts_with("Create").then(|| format!("arn:aws:iam::{account}:{kind}{path}{name}"));
        // What is not there has no path, so nobody can tell its ARN.
        Some(known.or_else(made).unwrap_or_default())
    };
    let policy = input["PolicyArn"].as_str();
    let resource = match operation {
        "CreatePolicy" => {
            let name = input["PolicyName"].as_str().unwrap_or_default();
            Some(format!("arn:aws:iam::{account}:policy{path}{name}"))
        }
        "SimulatePrincipalPolicy" => input["PolicySourceArn"].as_str().map(str::to_owned),
        _ => named("role", "RoleName")
            .or_else(|| named("group", "GroupName"))
            .or_else(|| named("user", "UserName"))
            .or_else(|| policy.map(str::to_owned)),
    };
    let mut needed = Needed::new(format!("iam:{operation}"), resource.unwrap_or_else(|| "*".to_owned()));
    if let (Some(policy), true) = (policy, operation.starts_with("Attach") || operation.starts_with("Detach")) {
        needed = needed.with("iam:PolicyARN", policy);
    }
    if let Some(boundary) = input["PermissionsBoundary"].as_str() {
        needed = needed.with("iam:PermissionsBoundary", boundary);
    }
    needed
}

/// Who may assume a role is STS's own decision; who the caller is may be asked by everybody.
fn sts(place: &Place<'_>, operation: &str, input: &Value) -> Vec<Needed> {
    if operation != "GetFederationToken" {
        return Vec::new();
    }
    let name = input["Name"].as_str().unwrap_or_default();
    let user = format!("arn:aws:sts::{}:federated-user/{name}", place.account);
    vec![Needed::new("sts:GetFederationToken", user)]
}

fn lambda(place: &Place<'_>, operation: &str, request: &Request<Bytes>, input: &Value) -> Vec<Needed> {
    let path: Vec<String> = request
        .uri()
        .path()
        .trim_matches('/')
        .split('/')
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let query = request.uri().query().unwrap_or_default();
    let qualifier = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "Qualifier");
    let action = if operation == "Invoke" { "lambda:InvokeFunction".to_owned() } else { format!("lambda:{operation}") };
    let function = |name: &str| place.arn("lambda", &format!("function:{}", function_name(name)));
    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
    let resource = match parts.as_slice() {
        [_, "functions", name, ..] => match qualifier {
            Some((_, qualifier)) => format!("{}:{qualifier}", function(name)),
            None => function(name),
        },
        [_, "functions"] if operation == "CreateFunction" => {
            function(input["FunctionName"].as_str().unwrap_or_default())
        }
        [_, "event-source-mappings", uuid] => place.arn("lambda", &format!("event-source-mapping:{uuid}")),
        [_, "tags", arn @ ..] => arn.join("/"),
        _ => "*".to_owned(),
    };
    let mut needed = Needed::new(action, resource);
    if operation == "CreateEventSourceMapping" {
        needed = needed.with("lambda:FunctionArn", &function(input["FunctionName"].as_str().unwrap_or_default()));
    }
    let mut all = vec![needed];
    // Whoever gives a function a role gives it what the role may do.
    if let ("CreateFunction" | "UpdateFunctionConfiguration", Some(role)) = (operation, input["Role"].as_str()) {
        all.push(Needed::new("iam:PassRole", role).with("iam:PassedToService", "lambda.amazonaws.com"));
    }
    all
}

/// The name, and what it is qualified with, in any form in which Lambda takes it.
fn function_name(name: &str) -> &str {
    name.split_once("function:").map_or(name, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place() -> Place<'static> {
        Place { region: "eu-west-1", account: "1" }
    }

    fn pairs(needed: &[Needed]) -> Vec<(&str, &str)> {
        needed.iter().map(|needed| (needed.action.as_str(), needed.resource.as_str())).collect()
    }

    #[test]
    fn operations_need_their_actions_on_what_they_name() {
        let place = place();
        for (found, action, resource) in [
            (
                kinesis(&place, "PutRecords", &json!({ "StreamName": "s" })),
                "kinesis:PutRecords",
                "arn:aws:kinesis:eu-west-1:1:stream/s",
            ),
            (kinesis(&place, "ListStreams", &json!({})), "kinesis:ListStreams", "*"),
            (kinesis(&place, "GetRecords", &json!({ "ShardIterator": "x" })), "kinesis:GetRecords", ""),
            (
                sqs(&place, "SendMessageBatch", &json!({ "QueueUrl": "http://127.0.0.1:1/000000000000/q" })),
                "sqs:SendMessage",
                "arn:aws:sqs:eu-west-1:1:q",
            ),
            (
                sns(&place, "PublishBatch", &json!({ "TopicArn": "arn:aws:sns:eu-west-1:1:t" })),
                "sns:Publish",
                "arn:aws:sns:eu-west-1:1:t",
            ),
            (
                logs(&place, "PutLogEvents", &json!({ "logGroupName": "/g", "logStreamName": "s" })),
                "logs:PutLogEvents",
                "arn:aws:logs:eu-west-1:1:log-group:/g:log-stream:s",
            ),
        ] {
            assert_eq!((found.action.as_str(), found.resource.as_str()), (action, resource));
        }
        let batch = dynamodb(&place, "BatchWriteItem", &json!({ "RequestItems": { "a": [], "b": [] } }));
        let (a, b) = ("arn:aws:dynamodb:eu-west-1:1:table/a", "arn:aws:dynamodb:eu-west-1:1:table/b");
        assert_eq!(pairs(&batch), [("dynamodb:BatchWriteItem", a), ("dynamodb:BatchWriteItem", b)]);
        let items = json!([{ "Put": { "TableName": "a" } }, { "ConditionCheck": { "TableName": "b" } }]);
        let transaction = dynamodb(&place, "TransactWriteItems", &json!({ "TransactItems": items }));
        assert_eq!(pairs(&transaction), [("dynamodb:PutItem", a), ("dynamodb:ConditionCheckItem", b)]);
    }

    #[test]
    fn what_is_created_with_tags_needs_leave_to_tag_it() {
        assert_eq!(tagging(&Service::Sqs, "CreateQueue"), Some("sqs:TagQueue"));
        assert_eq!(tagging(&Service::Sqs, "SendMessage"), None);
        for (input, tagged) in [
            (json!({ "tags": { "a": "b" } }), true),
            (json!({ "Tags": [{ "Key": "a", "Value": "b" }] }), true),
            (json!({ "Tags": [] }), false),
            (json!({}), false),
        ] {
            assert_eq!(has_tags(&input), tagged, "{input}");
        }
    }

    #[test]
    fn functions_need_leave_to_pass_their_role() {
        let role = "arn:aws:iam::1:role/r";
        let request = Request::post("/2015-03-31/functions").body(Bytes::new()).unwrap();
        let found = lambda(&place(), "CreateFunction", &request, &json!({ "FunctionName": "f", "Role": role }));
        let function = "arn:aws:lambda:eu-west-1:1:function:f";
        assert_eq!(pairs(&found), [("lambda:CreateFunction", function), ("iam:PassRole", role)]);
        assert_eq!(found[1].context["iam:passedtoservice"], ["lambda.amazonaws.com"]);
        let request = Request::post("/2015-03-31/functions/f/invocations?Qualifier=live").body(Bytes::new()).unwrap();
        let found = lambda(&place(), "Invoke", &request, &Value::Null);
        assert_eq!(pairs(&found), [("lambda:InvokeFunction", "arn:aws:lambda:eu-west-1:1:function:f:live")]);
    }
}
