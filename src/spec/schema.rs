//! The JSON Schema of a pipeline file, made from the types that read it, with what those alone do not say.
//!
//! It is for editors, so it is of draft 7, which they know best, and says the same things in the plainest form. It knows one file:
//! what a section's name refers to, and what AWS would refuse of several settings together, is for `check`.

mod recipes;
mod required;
mod subschemas;
mod tidy;
mod values;
mod variables;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::reference::SectionKind;
use super::types::Spec;

/// The pattern of a pipeline's or stage's name.
const NAME: &str = "^[a-z]([a-z0-9-]*[a-z0-9])?$";

/// The schema of a pipeline file, as TOML's own types become those of JSON.
pub(crate) fn schema() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<Spec>().to_value();
    schema["title"] = "A pipeline file of streamkit".into();
    tidy::tidy(&mut schema);
    recipes::add_to(&mut schema["definitions"]["Function"]);
    let required = required::take_out(&mut schema);
    for kind in SectionKind::ALL {
        // A bucket's name becomes part of a host's.
        let name = if kind == SectionKind::Bucket { "^[a-z0-9-]+$" } else { "^[A-Za-z0-9_-]+$" };
        schema["properties"][kind.word()]["propertyNames"] = json!({ "pattern": name });
    }
    variables::allow(&mut schema);
    add_stages(&mut schema);
    schema["required"] = json!(["name"]);
    // With stages, each of them may bring what the rest of the file lacks.
    schema["if"] = json!({ "not": { "required": ["stage"] } });
    schema["then"] = required;
    schema
}

/// `[stage.NAME]`: the same sections, as far as the stage has something otherwise.
fn add_stages(schema: &mut Value) {
    let kinds = SectionKind::ALL.map(SectionKind::word);
    let mut properties = json!({
        "account": {
            "description": "The AWS account that the stage is bound to; any when absent.",
            "type": "string", "pattern": "^[0-9]{12}$", "examples": ["123456789012"],
        },
        "regions": {
            "description": "The regions that the stage is bound to; any when absent.",
            "type": "array", "minItems": 1,
            "items": { "type": "string", "pattern": "^[A-Za-z0-9]+-[A-Za-z0-9-]+$" },
            "examples": [["eu-central-1"]],
        },
    });
    for section in kinds.into_iter().chain(["tags", "dashboard", "lint"]) {
        properties[section] = schema["properties"][section].clone();
    }
    schema["definitions"]["Stage"] = json!({
        "description": "What a stage has otherwise than the rest of the file says, key by key, and where it may be.",
        "type": "object", "properties": properties, "additionalProperties": false,
    });
    schema["properties"]["stage"] = json!({
        "description": "Copies of the pipeline that stand side by side: `--stage NAME` chooses one.",
        "type": "object",
        "propertyNames": { "pattern": NAME },
        "additionalProperties": { "$ref": "#/definitions/Stage" },
    });
}
