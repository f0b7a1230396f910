//! What an engine is made with, and the ARNs that follow from it.

use std::path::PathBuf;

/// Where an engine lives.
#[derive(Debug, Clone)]
pub struct Config {
    /// The region of all functions.
    pub region: String,
    /// The account that owns them, 12 digits.
    pub account: String,
    /// The `AWS_ENDPOINT_URL` of functions; without one they call AWS itself.
    pub endpoint: Option<String>,
    /// What the `Code.Location` of a function begins with; the package's identifier follows.
    pub packages_url: String,
    /// Where function code is unpacked.
    pub state_dir: PathBuf,
}

impl Config {
    pub(crate) fn function_arn(&self, name: &str) -> String {
        format!("arn:aws:lambda:{}:{}:function:{name}", self.region, self.account)
    }

    pub(crate) fn mapping_arn(&self, uuid: &str) -> String {
        format!("arn:aws:lambda:{}:{}:event-source-mapping:{uuid}", self.region, self.account)
    }
}
