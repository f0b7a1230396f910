//! The account of the environment, seen through the SDK: with other eyes than streamkit's.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aws_config::SdkConfig;

use crate::command::Runner;
use crate::life::Pipeline;

/// How long lists may go on naming what is gone. SQS says a minute.
const LAG: Duration = Duration::from_secs(90);

/// Where the pipelines go.
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) region: String,
    pub(crate) config: SdkConfig,
}

impl Account {
    /// Asks streamkit itself for account and region, by a plan of the first pipeline.
    pub(crate) fn of_environment(runner: &Runner, pipelines: &[Pipeline]) -> anyhow::Result<Self> {
        let first = pipelines.first().context("there are no pipelines")?;
        let plan = runner.done(&["plan", &first.spec])?;
        let text = |key: &str| plan[key].as_str().map(str::to_owned).with_context(|| format!("the plan has no {key}"));
        let (id, region) = (text("account")?, text("region")?);
        let chosen = aws_config::Region::new(region.clone());
        let config = wait_for(
            aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12()).http_client(https()).region(chosen).load(),
        )?;
        Ok(Self { id, region, config })
    }

    /// The embedded AWS at this address.
    pub(crate) fn embedded(endpoint: &str) -> anyhow::Result<Self> {
        let keys = aws_credential_types::Credentials::new("test", "test", None, None, "test");
        let loader = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
            .http_client(https())
            .credentials_provider(keys);
        let region = "us-east-1".to_owned();
        let loader = loader.endpoint_url(endpoint).region(aws_config::Region::new(region.clone()));
        Ok(Self { id: "000000000000".to_owned(), region, config: wait_for(loader.load())? })
    }

    /// Fails if anything is left in the account whose name contains this.
    pub(crate) fn has_nothing_of(&self, name: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + LAG;
        loop {
            let left = self.names_with(name)?;
            if left.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "still there: {}", left.join(", "));
            std::thread::park_timeout(Duration::from_secs(2));
        }
    }

    /// What is in the account whose name contains this.
    pub(crate) fn names_with(&self, name: &str) -> anyhow::Result<Vec<String>> {
        Ok(wait_for(self.names())??.into_iter().filter(|found| found.contains(name)).collect())
    }

    /// The names of everything that pipelines are made of.
    async fn names(&self) -> anyhow::Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        let config = &self.config;
        macro_rules! list {
            ($kind:literal, $items:expr, $name:expr) => {{
                let mut items = $items;
                while let Some(item) = items.next().await {
                    let item = item.map_err(|error| {
                        anyhow::anyhow!(
                            "listing {}: {}",
                            $kind,
                            aws_smithy_types::error::display::DisplayErrorContext(error)
                        )
                    })?;
                    names.extend($name(item).into_iter().map(|name: String| format!("{} {name}", $kind)));
                }
            }};
        }
        let kinesis = aws_sdk_kinesis::Client::new(config);
        list!(
            "stream",
            kinesis.list_streams().into_paginator().send(),
            |page: aws_sdk_kinesis::operation::list_streams::ListStreamsOutput| page.stream_names
        );
        let dynamodb = aws_sdk_dynamodb::Client::new(config);
        list!("table", dynamodb.list_tables().into_paginator().items().send(), |name| [name]);
        let sqs = aws_sdk_sqs::Client::new(config);
        list!("queue", sqs.list_queues().max_results(1000).into_paginator().items().send(), |url| [url]);
        let sns = aws_sdk_sns::Client::new(config);
        list!("topic", sns.list_topics().into_paginator().items().send(), |topic: aws_sdk_sns::types::Topic| topic
            .topic_arn);
        list!(
            "subscription",
            sns.list_subscriptions().into_paginator().items().send(),
            |found: aws_sdk_sns::types::Subscription| found.subscription_arn
        );
        let iam = aws_sdk_iam::Client::new(config);
        list!("role", iam.list_roles().into_paginator().items().send(), |role: aws_sdk_iam::types::Role| [
            role.role_name
        ]);
        let lambda = aws_sdk_lambda::Client::new(config);
        list!(
            "function",
            lambda.list_functions().into_paginator().items().send(),
            |function: aws_sdk_lambda::types::FunctionConfiguration| function.function_name
        );
        list!(
            "mapping of",
            lambda.list_event_source_mappings().into_paginator().items().send(),
            |mapping: aws_sdk_lambda::types::EventSourceMappingConfiguration| mapping.function_arn
        );
        let logs = aws_sdk_cloudwatchlogs::Client::new(config);
        list!(
            "log group",
            logs.describe_log_groups().into_paginator().items().send(),
            |group: aws_sdk_cloudwatchlogs::types::LogGroup| group.log_group_name
        );
        let buckets = aws_sdk_s3::config::Builder::from(config).force_path_style(config.endpoint_url().is_some());
        let s3 = aws_sdk_s3::Client::from_conf(buckets.build());
        list!("bucket", s3.list_buckets().into_paginator().items().send(), |bucket: aws_sdk_s3::types::Bucket| bucket
            .name);
        if !crate::life::lacks("alarms") {
            let cloudwatch = aws_sdk_cloudwatch::Client::new(config);
            list!(
                "alarm",
                cloudwatch.describe_alarms().into_paginator().send(),
                |page: aws_sdk_cloudwatch::operation::describe_alarms::DescribeAlarmsOutput| {
                    page.metric_alarms.into_iter().flatten().filter_map(|alarm| alarm.alarm_name).collect::<Vec<_>>()
                }
            );
            list!(
                "dashboard",
                cloudwatch.list_dashboards().into_paginator().items().send(),
                |entry: aws_sdk_cloudwatch::types::DashboardEntry| entry.dashboard_name
            );
        }
        Ok(names)
    }
}

/// Waits for calls of the SDK.
pub(crate) fn wait_for<T>(calls: impl Future<Output = T>) -> anyhow::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(calls))
}

fn https() -> aws_smithy_runtime_api::client::http::SharedHttpClient {
    use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}
