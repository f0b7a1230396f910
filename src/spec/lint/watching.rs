//! Advice on alarms.

use std::collections::BTreeSet;

use super::{Linter, Rule};
use crate::spec::finding::did_you_mean;
use crate::spec::reference::{Reference, SectionKind};
use crate::spec::spanned::Spanned;
use crate::spec::types::{Alarm, Function};
use crate::spec::watch::{METRICS, recipe_metrics, watched, word};

const MINUTE: u64 = 60;

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
            self.metric(section.clone(), metric);
            self.stages(section, metric, alarm);
        }
    }

    /// A dimension that names this pipeline or a resource of it as they are called without a stage.
    fn stages(&mut self, section: Reference, metric: &Spanned<String>, alarm: &Alarm) {
        let pipeline = self.spec.name.get_ref();
        let is_fixed = |value: &String| {
            value.strip_prefix(pipeline.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let Some((name, value)) = alarm.dimensions.iter().find(|(_, value)| is_fixed(value)) else { return };
        let published = metric.get_ref().rsplit_once('/');
        let meant = published.and_then(|(namespace, name)| self.watch_for(namespace, name, value));
        self.say(
            Rule::DimensionWithoutStage,
            section,
            metric.span(),
            format!(
                "with --stage this alarm goes on watching {name} = \"{value}\", where nothing of the stage is published"
            ),
            match meant {
                Some(watch) => format!("write watch = \"{watch}\" in place of `metric` and this dimension"),
                None => "write `watch` in place of `metric` where there is one: it follows the stage".to_owned(),
            },
        );
    }

    /// The `watch` for a metric of something in this file.
    fn watch_for(&self, namespace: &str, name: &str, value: &str) -> Option<String> {
        let functions = || self.spec.function.iter().map(|(key, function)| (key.get_ref(), function));
        let recipe = functions().find(|(_, function)| {
            function.recipe().is_some_and(|recipe| recipe.namespace() == namespace)
                && recipe_metrics(function).iter().any(|(known, _)| *known == name)
        });
        if let Some((key, _)) = recipe {
            return Some(format!("function.{key}.{}", word(name)));
        }
        let metric = METRICS.iter().find(|metric| (metric.namespace, metric.name) == (namespace, name))?;
        let key = value.strip_prefix(self.spec.name.get_ref().as_str())?.strip_prefix('-')?;
        let reference = Reference::new(metric.kind, key);
        let sections = self.spec.sections();
        sections.iter().any(|(section, _)| *section == reference).then(|| format!("{reference}.{}", metric.word))
    }

    /// A metric that nobody publishes, as far as can be known here.
    fn metric(&mut self, section: Reference, metric: &Spanned<String>) {
        let Some((namespace, name)) = metric.get_ref().rsplit_once('/') else { return };
        let of_aws = PUBLISHED.iter().find(|(aws, _)| *aws == namespace).map(|(_, names)| names.to_vec());
        let of_recipe = || {
            let is_of = |function: &&Function| function.recipe().is_some_and(|recipe| recipe.namespace() == namespace);
            let functions = self.spec.function.values().filter(is_of);
            let names: BTreeSet<_> = functions.flat_map(recipe_metrics).map(|(name, _)| name).collect();
            (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>())
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
            let watch = alarm.watch.as_ref().and_then(|watch| watched(watch.get_ref(), self.spec).ok());
            watch.is_some_and(|(seen, _)| seen == *queue)
                || alarm.metric.as_ref().is_some_and(|metric| metric.get_ref().starts_with("AWS/SQS/"))
        })
    }
}
