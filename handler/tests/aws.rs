//! The real sink against a server that answers as told: what goes over the wire, and how answers are understood.
#![expect(clippy::unwrap_used, reason = "a test, in which clippy does not count the functions below")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use streamkit_handler::aws::Aws;
use streamkit_handler::config::Config;
use streamkit_handler::dead_letter::DeadLetter;
use streamkit_handler::sink::{Sink as _, SinkError};
use streamkit_recipes::{Attribute, Item, Notification, Object, OutgoingRecord};

/// An AWS that gives its answers in turn and keeps what it was asked.
struct Server {
    endpoint: String,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    fn start(answers: Vec<(u16, Value)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut answers = answers.into_iter();
            for stream in listener.incoming() {
                let Some(request) = read(stream.as_ref().unwrap()) else { continue };
                seen.lock().unwrap().push(request);
                let Some((status, body)) = answers.next() else { return };
                // JSON for services that speak it, and text for those that speak XML.
                let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
                let answer = format!(
                    "HTTP/1.1 {status} Told\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\
                     Connection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.unwrap().write_all(answer.as_bytes()).unwrap();
            }
        });
        Self { endpoint, requests }
    }

    fn sink(&self) -> Aws {
        let config = Config {
            recipe: streamkit_recipes::find("retail").unwrap(),
            pipeline: "p".to_owned(),
            table: "results".to_owned(),
            bucket: "audit".to_owned(),
            stream_arn: "arn:aws:kinesis:us-west-2:123456789012:stream/copy".to_owned(),
            topic_arn: "arn:aws:sns:eu-west-1:123456789012:news".to_owned(),
            state_table: "memory".to_owned(),
            settings: streamkit_recipes::Settings::default(),
            parallel: false,
            dead_letter_queue_url: Some(format!("{}/queue/dlq", self.endpoint)),
            identity: "eventId".to_owned(),
            encryption: None,
            fail_on: None,
        };
        Aws::new(&config, |name| match name {
            "AWS_ENDPOINT_URL" => Some(self.endpoint.clone()),
            "AWS_REGION" => Some("eu-west-1".to_owned()),
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" | "AWS_SESSION_TOKEN" => Some("x".to_owned()),
            _ => None,
        })
    }

    fn requests(&self) -> Vec<(String, Value)> {
        self.requests.lock().unwrap().clone()
    }
}

/// Reads a request; returns its operation (its method and path for a service that has none in its headers) and body.
fn read(stream: &TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let mut headers = BTreeMap::new();
    let mut start = String::new();
    reader.read_line(&mut start).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(": ") {
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }
    let of_stream = headers.get("x-amz-target").is_some_and(|target| target.starts_with("Kinesis_"));
    let region = if of_stream { "/us-west-2/" } else { "/eu-west-1/" };
    assert!(headers["authorization"].contains(region), "{headers:?}");
    let mut body = vec![0; headers["content-length"].parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let start = start.rsplit_once(' ').map_or(start.as_str(), |(start, _)| start);
    let operation = headers.get("x-amz-target").map_or(start, String::as_str);
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
    let owner = headers.get("x-amz-expected-bucket-owner");
    Some((owner.map_or_else(|| operation.to_owned(), |owner| format!("{operation} of {owner}")), body))
}

fn item(user: &str) -> Item {
    Item::from([
        ("userId".to_owned(), Attribute::S(user.to_owned())),
        ("eventTimestamp".to_owned(), Attribute::N("1.5".to_owned())),
        ("odd".to_owned(), Attribute::List(vec![Attribute::Null, Attribute::Bool(true), Attribute::Map(Item::new())])),
    ])
}

fn put(user: &str) -> Value {
    json!({"PutRequest": {"Item": {
        "userId": {"S": user}, "eventTimestamp": {"N": "1.5"}, "odd": {"L": [{"NULL": true}, {"BOOL": true}, {"M": {}}]},
    }}})
}

fn letter(n: u32) -> DeadLetter {
    DeadLetter { event_id: format!("shardId-0:{n}"), body: format!("{{\"n\":{n}}}") }
}

#[tokio::test]
async fn write_sends_items_and_finds_the_unprocessed() {
    let server = Server::start(vec![
        (200, json!({"UnprocessedItems": {"results": [put("b")]}})),
        (200, json!({"UnprocessedItems": {"results": [put("someone else")]}})),
        (200, json!({"UnprocessedItems": {}})),
    ]);
    let sink = server.sink();
    let (a, b) = (item("a"), item("b"));
    assert_eq!(sink.write(&[&a, &b]).await, Ok(vec![1]));
    assert_eq!(sink.write(&[&a, &b]).await, Ok(vec![0, 1]), "what cannot be matched is all sent again");
    assert_eq!(sink.write(&[&a]).await, Ok(vec![]));
    let (operation, body) = &server.requests()[0];
    assert_eq!(operation, "DynamoDB_20120810.BatchWriteItem");
    assert_eq!(*body, json!({"RequestItems": {"results": [put("a"), put("b")]}}));
}

#[tokio::test]
async fn records_go_to_the_region_of_their_stream_and_those_that_it_fails_are_told() {
    let done = json!({"SequenceNumber": "1", "ShardId": "shardId-000000000000"});
    let throttled = json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slower"});
    let server = Server::start(vec![
        (200, json!({"FailedRecordCount": 1, "Records": [done, throttled]})),
        (200, json!({"FailedRecordCount": 0, "Records": [done]})),
        (400, json!({"__type": "InvalidArgumentException", "message": "too large"})),
    ]);
    let sink = server.sink();
    let record = |key: &str, explicit_hash_key: Option<&str>| OutgoingRecord {
        partition_key: key.to_owned(),
        explicit_hash_key: explicit_hash_key.map(str::to_owned),
        data: b"hello".to_vec(),
    };
    let (one, two) = (record("a", None), record("b", Some("42")));
    let error =
        |code: &str, message: &str| SinkError { permanent: false, code: code.to_owned(), message: message.to_owned() };
    let slower = error("ProvisionedThroughputExceededException", "slower");
    assert_eq!(sink.put_records(&[&one, &two]).await, Ok(vec![(1, slower)]));
    assert_eq!(sink.put_records(&[&one, &two]).await, Ok(vec![(1, error("NoAnswer", ""))]));
    assert!(sink.put_records(&[&one]).await.unwrap_err().permanent);
    let (operation, body) = &server.requests()[0];
    assert_eq!(operation, "Kinesis_20131202.PutRecords");
    let expected = json!({"StreamARN": "arn:aws:kinesis:us-west-2:123456789012:stream/copy", "Records": [
        {"Data": "aGVsbG8=", "PartitionKey": "a"},
        {"Data": "aGVsbG8=", "PartitionKey": "b", "ExplicitHashKey": "42"},
    ]});
    assert_eq!(*body, expected);
}

#[tokio::test]
async fn write_tells_errors_that_stay_from_those_that_pass() {
    let error = |code: &str| json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "m"});
    let server = Server::start(vec![
        (400, error("ValidationException")),
        (400, error("AccessDeniedException")),
        (400, error("ThrottlingException")),
        (500, error("InternalServerError")),
        (400, error("ProvisionedThroughputExceededException")),
    ]);
    let sink = server.sink();
    let sink_error =
        |permanent, code: &str| Err(SinkError { permanent, code: code.to_owned(), message: "m".to_owned() });
    assert_eq!(sink.write(&[&item("a")]).await, sink_error(true, "ValidationException"));
    assert_eq!(sink.write(&[&item("a")]).await, sink_error(false, "AccessDeniedException"));
    assert_eq!(sink.write(&[&item("a")]).await, sink_error(false, "ProvisionedThroughputExceededException"));
    assert_eq!(server.requests().len(), 5, "three attempts for what may pass");

    // The server has said all that it was told to, and is gone.
    let gone = sink.write(&[&item("a")]).await.unwrap_err();
    assert_eq!((gone.permanent, &*gone.code), (false, "NoConnection"), "{gone}");
}

#[tokio::test]
async fn states_are_read_consistently_and_written_only_if_nobody_else_has() {
    let conflict =
        json!({"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "m"});
    let server = Server::start(vec![
        (
            200,
            json!({
                "Responses": {"memory": [{"key": {"S": "a"}, "revision": {"S": "1"}}]},
                "UnprocessedKeys": {"memory": {"Keys": [{"key": {"S": "b"}}]}},
            }),
        ),
        (200, json!({})),
        (400, conflict),
    ]);
    let sink = server.sink();
    let state = |revision: &str| {
        Item::from([("key", Attribute::S("a".to_owned())), ("revision", Attribute::S(revision.to_owned()))])
    };
    let read = sink.read_states(&["a".to_owned(), "b".to_owned(), "c".to_owned()]).await;
    assert_eq!(read, Ok((vec![state("1")], vec!["b".to_owned()])));
    assert_eq!(sink.write_state(&state("2"), Some("1")).await, Ok(true));
    assert_eq!(sink.write_state(&state("3"), None).await, Ok(false));
    let requests = server.requests();
    let key = |key: &str| json!({"key": {"S": key}});
    assert_eq!(
        requests[0],
        (
            "DynamoDB_20120810.BatchGetItem".to_owned(),
            json!({"RequestItems": {"memory": {"Keys": [key("a"), key("b"), key("c")], "ConsistentRead": true}}})
        )
    );
    let put = |revision: &str, condition: Value| {
        let mut put = json!({"TableName": "memory", "Item": {"key": {"S": "a"}, "revision": {"S": revision}}});
        put.as_object_mut().unwrap().extend(condition.as_object().unwrap().clone());
        ("DynamoDB_20120810.PutItem".to_owned(), put)
    };
    let unchanged = json!({
        "ConditionExpression": "#name = :expected",
        "ExpressionAttributeNames": {"#name": "revision"},
        "ExpressionAttributeValues": {":expected": {"S": "1"}},
    });
    let missing = json!({
        "ConditionExpression": "attribute_not_exists(#name)",
        "ExpressionAttributeNames": {"#name": "key"},
    });
    assert_eq!(requests[1..], [put("2", unchanged), put("3", missing)]);
}

#[tokio::test]
async fn send_carries_the_event_id_and_finds_what_was_refused() {
    let server = Server::start(vec![
        (
            200,
            json!({
                "Successful": [{"Id": "0", "MessageId": "m", "MD5OfMessageBody": "x"}],
                "Failed": [{"Id": "1", "SenderFault": true, "Code": "InvalidMessageContents", "Message": "bad"}],
            }),
        ),
        (400, json!({"__type": "com.amazonaws.sqs#BatchRequestTooLong", "message": "too long"})),
        (400, json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "gone"})),
    ]);
    let sink = server.sink();
    let letters = [letter(1), letter(2), letter(3)];
    let refused = sink.send(&letters.iter().collect::<Vec<_>>()).await.unwrap();
    let sink_error = |permanent, code: &str, message: &str| SinkError {
        permanent,
        code: code.to_owned(),
        message: message.to_owned(),
    };
    let expected = [(1, sink_error(true, "InvalidMessageContents", "bad")), (2, sink_error(false, "NoAnswer", ""))];
    assert_eq!(refused, expected, "a letter that the answer does not mention was not taken");
    assert!(sink.send(&[&letters[0]]).await.unwrap_err().permanent);
    assert!(!sink.send(&[&letters[0]]).await.unwrap_err().permanent);

    let (operation, body) = &server.requests()[0];
    assert_eq!(operation, "AmazonSQS.SendMessageBatch");
    assert_eq!(body["QueueUrl"], format!("{}/queue/dlq", server.endpoint));
    assert_eq!(
        body["Entries"][0],
        json!({"Id": "0", "MessageBody": "{\"n\":1}",
            "MessageAttributes": {"eventId": {"DataType": "String", "StringValue": "shardId-0:1"}}})
    );
}

#[tokio::test]
async fn put_stores_an_object_and_tells_errors_apart() {
    let error = |code: &str| json!(format!("<Error><Code>{code}</Code><Message>m</Message></Error>"));
    let there = || (412, error("PreconditionFailed"));
    let server = Server::start(vec![
        (200, json!("")),
        (400, error("KeyTooLongError")),
        (403, error("AccessDenied")),
        there(),
        there(),
    ]);
    let sink = server.sink();
    let object = Object {
        key: "audit-logs/2026/01/02/03/7-e.json".to_owned(),
        body: br#"{"eventId":"e"}"#.to_vec(),
        content_type: "application/json",
        keep_existing: false,
    };
    let sink_error =
        |permanent, code: &str| Err(SinkError { permanent, code: code.to_owned(), message: "m".to_owned() });
    sink.runs_as("arn:aws:lambda:eu-west-1:123456789012:function:f");
    assert_eq!(sink.put(&object, false).await, Ok(false));
    assert_eq!(sink.put(&object, false).await, sink_error(true, "KeyTooLongError"));
    assert_eq!(sink.put(&object, false).await, sink_error(false, "AccessDenied"));
    assert_eq!(sink.put(&object, true).await, Ok(true));
    // Where the same key means the same object, one that is there is as good as stored.
    assert_eq!(sink.put(&Object { keep_existing: true, ..object }, false).await, Ok(true));
    let (operation, body) = &server.requests()[0];
    assert!(operation.starts_with("PUT /audit/audit-logs/2026/01/02/03/7-e.json"), "{operation}");
    assert!(operation.ends_with(" of 123456789012"), "{operation}");
    assert_eq!(*body, json!({"eventId": "e"}));
}

#[tokio::test]
async fn publish_carries_attributes_and_finds_what_was_refused() {
    let answer = "<PublishBatchResponse><PublishBatchResult>\
        <Successful><member><Id>0</Id><MessageId>m</MessageId></member></Successful>\
        <Failed><member><Id>1</Id><Code>InvalidParameter</Code><Message>bad</Message><SenderFault>true</SenderFault></member></Failed>\
        </PublishBatchResult></PublishBatchResponse>";
    let error = |code: &str| {
        json!(format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>"
        ))
    };
    let server = Server::start(vec![
        (200, json!(answer)),
        (400, error("InvalidParameter")),
        (400, error("BatchRequestTooLong")),
        (404, error("NotFound")),
    ]);
    let sink = server.sink();
    let message = |n: u32| Notification {
        subject: format!("INSERT {n}"),
        message: "{}".to_owned(),
        attributes: BTreeMap::from([("eventId", format!("e{n}"))]),
    };
    let messages = [message(1), message(2), message(3)];
    let refused = sink.publish(&messages.iter().collect::<Vec<_>>()).await.unwrap();
    let sink_error = |permanent, code: &str, message: &str| SinkError {
        permanent,
        code: code.to_owned(),
        message: message.to_owned(),
    };
    assert_eq!(refused, [(1, sink_error(true, "InvalidParameter", "bad")), (2, sink_error(false, "NoAnswer", ""))]);
    assert_eq!(
        sink.publish(&[&messages[0]]).await,
        Err(sink_error(false, "InvalidParameter", "m")),
        "the topic's ARN is wrong: that may be mended"
    );
    assert!(sink.publish(&[&messages[0]]).await.unwrap_err().permanent);
    assert!(!sink.publish(&[&messages[0]]).await.unwrap_err().permanent);
    let (operation, body) = &server.requests()[0];
    let body = body.as_str().unwrap();
    assert_eq!(operation, "POST /");
    for part in ["Action=PublishBatch", "TopicArn=arn%3Aaws%3Asns", "Subject=INSERT%201", "Value.StringValue=e1"] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
}
