//! What a name of a function means: the function, and the version of it.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::Engine;
use crate::api_error::ApiError;
use crate::function::Function;
use crate::function::names::FunctionRef;
use crate::function::published::Alias;
use crate::function::version::{LATEST, Version, qualified};

/// What one invocation runs.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) function: Arc<Function>,
    pub(crate) version: Arc<Version>,
    /// Version or alias, as the caller named it.
    qualifier: Option<String>,
}

impl Target {
    /// The ARN as the caller named it.
    pub(crate) fn arn(&self) -> String {
        qualified(&self.function.arn, self.qualifier())
    }

    pub(crate) fn qualifier(&self) -> Option<&str> {
        self.qualifier.as_deref()
    }

    /// `FunctionConfiguration`, with the ARN as the caller named it.
    pub(crate) fn configuration(&self) -> Value {
        let mut shown = self.function.configuration(&self.version, self.function.state());
        shown["FunctionArn"] = json!(self.arn());
        shown
    }
}

/// What a name is resolved for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Of an alias, its own version.
    Description,
    /// Of an alias with two versions, one by chance.
    Invocation,
}

impl Engine {
    /// The version that one invocation runs of a function that is named in any form.
    pub(crate) fn invoked(&self, name: &str) -> Result<Target, ApiError> {
        let FunctionRef { name, qualifier } = FunctionRef::parse(name)?;
        self.resolve(Purpose::Invocation, &name, qualifier.as_deref())
    }

    /// The function that is named in any form, and the version of it that is shown.
    pub(crate) fn named(&self, name: &str) -> Result<Target, ApiError> {
        let FunctionRef { name, qualifier } = FunctionRef::parse(name)?;
        self.resolve(Purpose::Description, &name, qualifier.as_deref())
    }

    /// The version that this function and qualifier mean now.
    pub(crate) fn resolve(&self, purpose: Purpose, name: &str, qualifier: Option<&str>) -> Result<Target, ApiError> {
        let missing = || {
            let arn = qualified(&self.config.function_arn(name), qualifier);
            ApiError::not_found(format!("Function not found: {arn}"))
        };
        let function = self.functions().get(name).cloned().ok_or_else(missing)?;
        let version = match qualifier {
            None | Some(LATEST) => function.version(),
            Some(qualifier) => {
                let published = function.published();
                let number = match published.aliases.get(qualifier) {
                    None => qualifier,
                    Some(Alias { routing: Some((version, share)), .. })
                        if purpose == Purpose::Invocation && chance() < *share =>
                    {
                        version
                    }
                    Some(alias) => &alias.version,
                };
                match number.parse().ok().and_then(|number: u32| published.versions.get(&number)) {
                    Some(version) => Arc::clone(version),
                    None if number == LATEST => function.version(),
                    None => return Err(missing()),
                }
            }
        };
        Ok(Target { function, version, qualifier: qualifier.map(str::to_owned) })
    }
}

/// An even number from 0 to 1.
fn chance() -> f64 {
    f64::from(u32::try_from(Uuid::new_v4().as_u128() >> 96).unwrap_or(0)) / f64::from(u32::MAX)
}
