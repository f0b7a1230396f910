//! Dashboards: named JSON bodies.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use streamkit_wire::input::tag_pairs;
use streamkit_wire::input::{required, text, texts};
use streamkit_wire::{CallError, clock};

use super::metrics::seconds;
use super::service::{Answer, invalid, page};

const PAGE: usize = 1_000;
const MAX_NAME: usize = 255;

pub(super) struct Dashboards {
    account: String,
    boards: BTreeMap<String, Board>,
}

struct Board {
    body: String,
    modified_ms: i64,
    tags: BTreeMap<String, String>,
}

impl Dashboards {
    pub(super) fn new(account: &str) -> Self {
        Self { account: account.to_owned(), boards: BTreeMap::new() }
    }

    fn arn(&self, name: &str) -> String {
        format!("arn:aws:cloudwatch::{}:dashboard/{name}", self.account)
    }

    pub(super) fn tags(&mut self, arn: &str) -> Option<&mut BTreeMap<String, String>> {
        let name = arn.rsplit('/').next()?.to_owned();
        if self.arn(&name) != arn {
            return None;
        }
        self.boards.get_mut(&name).map(|board| &mut board.tags)
    }

    pub(super) fn put(&mut self, input: &Value) -> Answer {
        let name = required(input, "DashboardName")?;
        let legal = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if !name.chars().all(legal) || name.len() > MAX_NAME {
            return Err(invalid(
                "The value for field DashboardName contains invalid characters. It can only contain alphanumerics, dash (-) and underscore (_).\n",
            ));
        }
        let body = required(input, "DashboardBody")?;
        let widgets = serde_json::from_str(body).ok().filter(|tree: &Value| tree["widgets"].is_array());
        if widgets.is_none() {
            return Err(CallError::bad(
                "InvalidParameterInput",
                "The field DashboardBody must be a valid JSON object with a list of widgets",
            ));
        }
        let board = self.boards.entry(name.to_owned()).or_insert_with(|| Board {
            body: String::new(),
            modified_ms: 0,
            // A dashboard that is there keeps its tags.
            tags: tag_pairs(&input["Tags"]).collect(),
        });
        body.clone_into(&mut board.body);
        board.modified_ms = clock::now_ms();
        Ok(json!({"DashboardValidationMessages": []}))
    }

    pub(super) fn get(&self, input: &Value) -> Answer {
        let name = required(input, "DashboardName")?;
        let board = self.boards.get(name).ok_or_else(|| missing(name))?;
        Ok(json!({"DashboardName": name, "DashboardArn": self.arn(name), "DashboardBody": board.body}))
    }

    pub(super) fn list(&self, input: &Value) -> Value {
        let prefix = text(input, "DashboardNamePrefix").unwrap_or_default();
        let found = self
            .boards
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, board)| {
                json!({
                    "DashboardName": name,
                    "DashboardArn": self.arn(name),
                    "LastModified": seconds(board.modified_ms),
                    "Size": board.body.len(),
                })
            })
            .collect();
        page(found, "DashboardEntries", input, PAGE)
    }

    pub(super) fn delete(&mut self, input: &Value) -> Answer {
        let names = texts(&input["DashboardNames"]);
        if let Some(name) = names.iter().find(|name| !self.boards.contains_key(*name)) {
            return Err(missing(name));
        }
        for name in &names {
            self.boards.remove(name);
        }
        Ok(json!({}))
    }
}

fn missing(name: &str) -> CallError {
    CallError::new(404, "ResourceNotFound", format!("Dashboard {name} does not exist"))
}
