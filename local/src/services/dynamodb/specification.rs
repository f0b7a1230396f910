//! What a request says about the stream of a table.

use serde_json::{Value, json};

use super::streams::ChangeStreams;

const VIEWS: [&str; 4] = ["NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY"];

/// A stream to be turned on or off.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Specification {
    On { view: String },
    Off,
}

/// Takes the view type out of a request. The engine has to note both images whatever the stream shows: else nobody could tell
/// whether a write changed anything.
pub(super) fn take(input: &mut Value) -> Option<Specification> {
    let given = input.get_mut("StreamSpecification")?;
    if given["StreamEnabled"] == false {
        return Some(Specification::Off);
    }
    // What is not valid is the engine's to refuse.
    let view = given["StreamViewType"].as_str().filter(|view| VIEWS.contains(view))?.to_owned();
    given["StreamViewType"] = json!("NEW_AND_OLD_IMAGES");
    Some(Specification::On { view })
}

impl Specification {
    /// Does it to the stream of the table that is described.
    pub(super) fn apply(&self, streams: &ChangeStreams, description: &Value) {
        match self {
            Self::On { view } => streams.open(description, view),
            Self::Off => streams.close(description["TableName"].as_str().unwrap_or_default()),
        }
    }
}
