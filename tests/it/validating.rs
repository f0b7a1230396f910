//! `validate` beside others: functions that read the same stream, messages that are not its own, subscribers of the topic.

use std::path::PathBuf;
use std::time::Duration;

use aws_sdk_dynamodb::types::Select;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use serde_json::Value;

use crate::harness::{Home, pipeline, runtime, sdk, until};

/// Two functions on one stream, each with a table; one takes purchases only. Their dead letters go to one queue.
fn two_readers(home: &Home) -> PathBuf {
    let second = "[table.purchases]\npartition_key = { name = \"userId\", type = \"S\" }\n\
        sort_key = { name = \"eventTimestamp\", type = \"N\" }\n\n\
        [function.buyers]\nrecipe = \"retail\"\nwrites = [\"table.purchases\"]\ndead_letters = \"queue.dlq\"\n\
        source = { from = \"stream.events\", bisect_on_error = true, max_retries = 3, on_failure = \"queue.dlq\", \
        filter = [{ data = { eventType = [\"purchase\"] } }] }\n\n[function.processor]";
    home.retail(&[("batch_window = \"5s\"", "batch_window = \"0s\""), ("[function.processor]", second)])
}

fn count(home: &Home, table: &str) -> i32 {
    let client = aws_sdk_dynamodb::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(client.scan().table_name(table).select(Select::Count).send()).unwrap().count
}

/// The queue's messages, without hiding them.
fn messages(home: &Home, queue: &str) -> Vec<Message> {
    let client = aws_sdk_sqs::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(async {
        let url = client.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
        let call = client.receive_message().queue_url(url).max_number_of_messages(10).visibility_timeout(0);
        let call = call.message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        call.send().await.unwrap().messages.unwrap_or_default()
    })
}

fn send(home: &Home, queue: &str, body: &str) {
    let client = aws_sdk_sqs::Client::new(&sdk(&home.endpoint()));
    runtime().block_on(async {
        let url = client.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
        client.send_message().queue_url(url).message_body(body).send().await.unwrap();
    });
}

#[test]
fn each_of_two_functions_on_one_stream_is_validated_and_nothing_of_either_is_left() {
    let home = Home::new();
    let spec = two_readers(&home);
    home.local("up", &spec, &["--yes"]);
    send(&home, "retail-events-dlq", "somebody else's");
    for function in ["processor", "buyers"] {
        let output = home.local_output("validate", &spec, &["--function", function]).expect(0);
        let report = output.json();
        assert_eq!(report["ok"], true, "{function}: {report:#}");
        // Those who are called then know why.
        let said =
            "may set off retail-events-dead-letters; retail-events-failed-events, and whoever they notify is told";
        assert_eq!(output.stderr.contains(said), function == "processor", "{output:#?}");
        // No poison passes the other one's filter, so it has nothing to look for in the queue.
        let searched = output.stderr.contains("retail-events-dlq holds about 1 messages of others");
        assert_eq!(searched, function == "processor", "{output:#?}");
        assert_eq!((count(&home, "retail-events-results"), count(&home, "retail-events-purchases")), (0, 0));
        let left = messages(&home, "retail-events-dlq");
        assert_eq!(left.iter().map(|message| message.body().unwrap()).collect::<Vec<_>>(), ["somebody else's"]);
    }
}

#[test]
fn a_filter_that_no_event_can_pass_is_said_at_once() {
    let home = Home::new();
    let filter = "from = \"stream.events\"\nfilter = [{ partitionKey = [\"somebody-else\"] }]";
    let spec = home.retail(&[("from = \"stream.events\"", filter)]);
    home.local("up", &spec, &["--yes"]);
    let before = home.calls().len();
    let output = home.local_output("validate", &spec, &[]).expect(1);
    assert!(output.stderr.contains("lets none of the events through that `validate` can send"), "{output:#?}");
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
}

#[test]
fn a_run_that_would_lose_records_of_others_is_refused() {
    let home = Home::new();
    let unsplit = ("bisect_on_error = true", "bisect_on_error = false");
    let spec = home.retail(&[unsplit]);
    home.local("up", &spec, &["--yes"]);
    let before = home.calls().len();
    let refused = home.local_output("validate", &spec, &["--break"]).expect(2);
    assert!(refused.stderr.contains("records of others in it would be lost"), "{refused:#?}");
    assert!(refused.stderr.contains("bisect_on_error = true there, or batch_size = 1"), "{refused:#?}");
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
}

#[test]
fn messages_of_others_are_not_moved_on_by_the_search() {
    let home = Home::new();
    let redriven = "[queue.given-up]\n\n[queue.dlq]\ndead_letters = \"queue.given-up\"\nmax_receives = 3  ";
    let spec = home.retail(&[("[queue.dlq]", redriven), ("batch_window = \"5s\"", "batch_window = \"0s\"")]);
    home.local("up", &spec, &["--yes"]);
    send(&home, "retail-events-dlq", "somebody else's");
    let output = home.local_output("validate", &spec, &["--timeout", "30s"]);
    assert!(output.stderr.contains("it moves messages on after 3 receives"), "{output:#?}");
    // Whoever it is meant for can still receive it.
    let body = |message: &Message| message.body().unwrap().to_owned();
    let left: Vec<_> = messages(&home, "retail-events-dlq").iter().map(body).collect();
    assert!(left.contains(&"somebody else's".to_owned()), "{left:?}");
    assert_eq!(messages(&home, "retail-events-given-up").iter().map(body).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn other_subscribers_of_a_topic_are_told_of_few_changes_and_that_is_said() {
    let home = Home::new();
    let text = std::fs::read_to_string(pipeline("change-capture.toml")).unwrap();
    let text = text.replacen("[topic.", "[queue.heard]\nretention = \"1d\"\n\n[topic.", 1);
    let line = text.lines().find(|line| line.trim_start().starts_with("subscribers")).unwrap().to_owned();
    let spec = home.changed(&text, &[(&line, "subscribers = [\"queue.heard\"]")]);
    home.local("up", &spec, &["--yes"]);
    let output = home.local_output("validate", &spec, &[]).expect(0);
    let report: Value = output.json();
    assert_eq!(report["ok"], true, "{report:#}");
    assert!(output.stderr.contains("other subscribers (change-capture-heard) are told"), "{output:#?}");
    let client = aws_sdk_sqs::Client::new(&sdk(&home.endpoint()));
    let heard = || {
        runtime().block_on(async {
            let url =
                client.get_queue_url().queue_name("change-capture-heard").send().await.unwrap().queue_url.unwrap();
            let name = aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessages;
            let answer = client.get_queue_attributes().queue_url(url).attribute_names(name.clone()).send().await;
            answer.unwrap().attributes.unwrap()[&name].parse::<usize>().unwrap()
        })
    };
    let heard =
        until("what the subscriber was told", Duration::from_secs(30), || Some(heard()).filter(|heard| *heard > 0));
    assert!(heard < 40, "{heard}");
}
