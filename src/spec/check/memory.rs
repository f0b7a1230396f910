//! The table of a recipe with a memory, and the settings of a recipe.

use std::ops::Range;

use streamkit_handler::batch::{STATE_EXPIRY, STATE_KEY};
use streamkit_recipes::{Sampled, Setting, SettingKind};

use super::Checker;
use crate::spec::finding::did_you_mean;
use crate::spec::reference::{Reference, SectionKind};
use crate::spec::settings::SettingValue;
use crate::spec::spanned::Spanned;
use crate::spec::types::{AttributeType, Function, named};
use crate::spec::units::duration_text;

impl Checker<'_> {
    /// A recipe with a memory has a table for it, and another one has none.
    pub(super) fn memory(&mut self, function: &Function, recipe: &dyn Sampled, written: Range<usize>) {
        let name = recipe.name();
        match (&function.state, recipe.stateful().is_some()) {
            (None, true) => self.say(
                written,
                format!("the recipe `{name}` keeps a state for each key, and this function has no table for it"),
                format!(
                    "add `state = \"table.NAME\"`, and that table with partition_key = {} and ttl = \"{STATE_EXPIRY}\"",
                    state_key()
                ),
            ),
            (Some(state), false) => {
                let message =
                    format!("the recipe `{name}` keeps no state: what follows from a record follows from it alone");
                self.say(state.span(), message, "remove `state`");
            }
            _ => {}
        }
        for (setting, value) in &function.settings {
            self.setting(recipe, setting, value);
        }
    }

    /// The table that holds states, whoever keeps them.
    pub(super) fn state_table(&mut self, name: &Spanned<String>, function: &Function) {
        let Some(state) = &function.state else { return };
        self.refers(state, &[SectionKind::Table], "a function keeps its states in a table");
        if state.get_ref().kind != SectionKind::Table {
            return;
        }
        let table = state.get_ref();
        if table == function.source.get_ref().from.get_ref() {
            let message =
                "this function would keep its states in the table that it reads: each state would be its next event";
            self.say(state.span(), message, "keep them in another table");
        }
        if function.writes.iter().any(|sink| sink.get_ref() == table) {
            let message = format!("`{table}` holds the function's items, and its states would be among them");
            self.say(state.span(), message, "keep the states in a table of their own");
        }
        if let Some(other) = self.other_user(name, table) {
            let message =
                format!("the function `{other}` uses `{table}`, too, and states of two functions would be mixed up");
            self.say(state.span(), message, "give each function a table of its own");
        }
        let Some(has) = named(&self.spec.table, &table.name) else { return };
        let key = has.partition_key.get_ref();
        if key.name != STATE_KEY || key.kind != AttributeType::S || has.sort_key.is_some() {
            self.say(
                state.span(),
                format!("states don't fit the keys of `{table}`"),
                format!("give it partition_key = {}, without a sort key", state_key()),
            );
        }
        if let Some(ttl) = has.ttl.as_ref().filter(|ttl| ttl.get_ref() != STATE_EXPIRY) {
            let message = format!("a state says in `{STATE_EXPIRY}` when it expires, and not in `{}`", ttl.get_ref());
            self.say(ttl.span(), message, format!("write ttl = \"{STATE_EXPIRY}\""));
        }
    }

    /// Another function that keeps its states in the table, or writes items to it.
    fn other_user(&self, own: &Spanned<String>, table: &Reference) -> Option<String> {
        let uses =
            |function: &Function| function.state.iter().chain(&function.writes).any(|used| used.get_ref() == table);
        let mut others = self.spec.function.iter().filter(|(name, _)| name.get_ref() != own.get_ref());
        others.find(|(_, function)| uses(function)).map(|(name, _)| name.get_ref().clone())
    }

    fn setting(&mut self, recipe: &dyn Sampled, name: &Spanned<String>, value: &Spanned<SettingValue>) {
        let known = recipe.settings();
        let Some(setting) = known.iter().find(|setting| setting.name == name.get_ref()) else {
            let names: Vec<&str> = known.iter().map(|setting| setting.name).collect();
            let help = match did_you_mean(name.get_ref(), names.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if names.is_empty() => "remove it: this recipe takes no settings".to_owned(),
                None => format!("there are: {}", names.join(", ")),
            };
            let message = format!("the recipe `{}` has no setting `{}`", recipe.name(), name.get_ref());
            self.say(name.span(), message, help);
            return;
        };
        if !takes(setting, *value.get_ref()) {
            let message = format!("`{}` ({}) can't be {}", setting.name, setting.about, value.get_ref());
            self.say(value.span(), message, expected(setting));
        }
    }
}

fn state_key() -> String {
    format!("{{ name = \"{STATE_KEY}\", type = \"S\" }}")
}

fn takes(setting: &Setting, value: SettingValue) -> bool {
    // A number is no duration, and a duration no number, though the handler takes both as numbers.
    let is_duration = matches!(value, SettingValue::Duration(_));
    is_duration == matches!(setting.kind, SettingKind::Seconds(..)) && setting.takes(&value.json())
}

/// What the setting takes, in the words of a spec.
fn expected(setting: &Setting) -> String {
    let text = |seconds: i64| duration_text(u64::try_from(seconds).unwrap_or_default());
    match setting.kind {
        SettingKind::Integer(default, least, most) => {
            format!("write a whole number from {least} to {most}; {default} when absent")
        }
        SettingKind::Number(default, least, most) => {
            format!("write a number from {least} to {most}; {default} when absent")
        }
        SettingKind::Seconds(default, least, most) => format!(
            "write a duration from \"{}\" to \"{}\"; \"{}\" when absent",
            text(least),
            text(most),
            text(default)
        ),
    }
}
