//! What streamkit's recipes mean, without AWS, I/O or clock: one file per recipe, and the types that they share.
//!
//! The handler runs [`Recipe::process`], `send` draws from [`Recipe::generator`], and `validate` compares what AWS
//! holds with what `process` says of the same record.

mod effects;
mod recipe;
mod record;
mod retail;
mod zipf;

pub use effects::{Attribute, Count, Effects, Item, Unit};
pub use recipe::{Generator, Recipe, Rejected};
pub use record::{Event, Record};

static ALL: [&dyn Recipe; 1] = [&retail::Retail];

/// Returns every recipe, in the order in which they should be listed.
pub fn all() -> &'static [&'static dyn Recipe] {
    &ALL
}

/// Finds a recipe by the name that a spec uses.
pub fn find(name: &str) -> Option<&'static dyn Recipe> {
    ALL.iter().copied().find(|recipe| recipe.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn find_knows_every_recipe_by_its_name() {
        for recipe in all() {
            let found = find(recipe.name()).expect("listed recipe is found");
            assert_eq!(found.name(), recipe.name());
            assert!(!recipe.about().is_empty());
        }
        assert!(find("no-such-recipe").is_none());
    }
}
