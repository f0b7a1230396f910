//! Published versions and aliases of a function.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::api_error::ApiError;
use crate::function::version::{LATEST, Version, qualified};

/// What a function has published.
#[derive(Default)]
pub(crate) struct Published {
    pub(crate) versions: BTreeMap<u32, Arc<Version>>,
    pub(crate) aliases: BTreeMap<String, Alias>,
    /// The number that was given last; numbers of deleted versions do not come again.
    last: u32,
}

/// A name for a version.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alias {
    pub(crate) version: String,
    description: String,
    /// A second version, and the share of invocations that it gets.
    pub(crate) routing: Option<(String, f64)>,
    pub(crate) revision: Uuid,
}

impl Published {
    /// Publishes what `$LATEST` is, unless that is the version published last.
    pub(crate) fn publish(&mut self, latest: &Version, description: Option<&str>) -> Arc<Version> {
        if let Some(last) = self.versions.values().next_back().filter(|last| last.same_as(latest)) {
            return Arc::clone(last);
        }
        self.last += 1;
        let mut settings = latest.settings.clone();
        if let Some(description) = description {
            description.clone_into(&mut settings.description);
        }
        let version = Arc::new(Version::published(self.last, settings, Arc::clone(&latest.code)));
        self.versions.insert(self.last, Arc::clone(&version));
        version
    }

    pub(crate) fn has(&self, version: &Arc<Version>) -> bool {
        self.versions.values().any(|published| Arc::ptr_eq(published, version))
    }

    /// Removes one version; those that an alias names stay.
    pub(crate) fn remove(&mut self, qualifier: &str) -> Result<(), ApiError> {
        if let Some((alias, _)) = self.aliases.iter().find(|(_, alias)| {
            alias.version == qualifier || alias.routing.as_ref().is_some_and(|(version, _)| version == qualifier)
        }) {
            return Err(ApiError::conflict(format!("Version {qualifier} is in use by the alias {alias}.")));
        }
        let number = qualifier.parse().ok();
        match number.and_then(|number: u32| self.versions.remove(&number)) {
            Some(_) => Ok(()),
            None => Err(ApiError::invalid("Only published versions can be deleted; use DeleteAlias for an alias.")),
        }
    }
}

impl Alias {
    /// An alias of `$LATEST`.
    pub(crate) fn of_latest() -> Self {
        Self { version: LATEST.to_owned(), description: String::new(), routing: None, revision: Uuid::new_v4() }
    }

    pub(crate) fn shown(&self, arn: &str, name: &str) -> Value {
        let mut shown = json!({
            "AliasArn": format!("{arn}:{name}"),
            "Name": name,
            "FunctionVersion": self.version,
            "Description": self.description,
            "RevisionId": self.revision.to_string(),
        });
        if let Some((version, share)) = &self.routing {
            shown["RoutingConfig"] = json!({ "AdditionalVersionWeights": { version.as_str(): share } });
        }
        shown
    }

    /// The share of a second version beside this alias's own.
    fn second(&self, version: &str, share: &Value) -> Result<f64, ApiError> {
        let weights = |constraint: &str| {
            ApiError::constraint(format!("{{{version}={share}}}"), "routingConfig.additionalVersionWeights", constraint)
        };
        let Some(weight) = share.as_f64().filter(|weight| (0.0..=1.0).contains(weight)) else {
            return Err(weights(
                "satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]",
            ));
        };
        if version == self.version {
            return Err(ApiError::invalid(format!(
                "Invalid function version {version}. Function version {version} is already included in routing configuration."
            )));
        }
        if self.version == LATEST {
            return Err(ApiError::invalid("$LATEST is not supported for an alias pointing to more than 1 version"));
        }
        if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(weights(
                "satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be null]",
            ));
        }
        Ok(weight)
    }

    /// Changes what the request names.
    pub(crate) fn change(
        &mut self,
        body: &Value,
        arn: &str,
        published: &BTreeMap<u32, Arc<Version>>,
    ) -> Result<(), ApiError> {
        let exists = |version: &str| {
            let known = version == LATEST || version.parse().is_ok_and(|number: u32| published.contains_key(&number));
            if known {
                Ok(version.to_owned())
            } else {
                Err(ApiError::not_found(format!("Function not found: {}", qualified(arn, Some(version)))))
            }
        };
        if let Some(version) = body["FunctionVersion"].as_str() {
            self.version = exists(version)?;
        }
        if let Some(description) = body["Description"].as_str() {
            description.clone_into(&mut self.description);
        }
        if let Some(weights) = body["RoutingConfig"]["AdditionalVersionWeights"].as_object() {
            self.routing = match weights.iter().next() {
                None => None,
                Some(_) if weights.len() > 1 => {
                    return Err(ApiError::invalid(
                        "Number of items in AdditionalVersionWeights cannot be greater than 1",
                    ));
                }
                Some((version, share)) => {
                    Some(self.second(version, share).and_then(|share| Ok((exists(version)?, share)))?)
                }
            };
        }
        self.revision = Uuid::new_v4();
        Ok(())
    }
}
