//! Advice on alarms.

use std::collections::BTreeSet;

use streamkit_recipes::{Record, Sampled, Samples, StreamRecord, Windowed};
use toml::Spanned;

use super::{Linter, Rule};
use crate::spec::finding::did_you_mean;
use crate::spec::reference::{Reference, SectionKind};
use crate::spec::types::{Alarm, Function};
use crate::spec::watch::watched;

const MINUTE: u64 = 60;
/// Enough that an event of every kind is among them.
const SAMPLES: usize = 500;

/// The metrics that AWS publishes for what a spec can hold.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/aws-services-cloudwatch-metrics.html>
const PUBLISHED: [(&str, &[&str]); 5] = [
    (
        "AWS/Lambda",
        &[
            "Invocations",
            "Errors",
            "Throttles",
            "Duration",
            "IteratorAge",
            "ConcurrentExecutions",
            "UnreservedConcurrentExecutions",
            "DeadLetterErrors",
            "DestinationDeliveryFailures",
            "AsyncEventsReceived",
            "AsyncEventAge",
            "AsyncEventsDropped",
            "PolledEventCount",
            "FilteredOutEventCount",
            "InvokedEventCount",
            "FailedInvokeEventCount",
            "DroppedEventCount",
            "OnFailureDestinationDeliveredEventCount",
            "OffsetLag",
            "PostRuntimeExtensionsDuration",
            "ProvisionedConcurrentExecutions",
            "ProvisionedConcurrencyInvocations",
            "ProvisionedConcurrencySpilloverInvocations",
            "ProvisionedConcurrencyUtilization",
            "ClaimedAccountConcurrency",
            "RecursiveInvocationsDropped",
        ],
    ),
    (
        "AWS/Kinesis",
        &[
            "GetRecords.Bytes",
            "GetRecords.IteratorAgeMilliseconds",
            "GetRecords.Latency",
            "GetRecords.Records",
            "GetRecords.Success",
            "IncomingBytes",
            "IncomingRecords",
            "IteratorAgeMilliseconds",
            "OutgoingBytes",
            "OutgoingRecords",
            "PutRecord.Bytes",
            "PutRecord.Latency",
            "PutRecord.Success",
            "PutRecords.Bytes",
            "PutRecords.Latency",
            "PutRecords.Success",
            "PutRecords.TotalRecords",
            "PutRecords.SuccessfulRecords",
            "PutRecords.FailedRecords",
            "PutRecords.ThrottledRecords",
            "ReadProvisionedThroughputExceeded",
            "WriteProvisionedThroughputExceeded",
            "SubscribeToShard.RateExceeded",
            "SubscribeToShard.Success",
            "SubscribeToShardEvent.Bytes",
            "SubscribeToShardEvent.MillisBehindLatest",
            "SubscribeToShardEvent.Records",
            "SubscribeToShardEvent.Success",
        ],
    ),
    (
        "AWS/SQS",
        &[
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesDelayed",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesVisible",
            "NumberOfEmptyReceives",
            "NumberOfMessagesDeleted",
            "NumberOfMessagesReceived",
            "NumberOfMessagesSent",
            "SentMessageSize",
        ],
    ),
    (
        "AWS/DynamoDB",
        &[
            "AccountMaxReads",
            "AccountMaxTableLevelReads",
            "AccountMaxTableLevelWrites",
            "AccountMaxWrites",
            "AccountProvisionedReadCapacityUtilization",
            "AccountProvisionedWriteCapacityUtilization",
            "AgeOfOldestUnreplicatedRecord",
            "ConditionalCheckFailedRequests",
            "ConsumedReadCapacityUnits",
            "ConsumedWriteCapacityUnits",
            "MaxProvisionedTableReadCapacityUtilization",
            "MaxProvisionedTableWriteCapacityUtilization",
            "OnlineIndexConsumedWriteCapacity",
            "OnlineIndexPercentageProgress",
            "OnlineIndexThrottleEvents",
            "PendingReplicationCount",
            "ProvisionedReadCapacityUnits",
            "ProvisionedWriteCapacityUnits",
            "ReadThrottleEvents",
            "ReplicationLatency",
            "ReturnedBytes",
            "ReturnedItemCount",
            "ReturnedRecordsCount",
            "SuccessfulRequestLatency",
            "SystemErrors",
            "ThrottledRequests",
            "TimeToLiveDeletedItemCount",
            "TransactionConflict",
            "UserErrors",
            "WriteThrottleEvents",
        ],
    ),
    (
        "AWS/SNS",
        &[
            "NumberOfMessagesPublished",
            "NumberOfNotificationsDelivered",
            "NumberOfNotificationsFailed",
            "NumberOfNotificationsFilteredOut",
            "NumberOfNotificationsFilteredOut-InvalidAttributes",
            "NumberOfNotificationsFilteredOut-NoMessageAttributes",
            "NumberOfNotificationsFilteredOut-MessageAttributes",
            "NumberOfNotificationsFilteredOut-MessageBody",
            "NumberOfNotificationsFilteredOut-InvalidMessageBody",
            "NumberOfNotificationsRedrivenToDlq",
            "NumberOfNotificationsFailedToRedriveToDlq",
            "PublishSize",
            "SMSMonthToDateSpentUSD",
            "SMSSuccessRate",
        ],
    ),
];

impl Linter<'_> {
    pub(super) fn alarm(&mut self, name: &Spanned<String>, alarm: &Alarm) {
        let section = Reference::new(SectionKind::Alarm, name.get_ref());
        if alarm.notify.0.is_empty() {
            self.say(
                Rule::AlarmNotifiesNobody,
                section.clone(),
                name.span(),
                "this alarm goes off without telling anybody",
                "add `notify = \"topic.NAME\"`",
            );
        }
        let of_aws = alarm.metric.as_ref().is_none_or(|metric| metric.get_ref().starts_with("AWS/"));
        if of_aws && alarm.period.get_ref().0 < MINUTE {
            self.say(
                Rule::AlarmPeriodTooShort,
                section.clone(),
                alarm.period.span(),
                "AWS publishes its metrics once a minute: in most periods of this alarm there is nothing to see",
                "write period = \"1m\" or longer",
            );
        }
        if let Some(metric) = &alarm.metric {
            self.metric(section, metric);
        }
    }

    /// A metric that nobody publishes, as far as can be known here.
    fn metric(&mut self, section: Reference, metric: &Spanned<String>) {
        let Some((namespace, name)) = metric.get_ref().rsplit_once('/') else { return };
        let of_aws = PUBLISHED.iter().find(|(aws, _)| *aws == namespace).map(|(_, names)| names.to_vec());
        let of_recipe = || {
            let is_of = |function: &&Function| function.recipe().is_some_and(|recipe| recipe.namespace() == namespace);
            let mut functions = self.spec.function.values().filter(is_of);
            let recipe = functions.clone().find_map(Function::recipe)?;
            let mut names = metrics_of(recipe)?;
            if functions.any(|function| function.source.get_ref().tumbling_window.is_some()) {
                names.extend(recipe.windowed().into_iter().flat_map(Windowed::metrics));
            }
            Some(names)
        };
        let Some(names) = of_aws.or_else(of_recipe) else { return };
        if names.contains(&name) {
            return;
        }
        let help = match did_you_mean(name, names.iter().copied()) {
            Some(meant) => format!("did you mean \"{namespace}/{meant}\"?"),
            None => format!("there are: {}", names.join(", ")),
        };
        let message = format!("nothing publishes the metric `{name}` in {namespace}, so this alarm never goes off");
        self.say(Rule::UnknownMetric, section, metric.span(), message, help);
    }

    pub(super) fn is_watched(&self, queue: &Reference) -> bool {
        self.spec.alarm.values().any(|alarm| {
            alarm.watch.as_ref().and_then(|watch| watched(watch.get_ref()).ok()).is_some_and(|(seen, _)| seen == *queue)
                || alarm.metric.as_ref().is_some_and(|metric| metric.get_ref().starts_with("AWS/SQS/"))
        })
    }
}

/// The names of all metrics that a recipe is seen to publish; `None` where they can't be seen without a table.
fn metrics_of(recipe: &dyn Sampled) -> Option<Vec<&'static str>> {
    let Samples::Stream(samples) = recipe.samples() else { return None };
    let mut names = BTreeSet::from([recipe.processed_metric(), recipe.failed_metric()]);
    let mut generator = samples.generator(0);
    for _ in 0..SAMPLES {
        let event = generator.next(0);
        let record = Record::Stream(StreamRecord {
            shard_id: "shardId-000000000000",
            sequence_number: "1",
            partition_key: &event.partition_key,
            arrival_ms: 0,
            data: &event.data,
        });
        if let Ok(effects) = recipe.process(&record, 0) {
            names.extend(effects.counts.iter().map(|count| count.metric));
        }
    }
    Some(names.into_iter().collect())
}
