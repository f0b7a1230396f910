//! What runs: code and configuration at one time, and what qualified names are made of.

use std::sync::Arc;

use streamkit_wire::clock;
use uuid::Uuid;

use crate::runtime::code::Code;
use crate::settings::Settings;

/// What invocations of unqualified names run.
pub(crate) const LATEST: &str = "$LATEST";

/// Code and configuration at one time; a change makes a new one, and processes of the old one are replaced.
#[derive(Debug)]
pub(crate) struct Version {
    /// Of a published version; `$LATEST` has none.
    number: Option<u32>,
    pub(crate) settings: Settings,
    pub(crate) code: Arc<Code>,
    pub(crate) modified_ms: i64,
    pub(crate) revision: Uuid,
}

impl Version {
    pub(crate) fn latest(settings: Settings, code: Arc<Code>) -> Self {
        Self { number: None, settings, code, modified_ms: clock::now_ms(), revision: Uuid::new_v4() }
    }

    pub(crate) fn published(number: u32, settings: Settings, code: Arc<Code>) -> Self {
        Self { number: Some(number), ..Self::latest(settings, code) }
    }

    /// `$LATEST`, or the number.
    pub(crate) fn name(&self) -> String {
        self.number.map_or_else(|| LATEST.to_owned(), |number| number.to_string())
    }

    /// Whether code and configuration are the same; a version's own description does not count.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        let mut settings = self.settings.clone();
        settings.description.clone_from(&other.settings.description);
        self.code.sha256 == other.code.sha256 && settings == other.settings
    }
}

/// An ARN with its qualifier, where there is one.
pub(crate) fn qualified(arn: &str, qualifier: Option<&str>) -> String {
    qualifier.map_or_else(|| arn.to_owned(), |qualifier| format!("{arn}:{qualifier}"))
}
