//! Who is subscribed to the pipeline's topics: those of the spec, those that it had, and others.

use std::collections::BTreeSet;

use serde_json::json;

use crate::changes::changed_fields;
use crate::harness::{Home, runtime, sdk};

const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:shop-news";
const ACCOUNT: &str = "arn:aws:sqs:us-east-1:000000000000";

fn spec(home: &Home, subscribers: &str) -> std::path::PathBuf {
    let text = format!("name = \"shop\"\n[queue.a]\n[queue.b]\n[topic.news]\nsubscribers = [{subscribers}]\n");
    home.write("shop.toml", &text)
}

#[test]
fn subscribers_of_others_are_shown_and_left_alone() {
    let home = Home::new();
    home.local("up", &spec(&home, "\"queue.a\""), &["--yes"]);
    let config = sdk(&home.endpoint());
    let sns = aws_sdk_sns::Client::new(&config);
    let subscribe = |queue: &str| {
        runtime().block_on(sns.subscribe().topic_arn(TOPIC).protocol("sqs").endpoint(queue).send()).unwrap();
    };
    let there = || -> BTreeSet<String> {
        let listed = runtime().block_on(sns.list_subscriptions_by_topic().topic_arn(TOPIC).send()).unwrap();
        listed.subscriptions.unwrap_or_default().into_iter().filter_map(|at| at.endpoint).collect()
    };
    let queues = |names: &[&str]| names.iter().map(|name| format!("{ACCOUNT}:{name}")).collect::<BTreeSet<_>>();
    runtime().block_on(aws_sdk_sqs::Client::new(&config).create_queue().queue_name("theirs").send()).unwrap();
    subscribe(&format!("{ACCOUNT}:theirs"));

    let before = home.calls().len();
    let plan = home.local("plan", &spec(&home, "\"queue.a\""), &[]);
    assert_eq!((&plan["summary"]["unchanged"], plan["attached"].as_array().unwrap().len()), (&json!(3), 1), "{plan:#}");
    assert_eq!(plan["attached"][0]["node"], "topic.news", "{plan:#}");
    assert_eq!(plan["attached"][0]["name"], format!("sqs:{ACCOUNT}:theirs"), "{plan:#}");
    home.local("up", &spec(&home, "\"queue.a\""), &["--yes"]);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());

    // What an earlier form of the file subscribed goes, what somebody else did stays.
    let up = home.local("up", &spec(&home, "\"queue.b\""), &["--yes"]);
    assert_eq!(changed_fields(&up, "topic.news"), ["subscribers"], "{up:#}");
    assert_eq!(there(), queues(&["shop-b", "theirs"]));
    home.local("up", &spec(&home, ""), &["--yes"]);
    assert_eq!(there(), queues(&["theirs"]));

    // One that the file takes over is ours, and goes with it.
    subscribe(&format!("{ACCOUNT}:shop-a"));
    let up = home.local("up", &spec(&home, "\"queue.a\""), &["--yes"]);
    assert_eq!(changed_fields(&up, "topic.news"), ["subscriber_record"], "{up:#}");
    home.local("up", &spec(&home, ""), &["--yes"]);
    assert_eq!(there(), queues(&["theirs"]));
    home.local("down", &spec(&home, ""), &["--yes"]);
}

#[test]
fn what_a_killed_validate_has_left_is_known_by_its_tags_and_not_by_its_name() {
    let home = Home::new();
    home.local("up", &spec(&home, ""), &["--yes"]);
    let config = sdk(&home.endpoint());
    let (sns, sqs) = (aws_sdk_sns::Client::new(&config), aws_sdk_sqs::Client::new(&config));
    let left = |queue: &str, tags: &[(&str, &str)]| {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        runtime().block_on(async {
            sqs.create_queue().queue_name(queue).set_tags(Some(tags)).send().await.unwrap();
            let subscribe = sns.subscribe().topic_arn(TOPIC).protocol("sqs").endpoint(format!("{ACCOUNT}:{queue}"));
            subscribe.send().await.unwrap();
        });
    };
    let ours = [("streamkit:pipeline", "shop"), ("streamkit:node", "validate.mailbox")];
    left("shop-validate-0123456789ab", &[&ours[..], &[("streamkit:validate", "0123456789ab")]].concat());
    left("shop-validate-123456789abc", &[("Team", "theirs")]);
    left("shop-validate-23456789abcd", &[("streamkit:pipeline", "other"), ("streamkit:validate", "23456789abcd")]);
    // Its queue is gone, so that nobody is told anything through it.
    let gone = format!("{ACCOUNT}:shop-validate-3456789abcde");
    runtime().block_on(sns.subscribe().topic_arn(TOPIC).protocol("sqs").endpoint(gone).send()).unwrap();

    let others = ["shop-validate-123456789abc", "shop-validate-23456789abcd"];
    let of_others = others.map(|queue| json!(format!("sqs:{ACCOUNT}:{queue}")));
    let up = home.local("up", &spec(&home, ""), &["--yes"]);
    let deleted = up["resources"].as_array().unwrap().iter().filter(|node| node["action"] == "delete");
    assert_eq!(deleted.map(|node| &node["name"]).collect::<Vec<_>>(), ["shop-validate-0123456789ab"], "{up:#}");
    let plan = home.local("plan", &spec(&home, ""), &[]);
    let attached: Vec<_> = plan["attached"].as_array().unwrap().iter().map(|at| at["name"].clone()).collect();
    assert_eq!(attached, of_others, "{plan:#}");
    let listed = runtime().block_on(sns.list_subscriptions_by_topic().topic_arn(TOPIC).send()).unwrap();
    assert_eq!(listed.subscriptions().len(), 2, "{listed:#?}");
    home.local("down", &spec(&home, ""), &["--yes"]);
    let queues = runtime().block_on(sqs.list_queues().send()).unwrap().queue_urls.unwrap();
    assert_eq!(queues.len(), 2, "{queues:?}");
}

#[test]
fn a_run_that_is_cut_short_leaves_no_subscription_that_nobody_can_tell_from_anothers() {
    let home = Home::new();
    home.local("up", &spec(&home, ""), &["--yes"]);
    let sns = aws_sdk_sns::Client::new(&sdk(&home.endpoint()));
    let count = || {
        let listed = runtime().block_on(sns.list_subscriptions_by_topic().topic_arn(TOPIC).send()).unwrap();
        listed.subscriptions.unwrap_or_default().len()
    };
    // The subscription is made, its record can't be made better afterwards, and the file changes its mind.
    home.local("up", &spec(&home, "\"queue.a\""), &["--yes"]);
    home.fault("sns", "Subscribe", 1, 400, "AuthorizationError");
    home.local_output("up", &spec(&home, "\"queue.b\""), &["--yes"]).expect(1);
    home.lose_answer("sns", "Subscribe");
    home.fault("sns", "Unsubscribe", 1, 400, "AuthorizationError");
    home.local_output("up", &spec(&home, "\"queue.b\""), &["--yes"]).expect(1);
    assert_eq!(count(), 2);
    home.local("up", &spec(&home, ""), &["--yes"]);
    assert_eq!(count(), 0);
    home.local("down", &spec(&home, ""), &["--yes"]);
}

#[test]
fn subscriptions_that_an_earlier_version_made_are_recorded_once() {
    let home = Home::new();
    let spec = spec(&home, "\"queue.a\"");
    home.local("up", &spec, &["--yes"]);
    let sns = aws_sdk_sns::Client::new(&sdk(&home.endpoint()));
    let untag = sns.untag_resource().resource_arn(TOPIC).tag_keys("streamkit:subscribers");
    runtime().block_on(untag.send()).unwrap();
    let up = home.local("up", &spec, &["--yes"]);
    assert_eq!(changed_fields(&up, "topic.news"), ["subscriber_record"], "{up:#}");
    let before = home.calls().len();
    home.local("up", &spec, &["--yes"]);
    assert_eq!(home.mutating_calls(before), Vec::<String>::new());
}
