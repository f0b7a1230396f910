//! Alarms, and the metrics that they watch.

use std::collections::BTreeMap;

use super::Builder;
use crate::resources::{Alarm, AlarmMetric, Any};
use crate::spec::{self, Dimension, SectionKind, Threshold, named};

impl Builder<'_> {
    pub(super) fn alarms(&mut self) {
        for (name, alarm) in &self.spec.alarm {
            if !self.extent.has(SectionKind::Alarm, name.get_ref()) {
                continue;
            }
            let (metric, statistic, threshold) = self.alarm_metric(alarm);
            let evaluation_periods = *alarm.evaluation_periods.get_ref();
            let resource = Alarm {
                name: self.naming.physical(name.get_ref()),
                description: alarm.description.clone(),
                metric,
                statistic,
                period: *alarm.period.get_ref(),
                threshold,
                comparison: alarm.comparison,
                evaluation_periods,
                datapoints: alarm.datapoints.as_ref().map_or(evaluation_periods, |datapoints| *datapoints.get_ref()),
                missing_data: alarm.missing_data,
                notify: alarm.notify.0.iter().map(|target| self.arn(target.get_ref())).collect(),
            };
            // PutMetricAlarm takes actions on topics that do not exist yet, so alarms wait for nothing.
            self.push(format!("alarm.{}", name.get_ref()), Any::Alarm(resource), Vec::new(), false);
        }
    }

    /// A share of the function's reserved concurrency.
    fn share(&self, function: &str, share: f64) -> f64 {
        let reserved = named(&self.spec.function, function).and_then(|function| function.reserved_concurrency.as_ref());
        #[expect(clippy::cast_precision_loss, reason = "a checked concurrency is at most 100,000")]
        let reserved = reserved.map_or(0, |reserved| *reserved.get_ref()) as f64;
        reserved * share / 100.0
    }

    fn alarm_metric(&self, alarm: &spec::Alarm) -> (AlarmMetric, spec::Statistic, f64) {
        let given = alarm.statistic.as_ref().map(|statistic| *statistic.get_ref());
        let threshold = *alarm.threshold.get_ref();
        let watch = alarm.watch.as_ref().and_then(|watch| spec::watched(watch.get_ref(), self.spec).ok());
        if let Some((reference, metric)) = watch {
            let own = match metric.dimension {
                Dimension::Resource(name) => (name.to_owned(), self.physical(&reference)),
                Dimension::Pipeline => ("Pipeline".to_owned(), self.naming.prefix()),
            };
            let mut dimensions = BTreeMap::from([own]);
            dimensions.extend(alarm.dimensions.clone());
            let watched =
                AlarmMetric { namespace: metric.namespace.to_owned(), name: metric.name.to_owned(), dimensions };
            let threshold = match threshold {
                Threshold::Share(share) => self.share(&reference.name, share),
                other => metric.measures.threshold(other),
            };
            return (watched, given.unwrap_or(metric.statistic), threshold);
        }
        let text = alarm.metric.as_ref().map_or("", |metric| metric.get_ref());
        let (namespace, name) = text.rsplit_once('/').unwrap_or_default();
        let metric = AlarmMetric {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            dimensions: alarm.dimensions.clone(),
        };
        (metric, given.unwrap_or(spec::Statistic::Sum), spec::Measures::Count.threshold(threshold))
    }
}
