//! What a schema says of recipes: their names, and the settings of each.

use serde_json::{Map, Value, json};
use streamkit_recipes::{self as recipes, Setting, SettingKind};

use super::super::settings::SettingValue;
use super::super::units::{Seconds, duration_text};
use super::values::form;

/// Adds the recipes to the schema of a function.
pub(super) fn add_to(function: &mut Value) {
    let all = recipes::all();
    let names =
        all.iter().map(|recipe| json!({ "const": recipe.name(), "type": "string", "description": recipe.about() }));
    if let Some(recipe) = function["properties"]["recipe"].as_object_mut() {
        recipe.remove("type");
        recipe.insert("oneOf".to_owned(), names.collect());
    }
    // For whoever looks up a setting's name it is the same which recipe has it; whether this one does is said below.
    let mut settings: Map<String, Value> = Map::new();
    for recipe in all {
        for known in recipe.settings() {
            let about = format!("{}: {}; {} when absent.", recipe.name(), known.about, default(known));
            if let Some(Value::Object(other)) = settings.get_mut(known.name) {
                let text = other["description"].as_str().unwrap_or_default();
                other.insert("description".to_owned(), format!("{text}\n\n{about}").into());
            } else {
                let mut setting = form::<SettingValue>();
                setting["description"] = about.into();
                settings.insert(known.name.to_owned(), setting);
            }
        }
    }
    function["properties"]["settings"]["properties"] = settings.into();
    function["allOf"] = all
        .iter()
        .map(|recipe| {
            let settings: Map<_, _> = recipe.settings().iter().map(|it| (it.name.to_owned(), setting(it))).collect();
            json!({
                "if": { "properties": { "recipe": { "const": recipe.name() } }, "required": ["recipe"] },
                "then": { "properties": { "settings": { "properties": settings, "additionalProperties": false } } },
            })
        })
        .collect();
}

fn setting(setting: &Setting) -> Value {
    match setting.kind {
        SettingKind::Integer(_, least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        SettingKind::Number(_, least, most) => json!({ "type": "number", "minimum": least, "maximum": most }),
        SettingKind::Seconds(..) => form::<Seconds>(),
    }
}

/// As a spec would have it.
fn default(setting: &Setting) -> String {
    match setting.kind {
        SettingKind::Seconds(default, ..) => format!("\"{}\"", duration_text(default.unsigned_abs())),
        SettingKind::Integer(..) | SettingKind::Number(..) => setting.default().to_string(),
    }
}
