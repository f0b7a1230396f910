//! The values of a spec that are more than a string or a number, and how they are read.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;

use super::reference::Reference;
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
    Provisioned { read: i64, write: i64 },
}

/// `email:ADDRESS`, `sms:+NUMBER` or `https://…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subscriber {
    /// SNS's protocol word.
    pub(crate) protocol: &'static str,
    pub(crate) endpoint: String,
}

/// A number, or a duration for metrics that measure time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Threshold {
    Number(f64),
    Duration(Seconds),
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
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Units {
                    read: i64,
                    write: i64,
                }
                let units = Units::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Billing::Provisioned { read: units.read, write: units.write })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl fmt::Display for Billing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnDemand => f.write_str("on-demand"),
            Self::Provisioned { read, write } => write!(f, "read {read}, write {write}"),
        }
    }
}

impl<'de> Deserialize<'de> for Subscriber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer, "a subscriber such as \"email:you@example.com\"", |text| {
            let (protocol, endpoint) = match text.split_once(':') {
                Some(("email", address)) if address.contains('@') && !address.contains(' ') => ("email", address),
                Some(("sms", number)) if number.starts_with('+') => ("sms", number),
                Some(("https", _)) => ("https", text),
                _ => {
                    return Err(format!(
                        "`{text}` is not a subscriber: write \"email:you@example.com\", \"sms:+15550100\" or an \"https://…\" address"
                    ));
                }
            };
            Ok(Self { protocol, endpoint: endpoint.to_owned() })
        })
    }
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Threshold;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a duration such as \"5m\"")
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
                Seconds::parse(text).map(Threshold::Duration).map_err(E::custom)
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
