//! What the function is told through its environment.

use streamkit_recipes::Recipe;

/// The environment variable that names the recipe.
pub const RECIPE: &str = "STREAMKIT_RECIPE";
/// The environment variable with the pipeline's name, stage included.
pub const PIPELINE: &str = "STREAMKIT_PIPELINE";
/// The environment variable with the table's physical name.
pub const TABLE: &str = "STREAMKIT_TABLE";
/// The environment variable with the dead letter queue's URL; optional.
pub const DEAD_LETTER_QUEUE_URL: &str = "STREAMKIT_DEAD_LETTER_QUEUE_URL";

/// The function's settings.
#[derive(Clone)]
pub struct Config {
    /// What to do with records.
    pub recipe: &'static dyn Recipe,
    /// The pipeline's name, stage included: a metric dimension, and the sender in dead letters.
    pub pipeline: String,
    /// The table's physical name.
    pub table: String,
    /// Where records go that can never succeed. Without it they are reported to Lambda as failed.
    pub dead_letter_queue_url: Option<String>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("recipe", &self.recipe.name())
            .field("pipeline", &self.pipeline)
            .field("table", &self.table)
            .field("dead_letter_queue_url", &self.dead_letter_queue_url)
            .finish()
    }
}

/// A setting that is missing or wrong.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The variable is not set, or empty.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// The recipe is not one of ours.
    #[error("{RECIPE} names an unknown recipe ({name}); known: {known}")]
    UnknownRecipe {
        /// The name given.
        name: String,
        /// All names, with commas.
        known: String,
    },
}

impl Config {
    /// Reads the settings through `variable`, which is `std::env::var` in the function.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let optional = |name| variable(name).filter(|value| !value.is_empty());
        let required = |name| optional(name).ok_or(ConfigError::Missing(name));
        let name = required(RECIPE)?;
        let recipe = streamkit_recipes::find(&name).ok_or_else(|| {
            let known: Vec<_> = streamkit_recipes::all().iter().map(|recipe| recipe.name()).collect();
            ConfigError::UnknownRecipe { name, known: known.join(", ") }
        })?;
        Ok(Self {
            recipe,
            pipeline: required(PIPELINE)?,
            table: required(TABLE)?,
            dead_letter_queue_url: optional(DEAD_LETTER_QUEUE_URL),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn read_takes_all_settings_and_an_empty_queue_as_none() {
        let all = [(RECIPE, "retail"), (PIPELINE, "p"), (TABLE, "t"), (DEAD_LETTER_QUEUE_URL, "")];
        let config = read(&all).unwrap();
        assert_eq!((config.recipe.name(), &*config.pipeline, &*config.table), ("retail", "p", "t"));
        assert_eq!(config.dead_letter_queue_url, None);
    }

    #[test]
    fn read_names_what_is_missing_or_unknown() {
        let error = |pairs: &[(&str, &str)]| read(pairs).err().unwrap().to_string();
        assert_eq!(error(&[]), "the environment variable STREAMKIT_RECIPE is not set");
        assert_eq!(error(&[(RECIPE, "x")]), "STREAMKIT_RECIPE names an unknown recipe (x); known: retail, analytics, clickstream, changes");
        assert_eq!(error(&[(RECIPE, "retail")]), "the environment variable STREAMKIT_PIPELINE is not set");
        let two = [(RECIPE, "retail"), (PIPELINE, "p"), (TABLE, "")];
        assert_eq!(error(&two), "the environment variable STREAMKIT_TABLE is not set");
    }
}
