//! What makes an alarm wrong.

use super::{Checker, DAY, HOUR, MINUTE};
use crate::spec::finding::Finding;
use crate::spec::reference::{Reference, SectionKind};
use crate::spec::spanned::Spanned;
use crate::spec::types::{Alarm, named};
use crate::spec::units::Seconds;
use crate::spec::values::Threshold;
use crate::spec::watch::{CONCURRENCY, Measures, Metric, watched};

impl Checker<'_> {
    pub(super) fn alarm(&mut self, name: &Spanned<String>, alarm: &Alarm) {
        self.duration(&alarm.period, 10..=DAY, "an alarm's period is");
        let period = alarm.period.get_ref().0;
        if period != 10 && period != 30 && !period.is_multiple_of(MINUTE) {
            self.say(alarm.period.span(), "an alarm's period is 10s, 30s or whole minutes", "write \"1m\", say");
        }
        self.number(&alarm.evaluation_periods, 1..=100, "an alarm's evaluation periods");
        self.looks_back(alarm);
        if let Some(datapoints) = &alarm.datapoints {
            self.number(
                datapoints,
                1..=*alarm.evaluation_periods.get_ref(),
                "an alarm's datapoints (at most its evaluation periods)",
            );
        }
        for target in &alarm.notify.0 {
            self.refers(target, &[SectionKind::Topic], "an alarm notifies topics");
        }
        match (&alarm.metric, &alarm.watch) {
            (Some(_), Some(watch)) => {
                self.say(watch.span(), "an alarm has `metric` or `watch`, not both", "remove one of them");
            }
            (None, None) => self.say(
                name.span(),
                format!("the alarm `{}` watches nothing", name.get_ref()),
                "add `watch = \"function.NAME.errors\"` or `metric = \"NAMESPACE/METRIC\"`",
            ),
            (Some(metric), None) => self.custom_metric(metric, alarm),
            (None, Some(watch)) => self.watch(watch, alarm),
        }
    }

    /// CloudWatch looks back a day, or a week in periods of an hour and more.
    ///
    /// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>
    fn looks_back(&mut self, alarm: &Alarm) {
        let (period, periods) = (alarm.period.get_ref().0, *alarm.evaluation_periods.get_ref());
        let longest = if period >= HOUR { 7 * DAY } else { DAY };
        let Some(most) =
            longest.checked_div(period).filter(|most| u64::try_from(periods).is_ok_and(|periods| periods > *most))
        else {
            return;
        };
        let help = if period >= HOUR {
            String::new()
        } else {
            "; periods of an hour and more may look back a week".to_owned()
        };
        self.say(
            alarm.evaluation_periods.span(),
            format!(
                "{periods} periods of {} are more than an alarm looks back: {}",
                alarm.period.get_ref(),
                Seconds(longest)
            ),
            format!("write at most {most}{help}"),
        );
    }

    /// A share is one of a function's reserved concurrency: of nothing else is it known here how much there is.
    fn share(&mut self, reference: &Reference, metric: &Metric, alarm: &Alarm) {
        let span = alarm.threshold.span();
        if (metric.kind, &*metric.word) != (SectionKind::Function, CONCURRENCY) {
            let message = format!("there is no limit of `{}` that a share could be of", metric.word);
            self.say(span, message, "write the threshold as a number or a duration");
        } else if named(&self.spec.function, &reference.name)
            .is_some_and(|function| function.reserved_concurrency.is_none())
        {
            self.say(
                span,
                format!("`{reference}` has no limit of its own that a share could be of"),
                format!("add `reserved_concurrency` to [{reference}], or write the threshold as a number"),
            );
        }
    }

    fn custom_metric(&mut self, metric: &Spanned<String>, alarm: &Alarm) {
        if metric.get_ref().rsplit_once('/').is_none_or(|(namespace, name)| namespace.is_empty() || name.is_empty()) {
            self.say(
                metric.span(),
                format!("`{}` is not a metric", metric.get_ref()),
                "write namespace and name, such as \"RetailEventProcessing/FailedEvents\"",
            );
        }
        if alarm.statistic.is_none() {
            self.say(
                metric.span(),
                "an alarm on a metric of your own needs a statistic",
                "add `statistic = \"sum\"`, say",
            );
        }
        if let Threshold::Duration(_) | Threshold::Share(_) = alarm.threshold.get_ref() {
            self.say(
                alarm.threshold.span(),
                "the unit of a metric of your own is not known here",
                "write the threshold as a plain number",
            );
        }
    }

    /// `dimensions` beside `watch` are for metrics that a recipe counts by them.
    fn further_dimensions(&mut self, watch: &Spanned<String>, metric: &Metric, alarm: &Alarm) {
        let given: Vec<&str> = alarm.dimensions.keys().map(String::as_str).collect();
        let same = |list: &&[&str]| list.len() == given.len() && list.iter().all(|name| given.contains(name));
        if metric.further.iter().any(same) || (metric.further.is_empty() && given.is_empty()) {
            return;
        }
        let text = |list: &&[&str]| match list {
            [] => "no `dimensions`".to_owned(),
            names => {
                let values: Vec<_> = names.iter().map(|name| format!("{name} = \"…\"")).collect();
                format!("`dimensions = {{ {} }}`", values.join(", "))
            }
        };
        let help = match metric.further.iter().map(text).collect::<Vec<_>>() {
            lists if lists.is_empty() => "remove `dimensions`: `watch` says whose metric it is".to_owned(),
            lists => format!("write {}", lists.join(", or ")),
        };
        self.say(watch.span(), format!("`{}` is not published by these dimensions", metric.word), help);
    }

    fn watch(&mut self, watch: &Spanned<String>, alarm: &Alarm) {
        match watched(watch.get_ref(), self.spec) {
            Err(message) => match message.split_once(": write ") {
                Some((what, rest)) => self.say(watch.span(), what, format!("write {rest}")),
                None => self.findings.push(Finding::new(watch.span(), message)),
            },
            Ok((reference, metric)) => {
                self.exists(&reference, watch.span());
                self.further_dimensions(watch, &metric, alarm);
                match (metric.measures, alarm.threshold.get_ref()) {
                    (_, Threshold::Share(_)) => self.share(&reference, &metric, alarm),
                    (Measures::Count, Threshold::Duration(_)) => {
                        self.say(
                            alarm.threshold.span(),
                            format!("`{}` counts things", metric.word),
                            "write the threshold as a plain number",
                        );
                    }
                    (Measures::Milliseconds | Measures::Seconds, Threshold::Number(_)) => {
                        self.say(
                            alarm.threshold.span(),
                            format!("`{}` measures time", metric.word),
                            "write the threshold with a unit, such as \"5m\"",
                        );
                    }
                    _ => {}
                }
            }
        }
    }
}
