//! The sections of alarms.

use std::collections::BTreeSet;

use aws_sdk_cloudwatch::types::MetricAlarm;

use super::discover::{DIMENSIONS, thing};
use super::found::{Found, FoundFunction, Gap};
use super::names::Names;
use super::sections::{Section, key_text, list, quoted};
use crate::resources::Cx;
use crate::spec::{METRICS, Measures, SectionKind, Statistic, duration_text, metric_word};

/// The section of an alarm; `None` where a file has no words for what it watches.
pub(super) fn alarm(
    cx: &Cx,
    names: &Names,
    found: &Found,
    alarm: &MetricAlarm,
    gaps: &mut BTreeSet<Gap>,
) -> Option<Section> {
    let name = alarm.alarm_name.as_deref()?;
    let mut gap = |why: &str| {
        gaps.insert(Gap { what: format!("alarm {name}"), why: why.to_owned() });
    };
    let (Some(namespace), Some(metric)) = (alarm.namespace.as_deref(), alarm.metric_name.as_deref()) else {
        gap("it watches more than one metric, or an expression: it stays as it is");
        return None;
    };
    let Some(statistic) = alarm.statistic.as_ref().map(|statistic| statistic.as_str().to_owned()) else {
        gap(
            "it watches a percentile: a file's alarms have Average, Maximum, Minimum, SampleCount or Sum. It stays as it is",
        );
        return None;
    };
    let mut section = Section::new(format!("alarm.{}", key_text(names.key(SectionKind::Alarm, name))));
    let watch = watched(names, found, alarm, namespace, metric);
    // A metric by its name has no usual one.
    let usual = watch.as_ref().map_or("", |watch| watch.statistic);
    let measures = watch.as_ref().map_or(Measures::Count, |watch| watch.measures);
    let mut dimensions: Vec<(&str, &str)> = alarm
        .dimensions()
        .iter()
        .filter_map(|dimension| Some((dimension.name.as_deref()?, dimension.value.as_deref()?)))
        .collect();
    if let Some(watch) = &watch {
        section.text("watch", &watch.text);
        dimensions.retain(|(name, _)| *name != watch.dimension);
    } else {
        section.text("metric", &format!("{namespace}/{metric}"));
    }
    if !dimensions.is_empty() {
        let entries = dimensions.iter().map(|(name, value)| format!("{} = {}", key_text(name), quoted(value)));
        section.raw("dimensions", format!("{{ {} }}", entries.collect::<Vec<_>>().join(", ")));
    }
    if statistic != usual {
        section.text(
            "statistic",
            if statistic == "SampleCount" { "sample-count" } else { &statistic }.to_lowercase().as_str(),
        );
    }
    let seconds = alarm.period.and_then(|period| u64::try_from(period).ok()).unwrap_or(60);
    if seconds != 60 {
        section.text("period", &duration_text(seconds));
    }
    let periods = alarm.evaluation_periods.unwrap_or(1);
    if periods != 1 {
        section.raw("evaluation_periods", periods);
    }
    if let Some(datapoints) = alarm.datapoints_to_alarm.filter(|datapoints| *datapoints != periods) {
        section.raw("datapoints", datapoints);
    }
    section.raw("threshold", measures.written(alarm.threshold.unwrap_or_default()));
    let comparison = alarm.comparison_operator.as_ref().map_or("", |operator| operator.as_str());
    match comparison {
        "GreaterThanThreshold" => {}
        "GreaterThanOrEqualToThreshold" => drop(section.text("comparison", ">=")),
        "LessThanThreshold" => drop(section.text("comparison", "<")),
        "LessThanOrEqualToThreshold" => drop(section.text("comparison", "<=")),
        _ => {
            gap("it looks for anomalies: a file's alarms compare with a threshold. It stays as it is");
            return None;
        }
    }
    match alarm.treat_missing_data.as_deref().unwrap_or("missing") {
        "notBreaching" => {}
        other => drop(section.text("missing_data", other)),
    }
    let topics: Vec<Option<String>> = alarm.alarm_actions().iter().map(|arn| topic(cx, names, arn)).collect();
    if topics.iter().any(Option::is_none) {
        gap("some of its actions are no topics of this account and region: `up` would take them out");
    }
    let topics: Vec<String> = topics.into_iter().flatten().collect();
    match topics.as_slice() {
        [] => {}
        [one] => drop(section.raw("notify", one)),
        many => drop(section.raw("notify", list(many))),
    }
    if !alarm.ok_actions().is_empty() {
        gap(
            "its actions for OK: a file has only those for ALARM, and `up` would take the others out when it changes the alarm",
        );
    }
    if !alarm.insufficient_data_actions().is_empty() {
        gap("its actions for INSUFFICIENT_DATA: a file has only those for ALARM");
    }
    if let Some(description) = alarm.alarm_description.as_deref().filter(|text| !text.is_empty()) {
        section.text("description", description);
    }
    Some(section)
}

fn topic(cx: &Cx, names: &Names, arn: &str) -> Option<String> {
    let (kind, name) = thing(cx, arn).ok().flatten()?;
    let reference = names.reference(kind, &name).filter(|_| kind == SectionKind::Topic)?;
    Some(quoted(&reference.to_string()))
}

/// What an alarm watches, in a file's words.
struct Watch {
    text: String,
    /// The dimension that goes without saying.
    dimension: &'static str,
    /// The statistic that does so.
    statistic: &'static str,
    measures: Measures,
}

fn watched(names: &Names, found: &Found, alarm: &MetricAlarm, namespace: &str, metric: &str) -> Option<Watch> {
    let value = |name: &str| {
        let dimension = alarm.dimensions().iter().find(|dimension| dimension.name.as_deref() == Some(name));
        dimension.and_then(|dimension| dimension.value.as_deref())
    };
    for known in METRICS.iter().filter(|known| known.namespace == namespace && known.name == metric) {
        let Some((dimension, kind)) = DIMENSIONS.iter().find(|(_, kind)| *kind == known.kind) else { continue };
        if alarm.dimensions().len() != 1 {
            continue;
        }
        let reference = names.reference(*kind, value(dimension)?)?;
        let statistic = match known.statistic {
            Statistic::Maximum => "Maximum",
            _ => "Sum",
        };
        return Some(Watch {
            text: format!("{reference}.{}", known.word),
            dimension,
            statistic,
            measures: known.measures,
        });
    }
    let pipeline = value("Pipeline").filter(|name| *name == names.naming.prefix())?;
    let counts =
        |function: &&FoundFunction| function.told("PIPELINE") == Some(pipeline) && function.counts_in(namespace);
    let function = found.functions.iter().find(counts)?;
    let reference = names.reference(SectionKind::Function, &function.name)?;
    let text = format!("{reference}.{}", metric_word(metric));
    Some(Watch { text, dimension: "Pipeline", statistic: "Sum", measures: Measures::Count })
}
