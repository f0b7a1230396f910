//! A seeded run of changes, faults, kills and meddling. After each step: what AWS has is what the spec says, another `up` calls
//! nothing that changes anything, what is not ours is untouched, and no data is gone. In the end nothing is left.
//!
//! `STREAMKIT_CHAOS_STEPS` (15) and `STREAMKIT_CHAOS_SEED` (1) make it longer and other.

use std::fmt::Write as _;
use std::process::Stdio;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, Select,
};
use aws_sdk_sqs::types::QueueAttributeName;
use fastrand::Rng;

use crate::harness::{Home, finish, runtime, sdk, until};

/// What comes and goes with the settings below, and may take along what it holds.
const LOSE: [&str; 6] =
    ["--allow-delete", "queue.extra", "--allow-delete", "queue.heard", "--allow-delete", "stream.extra"];

/// Settings of the spec, each with the texts that it can have. The first is what the run begins with.
const SETTINGS: [(&str, &[&str]); 22] = [
    ("SHARDS", &["shards = 1", "shards = 2", "shards = 3", "mode = \"on-demand\""]),
    ("STREAM_RETENTION", &["retention = \"24h\"", "retention = \"72h\""]),
    ("STREAM_ENCRYPTION", &["", "encryption = \"none\""]),
    ("BILLING", &["", "billing = { read = 5, write = 5 }", "billing = { read = 2, write = 7 }"]),
    ("TTL", &["", "ttl = \"expiresAt\"", "ttl = \"goneAt\""]),
    ("TABLE_STREAM", &["", "stream = \"new-image\"", "stream = \"keys-only\""]),
    ("RECOVERY", &["", "point_in_time_recovery = true"]),
    ("VERSIONS", &["", "versioning = true"]),
    ("EXPIRE", &["", "expire = \"30d\""]),
    ("DLQ_RETENTION", &["retention = \"14d\"", "retention = \"7d\""]),
    ("MEMORY", &["memory = 256", "memory = 512"]),
    ("TIMEOUT", &["timeout = \"1m\"", "timeout = \"90s\""]),
    ("TRACING", &["", "tracing = true"]),
    ("ENVIRONMENT", &["", "environment = { FIRST = \"1\" }", "environment = { SECOND = \"2\" }"]),
    ("CONCURRENCY", &["", "reserved_concurrency = 5"]),
    ("LOGS", &["log_retention = \"14d\"", "log_retention = \"30d\""]),
    (
        "READING",
        &[
            "batch_size = 100",
            "batch_size = 10\nbatch_window = \"1s\"\nmax_retries = 2",
            "consumer = \"enhanced-fan-out\"",
            "filter = [{ data = { eventType = [\"purchase\"] } }]",
            "enabled = false",
        ],
    ),
    ("THRESHOLD", &["threshold = 10", "threshold = 20\nevaluation_periods = 2"]),
    ("TAGS", &["Team = \"shop\"", "Team = \"ops\"\nStage = \"test\""]),
    ("QUEUE", &["", "[queue.extra]\n", "[queue.extra]\ndead_letters = \"queue.dlq\"\n"]),
    ("TOPIC", &["", "[topic.extra]\n", "[queue.heard]\n[topic.extra]\nsubscribers = [\"queue.heard\"]\n"]),
    ("MORE", &["", "[stream.extra]\n[dashboard]\n", "[alarm.extra]\nwatch = \"queue.dlq.depth\"\nthreshold = 0\n"]),
];

const SPEC: &str = r#"
name = "chaos"
[tags]
@TAGS@
[stream.events]
@SHARDS@
@STREAM_RETENTION@
@STREAM_ENCRYPTION@
[table.results]
partition_key = { name = "userId", type = "S" }
sort_key = { name = "eventTimestamp", type = "N" }
@BILLING@
@TTL@
@TABLE_STREAM@
@RECOVERY@
[bucket.kept]
@VERSIONS@
@EXPIRE@
[queue.dlq]
@DLQ_RETENTION@
[function.processor]
recipe = "retail"
writes = ["table.results"]
dead_letters = "queue.dlq"
@MEMORY@
@TIMEOUT@
@TRACING@
@ENVIRONMENT@
@CONCURRENCY@
@LOGS@
[function.processor.source]
from = "stream.events"
on_failure = "queue.dlq"
@READING@
[topic.alerts]
[alarm.failed]
metric = "RetailEventProcessing/FailedEvents"
statistic = "sum"
notify = "topic.alerts"
@THRESHOLD@
@QUEUE@
@TOPIC@
@MORE@
"#;

/// Calls that change something, of which one is made to fail.
const CALLS: [(&str, &str); 24] = [
    ("kinesis", "CreateStream"),
    ("kinesis", "UpdateShardCount"),
    ("kinesis", "UpdateStreamMode"),
    ("kinesis", "StartStreamEncryption"),
    ("kinesis", "IncreaseStreamRetentionPeriod"),
    ("kinesis", "RegisterStreamConsumer"),
    ("dynamodb", "UpdateTable"),
    ("dynamodb", "UpdateTimeToLive"),
    ("dynamodb", "DescribeTable"),
    ("sqs", "CreateQueue"),
    ("sqs", "SetQueueAttributes"),
    ("sns", "CreateTopic"),
    ("sns", "Subscribe"),
    ("s3", "PutBucketVersioning"),
    ("iam", "PutRolePolicy"),
    ("iam", "TagRole"),
    ("logs", "PutRetentionPolicy"),
    ("lambda", "UpdateFunctionConfiguration"),
    ("lambda", "PutFunctionConcurrency"),
    ("lambda", "UpdateEventSourceMapping"),
    ("lambda", "CreateEventSourceMapping"),
    ("lambda", "DeleteEventSourceMapping"),
    ("cloudwatch", "PutMetricAlarm"),
    ("cloudwatch", "DescribeAlarms"),
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

/// One embedded AWS, the spec as it is now, and what must still be there in the end.
struct World {
    home: Home,
    random: Rng,
    chosen: Vec<usize>,
    config: aws_config::SdkConfig,
    items: usize,
    objects: usize,
    letters: usize,
    foreign: String,
}

impl World {
    fn new(seed: u64) -> Self {
        let home = Home::new();
        let config = sdk(&home.endpoint());
        let chosen = vec![0; SETTINGS.len()];
        let mut world = Self {
            home,
            random: Rng::with_seed(seed),
            chosen,
            config,
            items: 0,
            objects: 0,
            letters: 0,
            foreign: String::new(),
        };
        world.settle();
        world.make_what_is_foreign();
        world.foreign = world.look_at_what_is_foreign();
        world
    }

    fn spec(&self) -> std::path::PathBuf {
        let mut text = SPEC.to_owned();
        for ((name, texts), chosen) in SETTINGS.iter().zip(&self.chosen) {
            text = text.replace(&format!("@{name}@"), texts[*chosen]);
        }
        self.home.write("chaos.toml", &text)
    }

    /// Changes one to three settings.
    fn change(&mut self) -> String {
        let mut said = String::new();
        for _ in 0..self.random.usize(1..4) {
            let setting = self.random.usize(0..SETTINGS.len());
            let (name, texts) = SETTINGS[setting];
            self.chosen[setting] = (self.chosen[setting] + self.random.usize(1..texts.len())) % texts.len();
            let _ = write!(said, " {name}={:?}", texts[self.chosen[setting]]);
        }
        said
    }

    /// Runs `up`, which nothing disturbs now, and then sees that all is as it should be.
    #[track_caller]
    fn settle(&self) {
        let spec = self.spec();
        self.home.disarm();
        self.home.local("up", &spec, &[&["--yes"], &LOSE[..]].concat());
        let (before, _) = self.home.calls_after(usize::MAX);
        let again = self.home.local("up", &spec, &[&["--yes"], &LOSE[..]].concat());
        assert_eq!(again["summary"]["unchanged"], again["resources"].as_array().unwrap().len(), "{again:#}");
        assert_eq!(self.home.mutating_calls(before), Vec::<String>::new());
    }

    /// Arms a fault that one of the next runs may meet.
    fn arm(&mut self) -> String {
        let (service, operation) = CALLS[self.random.usize(0..CALLS.len())];
        match self.random.u8(0..4) {
            0 => self.home.fault(service, operation, 1, 400, "AccessDeniedException"),
            1 => self.home.fault(service, operation, 2, 500, "InternalFailure"),
            2 => self.home.fault(service, operation, 2, 400, "ThrottlingException"),
            _ => self.home.lose_answer(service, operation),
        }
        format!("{service} {operation}")
    }

    /// Kills a run after some of its calls.
    fn kill(&mut self) {
        let spec = self.spec();
        let after = self.random.usize(1..25);
        let (before, _) = self.home.calls_after(usize::MAX);
        let mut child = self.home.command();
        child
            .args(["up", spec.to_str().unwrap(), "--local", "--yes"])
            .args(LOSE)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        until("the call to kill at", std::time::Duration::from_secs(60), || {
            let reached = self.home.calls_after(usize::MAX).0 >= before + after;
            (reached || child.try_wait().unwrap().is_some()).then_some(())
        });
        let _ = child.kill();
        child.wait().unwrap();
    }

    fn two_at_once(&self) {
        let spec = self.spec();
        let start = || {
            let mut command = self.home.command();
            command.args(["up", spec.to_str().unwrap(), "--local", "--yes"]).args(LOSE);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let both = [start(), start()];
        // One may meet what the other is just changing; what counts is that the next run finds nothing to do.
        for run in both {
            drop(finish(run));
        }
    }

    /// Changes something behind streamkit's back; `plan` must say so.
    fn meddle(&mut self) -> &'static str {
        let config = &self.config;
        let (what, done): (&str, Result<(), String>) = runtime().block_on(async {
            fn ok<T, E: std::fmt::Debug>(answer: Result<T, E>) -> Result<(), String> {
                answer.map(drop).map_err(|error| format!("{error:?}"))
            }
            match self.random.u8(0..9) {
                0 => {
                    let client = aws_sdk_cloudwatch::Client::new(config);
                    ("no alarm", ok(client.delete_alarms().alarm_names("chaos-failed").send().await))
                }
                1 => {
                    let client = aws_sdk_iam::Client::new(config);
                    let call =
                        client.delete_role_policy().role_name("chaos-processor-us-east-1").policy_name("streamkit");
                    ("no policy", ok(call.send().await))
                }
                2 => {
                    let client = aws_sdk_lambda::Client::new(config);
                    let call =
                        client.update_function_configuration().function_name("chaos-processor").memory_size(1024);
                    ("other memory", ok(call.send().await))
                }
                3 => {
                    let client = aws_sdk_lambda::Client::new(config);
                    let all = client.list_event_source_mappings().function_name("chaos-processor").send().await;
                    let uuid = all.unwrap().event_source_mappings.unwrap()[0].uuid.clone().unwrap();
                    ("no mapping", ok(client.delete_event_source_mapping().uuid(uuid).send().await))
                }
                4 => {
                    let client = aws_sdk_sqs::Client::new(config);
                    let url = client.get_queue_url().queue_name("chaos-dlq").send().await.unwrap().queue_url.unwrap();
                    let call = client.set_queue_attributes().queue_url(url);
                    let call = call.attributes(QueueAttributeName::VisibilityTimeout, "77");
                    ("other visibility", ok(call.send().await))
                }
                5 => {
                    let client = aws_sdk_cloudwatchlogs::Client::new(config);
                    let call = client.delete_log_group().log_group_name("/aws/lambda/chaos-processor");
                    ("no log group", ok(call.send().await))
                }
                6 => {
                    let client = aws_sdk_sns::Client::new(config);
                    let call = client.delete_topic().topic_arn("arn:aws:sns:us-east-1:000000000000:chaos-alerts");
                    ("no topic", ok(call.send().await))
                }
                7 => {
                    let client = aws_sdk_dynamodb::Client::new(config);
                    let tag = aws_sdk_dynamodb::types::Tag::builder().key("Team").value("nobody").build().unwrap();
                    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/chaos-results";
                    ("another tag", ok(client.tag_resource().resource_arn(arn).tags(tag).send().await))
                }
                _ => {
                    let client = aws_sdk_lambda::Client::new(config);
                    ("no function", ok(client.delete_function().function_name("chaos-processor").send().await))
                }
            }
        });
        done.unwrap_or_else(|why| panic!("{what}: {why}"));
        what
    }

    /// Puts an item, an object and a message, as somebody's data.
    fn put_data(&mut self) {
        let n = self.items;
        runtime().block_on(async {
            aws_sdk_dynamodb::Client::new(&self.config)
                .put_item()
                .table_name("chaos-results")
                .item("userId", AttributeValue::S(format!("kept-{n}")))
                .item("eventTimestamp", AttributeValue::N(n.to_string()))
                .send()
                .await
                .unwrap();
            let s3 = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(true).build();
            let put = aws_sdk_s3::Client::from_conf(s3).put_object();
            put.bucket("chaos-kept-000000000000-us-east-1").key(format!("kept-{n}")).send().await.unwrap();
            let sqs = aws_sdk_sqs::Client::new(&self.config);
            let url = sqs.get_queue_url().queue_name("chaos-dlq").send().await.unwrap().queue_url.unwrap();
            sqs.send_message().queue_url(url).message_body(format!("kept-{n}")).send().await.unwrap();
        });
        self.items += 1;
        self.objects += 1;
        self.letters += 1;
    }

    #[track_caller]
    fn see_data(&self) {
        let (items, objects, letters) = runtime().block_on(async {
            let dynamodb = aws_sdk_dynamodb::Client::new(&self.config);
            let scan = dynamodb.scan().table_name("chaos-results").select(Select::Count).consistent_read(true);
            let items = scan.send().await.unwrap().count;
            let s3 = aws_sdk_s3::config::Builder::from(&self.config).force_path_style(true).build();
            let list = aws_sdk_s3::Client::from_conf(s3).list_objects_v2();
            let objects = list.bucket("chaos-kept-000000000000-us-east-1").send().await.unwrap().contents().len();
            let sqs = aws_sdk_sqs::Client::new(&self.config);
            let url = sqs.get_queue_url().queue_name("chaos-dlq").send().await.unwrap().queue_url.unwrap();
            let name = QueueAttributeName::ApproximateNumberOfMessages;
            let answer = sqs.get_queue_attributes().queue_url(url).attribute_names(name.clone()).send().await.unwrap();
            (items, objects, answer.attributes.unwrap()[&name].parse::<usize>().unwrap())
        });
        assert_eq!((usize::try_from(items).unwrap(), objects, letters), (self.items, self.objects, self.letters));
    }

    /// Resources with names like ours and without our tags, and another pipeline next door.
    fn make_what_is_foreign(&self) {
        let neighbour = self.home.write("neighbour.toml", "name = \"chaos-next\"\n[queue.q]\n[stream.s]\n[topic.t]\n");
        self.home.local("up", &neighbour, &["--yes"]);
        runtime().block_on(async {
            let config = &self.config;
            let attribute = AttributeDefinition::builder()
                .attribute_name("id")
                .attribute_type(ScalarAttributeType::S)
                .build()
                .unwrap();
            let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap();
            let tables = aws_sdk_dynamodb::Client::new(config);
            let table = tables.create_table().table_name("chaos-foreign").billing_mode(BillingMode::PayPerRequest);
            table.attribute_definitions(attribute).key_schema(key).send().await.unwrap();
            aws_sdk_sqs::Client::new(config).create_queue().queue_name("chaos-foreign").send().await.unwrap();
            let streams = aws_sdk_kinesis::Client::new(config);
            streams.create_stream().stream_name("chaos-foreign").shard_count(1).send().await.unwrap();
            aws_sdk_sns::Client::new(config).create_topic().name("chaos-foreign").send().await.unwrap();
        });
    }

    /// All that is not ours, as text that must stay the same.
    fn look_at_what_is_foreign(&self) -> String {
        runtime().block_on(async {
            let config = &self.config;
            let tables = aws_sdk_dynamodb::Client::new(config);
            let table = tables.describe_table().table_name("chaos-foreign").send().await.unwrap().table.unwrap();
            let mut text = format!("{:?} {:?}\n", table.creation_date_time, table.table_status);
            let sqs = aws_sdk_sqs::Client::new(config);
            for name in ["chaos-foreign", "chaos-next-q"] {
                let url = sqs.get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap();
                let all = sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
                let attributes = all.send().await.unwrap().attributes.unwrap();
                let attributes: std::collections::BTreeMap<String, String> =
                    attributes.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect();
                let _ = writeln!(text, "{attributes:?}");
            }
            let streams = aws_sdk_kinesis::Client::new(config);
            for name in ["chaos-foreign", "chaos-next-s"] {
                let summary = streams.describe_stream_summary().stream_name(name).send().await.unwrap();
                let _ = writeln!(text, "{:?}", summary.stream_description_summary);
            }
            let topics = aws_sdk_sns::Client::new(config);
            for name in ["chaos-foreign", "chaos-next-t"] {
                let arn = format!("arn:aws:sns:us-east-1:000000000000:{name}");
                let tags = topics.list_tags_for_resource().resource_arn(arn).send().await.unwrap().tags;
                let _ = writeln!(text, "{tags:?}");
            }
            text
        })
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the steps are what one needs when it fails")]
fn whatever_happens_the_next_run_converges() {
    let (seed, steps) = (number("STREAMKIT_CHAOS_SEED", 1), number("STREAMKIT_CHAOS_STEPS", 15));
    let mut world = World::new(seed);
    for step in 0..steps {
        let mut said = world.change();
        match world.random.u8(0..6) {
            0 => {}
            1 => {
                let _ = write!(said, ", {} fails", world.arm());
                let spec = world.spec();
                world.home.local_output("up", &spec, &[&["--yes"], &LOSE[..]].concat());
            }
            2 => {
                said.push_str(", killed");
                world.kill();
            }
            3 => {
                said.push_str(", two at once");
                world.two_at_once();
            }
            4 => {
                world.settle();
                let _ = write!(said, ", {}", world.meddle());
                let plan = world.home.local_output("plan", &world.spec(), &[&["--exit-code"], &LOSE[..]].concat());
                assert_eq!(plan.code, 3, "seed {seed}, step {step}:{said}: {plan:#?}");
            }
            _ => world.put_data(),
        }
        // Shown when the test fails: what was done before.
        println!("seed {seed}, step {step}:{said}");
        world.settle();
        world.see_data();
        assert_eq!(world.look_at_what_is_foreign(), world.foreign, "seed {seed}, step {step}:{said}");
    }
    let spec = world.spec();
    world.home.local("down", &spec, &["--yes"]);
    let left = world.home.local("down", &spec, &["--yes"]);
    assert_eq!(left["resources"].as_array().unwrap().len(), 0, "{left:#}");
    assert_eq!(world.look_at_what_is_foreign(), world.foreign);
}
