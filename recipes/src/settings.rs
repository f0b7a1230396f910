//! The settings of a recipe: what it takes in `settings = { … }` of its function, and what it was given there.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

/// A setting that a recipe takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Its name, as specs write it: lower case, with `_` between words.
    pub name: &'static str,
    /// What it decides, in a few words.
    pub about: &'static str,
    /// What values it may have, and which it has when it is not given.
    pub kind: SettingKind,
}

/// The values of a setting: its default, and the least and the most that it may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SettingKind {
    /// A whole number.
    Integer(i64, i64, i64),
    /// A number.
    Number(f64, f64, f64),
    /// A period of time in whole seconds: a duration in a spec, such as `"5m"`.
    Seconds(i64, i64, i64),
}

/// The settings that a recipe was given, with the defaults of those that it was not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(BTreeMap<&'static str, Number>);

/// A setting that no recipe takes, or whose value it does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {expected}")]
pub struct WrongSetting {
    /// The name that was given.
    pub name: String,
    /// What would be right, such as `expected a whole number from 1 to 100`.
    pub expected: String,
}

impl Setting {
    /// The value when it is not given.
    pub fn default(&self) -> Number {
        match self.kind {
            SettingKind::Integer(default, ..) | SettingKind::Seconds(default, ..) => default.into(),
            SettingKind::Number(default, ..) => number(default),
        }
    }

    /// Takes a value as a spec has it, durations in seconds.
    fn take(&self, value: &Value) -> Option<Number> {
        let number = value.as_number()?;
        let fits = match self.kind {
            SettingKind::Integer(_, least, most) | SettingKind::Seconds(_, least, most) => {
                number.as_i64().is_some_and(|number| (least..=most).contains(&number))
            }
            SettingKind::Number(_, least, most) => {
                number.as_f64().is_some_and(|number| (least..=most).contains(&number))
            }
        };
        fits.then(|| number.clone())
    }

    /// Whether it may have this value: a number, durations in seconds.
    pub fn takes(&self, value: &Value) -> bool {
        self.take(value).is_some()
    }

    /// What it takes, for people.
    pub fn expected(&self) -> String {
        match self.kind {
            SettingKind::Integer(_, least, most) => format!("expected a whole number from {least} to {most}"),
            SettingKind::Number(_, least, most) => format!("expected a number from {least} to {most}"),
            SettingKind::Seconds(_, least, most) => format!("expected a duration from {least}s to {most}s"),
        }
    }
}

fn number(value: f64) -> Number {
    Number::from_f64(value).expect("a recipe's own numbers are finite")
}

impl Settings {
    /// Takes what was given for a recipe that takes `known`: a JSON object of numbers, durations in seconds.
    ///
    /// # Errors
    /// With the first setting that is unknown or has a value that it may not have.
    pub fn read(known: &[Setting], given: &Map<String, Value>) -> Result<Self, WrongSetting> {
        let mut settings: BTreeMap<_, _> = known.iter().map(|setting| (setting.name, setting.default())).collect();
        for (name, value) in given {
            let wrong = |expected: String| WrongSetting { name: name.clone(), expected };
            let Some(setting) = known.iter().find(|setting| setting.name == name) else {
                return Err(wrong("no setting of this recipe".to_owned()));
            };
            settings.insert(setting.name, setting.take(value).ok_or_else(|| wrong(setting.expected()))?);
        }
        Ok(Self(settings))
    }

    /// The defaults of a recipe that takes `known`.
    pub fn defaults(known: &[Setting]) -> Self {
        Self(known.iter().map(|setting| (setting.name, setting.default())).collect())
    }

    /// A whole number, or a period of time in seconds.
    ///
    /// # Panics
    /// If the recipe does not list it as such.
    pub fn integer(&self, name: &str) -> i64 {
        self.0.get(name).and_then(Number::as_i64).expect("the recipe lists the setting as a whole number")
    }

    /// A number.
    ///
    /// # Panics
    /// If the recipe does not list it.
    pub fn number(&self, name: &str) -> f64 {
        self.0.get(name).and_then(Number::as_f64).expect("the recipe lists the setting")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KNOWN: [Setting; 3] = [
        Setting { name: "most", about: "", kind: SettingKind::Integer(5, 1, 10) },
        Setting { name: "share", about: "", kind: SettingKind::Number(0.5, 0.0, 1.0) },
        Setting { name: "window", about: "", kind: SettingKind::Seconds(300, 1, 3_600) },
    ];

    fn read(given: &Value) -> Result<Settings, String> {
        Settings::read(&KNOWN, given.as_object().unwrap()).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn what_is_not_given_has_its_default() {
        let settings = read(&json!({ "share": 1, "window": 60 })).unwrap();
        assert_eq!((settings.integer("most"), settings.integer("window")), (5, 60));
        assert!((settings.number("share") - 1.0).abs() < f64::EPSILON);
        assert_eq!(read(&json!({})).unwrap(), Settings::defaults(&KNOWN));
    }

    #[test]
    fn unknown_names_and_values_out_of_range_are_refused() {
        assert_eq!(read(&json!({ "mots": 5 })).unwrap_err(), "mots: no setting of this recipe");
        for wrong in [json!(0), json!(11), json!(2.5), json!("5"), json!(null)] {
            assert_eq!(read(&json!({ "most": wrong })).unwrap_err(), "most: expected a whole number from 1 to 10");
        }
        assert_eq!(read(&json!({ "share": 1.5 })).unwrap_err(), "share: expected a number from 0 to 1");
        assert_eq!(read(&json!({ "window": 0 })).unwrap_err(), "window: expected a duration from 1s to 3600s");
    }
}
