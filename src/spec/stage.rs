//! `[stage.NAME]`: what a stage has otherwise than the rest of the file says, and the account and regions that it is bound to.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::finding::{Finding, did_you_mean};
use super::names::mistake_in_name;
use super::reference::SectionKind;
use crate::failure::Hint;

/// Which stage is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StageChoice<'a> {
    /// What `--stage` says.
    pub(crate) name: Option<&'a str>,
    /// False for a command that looks at the file only: without `--stage` it is about all of them.
    pub(crate) required: bool,
}

/// Where a stage may be, and nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Pins {
    stage: String,
    account: Option<String>,
    /// All regions where there are none.
    regions: Vec<String>,
}

impl Pins {
    /// The account, and one of the regions, as far as the stage is bound to any.
    pub(crate) fn place(&self) -> (Option<&str>, Option<&str>) {
        (self.account.as_deref(), self.regions.first().map(String::as_str))
    }

    /// Refuses another account or region than the stage is bound to.
    ///
    /// # Errors
    /// This is another one.
    pub(crate) fn check(&self, account: &str, region: &str) -> anyhow::Result<()> {
        let stage = &self.stage;
        if let Some(pinned) = &self.account
            && pinned != account
        {
            return Err(Hint::error(
                format!("stage {stage} belongs into account {pinned}, and this is {account}"),
                format!("use credentials of that account, or change `account` in [stage.{stage}]"),
            ));
        }
        if !self.regions.is_empty() && !self.regions.iter().any(|pinned| pinned == region) {
            return Err(Hint::error(
                format!("stage {stage} belongs into {}, and this is {region}", self.regions.join(" or ")),
                format!("pass --region, or change `regions` in [stage.{stage}]"),
            ));
        }
        Ok(())
    }
}

/// One stage of the file.
#[derive(Debug, Clone)]
pub(super) struct Stage<'t> {
    pub(super) name: String,
    pub(super) pins: Pins,
    overrides: DeTable<'t>,
}

/// Takes the stages out of the document.
pub(super) fn take<'t>(document: &mut DeTable<'t>, findings: &mut Vec<Finding>) -> Vec<Stage<'t>> {
    let Some(stages) = document.remove("stage") else { return Vec::new() };
    let span = stages.span();
    let DeValue::Table(stages) = stages.into_inner() else {
        findings.push(
            Finding::new(span, "`stage` is no section").help("write sections such as [stage.prod]").id("wrong-value"),
        );
        return Vec::new();
    };
    let mut all = Vec::new();
    for (name, stage) in stages {
        if let Some(why) = mistake_in_name(name.get_ref()) {
            findings.push(Finding::new(name.span(), format!("`{}` can't be a stage's name: {why}", name.get_ref())));
        }
        let span = stage.span();
        match stage.into_inner() {
            DeValue::Table(table) => all.push(Stage::new(name.into_inner().into_owned(), table, findings)),
            _ => findings.push(Finding::new(span, "a stage is a section").help("write [stage.NAME]").id("wrong-value")),
        }
    }
    all
}

/// The place of the chosen stage; `None` where the file has none, or all are meant.
///
/// # Errors
/// The file has stages, and none of them is chosen.
pub(super) fn choose(stages: &[Stage<'_>], choice: StageChoice<'_>) -> anyhow::Result<Option<usize>> {
    if stages.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = stages.iter().map(|stage| stage.name.as_str()).collect();
    let list = names.join(", ");
    match choice.name {
        None if choice.required => Err(Hint::usage(
            "this pipeline has stages, and none is chosen",
            format!("choose one of {list} with --stage"),
        )),
        None => Ok(None),
        Some(name) => match names.iter().position(|known| *known == name) {
            Some(index) => Ok(Some(index)),
            None => Err(Hint::usage(
                format!("this pipeline has no stage `{name}`; it has {list}"),
                match did_you_mean(name, names.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("choose one of these, or add [stage.{name}]"),
                },
            )),
        },
    }
}

impl<'t> Stage<'t> {
    fn new(name: String, mut table: DeTable<'t>, findings: &mut Vec<Finding>) -> Self {
        let account = table.remove("account").and_then(|value| account(&value, findings));
        let regions = table.remove("regions").map(|value| regions(&value, findings)).unwrap_or_default();
        let known: Vec<&str> = ["account", "regions", "tags", "dashboard", "lint"]
            .into_iter()
            .chain(SectionKind::ALL.map(SectionKind::word))
            .collect();
        let unknown: Vec<_> = table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())).cloned().collect();
        for key in unknown {
            table.remove(&key);
            let word = key.get_ref();
            let finding = Finding::new(key.span(), format!("unknown key `{word}` of a stage")).id("unknown-key");
            findings.push(finding.help(match did_you_mean(word, known.iter().copied()) {
                _ if word == "name" => "the stage's name is part of every resource's name already".to_owned(),
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known keys here: {}", known.join(", ")),
            }));
        }
        Self { pins: Pins { stage: name.clone(), account, regions }, name, overrides: table }
    }

    /// Overrides what the document says.
    pub(super) fn merge_into(&self, document: &mut DeTable<'t>, findings: &mut Vec<Finding>) {
        for (kind, value) in &self.overrides {
            if let DeValue::Table(sections) = value.get_ref()
                && SectionKind::ALL.iter().any(|known| known.word() == kind.get_ref())
            {
                self.merge_sections(document, kind, sections, value, findings);
            } else if kind.get_ref() == "dashboard" && !document.contains_key("dashboard") {
                findings.push(self.unknown_section(kind, "dashboard", None));
            } else {
                merge_value(document, kind, value);
            }
        }
    }

    fn merge_sections(
        &self,
        document: &mut DeTable<'t>,
        kind: &Spanned<std::borrow::Cow<'t, str>>,
        sections: &DeTable<'t>,
        whole: &Spanned<DeValue<'t>>,
        findings: &mut Vec<Finding>,
    ) {
        let word = kind.get_ref();
        let Some(DeValue::Table(present)) = document.get_mut(word.as_ref()).map(Spanned::get_mut) else {
            for name in sections.keys() {
                findings.push(self.unknown_section(name, &format!("{word}.{}", name.get_ref()), None));
            }
            if sections.is_empty() {
                merge_value(document, kind, whole);
            }
            return;
        };
        for (name, section) in sections {
            if present.contains_key(name) {
                merge_value(present, name, section);
            } else {
                let names: Vec<_> = present.keys().map(|name| name.get_ref().to_string()).collect();
                let meant = did_you_mean(name.get_ref(), names.iter().map(String::as_str));
                let section = format!("{word}.{}", name.get_ref());
                findings.push(self.unknown_section(name, &section, meant.map(|meant| format!("{word}.{meant}"))));
            }
        }
    }

    fn unknown_section(
        &self,
        key: &Spanned<std::borrow::Cow<'t, str>>,
        section: &str,
        meant: Option<String>,
    ) -> Finding {
        let message = format!("there is no [{section}] that stage {} could override", self.name);
        Finding::new(key.span(), message).id("unknown-key").help(match meant {
            Some(meant) => format!("did you mean [stage.{}.{meant}]?", self.name),
            None => format!("write [{section}] first: a stage says only what it has otherwise"),
        })
    }
}

/// Tables are merged key by key; all else is replaced, with its place in the file.
fn merge_value<'t>(into: &mut DeTable<'t>, key: &Spanned<std::borrow::Cow<'t, str>>, value: &Spanned<DeValue<'t>>) {
    if let DeValue::Table(over) = value.get_ref()
        && let Some(DeValue::Table(base)) = into.get_mut(key.get_ref().as_ref()).map(Spanned::get_mut)
    {
        for (key, value) in over {
            merge_value(base, key, value);
        }
        return;
    }
    // Otherwise the old key would stay, with its own place.
    into.remove(key.get_ref().as_ref());
    into.insert(key.clone(), value.clone());
}

/// Whether a text is the ID of an AWS account.
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text has the form of a region's name.
pub(super) fn is_region(text: &str) -> bool {
    text.contains('-') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn account(value: &Spanned<DeValue<'_>>, findings: &mut Vec<Finding>) -> Option<String> {
    let text = value.get_ref().as_str().filter(|text| is_account(text));
    if text.is_none() {
        findings.push(
            Finding::new(value.span(), "this is no AWS account")
                .id("wrong-value")
                .help("write its 12 digits in quotes, such as \"123456789012\""),
        );
    }
    text.map(str::to_owned)
}

fn regions(value: &Spanned<DeValue<'_>>, findings: &mut Vec<Finding>) -> Vec<String> {
    let list = value.get_ref().as_array().into_iter().flat_map(|list| list.iter());
    let regions: Option<Vec<String>> =
        list.map(|region| region.get_ref().as_str().filter(|text| is_region(text)).map(str::to_owned)).collect();
    match regions {
        Some(regions) if !regions.is_empty() => regions,
        _ => {
            findings.push(
                Finding::new(value.span(), "this is no list of AWS regions")
                    .id("wrong-value")
                    .help("write something like [\"eu-central-1\"]"),
            );
            Vec::new()
        }
    }
}
