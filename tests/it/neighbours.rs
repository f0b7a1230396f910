//! A pipeline that goes up, fails, is killed, rolled back, changed and taken down, beside what is not its own: everything of others is
//! byte for byte the same after each step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_lambda::types::EventSourcePosition;
use serde_json::json;

use crate::everything::{everything, make_strangers, register_consumer};
use crate::harness::{Home, runtime, sdk, until};

const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-south-1"];

/// A node of every kind.
const SPEC: &str = r#"
name = "shop"
[stream.events]
[table.results]
partition_key = { name = "userId", type = "S" }
sort_key = { name = "eventTimestamp", type = "N" }
[bucket.kept]
[queue.dlq]
[queue.hears]
[function.processor]
recipe = "retail"
writes = ["table.results"]
dead_letters = "queue.dlq"
memory = 256
source = { from = "stream.events", on_failure = "queue.dlq", consumer = "enhanced-fan-out" }
[topic.alerts]
subscribers = ["queue.hears"]
[alarm.lag]
watch = "function.processor.iterator-age"
threshold = "5m"
notify = "topic.alerts"
[dashboard]
"#;

/// The same with other settings, another section more and one less.
fn changed(home: &Home) -> PathBuf {
    let text = SPEC.replace("[dashboard]\n", "[queue.more]\n").replace("memory = 256", "memory = 512\ntracing = true");
    let text = text.replace("[stream.events]\n", "[stream.events]\nshards = 2\nretention = \"48h\"\n");
    home.write("changed.toml", &text.replace("subscribers = [\"queue.hears\"]", "subscribers = []"))
}

struct Street {
    home: Home,
    configs: Vec<SdkConfig>,
    /// What others have, by kind and name.
    others: BTreeMap<String, String>,
}

impl Street {
    /// Everybody moves in but the pipeline.
    fn new() -> Self {
        let home = Home::new();
        let config = sdk(&home.endpoint());
        let configs: Vec<SdkConfig> =
            REGIONS.iter().map(|region| config.to_builder().region(Region::new(*region)).build()).collect();
        let spec = home.write("shop.toml", SPEC);
        // The same pipeline in another stage and in another region, and one whose name begins like it.
        home.local("up", &spec, &["--yes", "--stage", "dev"]);
        home.local("up", &spec, &["--yes", "--region", "eu-west-1"]);
        let next = home.write("next.toml", &SPEC.replace("name = \"shop\"", "name = \"shop-next\""));
        home.local("up", &next, &["--yes"]);
        // Similar names here, and the very names of the pipeline where it is not.
        make_strangers(&configs[0], "shop-old", "us-east-1");
        make_strangers(&configs[2], "shop", "ap-south-1");
        let mut street = Self { home, configs, others: BTreeMap::new() };
        // Mappings and functions of the others come to rest first.
        street.others = street.look();
        until("rest", Duration::from_secs(60), || {
            let before = std::mem::take(&mut street.others);
            street.others = street.look();
            (street.others == before).then_some(())
        });
        street
    }

    /// A stranger reads from the pipeline's stream and hears its topic: that is compared too, from now on.
    fn attach(&mut self) -> String {
        let before = self.look();
        let stream = "arn:aws:kinesis:us-east-1:000000000000:stream/shop-events";
        register_consumer(&self.configs[0], stream, "shop-processor-2");
        let mapping = runtime().block_on(async {
            let sns = aws_sdk_sns::Client::new(&self.configs[0]).subscribe().protocol("sqs");
            let sns = sns.topic_arn("arn:aws:sns:us-east-1:000000000000:shop-alerts");
            sns.endpoint("arn:aws:sqs:us-east-1:000000000000:shop-old-hears").send().await.unwrap();
            let lambda = aws_sdk_lambda::Client::new(&self.configs[0]).create_event_source_mapping().enabled(false);
            let lambda = lambda.function_name("shop-old-processor").event_source_arn(stream);
            lambda.starting_position(EventSourcePosition::TrimHorizon).send().await.unwrap().uuid.unwrap()
        });
        let attached = |look: BTreeMap<String, String>| -> BTreeMap<String, String> {
            // The topic's own attributes count its subscriptions.
            look.into_iter().filter(|(name, _)| !before.contains_key(name)).collect()
        };
        let mut now = attached(self.look());
        until("rest", Duration::from_secs(60), || {
            let last = std::mem::replace(&mut now, attached(self.look()));
            (now == last).then_some(())
        });
        assert_eq!(now.len(), 3, "{now:#?}");
        self.others.extend(now);
        mapping
    }

    fn look(&self) -> BTreeMap<String, String> {
        runtime().block_on(everything(&self.configs))
    }

    #[track_caller]
    fn assert_others_are_the_same(&self, after: &str) {
        let now = self.look();
        for (name, before) in &self.others {
            assert_eq!(now.get(name), Some(before), "{name}, after {after}");
        }
    }

    fn kill(&self, command: &str, spec: &Path, after: usize) {
        let (before, _) = self.home.calls_after(usize::MAX);
        let mut child = self.home.command();
        child.args([command, spec.to_str().unwrap(), "--local", "--yes"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        until("the call to kill at", Duration::from_secs(60), || {
            let reached = self.home.calls_after(usize::MAX).0 >= before + after;
            (reached || child.try_wait().unwrap().is_some()).then_some(())
        });
        let _ = child.kill();
        child.wait().unwrap();
    }
}

#[test]
fn what_others_have_is_the_same_whatever_happens_to_a_pipeline() {
    let mut street = Street::new();
    assert!(street.others.len() > 60, "{:#?}", street.others.keys());
    let (spec, changed) = (street.home.write("shop.toml", SPEC), changed(&street.home));
    let alone = street.others.clone();
    let lose = ["--yes", "--allow-delete", "queue.more"];

    let home = &street.home;
    home.fault("lambda", "CreateEventSourceMapping", 1, 400, "AccessDeniedException");
    home.local_output("up", &spec, &["--yes", "--rollback"]).expect(1);
    street.assert_others_are_the_same("a rollback");
    assert_eq!(street.look(), street.others, "the rollback left something");
    for after in [30, 60, 90] {
        street.kill("up", &spec, after);
        street.assert_others_are_the_same("a killed up");
    }
    home.local("up", &spec, &["--yes"]);
    street.assert_others_are_the_same("up");
    let mapping = street.attach();
    let home = &street.home;
    for after in [40, 70] {
        street.kill("up", &changed, after);
        street.assert_others_are_the_same("a killed change");
    }
    home.local("up", &changed, &["--yes"]);
    street.assert_others_are_the_same("a change");
    // What a neighbour takes away or changes is its own.
    home.local("up", &spec, &lose);
    home.local("validate", &spec, &[]);
    street.assert_others_are_the_same("validate");
    home.local("up", &spec, &["--yes", "--adopt"]);
    street.assert_others_are_the_same("up --adopt");
    // What is attached goes with what it is attached to; a mapping that would outlive it is its owner's to delete.
    let lambda = aws_sdk_lambda::Client::new(&street.configs[0]);
    runtime().block_on(lambda.delete_event_source_mapping().uuid(mapping).send()).unwrap();
    street.others = alone;
    let home = &street.home;
    street.kill("down", &spec, 60);
    street.assert_others_are_the_same("a killed down");
    home.local("down", &spec, &["--yes"]);
    assert_eq!(street.look(), street.others, "down left something, or took something");

    // By name alone, too, and where strangers have all of its names: nothing can be made there, and nothing is taken.
    for args in [&["down", "--name", "shop"][..], &["down", "--name", "shop", "--region", "ap-south-1"]] {
        let down = home.run(&[args, &["--local", "--yes", "--json"]].concat()).expect(0).json();
        assert_eq!(down["resources"], json!([]), "{down:#}");
    }
    let up = home.local_output("up", &spec, &["--yes", "--region", "ap-south-1"]).expect(1);
    assert!(up.stderr.contains("exists already"), "{up:#?}");
    assert_eq!(street.look(), street.others, "a refused up");

    // The others can still be taken away by their own names.
    home.local("down", &spec, &["--yes", "--stage", "dev"]);
    home.local("down", &spec, &["--yes", "--region", "eu-west-1"]);
    let next = home.write("next.toml", &SPEC.replace("name = \"shop\"", "name = \"shop-next\""));
    home.local("down", &next, &["--yes"]);
    let left = street.look();
    let strangers = |name: &&String| name.contains("ap-south-1") || name.contains("shop-old");
    let gone: Vec<_> = street.others.iter().filter(|(name, _)| !left.contains_key(*name)).collect();
    assert!(gone.iter().all(|(name, _)| !strangers(name)), "{gone:#?}");
    assert!(left.keys().all(|name| strangers(&name)), "{:#?}", left.keys());
}
