//! The forms of values that are more than a string or a number, as their own `Deserialize` takes them.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::super::encrypted::EncryptedField;
use super::super::pattern::Pattern;
use super::super::reference::{Reference, SectionKind};
use super::super::settings::SettingValue;
use super::super::subscriber::{Recipient, Subscriber, SubscriberSettings};
use super::super::units::{MebiBytes, Seconds};
use super::super::values::{Billing, Encryption, OneOrMany, Target, Threshold, Units};

const DURATION: &str = r"^\s*([0-9]+[dhms]\s*)+$";

/// The schema of a value that refers to no other.
pub(super) fn form<T: JsonSchema>() -> Value {
    T::json_schema(&mut SchemaSettings::draft07().into_generator()).to_value()
}

/// A value's schema, written where the value stands: an editor then shows what the place says of it.
macro_rules! form {
    ($type:ident, $generator:ident => $schema:expr) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
    ($type:ident => $schema:expr) => { form!($type, _generator => $schema); };
}

form!(Seconds => json_schema!({ "type": "string", "pattern": DURATION, "examples": ["30s", "5m", "24h", "14d"] }));

form!(MebiBytes => json_schema!({
    "type": "string", "pattern": r"^\s*\+?0*([1-9][0-9]*)\s*(MiB|MB)$", "examples": ["4MiB"],
}));

fn kinds() -> String {
    SectionKind::ALL.map(SectionKind::word).join("|")
}

form!(Reference => json_schema!({ "type": "string", "pattern": format!(r"^({})\.", kinds()) }));

form!(Target => json_schema!({ "type": "string", "pattern": format!(r"^(\*$|arn:|({})\.)", kinds()) }));

form!(OneOrMany, generator => {
    let one = generator.subschema_for::<Reference>();
    json_schema!({ "anyOf": [one, { "type": "array", "items": one }], "examples": ["topic.alerts"] })
});

form!(Encryption => json_schema!({
    "anyOf": [
        { "type": "string", "enum": ["none", "aws-managed"] },
        { "description": "A KMS key, by its ARN or alias.", "type": "string", "pattern": "^(alias/|arn:)" },
    ],
    "examples": ["aws-managed", "alias/events"],
}));

form!(Billing, generator => json_schema!({
    "anyOf": [{ "type": "string", "enum": ["on-demand"] }, generator.subschema_for::<Units>()],
    "default": "on-demand",
    "examples": ["on-demand", { "read": 5, "write": 5 }],
}));

form!(Threshold => json_schema!({
    "anyOf": [
        { "type": "number" },
        { "description": "Of a metric that measures time.", "type": "string", "pattern": DURATION },
        {
            "description": "A share of a function's reserved concurrency.",
            "type": "string",
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*%$",
        },
    ],
    "examples": [0, "5m", "80%"],
}));

form!(SettingValue => json_schema!({
    "anyOf": [{ "type": "number" }, { "type": "string", "pattern": DURATION }],
}));

form!(Pattern => json_schema!({
    "description": "An event pattern, as a table or as JSON text.",
    "anyOf": [{ "type": "object" }, { "type": "string" }],
    "examples": [{ "data": { "eventType": ["purchase"] } }],
}));

form!(Recipient => json_schema!({
    "type": "string",
    "pattern": r"^(email:[^ ]*@[^ ]*$|sms:\+|https:|queue\.)",
    "examples": ["email:you@example.com", "queue.work", "https://example.com/alerts"],
}));

form!(Subscriber, generator => {
    let settings = generator.subschema_for::<SubscriberSettings>();
    json_schema!({ "anyOf": [generator.subschema_for::<Recipient>(), settings] })
});

form!(EncryptedField => json_schema!({
    "anyOf": [
        { "type": "string" },
        {
            "type": "object",
            "properties": {
                "field": {
                    "description": "Names with dots between them, from the outermost object inwards.",
                    "type": "string",
                    "examples": ["card.number"],
                },
                "index": {
                    "description": "Keeps a keyed hash beside it, so that equal values can be found.",
                    "type": "boolean",
                    "default": false,
                },
            },
            "required": ["field"],
            "additionalProperties": false,
        },
    ],
}));
