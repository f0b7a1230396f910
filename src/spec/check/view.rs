//! Whether a table's stream carries the images that a recipe needs, or makes use of.

use streamkit_recipes::Images;

use crate::spec::finding::Finding;
use crate::spec::reference::SectionKind;
use crate::spec::types::{Function, Source, Spec, ViewType, named};

/// An image that the function's recipe makes use of and can do without, and that its source does not carry.
pub(crate) fn image_not_carried(spec: &Spec, function: &Function) -> Option<Finding> {
    let recipe = function.recipe()?;
    let needs = recipe.needs();
    too_narrow(spec, function.source.get_ref(), recipe.name(), needs.uses_images, Some(needs.image_use))
}

/// A source whose view type lacks some of the images that a recipe wants; `to` says what for, if it can do without.
pub(super) fn too_narrow(
    spec: &Spec,
    source: &Source,
    recipe: &str,
    wanted: Images,
    to: Option<&str>,
) -> Option<Finding> {
    let from = source.from.get_ref();
    if from.kind != SectionKind::Table {
        return None;
    }
    let view = named(&spec.table, &from.name)?.stream?;
    let carried = view.view().images();
    if wanted.are_in(carried) {
        return None;
    }
    let lacking = match (wanted.old && !carried.old, wanted.new && !carried.new) {
        (true, true) => "the item before and after the change",
        (true, false) => "the item before the change",
        _ => "the item after the change",
    };
    let does = match to {
        Some(to) => format!("uses {lacking} {to}"),
        None => format!("needs {lacking}"),
    };
    let enough: Vec<_> = [ViewType::NewImage, ViewType::OldImage, ViewType::NewAndOldImages]
        .into_iter()
        .filter(|view| wanted.are_in(view.view().images()))
        .map(|view| format!("\"{}\"", view.word()))
        .collect();
    let message = format!("the recipe `{recipe}` {does}, and stream = \"{}\" does not carry it", view.word());
    let help = format!("write stream = {} in [{from}]", enough.join(" or "));
    Some(Finding::new(source.from.span(), message).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEWS: [&str; 4] = ["keys-only", "new-image", "old-image", "new-and-old-images"];

    fn spec(view: &str) -> Spec {
        let text = format!(
            "name = \"a\"\n[table.t]\npartition_key = {{ name = \"id\", type = \"S\" }}\nstream = \"{view}\"\n\
             [bucket.b]\n[topic.n]\n[function.f]\nrecipe = \"changes\"\nwrites = [\"bucket.b\"]\npublishes = \"topic.n\"\n\
             source = {{ from = \"table.t\" }}\n"
        );
        toml::from_str(&text).unwrap()
    }

    fn source(spec: &Spec) -> &Source {
        spec.function.values().next().unwrap().source.get_ref()
    }

    #[test]
    fn a_view_type_without_a_needed_image_is_a_mistake() {
        let (old, new) = (Images { old: true, new: false }, Images { old: false, new: true });
        for (wanted, lacking, enough) in [
            (Images::NONE, [None; 4], ""),
            (old, [Some("before the"), Some("before the"), None, None], "\"old-image\" or \"new-and-old-images\""),
            (new, [Some("after the"), None, Some("after the"), None], "\"new-image\" or \"new-and-old-images\""),
            (
                Images::BOTH,
                [Some("before and after"), Some("before the"), Some("after the"), None],
                "\"new-and-old-images\"",
            ),
        ] {
            for (view, lacking) in VIEWS.into_iter().zip(lacking) {
                let spec = spec(view);
                let finding = too_narrow(&spec, source(&spec), "r", wanted, None);
                let Some(lacking) = lacking else {
                    assert_eq!(finding, None, "{wanted:?} of {view}");
                    continue;
                };
                let Finding { message, help, .. } = finding.unwrap();
                assert!(message.starts_with(&format!("the recipe `r` needs the item {lacking}")), "{message}");
                assert!(message.contains(&format!("stream = \"{view}\"")), "{message}");
                assert_eq!(help.unwrap(), format!("write stream = {enough} in [table.t]"));
            }
        }
    }

    #[test]
    fn a_view_type_without_a_useful_image_is_a_hint() {
        for (view, lacking) in VIEWS.into_iter().zip(["before and after", "before", "after", ""]) {
            let spec = spec(view);
            let hint = image_not_carried(&spec, spec.function.values().next().unwrap());
            assert_eq!(hint.is_some(), !lacking.is_empty(), "{view}: {hint:?}");
            if let Some(hint) = hint {
                let start = format!("the recipe `changes` uses the item {lacking} the change to tell which attributes");
                assert!(hint.message.starts_with(&start), "{}", hint.message);
            }
        }
    }
}
