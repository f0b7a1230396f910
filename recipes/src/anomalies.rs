//! The anomalies recipe: reads the results of analytics, and compares what was measured with what is usual for its series (type,
//! device and currency) at that hour.

mod baseline;
mod cases;
mod result;
mod traffic;

use serde_json::Value;

use self::baseline::{Baselines, Limits, Verdict};
use self::result::Measured;
use crate::{
    Attribute, Change, Count, Effects, Images, Item, KeyAttribute, KeyKind, Needs, Notification, NotifiedChange,
    Recipe, Record, Rejected, Sampled, Samples, Setting, SettingKind, Settings, SourceKind, Stateful, TableDetection,
    TableKey, TableSamples, Unit, Write, Writer,
};

/// The settings.
const THRESHOLD: &str = "threshold";
const LEARN: &str = "learn";
const SMOOTHING: &str = "smoothing";
const KEEP: &str = "keep";
const FORGET: &str = "forget";

const DAY: i64 = 24 * 60 * 60;

const SETTINGS: [Setting; 5] = [
    Setting {
        name: THRESHOLD,
        about: "how many deviations from what is usual make a result an anomaly",
        // Iglewicz and Hoaglin (How to Detect and Handle Outliers, 1993) label from 3.5 on, in samples of dozens. Of a million results a
        // thousand are as far away by chance, so a stream takes more.
        kind: SettingKind::Number(6.0, 1.0, 100.0),
    },
    Setting {
        name: LEARN,
        about: "how many results say what is usual, before the first is judged",
        kind: SettingKind::Integer(30, 5, 100),
    },
    Setting {
        name: SMOOTHING,
        about: "the weight of a new result in what is usual",
        kind: SettingKind::Number(0.05, 0.001, 0.5),
    },
    Setting {
        name: KEEP,
        about: "how long a score is kept after its result",
        kind: SettingKind::Seconds(30 * DAY, 60 * 60, 3_660 * DAY),
    },
    Setting {
        name: FORGET,
        about: "how long a series is remembered after its last result",
        kind: SettingKind::Seconds(90 * DAY, DAY, 3_660 * DAY),
    },
];

const ANOMALIES: &str = "Anomalies";

/// The recipe.
#[derive(Debug)]
pub(crate) struct Anomalies;

impl Recipe for Anomalies {
    fn name(&self) -> &'static str {
        "anomalies"
    }

    fn about(&self) -> &'static str {
        "Finds what is unusual among the results of analytics (DynamoDB to DynamoDB, CloudWatch and SNS)"
    }

    fn source(&self) -> SourceKind {
        SourceKind::Table
    }

    fn needs(&self) -> Needs {
        let key = TableKey {
            partition: KeyAttribute::new("series", KeyKind::S),
            sort: Some(KeyAttribute::new("at", KeyKind::S)),
        };
        let images = Images { old: false, new: true };
        Needs {
            table: Some(key),
            optional_topic: true,
            images,
            uses_images: images,
            image_use: "to see what was measured",
            ..Needs::default()
        }
    }

    fn namespace(&self) -> &'static str {
        "AnomalyDetection"
    }

    fn metrics(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[(ANOMALIES, &[]), (ANOMALIES, &["Series"]), ("AnomalyScore", &["Series"])]
    }

    fn volatile(&self) -> &'static [&'static str] {
        &["processedAt"]
    }

    fn settings(&self) -> &'static [Setting] {
        &SETTINGS
    }

    fn stateful(&self) -> Option<&dyn Stateful> {
        Some(self)
    }

    fn process(&self, record: &Record<'_>, now_ms: i64) -> Result<Effects, Rejected> {
        Stateful::process(self, &Settings::defaults(&SETTINGS), &mut Value::Null, record, now_ms)
    }
}

impl Stateful for Anomalies {
    fn key(&self, record: &Record<'_>) -> Result<String, Rejected> {
        // What is not measured changes no baseline. A filter of the mapping keeps it away.
        Ok(Measured::of(record.change()?)?.map_or_else(|| "unmeasured".to_owned(), |measured| measured.series))
    }

    fn process(
        &self,
        settings: &Settings,
        state: &mut Value,
        record: &Record<'_>,
        now_ms: i64,
    ) -> Result<Effects, Rejected> {
        let change = record.change()?;
        let Some(measured) = Measured::of(change)? else { return Ok(Effects::new()) };
        let mut baselines = Baselines::read(state);
        let verdict = baselines.judge(&Limits::of(settings), measured.value.to_f64(), measured.timestamp_ms);
        *state = baselines.to_value();
        let mut effects = Effects::new();
        if let Some(verdict) = &verdict {
            let series = &measured.dimension;
            let score = Count::sample("AnomalyScore", verdict.score.abs(), Unit::None);
            effects = effects.count(score.of("Series", series.as_str()));
            if verdict.is_anomaly {
                effects = effects
                    .count(Count::one(ANOMALIES))
                    .count(Count::one(ANOMALIES).of("Series", series.as_str()))
                    .notification(notification(&measured, verdict, change));
            }
        }
        let expires = change.created_ms.div_euclid(1000) + settings.integer(KEEP);
        Ok(effects.item(item(measured, verdict.as_ref(), expires, now_ms)))
    }

    fn keeps_seconds(&self, settings: &Settings) -> i64 {
        settings.integer(FORGET)
    }
}

/// A number to so many digits behind the point, as DynamoDB writes it.
fn rounded(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    crate::decimal::Decimal::parse(&text).map_or(text, |decimal| decimal.to_string())
}

fn item(measured: Measured, verdict: Option<&Verdict>, expires: i64, now_ms: i64) -> Item {
    let mut item = Item::from([
        ("at", Attribute::S(measured.at())),
        ("deviceType", Attribute::S(measured.device)),
        ("eventId", Attribute::S(measured.event_id)),
        ("eventType", Attribute::S(measured.event_type)),
        ("expiresAt", Attribute::N(expires.to_string())),
        ("isAnomaly", Attribute::Bool(verdict.is_some_and(|verdict| verdict.is_anomaly))),
        ("measure", Attribute::S(measured.measure.to_owned())),
        ("processedAt", Attribute::N(now_ms.to_string())),
        ("series", Attribute::S(measured.series)),
        ("value", Attribute::N(measured.value.to_string())),
    ]);
    if let Some(currency) = measured.currency {
        item.insert("currency", Attribute::S(currency));
    }
    // Without a score too little was known of the series.
    if let Some(verdict) = verdict {
        item.extend([
            ("baseline", Attribute::S(verdict.baseline.to_owned())),
            ("deviation", Attribute::N(rounded(verdict.deviation, 4))),
            ("expected", Attribute::N(rounded(verdict.expected, 4))),
            ("score", Attribute::N(rounded(verdict.score, 2))),
        ]);
    }
    item
}

fn notification(measured: &Measured, verdict: &Verdict, change: &Change<'_>) -> Notification {
    let direction = if verdict.score < 0.0 { "low" } else { "high" };
    // Numbers as texts: many readers of JSON take numbers for floating-point ones.
    let message = serde_json::json!({
        "eventId": measured.event_id,
        "series": measured.series,
        "at": measured.at(),
        "measure": measured.measure,
        "value": measured.value.to_string(),
        "currency": measured.currency,
        "score": rounded(verdict.score, 2),
        "expected": rounded(verdict.expected, 4),
        "deviation": rounded(verdict.deviation, 4),
        "table": change.table,
    });
    let attributes = [
        ("direction", direction.to_owned()),
        ("eventId", measured.event_id.clone()),
        ("measure", measured.measure.to_owned()),
        ("series", measured.dimension.clone()),
    ];
    Notification {
        subject: format!("Unusually {direction}: {} of {}", measured.measure, measured.dimension),
        message: message.to_string(),
        attributes: attributes.into_iter().collect(),
    }
}

impl Sampled for Anomalies {
    fn samples(&self) -> Samples<'_> {
        Samples::Table(self)
    }
}

impl TableSamples for Anomalies {
    fn table_key(&self) -> Option<TableKey> {
        crate::analytics::Analytics.needs().table
    }

    fn detection(&self) -> Option<&dyn TableDetection> {
        Some(self)
    }

    fn writer(&self, seed: u64, _key: &TableKey) -> Box<dyn Writer + Send> {
        Box::new(traffic::Traffic::new(seed))
    }

    fn marked(&self, run: &str, now_ms: i64, _key: &TableKey) -> Vec<Vec<Write>> {
        cases::marked(run, now_ms)
    }

    fn canary(&self, run: &str, n: usize, now_ms: i64, _key: &TableKey) -> Write {
        cases::canary(run, n, now_ms)
    }

    fn notified_change(&self, _message: &str) -> Option<NotifiedChange> {
        None
    }
}

impl TableDetection for Anomalies {
    fn checks(&self) -> (&'static str, &'static str) {
        ("anomaly-recall", "anomaly-precision")
    }

    fn examples(&self, run: &str, now_ms: i64, settings: &Settings) -> Vec<Vec<crate::Example>> {
        cases::examples(run, now_ms, settings)
    }

    fn found_by(&self) -> (&'static str, Attribute) {
        ("isAnomaly", Attribute::Bool(true))
    }
}

#[cfg(test)]
mod tests;
