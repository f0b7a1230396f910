//! The function's settings, read from its environment variables.

use serde_json::{Map, Value};
use streamkit_recipes::{IDENTITY_FIELD, Recipe, Settings, WrongSetting};

use crate::encryption::EncryptionSettings;

/// The environment variable that names the recipe; not read by a function with a recipe of its own.
pub const RECIPE: &str = "STREAMKIT_RECIPE";
/// The environment variable with the pipeline's name, stage included.
pub const PIPELINE: &str = "STREAMKIT_PIPELINE";
/// The environment variable with the table's physical name, for recipes that need a table.
pub const TABLE: &str = "STREAMKIT_TABLE";
/// The environment variable with the bucket's name, for recipes that need a bucket.
pub const BUCKET: &str = "STREAMKIT_BUCKET";
/// The environment variable with the ARN of the stream that records are put into, for recipes that need one; in any region.
pub const STREAM_ARN: &str = "STREAMKIT_STREAM_ARN";
/// The environment variable with the topic's ARN, for recipes that need a topic.
pub const TOPIC_ARN: &str = "STREAMKIT_TOPIC_ARN";
/// The environment variable with the physical name of the state's table, for recipes with a memory.
pub const STATE_TABLE: &str = "STREAMKIT_STATE_TABLE";
/// The environment variable with the recipe's settings: a JSON object of numbers, durations in seconds. Those that it leaves
/// out have their defaults.
pub const SETTINGS: &str = "STREAMKIT_SETTINGS";
/// The environment variable with the mapping's parallelization factor, for recipes with a memory; 1 without it.
pub const PARALLELIZATION_FACTOR: &str = "STREAMKIT_PARALLELIZATION_FACTOR";
/// The environment variable with the dead letter queue's URL; optional.
pub const DEAD_LETTER_QUEUE_URL: &str = "STREAMKIT_DEAD_LETTER_QUEUE_URL";

/// The environment variable that names the field of a payload in which an event has its own id; `eventId` without it.
pub const IDENTITY: &str = "STREAMKIT_IDENTITY";

/// The environment variable with the fields to encrypt, and with what: JSON, see [`EncryptionSettings`]; optional.
pub const ENCRYPT: &str = "STREAMKIT_ENCRYPT";

/// The environment variable that makes invocations fail: those with a record whose key contains its value, or all, for
/// [`FAIL_ON_ALL`]. `streamkit validate --break` sets it for a while, to check what happens to records that a function fails on.
pub const FAIL_ON: &str = "STREAMKIT_FAIL_ON";

/// The value of [`FAIL_ON`] for every record: `streamkit dev` sets it while its user has broken the function.
pub const FAIL_ON_ALL: &str = "*";

/// The function's settings. Those that the recipe does not need are empty.
#[derive(Clone)]
pub struct Config {
    /// The recipe that processes the records.
    pub recipe: &'static dyn Recipe,
    /// The pipeline's name, stage included: a metric dimension, and the sender in dead letters.
    pub pipeline: String,
    /// The table's physical name.
    pub table: String,
    /// The bucket's name.
    pub bucket: String,
    /// The ARN of the stream that records are put into.
    pub stream_arn: String,
    /// The topic's ARN.
    pub topic_arn: String,
    /// The physical name of the table that holds the states of a recipe with a memory.
    pub state_table: String,
    /// The recipe's settings.
    pub settings: Settings,
    /// Whether a shard is read by several invocations at once, so that only records with one partition key come in order.
    pub parallel: bool,
    /// The URL of the queue for records that can never be processed. Without it they are reported to Lambda as failed.
    pub dead_letter_queue_url: Option<String>,
    /// The field of a payload in which an event has its own id.
    pub identity: String,
    /// The fields that are encrypted before the recipe sees a record.
    pub encryption: Option<EncryptionSettings>,
    /// Makes invocations fail that have a record whose key contains this text.
    pub fail_on: Option<String>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("recipe", &self.recipe.name())
            .field("pipeline", &self.pipeline)
            .field("table", &self.table)
            .field("bucket", &self.bucket)
            .field("stream_arn", &self.stream_arn)
            .field("topic_arn", &self.topic_arn)
            .field("state_table", &self.state_table)
            .field("settings", &self.settings)
            .field("parallel", &self.parallel)
            .field("dead_letter_queue_url", &self.dead_letter_queue_url)
            .field("identity", &self.identity)
            .field("encryption", &self.encryption)
            .field("fail_on", &self.fail_on)
            .finish()
    }
}

/// A setting that is missing or wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The variable is not set, or empty.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// The fields to encrypt are not said as this version of the handler reads them.
    #[error("{ENCRYPT} is not as this version of the handler reads it: {0}")]
    Encryption(String),
    /// The recipe is not one of ours.
    #[error("{RECIPE} names an unknown recipe ({name}); known: {known}")]
    UnknownRecipe {
        /// The name given.
        name: String,
        /// All names, with commas.
        known: String,
    },
    /// The settings are no JSON object of numbers.
    #[error("the environment variable {SETTINGS} is no JSON object (column {0})")]
    NoSettings(usize),
    /// The recipe does not take one of the settings.
    #[error("the environment variable {SETTINGS}: {0}")]
    Setting(#[from] WrongSetting),
}

/// Finds the recipe that the environment names.
pub fn recipe(variable: impl Fn(&str) -> Option<String>) -> Result<&'static dyn Recipe, ConfigError> {
    let name = variable(RECIPE).filter(|name| !name.is_empty()).ok_or(ConfigError::Missing(RECIPE))?;
    if let Some(recipe) = streamkit_recipes::find(&name) {
        return Ok(recipe);
    }
    let known: Vec<_> = streamkit_recipes::all().iter().map(|recipe| recipe.name()).collect();
    Err(ConfigError::UnknownRecipe { name, known: known.join(", ") })
}

fn settings(recipe: &dyn Recipe, given: Option<String>) -> Result<Settings, ConfigError> {
    let Some(given) = given else { return Ok(Settings::defaults(recipe.settings())) };
    let given: Map<String, Value> =
        serde_json::from_str(&given).map_err(|error| ConfigError::NoSettings(error.column()))?;
    Ok(Settings::read(recipe.settings(), &given)?)
}

impl Config {
    /// Reads what the recipe needs through `variable`, which is `std::env::var` in the function.
    pub fn read(recipe: &'static dyn Recipe, variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let optional = |name| variable(name).filter(|value| !value.is_empty());
        let required = |name, needed: bool| match optional(name) {
            None if needed => Err(ConfigError::Missing(name)),
            value => Ok(value.unwrap_or_default()),
        };
        let needs = recipe.needs();
        Ok(Self {
            recipe,
            pipeline: required(PIPELINE, true)?,
            table: required(TABLE, needs.table.is_some())?,
            bucket: required(BUCKET, needs.bucket.is_some())?,
            stream_arn: required(STREAM_ARN, needs.stream)?,
            topic_arn: required(TOPIC_ARN, needs.topic)?,
            state_table: required(STATE_TABLE, recipe.stateful().is_some())?,
            settings: settings(recipe, optional(SETTINGS))?,
            parallel: optional(PARALLELIZATION_FACTOR).is_some_and(|factor| factor != "1"),
            dead_letter_queue_url: optional(DEAD_LETTER_QUEUE_URL),
            identity: optional(IDENTITY).unwrap_or_else(|| IDENTITY_FIELD.to_owned()),
            encryption: match optional(ENCRYPT) {
                // Without it the fields would be stored in clear: a mistake must stop the function.
                Some(text) => {
                    Some(serde_json::from_str(&text).map_err(|error| ConfigError::Encryption(error.to_string()))?)
                }
                None => None,
            },
            fail_on: optional(FAIL_ON),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variable = |name: &str| pairs.iter().rfind(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Config::read(recipe(variable)?, variable)
    }

    #[test]
    fn read_takes_all_settings_and_an_empty_queue_as_none() {
        let all = [(RECIPE, "retail"), (PIPELINE, "p"), (TABLE, "t"), (DEAD_LETTER_QUEUE_URL, "")];
        let config = read(&all).unwrap();
        assert_eq!((config.recipe.name(), &*config.pipeline, &*config.table), ("retail", "p", "t"));
        assert_eq!((config.dead_letter_queue_url, &*config.identity), (None, "eventId"));
        let named = [(RECIPE, "retail"), (PIPELINE, "p"), (TABLE, "t"), (IDENTITY, "orderId")];
        assert_eq!(read(&named).unwrap().identity, "orderId");
        let changes = [(RECIPE, "changes"), (PIPELINE, "p"), (BUCKET, "b"), (TOPIC_ARN, "arn")];
        let config = read(&changes).unwrap();
        assert_eq!((&*config.bucket, &*config.topic_arn, &*config.table), ("b", "arn", ""));
        // A topic that the recipe can do without.
        assert_eq!(read(&[(RECIPE, "archive"), (PIPELINE, "p"), (BUCKET, "b")]).unwrap().topic_arn, "");
    }

    #[test]
    fn a_recipe_with_a_memory_has_a_table_for_it_and_its_settings() {
        let of = |more: &[(&str, &str)]| {
            let all = [&[(RECIPE, "fraud"), (PIPELINE, "p"), (TABLE, "t"), (STATE_TABLE, "m")], more].concat();
            read(&all)
        };
        let config = of(&[(SETTINGS, r#"{"flag_score":60,"velocity_window":120}"#)]).unwrap();
        let settings = &config.settings;
        assert_eq!((settings.integer("flag_score"), settings.integer("velocity_window")), (60, 120));
        assert_eq!((&*config.state_table, config.parallel), ("m", false));
        assert!(of(&[(PARALLELIZATION_FACTOR, "4")]).unwrap().parallel);
        assert_eq!(of(&[]).unwrap().settings, Settings::defaults(config.recipe.settings()));
        let error = |more: &[(&str, &str)]| of(more).err().unwrap().to_string();
        assert_eq!(error(&[(STATE_TABLE, "")]), "the environment variable STREAMKIT_STATE_TABLE is not set");
        let wrong = |settings: &str| error(&[(SETTINGS, settings)]);
        assert_eq!(wrong("[]"), "the environment variable STREAMKIT_SETTINGS is no JSON object (column 0)");
        assert_eq!(wrong(r#"{"x":1}"#), "the environment variable STREAMKIT_SETTINGS: x: no setting of this recipe");
    }

    #[test]
    fn read_names_what_is_missing_or_unknown() {
        let error = |pairs: &[(&str, &str)]| read(pairs).err().unwrap().to_string();
        let missing = |name: &str| format!("the environment variable {name} is not set");
        assert_eq!(error(&[]), missing(RECIPE));
        assert_eq!(error(&[(RECIPE, "")]), missing(RECIPE));
        let known = streamkit_recipes::all().iter().map(|recipe| recipe.name()).collect::<Vec<_>>().join(", ");
        let unknown = format!("STREAMKIT_RECIPE names an unknown recipe (x); known: {known}");
        assert_eq!(error(&[(RECIPE, "x")]), unknown);
        assert_eq!(error(&[(RECIPE, "retail")]), missing(PIPELINE));
        assert_eq!(error(&[(RECIPE, "retail"), (PIPELINE, "p"), (TABLE, "")]), missing(TABLE));
        assert_eq!(error(&[(RECIPE, "changes"), (PIPELINE, "p")]), missing(BUCKET));
        assert_eq!(error(&[(RECIPE, "changes"), (PIPELINE, "p"), (BUCKET, "b")]), missing(TOPIC_ARN));
        assert_eq!(error(&[(RECIPE, "mirror"), (PIPELINE, "p")]), missing(STREAM_ARN));
    }
}
