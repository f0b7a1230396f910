//! The real sink against a server that answers as told: what goes over the wire, and how answers are understood.
#![expect(clippy::unwrap_used, reason = "a test, in which clippy does not count the functions below")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use streamkit_handler::aws::Aws;
use streamkit_handler::config::Config;
use streamkit_handler::dead_letter::Letter;
use streamkit_handler::sink::{Fault, Sink as _};
use streamkit_recipes::{Attribute, Item};

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
                let body = body.to_string();
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
            dead_letter_queue_url: Some(format!("{}/queue/dlq", self.endpoint)),
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

/// Reads a request; returns its operation and body.
fn read(stream: &TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let mut headers = BTreeMap::new();
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
    assert!(headers["authorization"].contains("/eu-west-1/"), "{headers:?}");
    let mut body = vec![0; headers["content-length"].parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some((headers["x-amz-target"].clone(), serde_json::from_slice(&body).ok()?))
}

fn item(user: &str) -> Item {
    BTreeMap::from([
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

fn letter(n: u32) -> Letter {
    Letter { event_id: format!("shardId-0:{n}"), body: format!("{{\"n\":{n}}}") }
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
    let fault = |permanent, code: &str| Err(Fault { permanent, code: code.to_owned(), message: "m".to_owned() });
    assert_eq!(sink.write(&[&item("a")]).await, fault(true, "ValidationException"));
    assert_eq!(sink.write(&[&item("a")]).await, fault(false, "AccessDeniedException"));
    assert_eq!(sink.write(&[&item("a")]).await, fault(false, "ProvisionedThroughputExceededException"));
    assert_eq!(server.requests().len(), 5, "three attempts for what may pass");

    // The server has said all that it was told to, and is gone.
    let gone = sink.write(&[&item("a")]).await.unwrap_err();
    assert_eq!((gone.permanent, &*gone.code), (false, "NoConnection"), "{gone}");
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
    let fault =
        |permanent, code: &str, message: &str| Fault { permanent, code: code.to_owned(), message: message.to_owned() };
    let expected = [(1, fault(true, "InvalidMessageContents", "bad")), (2, fault(false, "NoAnswer", ""))];
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
