//! The values of a spec that are more than a string or a number, and how they are read.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::reference::Reference;
use super::spanned::Spanned;
use super::units::Seconds;

/// `"none"`, `"aws-managed"`, or a KMS key ARN or alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Encryption {
    None,
    AwsManaged,
    Key(String),
}

/// `"on-demand"`, or `{ read = 5, write = 5 }` capacity units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Billing {
    OnDemand,
    /// With autoscaling, `read` and `write` are what there is at least.
    Provisioned {
        read: i64,
        write: i64,
        autoscaling: Option<Autoscaling>,
    },
}

/// How far AWS may raise a table's capacity, in units, and how much of it should be in use, in per cent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Autoscaling {
    /// The most units for reads.
    pub(crate) max_read: i64,
    /// The most units for writes.
    pub(crate) max_write: i64,
    /// How much of the capacity should be in use, in per cent.
    #[serde(default = "seventy")]
    #[schemars(range(min = 20, max = 90))]
    pub(crate) target: i64,
}

/// Provisioned capacity, as it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Units {
    /// Units for reads; with autoscaling, what there is at least.
    #[schemars(range(min = 1))]
    read: i64,
    /// Units for writes; with autoscaling, what there is at least.
    #[schemars(range(min = 1))]
    write: i64,
    /// How far AWS may raise them.
    autoscaling: Option<Autoscaling>,
}

/// DynamoDB's console proposes it.
fn seventy() -> i64 {
    70
}

/// A number, a duration for metrics that measure time, or a share of what there is at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Threshold {
    Number(f64),
    Duration(Seconds),
    /// Per cent.
    Share(f64),
}

/// One reference or a list of them.
#[derive(Debug, Default)]
pub(crate) struct OneOrMany(pub(crate) Vec<Spanned<Reference>>);

/// Reads a string and what it stands for. The parsing happens inside of the visitor, so that a mistake gets the string's span.
pub(super) fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expecting: &'static str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    struct Text<P>(&'static str, P);
    impl<T, P: Fn(&str) -> Result<T, String>> Visitor<'_> for Text<P> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            (self.1)(text).map_err(E::custom)
        }
    }
    deserializer.deserialize_any(Text(expecting, parse))
}

impl<'de> Deserialize<'de> for Encryption {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, "an encryption such as \"aws-managed\"", |text| match text {
            "none" => Ok(Self::None),
            "aws-managed" => Ok(Self::AwsManaged),
            key if key.starts_with("alias/") || key.starts_with("arn:") => Ok(Self::Key(key.to_owned())),
            _ => Err(format!(
                "`{text}` is not an encryption: write \"none\", \"aws-managed\", a KMS key ARN or an alias such as \"alias/events\""
            )),
        })
    }
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::AwsManaged => f.write_str("aws-managed"),
            Self::Key(key) => f.write_str(key),
        }
    }
}

impl Serialize for Encryption {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Billing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Billing;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"on-demand\" or { read = UNITS, write = UNITS }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Billing, E> {
                match text {
                    "on-demand" => Ok(Billing::OnDemand),
                    _ => Err(E::custom(format!(
                        "`{text}` is not a billing: write \"on-demand\" or {{ read = 5, write = 5 }}"
                    ))),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Billing, A::Error> {
                let units = Units::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Billing::Provisioned { read: units.read, write: units.write, autoscaling: units.autoscaling })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl fmt::Display for Billing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnDemand => f.write_str("on-demand"),
            Self::Provisioned { read, write, .. } => write!(f, "read {read}, write {write}"),
        }
    }
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Threshold;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a duration such as \"5m\", or a share such as \"80%\"")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Threshold, E> {
                #[expect(clippy::cast_precision_loss, reason = "CloudWatch's own thresholds are doubles")]
                Ok(Threshold::Number(number as f64))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Threshold, E> {
                if number.is_finite() {
                    Ok(Threshold::Number(number))
                } else {
                    Err(E::custom("a threshold must be a finite number"))
                }
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Threshold, E> {
                let Some(share) = text.strip_suffix('%') else {
                    return Seconds::parse(text).map(Threshold::Duration).map_err(E::custom);
                };
                match share.trim().parse::<f64>() {
                    Ok(share) if share > 0.0 && share <= 100.0 => Ok(Threshold::Share(share)),
                    _ => Err(E::custom(format!("`{text}` is not a share: write one from \"1%\" to \"100%\""))),
                }
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The span of a single string is that of the whole value, which only `Spanned` can ask for.
        let whole = Spanned::<Either>::deserialize(deserializer)?;
        let span = whole.span();
        Ok(Self(match whole.into_inner() {
            Either::One(reference) => vec![Spanned::new(span, reference)],
            Either::Many(references) => references,
        }))
    }
}

/// What an action is allowed on: something in the file, or an ARN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Section(Reference),
    Arn(String),
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, "a reference such as \"table.results\", or an ARN", |text| {
            if text == "*" || text.starts_with("arn:") {
                return Ok(Self::Arn(text.to_owned()));
            }
            Reference::parse(text).map(Self::Section)
        })
    }
}

enum Either {
    One(Reference),
    Many(Vec<Spanned<Reference>>),
}

impl<'de> Deserialize<'de> for Either {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct References;
        impl<'de> Visitor<'de> for References {
            type Value = Either;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a reference such as \"topic.alerts\", or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Either, E> {
                Reference::parse(text).map(Either::One).map_err(E::custom)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Either, A::Error> {
                let mut all = Vec::new();
                while let Some(reference) = list.next_element::<Spanned<Reference>>()? {
                    all.push(reference);
                }
                Ok(Either::Many(all))
            }
        }
        deserializer.deserialize_any(References)
    }
}
