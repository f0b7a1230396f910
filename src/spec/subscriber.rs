//! Who is subscribed to a topic, and to which of its messages.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use super::reference::{Reference, SectionKind};

/// A subscriber: an address, or a queue of this file, and what it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) to: Recipient,
    /// The message alone, without SNS's envelope.
    pub(crate) raw: bool,
    /// The messages that it is sent; all when absent.
    pub(crate) filter: Option<Pattern>,
    pub(crate) filter_on: FilterOn,
}

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Recipient {
    /// `email:ADDRESS`, `sms:+NUMBER` or `https://…`: SNS's protocol word, and the endpoint.
    Address(&'static str, String),
    /// `queue.NAME`.
    Queue(Reference),
}

/// What a subscriber's filter looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum FilterOn {
    /// At a message's attributes.
    #[default]
    Attributes,
    /// At its body, which must be JSON.
    Body,
}

/// A subscriber that is more than its address, as it is written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SubscriberSettings {
    /// An address, or a queue of this file.
    to: Recipient,
    /// Sends the message alone, without SNS's envelope.
    #[serde(default)]
    raw: bool,
    /// The messages that it is sent; all when absent.
    filter: Option<Pattern>,
    /// What the filter looks at.
    #[serde(default)]
    filter_on: FilterOn,
}

impl Recipient {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("email", address)) if address.contains('@') && !address.contains(' ') => {
                Ok(Self::Address("email", address.to_owned()))
            }
            Some(("sms", number)) if number.starts_with('+') => Ok(Self::Address("sms", number.to_owned())),
            Some(("https", _)) => Ok(Self::Address("https", text.to_owned())),
            None if text.starts_with("queue.") => {
                Ok(Self::Queue(Reference::new(SectionKind::Queue, &text["queue.".len()..])))
            }
            _ => Err(format!(
                "`{text}` is not a subscriber: write \"queue.NAME\", \"email:you@example.com\", \"sms:+15550100\" or an \"https://…\" address"
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::values::text(deserializer, "a subscriber such as \"email:you@example.com\"", Self::parse)
    }
}

impl<'de> Deserialize<'de> for Subscriber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Subscriber;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a subscriber such as \"email:you@example.com\", or { to = \"queue.NAME\", raw = true }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Subscriber, E> {
                let to = Recipient::parse(text).map_err(E::custom)?;
                Ok(Subscriber { to, raw: false, filter: None, filter_on: FilterOn::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Subscriber, A::Error> {
                let SubscriberSettings { to, raw, filter, filter_on } =
                    SubscriberSettings::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Subscriber { to, raw, filter, filter_on })
            }
        }
        deserializer.deserialize_any(Either)
    }
}
