//! Temperature readings of sensors: each becomes an item and is measured, and a sensor that becomes too hot is announced: once,
//! until it has cooled down.
//!
//! That needs a memory, of which sensors are hot. Reading batches, retries, partial responses, dead letters, logs, metrics, and
//! that each reading changes its sensor's state once are the library's matter; what a reading means is all that is here.

use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};
use streamkit_handler::recipes::{
    Attribute, Count, Effects, Item, KeyAttribute, KeyKind, Needs, Notification, Recipe, Record, Rejected, Setting,
    SettingKind, Settings, SourceKind, Stateful, StreamRecord, TableKey, Unit,
};

/// What a spec may say in `settings = { … }` of the function.
const SETTINGS: [Setting; 2] = [
    Setting {
        name: "hot",
        about: "from so many °C a sensor is hot",
        kind: SettingKind::Number(80.0, -273.0, 10_000.0),
    },
    Setting {
        name: "forget",
        about: "a silent sensor is forgotten",
        kind: SettingKind::Seconds(604_800, 86_400, 31_536_000),
    },
];

#[derive(Deserialize)]
struct Reading {
    sensor: String,
    celsius: f64,
}

impl Reading {
    fn of(record: &StreamRecord<'_>) -> Result<Self, Rejected> {
        // A verdict never repeats the payload: it goes to logs.
        let reading: Self = serde_json::from_slice(record.data)
            .map_err(|error| Rejected::new("no_reading", format!("payload: no reading (column {})", error.column())))?;
        if reading.sensor.is_empty() || reading.sensor.len() > 1024 {
            return Err(Rejected::new("out_of_range", "sensor: empty or longer than 1024 bytes"));
        }
        if !(-273.15..=10_000.0).contains(&reading.celsius) {
            return Err(Rejected::new("out_of_range", "celsius: no temperature that a sensor measures"));
        }
        Ok(reading)
    }
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

    fn settings(&self) -> &'static [Setting] {
        &SETTINGS
    }

    fn stateful(&self) -> Option<&dyn Stateful> {
        Some(self)
    }

    /// Of a sensor of which nothing is known yet.
    fn process(&self, record: &Record<'_>, now_ms: i64) -> Result<Effects, Rejected> {
        Stateful::process(self, &Settings::defaults(&SETTINGS), &mut Value::Null, record, now_ms)
    }
}

impl Stateful for Temperatures {
    /// Each sensor has a state of its own.
    fn key(&self, record: &Record<'_>) -> Result<String, Rejected> {
        Ok(Reading::of(record.stream()?)?.sensor)
    }

    fn process(
        &self,
        settings: &Settings,
        state: &mut Value,
        record: &Record<'_>,
        _now_ms: i64,
    ) -> Result<Effects, Rejected> {
        let record = record.stream()?;
        let Reading { sensor, celsius } = Reading::of(record)?;
        let was_hot = state["hot"].as_bool().unwrap_or_default();
        let is_hot = celsius >= settings.number("hot");
        let readings = state["readings"].as_u64().unwrap_or_default() + 1;
        *state = json!({ "hot": is_hot, "readings": readings });
        let item = Item::from([
            ("sensor", Attribute::S(sensor.clone())),
            // The record's own identity: a reading that is delivered again is the same item.
            ("reading", Attribute::S(record.id())),
            ("celsius", Attribute::N(celsius.to_string())),
            ("hot", Attribute::Bool(is_hot)),
            ("arrived_ms", Attribute::N(record.arrival_ms.to_string())),
        ]);
        let effects = Effects::new().item(item).count(Count::sample("Celsius", celsius, Unit::None));
        if was_hot || !is_hot {
            return Ok(effects);
        }
        let hot = Notification {
            subject: "A sensor has become hot".to_owned(),
            message: format!("{sensor} is at {celsius} °C"),
            attributes: [("reading", record.id())].into(),
        };
        Ok(effects.notification(hot).count(Count::one("HotSensors")))
    }

    fn keeps_seconds(&self, settings: &Settings) -> i64 {
        settings.integer("forget")
    }
}

fn main() -> ExitCode {
    streamkit_handler::run(Temperatures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(state: &mut Value, data: &str) -> Result<Effects, Rejected> {
        let record = StreamRecord {
            shard_id: "shardId-000000000000",
            sequence_number: "1",
            partition_key: "p",
            arrival_ms: 1_700_000_000_000,
            data: data.as_bytes(),
            ..StreamRecord::default()
        };
        Stateful::process(&Temperatures, &Settings::defaults(&SETTINGS), state, &Record::Stream(record), 0)
    }

    #[test]
    fn a_sensor_that_becomes_hot_is_announced_until_it_has_cooled_down() {
        let mut state = Value::Null;
        let announced = [21.5, 80.0, 99.0, 20.0, 81.0].map(|celsius| {
            let effects = process(&mut state, &json!({ "sensor": "a", "celsius": celsius }).to_string());
            effects.expect("a reading").notifications.into_iter().map(|notification| notification.message).collect()
        });
        let none: Vec<String> = Vec::new();
        let hot = |celsius: &str| vec![format!("a is at {celsius} °C")];
        assert_eq!(announced, [none.clone(), hot("80"), none.clone(), none, hot("81")]);
    }

    #[test]
    fn what_is_no_reading_is_rejected() {
        for data in ["", "{}", r#"{"sensor":"a"}"#, r#"{"sensor":"a","celsius":"warm"}"#, r#"{"sensor":7,"celsius":1}"#]
        {
            assert_eq!(process(&mut Value::Null, data).expect_err("no reading").code, "no_reading", "{data}");
        }
        for data in
            [r#"{"sensor":"","celsius":1}"#, r#"{"sensor":"a","celsius":-300}"#, r#"{"sensor":"a","celsius":1e300}"#]
        {
            assert_eq!(process(&mut Value::Null, data).expect_err("out of range").code, "out_of_range", "{data}");
        }
    }
}
