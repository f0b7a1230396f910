//! Temperature readings of sensors: each becomes an item, is measured, and is announced if it is too hot.
//!
//! Reading batches, retries, partial responses, dead letters, logs and metrics are the library's matter; what a reading
//! means is all that is here.

use std::process::ExitCode;

use serde::Deserialize;
use streamkit_handler::recipes::{
    Attribute, Count, Effects, Item, KeyAttribute, KeyKind, Needs, Notification, Recipe, Record, Rejected, SourceKind,
    TableKey, Unit,
};

/// From here on a reading is announced.
const HOT_CELSIUS: f64 = 80.0;

#[derive(Deserialize)]
struct Reading {
    sensor: String,
    celsius: f64,
}

struct Temperatures;

impl Recipe for Temperatures {
    fn name(&self) -> &'static str {
        "temperatures"
    }

    fn about(&self) -> &'static str {
        "Keeps sensors' temperatures and announces hot ones"
    }

    fn source(&self) -> SourceKind {
        SourceKind::Stream
    }

    fn needs(&self) -> Needs {
        let key = TableKey {
            partition: KeyAttribute::new("sensor", KeyKind::S),
            sort: Some(KeyAttribute::new("reading", KeyKind::S)),
        };
        Needs { table: Some(key), topic: true, ..Needs::default() }
    }

    fn namespace(&self) -> &'static str {
        "Temperatures"
    }

    fn process(&self, record: &Record<'_>, _now_ms: i64) -> Result<Effects, Rejected> {
        let record = record.stream()?;
        // A verdict never repeats the payload: it goes to logs.
        let reading: Reading = serde_json::from_slice(record.data)
            .map_err(|error| Rejected::new("no_reading", format!("payload: no reading (column {})", error.column())))?;
        let Reading { sensor, celsius } = reading;
        if sensor.is_empty() || sensor.len() > 1024 {
            return Err(Rejected::new("out_of_range", "sensor: empty or longer than 1024 bytes"));
        }
        if !(-273.15..=10_000.0).contains(&celsius) {
            return Err(Rejected::new("out_of_range", "celsius: no temperature that a sensor measures"));
        }
        let item: Item = [
            ("sensor", Attribute::S(sensor.clone())),
            // The record's own identity: a reading that is delivered again is the same item.
            ("reading", Attribute::S(record.id())),
            ("celsius", Attribute::N(celsius.to_string())),
            ("arrived_ms", Attribute::N(record.arrival_ms.to_string())),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let effects = Effects::new().item(item).count(Count::sample("Celsius", celsius, Unit::None));
        if celsius < HOT_CELSIUS {
            return Ok(effects);
        }
        let hot = Notification {
            subject: "A sensor is hot".to_owned(),
            message: format!("{sensor} is at {celsius} °C"),
            attributes: [("reading", record.id())].into(),
        };
        Ok(effects.notification(hot).count(Count::one("HotReadings")))
    }
}

fn main() -> ExitCode {
    streamkit_handler::run(Temperatures)
}

#[cfg(test)]
mod tests {
    use streamkit_handler::recipes::StreamRecord;

    use super::*;

    fn process(data: &str) -> Result<Effects, Rejected> {
        let record = StreamRecord {
            shard_id: "shardId-000000000000",
            sequence_number: "1",
            partition_key: "p",
            arrival_ms: 1_700_000_000_000,
            data: data.as_bytes(),
            ..StreamRecord::default()
        };
        Temperatures.process(&Record::Stream(record), 0)
    }

    #[test]
    fn hot_readings_are_announced() {
        let cool = process(r#"{"sensor":"a","celsius":21.5}"#).expect("a reading");
        assert_eq!((cool.items.len(), cool.notifications.len()), (1, 0));
        let hot = process(r#"{"sensor":"a","celsius":80}"#).expect("a reading");
        assert_eq!(hot.notifications[0].message, "a is at 80 °C");
    }

    #[test]
    fn what_is_no_reading_is_rejected() {
        for data in ["", "{}", r#"{"sensor":"a"}"#, r#"{"sensor":"a","celsius":"warm"}"#, r#"{"sensor":7,"celsius":1}"#] {
            assert_eq!(process(data).expect_err("no reading").code, "no_reading", "{data}");
        }
        for data in [r#"{"sensor":"","celsius":1}"#, r#"{"sensor":"a","celsius":-300}"#, r#"{"sensor":"a","celsius":1e300}"#]
        {
            assert_eq!(process(data).expect_err("out of range").code, "out_of_range", "{data}");
        }
    }
}
