//! A plan in a file: what was read is what `up --plan` carries out, or it says what moved since and does nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::failure::Hint;
use crate::plan::{Action, Change, Place, Plan, Step};
use crate::spec::read_text;

/// The version of the file: `schemas/saved-plan.json` describes it.
const VERSION: u64 = 1;

/// What a plan was made with, which carrying it out needs again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanOptions {
    pub(crate) adopt: bool,
    pub(crate) allow_replace: Vec<String>,
    pub(crate) allow_delete: Vec<String>,
    /// The zip file of `--package FILE`.
    pub(crate) package: Option<PathBuf>,
    /// `--local --package`.
    pub(crate) build_package: bool,
}

/// The pipeline file, as it was when the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpecFile {
    pub(crate) path: PathBuf,
    sha256: String,
}

impl SpecFile {
    /// # Errors
    /// The file can't be read.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = read_text(path).with_context(|| format!("reading the spec {}", path.display()))?;
        Ok(Self { path: path.to_owned(), sha256: hex::encode(Sha256::digest(text)) })
    }
}

/// One step, with digests of what it is to be and of what AWS had.
///
/// The digests are salted, a salt for each file: settings may hold secrets, and equal ones must not be seen to be equal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedStep {
    node: String,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    action: Action,
    changes: Vec<Change>,
    wanted: String,
    seen: String,
}

/// The file of `plan --out`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedPlan {
    streamkit_plan: u64,
    /// The version of streamkit that made it.
    streamkit: String,
    pub(crate) pipeline: String,
    pub(crate) stage: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) spec: SpecFile,
    pub(crate) options: PlanOptions,
    salt: String,
    /// For each function what its code is made from, as its tag `streamkit:code` has it.
    code: BTreeMap<String, String>,
    resources: Vec<SavedStep>,
}

impl SavedPlan {
    /// A plan to be saved.
    pub(crate) fn new(
        plan: &Plan,
        place: &Place,
        spec: SpecFile,
        options: PlanOptions,
        code: BTreeMap<String, String>,
    ) -> Self {
        let salt: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
        Self::salted(plan, place, spec, options, code, hex::encode(salt))
    }

    /// The same as this one, made again from what is so now.
    pub(crate) fn again(&self, plan: &Plan, place: &Place, spec: SpecFile, code: BTreeMap<String, String>) -> Self {
        Self::salted(plan, place, spec, self.options.clone(), code, self.salt.clone())
    }

    fn salted(
        plan: &Plan,
        place: &Place,
        spec: SpecFile,
        options: PlanOptions,
        code: BTreeMap<String, String>,
        salt: String,
    ) -> Self {
        let resources = plan.steps.iter().map(|step| SavedStep::new(step, &salt)).collect();
        Self {
            streamkit_plan: VERSION,
            streamkit: env!("CARGO_PKG_VERSION").to_owned(),
            pipeline: place.pipeline.clone(),
            stage: place.stage.clone(),
            account: place.account.clone(),
            region: place.region.clone(),
            spec,
            options,
            salt,
            code,
            resources,
        }
    }

    /// Writes the file so that only its owner may read it.
    ///
    /// # Errors
    /// The file can't be written.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let context = || format!("writing the plan to {}", path.display());
        let text = serde_json::to_string_pretty(self)?;
        // Beside the file and then in its place: whoever reads it meanwhile sees all of one plan.
        let temporary = path.with_added_extension("new");
        let write = || {
            // A file of an earlier run would keep its mode.
            if let Err(error) = std::fs::remove_file(&temporary)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(error);
            }
            let mut options = File::options();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            std::fs::rename(&temporary, path)
        };
        write().with_context(context)
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// It is no plan file, or one of another version.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let again = "write one with `streamkit plan --out FILE`";
        let no_plan = |why: &str| Hint::usage(format!("{} is no plan file: {why}", path.display()), again);
        let text = read_text(path).map_err(|error| no_plan(&error.to_string()))?;
        let document: Value = serde_json::from_str(&text).map_err(|_| no_plan("it is not JSON"))?;
        match document.get("streamkit_plan").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(other) => {
                return Err(Hint::usage(
                    format!("{} is a plan file of version {other}, and this streamkit reads {VERSION}", path.display()),
                    "make the plan and carry it out with the same streamkit",
                ));
            }
            None => return Err(no_plan("it has no `streamkit_plan`")),
        }
        serde_json::from_value(document).map_err(|error| no_plan(&error.to_string()))
    }

    /// What is another place than the plan was made for.
    pub(crate) fn moved_place(&self, place: &Place) -> Vec<String> {
        let none = || "none".to_owned();
        let parts = [
            ("pipeline", Some(self.pipeline.clone()), Some(place.pipeline.clone())),
            ("stage", self.stage.clone(), place.stage.clone()),
            ("account", self.account.clone(), place.account.clone()),
            ("region", self.region.clone(), place.region.clone()),
        ];
        let moved = parts.into_iter().filter(|(_, was, is)| was != is);
        moved
            .map(|(what, was, is)| {
                format!("the {what}: the plan is for {}, this is {}", was.unwrap_or_else(none), is.unwrap_or_else(none))
            })
            .collect()
    }

    /// What of the files that the plan was made from has changed.
    pub(crate) fn moved_files(&self, spec: &SpecFile, code: &BTreeMap<String, String>) -> Vec<String> {
        let mut moved = Vec::new();
        if spec.sha256 != self.spec.sha256 {
            moved.push(format!("the spec {}: it has changed", spec.path.display()));
        }
        let nodes = self.code.keys().chain(code.keys().filter(|node| !self.code.contains_key(*node)));
        moved.extend(
            nodes
                .filter(|node| self.code.get(*node) != code.get(*node))
                .map(|node| format!("{node}: its code has changed")),
        );
        moved
    }

    /// What of the code that was built to be uploaded is not what the plan was made with: it may have changed while it was built.
    pub(crate) fn moved_code(&self, built: &BTreeMap<String, String>) -> Vec<String> {
        let moved = built.iter().filter(|(node, hash)| self.code.get(*node) != Some(*hash));
        moved.map(|(node, _)| format!("{node}: its code has changed")).collect()
    }

    /// What is otherwise than when the plan was made, in a line each; nothing when it can be carried out.
    pub(crate) fn moved(&self, now: &Self) -> Vec<String> {
        let mut moved = self.moved_files(&now.spec, &now.code);
        for was in &self.resources {
            let label = format!("{}: {} {}", was.node, was.kind, was.name);
            let Some(is) = now.step(was) else {
                moved.push(match was.action {
                    Action::Delete => format!("{label} is gone already"),
                    _ => format!("{label} is not part of the pipeline any more"),
                });
                continue;
            };
            if was.wanted != is.wanted {
                moved.push(format!(
                    "{label} would get other settings than were planned: another value of the environment, or another streamkit"
                ));
            }
            if was.seen != is.seen {
                let fields: Vec<_> = is.changes.iter().map(|change| change.field.as_str()).collect();
                moved.push(match (was.action, is.action) {
                    (Action::Create, _) => format!("{label} exists by now"),
                    (_, Action::Create) => format!("{label} is gone"),
                    _ if fields.is_empty() => format!("{label} has changed in AWS: it is as the spec says by now"),
                    _ => format!("{label} has changed in AWS: {}", fields.join(", ")),
                });
            } else if was.wanted == is.wanted && was.action != is.action {
                moved.push(format!("{label} was to be {}, and now is to be {}", was.action.done(), is.action.done()));
            }
        }
        let new = now.resources.iter().filter(|step| self.step(step).is_none());
        moved.extend(new.map(|step| format!("{}: {} {} was not in the plan", step.node, step.kind, step.name)));
        moved
    }

    fn step(&self, like: &SavedStep) -> Option<&SavedStep> {
        self.resources.iter().find(|step| step.node == like.node && step.kind == like.kind && step.name == like.name)
    }
}

impl SavedStep {
    fn new(step: &Step, salt: &str) -> Self {
        Self {
            node: step.node.clone(),
            kind: step.kind.text().to_owned(),
            name: step.name.clone(),
            action: step.action,
            changes: step.changes.clone(),
            wanted: digest(salt, &step.wanted),
            seen: digest(salt, &step.seen),
        }
    }
}

fn digest(salt: &str, value: &Value) -> String {
    let mut hash = Sha256::new();
    hash.update(salt);
    // Keys are sorted, so that equal values have equal texts.
    hash.update(value.to_string());
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::ResourceKind;

    fn place(region: &str) -> Place {
        let some = |text: &str| Some(text.to_owned());
        Place { pipeline: "shop".to_owned(), stage: None, account: some("123456789012"), region: some(region) }
    }

    fn step(action: Action, wanted: &Value, seen: &Value) -> Step {
        Step {
            wanted: wanted.clone(),
            seen: seen.clone(),
            ..Step::new("stream.events", ResourceKind::Stream, "shop-events", action)
        }
    }

    fn saved(steps: Vec<Step>) -> SavedPlan {
        let spec = SpecFile { path: PathBuf::from("shop.toml"), sha256: "1".to_owned() };
        let plan = Plan { steps, ..Plan::default() };
        let code = BTreeMap::from([("function.f".to_owned(), "a".to_owned())]);
        SavedPlan::salted(&plan, &place("eu-west-1"), spec, PlanOptions::default(), code, "salt".to_owned())
    }

    #[test]
    fn a_plan_is_carried_out_only_where_nothing_has_moved() {
        let (one, two) = (json!({"shards": 1}), json!({"shards": 2}));
        let update = || saved(vec![step(Action::Update, &two, &one)]);
        assert_eq!(update().moved(&update()), Vec::<String>::new());
        for (was, is, says) in [
            (update(), saved(vec![step(Action::Unchanged, &two, &two)]), "has changed in AWS"),
            (update(), saved(vec![step(Action::Update, &one, &one)]), "would get other settings"),
            (update(), saved(vec![step(Action::Create, &two, &Value::Null)]), "is gone"),
            (saved(vec![step(Action::Create, &two, &Value::Null)]), update(), "exists by now"),
            (update(), saved(Vec::new()), "is not part of the pipeline any more"),
            (saved(Vec::new()), update(), "was not in the plan"),
            (update(), saved(vec![step(Action::Replace, &two, &one)]), "was to be changed, and now is to be replaced"),
            (saved(vec![step(Action::Delete, &Value::Null, &one)]), saved(Vec::new()), "is gone already"),
            (update(), SavedPlan { code: BTreeMap::new(), ..update() }, "function.f: its code has changed"),
        ] {
            let moved = was.moved(&is);
            assert!(moved.len() == 1 && moved[0].contains(says), "{says}: {moved:#?}");
        }
        let elsewhere = update().moved_place(&place("us-east-1"));
        assert_eq!(elsewhere, ["the region: the plan is for eu-west-1, this is us-east-1"]);
        assert_eq!(update().moved_place(&place("eu-west-1")), Vec::<String>::new());
    }

    #[test]
    fn a_saved_plan_has_digests_in_place_of_settings_and_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        let secret = json!({"environment": {"PASSWORD": "hunter2"}});
        let plan = saved(vec![step(Action::Update, &secret, &secret)]);
        plan.write(&path).unwrap();
        plan.write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(SavedPlan::read(&path).unwrap(), plan);
        for (wrong, says) in [
            ("name = 1", "it is not JSON"),
            ("{}", "it has no `streamkit_plan`"),
            (r#"{"streamkit_plan": 2}"#, "of version 2"),
            (r#"{"streamkit_plan": 1}"#, "missing field"),
        ] {
            std::fs::write(&path, wrong).unwrap();
            let error = SavedPlan::read(&path).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
