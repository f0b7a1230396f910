//! One source and many readers: topics that feed queues, filters, windows, and consumers with a throughput of their own.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::changes::{ChangeCase, changed_fields, changes_in_place_and_back};
use crate::flow::assert_nothing_is_left;
use crate::harness::{Home, pipeline, runtime, sdk, until};

const TOPICS: &str = r#"
name = "fan"

[queue.a]

[queue.b]

[queue.dead]

[topic.t]
subscribers = ["queue.a"]

[topic.u]
"#;

const TOPIC_CHANGES: [ChangeCase; 7] = [
    ("[\"queue.a\"]", "[\"queue.a\", \"queue.b\"]", "topic.t", &["subscribers"]),
    ("[\"queue.a\"]", "[\"queue.b\"]", "topic.t", &["subscribers"]),
    ("[\"queue.a\"]", "[{ to = \"queue.a\", raw = true }]", "topic.t", &["subscribers"]),
    (
        "[\"queue.a\"]",
        "[{ to = \"queue.a\", filter = { kind = [\"x\", { prefix = \"y\" }] } }]",
        "topic.t",
        &["subscribers"],
    ),
    (
        "[\"queue.a\"]",
        "[{ to = \"queue.a\", filter = { order = { kind = [\"x\"] } }, filter_on = \"body\" }]",
        "topic.t",
        &["subscribers"],
    ),
    ("[topic.u]\n", "[topic.u]\nsubscribers = [\"queue.a\"]\n", "queue.a", &["fed_by"]),
    (
        "[queue.a]\n",
        "[queue.a]\ndead_letters = \"queue.dead\"\nmax_receives = 7\n",
        "queue.a",
        &["dead_letters", "max_receives"],
    ),
];

#[test]
fn every_setting_of_a_subscriber_changes_in_place_and_back() {
    let home = Home::new();
    changes_in_place_and_back(&home, TOPICS, &TOPIC_CHANGES);
    home.local("down", &home.changed(TOPICS, &[]), &["--yes"]);
    assert_nothing_is_left(&home);
}

#[test]
fn what_was_done_to_a_queue_and_its_subscription_behind_our_back_is_mended() {
    let home = Home::new();
    let redrive = ("[queue.a]\n", "[queue.a]\ndead_letters = \"queue.dead\"\n");
    let spec = home.changed(TOPICS, &[redrive]);
    home.local("up", &spec, &["--yes"]);
    let config = sdk(&home.endpoint());
    runtime().block_on(async {
        use aws_sdk_sqs::types::QueueAttributeName as Name;
        let sqs = aws_sdk_sqs::Client::new(&config);
        let url = sqs.get_queue_url().queue_name("fan-a").send().await.unwrap().queue_url.unwrap();
        let set =
            sqs.set_queue_attributes().queue_url(url).attributes(Name::Policy, "").attributes(Name::RedrivePolicy, "");
        set.send().await.unwrap();
        let sns = aws_sdk_sns::Client::new(&config);
        let list = sns.list_subscriptions().send().await.unwrap().subscriptions.unwrap();
        sns.unsubscribe().subscription_arn(list[0].subscription_arn.as_deref().unwrap()).send().await.unwrap();
    });
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(changed_fields(&up, "queue.a"), ["dead_letters", "fed_by", "max_receives"]);
    assert_eq!(changed_fields(&up, "topic.t"), ["subscribers"]);
    let again = home.local("plan", &spec, &[]);
    assert_eq!(again["summary"]["unchanged"], again["resources"].as_array().unwrap().len(), "{again:#}");
}

const READERS: &str = r#"
name = "readers"

[stream.events]
shards = 2

[table.clicks]
partition_key = { name = "user_id", type = "S" }
sort_key = { name = "sequence", type = "S" }

[function.one]
recipe = "clickstream"
writes = ["table.clicks"]

[function.one.source]
from = "stream.events"

[function.two]
recipe = "clickstream"
writes = ["table.clicks"]

[function.two.source]
from = "stream.events"
consumer = "enhanced-fan-out"
"#;

const READER_CHANGES: [ChangeCase; 3] = [
    (
        "consumer = \"enhanced-fan-out\"\n",
        "consumer = \"enhanced-fan-out\"\nfilter = [{ data = { event_type = [\"purchase\"] } }, '{\"partitionKey\":[\"a\"]}']\n",
        "function.two.source",
        &["filter"],
    ),
    (
        "consumer = \"enhanced-fan-out\"\n",
        "consumer = \"enhanced-fan-out\"\ntumbling_window = \"30s\"\n",
        "function.two.source",
        &["tumbling_window"],
    ),
    (
        "from = \"stream.events\"\n\n",
        "from = \"stream.events\"\nfilter = [{ data = { event_type = [\"click\"] } }]\n\n",
        "function.one.source",
        &["filter"],
    ),
];

#[test]
fn two_functions_read_one_stream_and_one_of_them_fans_out() {
    let home = Home::new();
    changes_in_place_and_back(&home, READERS, &READER_CHANGES);
    let spec = home.changed(READERS, &[]);
    let config = sdk(&home.endpoint());
    let kinesis = aws_sdk_kinesis::Client::new(&config);

    // A consumer that is registered again has another ARN, and the mapping follows it.
    let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/readers-events";
    runtime().block_on(async {
        let consumers = kinesis.list_stream_consumers().stream_arn(stream).send().await.unwrap().consumers.unwrap();
        assert_eq!(
            consumers.iter().map(|consumer| consumer.consumer_name.as_str()).collect::<Vec<_>>(),
            ["readers-two"]
        );
        kinesis.deregister_stream_consumer().stream_arn(stream).consumer_name("readers-two").send().await.unwrap();
    });
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!((&up["summary"]["create"], &up["summary"]["replace"]), (&json!(1), &json!(1)), "{up:#}");
    assert_eq!(home.local("plan", &spec, &[])["summary"]["replace"], 0);

    // A function that left the spec takes its consumer along.
    let one = READERS.split("[function.two]").next().unwrap();
    let up = home.local("up", &home.changed(one, &[]), &["--yes"]);
    assert_eq!(up["summary"]["delete"], 5, "{up:#}");
    runtime().block_on(async {
        let consumers = kinesis.list_stream_consumers().stream_arn(stream).send().await.unwrap().consumers;
        assert!(consumers.unwrap_or_default().is_empty());
    });
    home.local("up", &home.changed(READERS, &[]), &["--yes"]);
    home.run(&["down", "--name", "readers", "--local", "--yes"]).expect(0);
    assert_nothing_is_left(&home);
}

/// The bodies of the messages that a queue holds.
fn bodies(config: &aws_config::SdkConfig, queue: &str) -> Vec<Value> {
    let sqs = aws_sdk_sqs::Client::new(config);
    runtime().block_on(async {
        let url = sqs.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
        let receive = sqs.receive_message().queue_url(url).max_number_of_messages(10).visibility_timeout(0);
        let messages = receive.send().await.unwrap().messages.unwrap_or_default();
        messages.iter().map(|message| serde_json::from_str(message.body().unwrap()).unwrap()).collect()
    })
}

#[test]
fn each_queue_gets_the_notifications_that_its_filter_lets_through() {
    let home = Home::new();
    let spec = pipeline("fan-out.toml");
    let up = home.local("up", &spec, &["--yes"]);
    let before = home.calls().len();
    let again = home.local("up", &spec, &["--yes"]);
    assert_eq!(again["summary"]["unchanged"], up["summary"]["create"], "{again:#}");
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
    let config = sdk(&home.endpoint());
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    runtime().block_on(async {
        for state in ["open", "paid"] {
            let put = dynamodb.put_item().table_name("orders-orders");
            let put = put
                .item("orderId", AttributeValue::S("1".to_owned()))
                .item("state", AttributeValue::S(state.to_owned()));
            put.send().await.unwrap();
        }
    });
    let limit = Duration::from_secs(60);
    let search = until("both notifications", limit, || {
        Some(bodies(&config, "orders-search")).filter(|bodies| bodies.len() == 2)
    });
    // Raw: what was published; otherwise it is in SNS's envelope.
    assert!(search.iter().all(|body| body["auditObject"].is_string()), "{search:#?}");
    let attribute = |body: &Value| body["MessageAttributes"]["eventName"]["Value"].as_str().unwrap().to_owned();
    let one = |queue| until(queue, limit, || Some(bodies(&config, queue)).filter(|bodies| bodies.len() == 1));
    assert_eq!(attribute(&one("orders-fulfilment")[0]), "INSERT");
    assert_eq!(attribute(&one("orders-billing")[0]), "MODIFY");
    home.local("down", &spec, &["--yes"]);
    assert_nothing_is_left(&home);
}
