//! Enhanced fan-out: subscriptions to shards, made by an AWS SDK over HTTP/1.1, as SDKs speak to `http://` endpoints, and over
//! HTTP/2, as they speak to AWS.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    ScalingType, ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
};
use serde_json::json;
use streamkit_local::{Options, Strictness};
use tokio::net::TcpStream;

use super::Aws;

const SHARD: &str = "shardId-000000000000";

struct Consumer {
    client: Client,
    arn: String,
}

impl Consumer {
    /// A consumer of the stream `s`.
    async fn register(aws: &Aws, shards: u32) -> Self {
        let stream = aws.stream("s", shards).await;
        let config = aws_sdk_kinesis::Config::builder()
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .endpoint_url(format!("http://{}", aws.address))
            .build();
        let client = Client::from_conf(config);
        let made = client.register_stream_consumer().stream_arn(stream).consumer_name("c").send().await;
        let made = made.expect("it is registered").consumer.expect("a consumer");
        let consumer = Self { client, arn: made.consumer_arn };
        let active = async {
            while consumer.status().await != "ACTIVE" {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), active).await.expect("the consumer becomes active");
        consumer
    }

    async fn status(&self) -> String {
        let described = self.client.describe_stream_consumer().consumer_arn(&self.arn).send().await.expect("an answer");
        described.consumer_description.expect("a description").consumer_status.as_str().to_owned()
    }

    async fn put(&self, data: &str) -> String {
        let put = self.client.put_record().stream_name("s").partition_key("k").data(Blob::new(data)).send().await;
        put.expect("it is put").sequence_number
    }

    fn position(kind: ShardIteratorType) -> StartingPosition {
        StartingPosition::builder().r#type(kind).build().expect("a position")
    }

    async fn subscribe(&self, position: StartingPosition) -> Subscription {
        let call = self.client.subscribe_to_shard().consumer_arn(&self.arn).shard_id(SHARD).starting_position(position);
        Subscription(call.send().await.expect("a subscription"))
    }
}

struct Subscription(SubscribeToShardOutput);

impl Subscription {
    /// The next event; none when the subscription is over.
    async fn event(&mut self) -> Option<SubscribeToShardEvent> {
        let next = tokio::time::timeout(Duration::from_secs(60), self.0.event_stream.recv());
        match next.await.expect("an event comes").expect("an event that can be read")? {
            SubscribeToShardEventStream::SubscribeToShardEvent(event) => Some(event),
            other => panic!("{other:?}"),
        }
    }

    /// The data of the next records, and where another subscription would go on.
    async fn records(&mut self) -> (Vec<String>, String) {
        loop {
            let event = self.event().await.expect("the subscription goes on");
            if !event.records.is_empty() {
                let text = |data: &Blob| String::from_utf8_lossy(data.as_ref()).into_owned();
                let records = event.records.iter().map(|record| text(&record.data)).collect();
                return (records, event.continuation_sequence_number);
            }
        }
    }
}

#[tokio::test]
async fn subscriber_of_an_sdk_gets_records_as_they_come() {
    let aws = Aws::start().await;
    let consumer = Consumer::register(&aws, 1).await;
    consumer.put("before").await;
    let mut oldest = consumer.subscribe(Consumer::position(ShardIteratorType::TrimHorizon)).await;
    assert_eq!(oldest.records().await.0, ["before"]);
    let mut latest = consumer.subscribe(Consumer::position(ShardIteratorType::Latest)).await;
    let first = latest.event().await.expect("an event in any case");
    assert!(first.records.is_empty());
    consumer.put("one").await;
    let (records, on) = latest.records().await;
    assert_eq!(records, ["one"]);
    assert!(oldest.event().await.is_none(), "the later subscription took the place of the first");

    consumer.put("two").await;
    for kind in [ShardIteratorType::AtSequenceNumber, ShardIteratorType::AfterSequenceNumber] {
        // Both where the last ended, and where it began.
        for from in [&on, &first.continuation_sequence_number] {
            let position = StartingPosition::builder().r#type(kind.clone()).sequence_number(from).build();
            let mut again = consumer.subscribe(position.expect("a position")).await;
            let expected = if *from == on { vec!["two"] } else { vec!["one", "two"] };
            assert_eq!(again.records().await.0, expected, "{kind}");
        }
    }
    consumer.client.deregister_stream_consumer().consumer_arn(&consumer.arn).send().await.expect("it goes");
    aws.stop().await;
}

#[tokio::test]
async fn subscription_ends_with_its_shard_and_names_the_children() {
    let aws = Aws::start().await;
    let consumer = Consumer::register(&aws, 1).await;
    consumer.put("last").await;
    let mut subscription = consumer.subscribe(Consumer::position(ShardIteratorType::TrimHorizon)).await;
    assert_eq!(subscription.records().await.0, ["last"]);
    let split = consumer.client.update_shard_count().stream_name("s").target_shard_count(2);
    split.scaling_type(ScalingType::UniformScaling).send().await.expect("it is split");
    let mut children = Vec::new();
    while let Some(event) = subscription.event().await {
        children.extend(event.child_shards.unwrap_or_default());
    }
    assert_eq!(children.len(), 2);
    assert!(children.iter().all(|child| child.parent_shards == [SHARD]), "{children:?}");
    aws.stop().await;
}

#[tokio::test]
async fn shard_is_subscribed_to_again_after_five_seconds() {
    let aws =
        Aws::with(Options { strict: Strictness { rates: true, ..Strictness::default() }, ..Options::default() }).await;
    let consumer = Consumer::register(&aws, 1).await;
    consumer.put("small").await;
    let mut subscription = consumer.subscribe(Consumer::position(ShardIteratorType::TrimHorizon)).await;
    assert_eq!(subscription.records().await.0, ["small"]);
    let call = consumer.client.subscribe_to_shard().consumer_arn(&consumer.arn).shard_id(SHARD);
    let again = call.starting_position(Consumer::position(ShardIteratorType::Latest)).send().await;
    let refused = again.expect_err("within five seconds").into_service_error();
    assert!(refused.is_resource_in_use_exception(), "{refused:?}");
    aws.stop().await;
}

#[tokio::test]
async fn what_can_not_be_subscribed_to_is_refused() {
    let aws = Aws::start().await;
    let consumer = Consumer::register(&aws, 1).await;
    let subscribe = |arn: &str, shard: &str, kind: &str| json!({"ConsumerARN": arn, "ShardId": shard, "StartingPosition": {"Type": kind}});
    let unknown = consumer.arn.replace("consumer/c", "consumer/other");
    for (input, code) in [
        (subscribe(&unknown, SHARD, "LATEST"), "ResourceNotFoundException"),
        (subscribe(&consumer.arn, "shardId-000000000007", "LATEST"), "ResourceNotFoundException"),
        (subscribe(&consumer.arn, SHARD, "EARLIEST"), "ValidationException"),
        (subscribe(&consumer.arn, SHARD, "AT_SEQUENCE_NUMBER"), "InvalidArgumentException"),
    ] {
        let refused = aws.kinesis_refused("SubscribeToShard", input.clone()).await.json();
        assert_eq!(refused["__type"], code, "{input}: {refused}");
    }
    aws.stop().await;
}

#[tokio::test]
async fn http_2_is_spoken_with_prior_knowledge_and_web_pages_are_refused_there_too() {
    let aws = Aws::start().await;
    let consumer = Consumer::register(&aws, 1).await;
    consumer.put("over HTTP/2").await;
    let stream = TcpStream::connect(aws.address).await.expect("connects");
    let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut sender = sender.ready().await.expect("it is open");
    let body = json!({
        "ConsumerARN": consumer.arn, "ShardId": SHARD, "StartingPosition": {"Type": "TRIM_HORIZON"},
    });
    for (authority, refused) in [(aws.address.to_string(), false), ("example.com:4566".to_owned(), true)] {
        let request = http::Request::post(format!("http://{authority}/"))
            .header("x-amz-target", "Kinesis_20131202.SubscribeToShard")
            .header("content-type", "application/x-amz-json-1.1")
            .body(())
            .expect("a request");
        let (answer, mut sending) = sender.send_request(request, false).expect("it is sent");
        sending.send_data(body.to_string().into_bytes().into(), true).expect("the body is sent");
        let answer = answer.await.expect("an answer");
        if refused {
            assert_eq!(answer.status(), 403);
            continue;
        }
        assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
        assert_eq!(answer.headers()["content-type"], "application/vnd.amazon.eventstream");
        let (mut events, mut seen) = (answer.into_body(), Vec::new());
        while !String::from_utf8_lossy(&seen).contains("\"PartitionKey\":\"k\"") {
            let part = tokio::time::timeout(Duration::from_secs(60), events.data()).await.expect("something comes");
            seen.extend_from_slice(&part.expect("the stream goes on").expect("it can be read"));
        }
    }
    drop(sender);
    aws.stop().await;
    connection.abort();
}
