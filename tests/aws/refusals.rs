//! Calls that AWS must refuse, for its words: streamkit and the embedded AWS depend on some of them.

use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::account::{Account, wait_for};
use crate::observed::Observed;

/// Sends them to what the pipeline has made and to what does not exist. None changes anything.
pub(crate) fn provoke(
    account: &Account,
    pipeline: &str,
    stage: &str,
    observed: &mut Observed,
) -> anyhow::Result<String> {
    wait_for(provoke_all(account, &format!("{pipeline}-{stage}"), observed))?
}

async fn provoke_all(account: &Account, prefix: &str, observed: &mut Observed) -> anyhow::Result<String> {
    let mut seen = 0;
    macro_rules! refuse {
        ($call:literal, $request:expr) => {{
            match $request.send().await {
                Ok(_) => anyhow::bail!("{} was not refused", $call),
                Err(error) => {
                    let (code, message) = (error.code().unwrap_or("no code"), error.message().unwrap_or("no message"));
                    // Without the names, each refusal is one line however often it is seen.
                    observed.refused($call, code, &message.replace(prefix, "example"));
                    seen += 1;
                }
            }
        }};
    }
    let config = &account.config;
    let missing = format!("{prefix}-missing");
    let stream = format!("{prefix}-events");
    let kinesis = aws_sdk_kinesis::Client::new(config);
    refuse!("kinesis CreateStream of one that is there", kinesis.create_stream().stream_name(&stream).shard_count(1));
    refuse!("kinesis DescribeStreamSummary of none", kinesis.describe_stream_summary().stream_name(&missing));
    let dynamodb = aws_sdk_dynamodb::Client::new(config);
    refuse!("dynamodb DescribeTable of none", dynamodb.describe_table().table_name(&missing));
    let sqs = aws_sdk_sqs::Client::new(config);
    refuse!("sqs GetQueueUrl of none", sqs.get_queue_url().queue_name(&missing));
    let sns = aws_sdk_sns::Client::new(config);
    let topic = format!("arn:aws:sns:{}:{}:{missing}", account.region, account.id);
    refuse!("sns GetTopicAttributes of none", sns.get_topic_attributes().topic_arn(topic));
    let iam = aws_sdk_iam::Client::new(config);
    refuse!("iam GetRole of none", iam.get_role().role_name(&missing));
    let logs = aws_sdk_cloudwatchlogs::Client::new(config);
    let group = format!("/aws/lambda/{prefix}-processor");
    refuse!("logs CreateLogGroup of one that is there", logs.create_log_group().log_group_name(group));
    let lambda = aws_sdk_lambda::Client::new(config);
    refuse!("lambda GetFunction of none", lambda.get_function().function_name(&missing));
    let source = format!("arn:aws:kinesis:{}:{}:stream/{stream}", account.region, account.id);
    let again = lambda.create_event_source_mapping().function_name(format!("{prefix}-processor"));
    let again = again.event_source_arn(source).starting_position(aws_sdk_lambda::types::EventSourcePosition::Latest);
    refuse!("lambda CreateEventSourceMapping of one that is there", again.enabled(false));
    let settings = aws_sdk_s3::config::Builder::from(config).force_path_style(config.endpoint_url().is_some());
    let s3 = aws_sdk_s3::Client::from_conf(settings.build());
    let bucket = format!("{missing}-{}-{}", account.id, account.region);
    refuse!("s3 GetBucketTagging of none", s3.get_bucket_tagging().bucket(bucket));
    Ok(format!("{seen} noted"))
}
