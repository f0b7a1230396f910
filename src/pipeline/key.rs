//! KMS keys for the functions that encrypt fields, and who may do what with them.

use std::collections::BTreeSet;

use streamkit_handler::encryption::EncryptionSettings;

use super::{Builder, Sinks, kept};
use crate::aws::{DELETION_WINDOW_TAG, Statement};
use crate::graph::{Need, Until};
use crate::resources::{Any, Key, KeyPurpose, ROLE_PATH, key_alias};
use crate::spec::{self, Reference, SectionKind};

use super::permissions::use_key;

/// The key of the keyed hashes of a key's fields.
fn index_of(key: &str) -> String {
    format!("{key}-index")
}

impl Builder<'_> {
    pub(super) fn keys(&mut self) {
        let spec = self.spec;
        for (name, key) in &spec.key {
            // A function in several regions uses none.
            if !self.extent.has(SectionKind::Key, name.get_ref()) {
                continue;
            }
            let reference = Reference::new(SectionKind::Key, name.get_ref());
            let encrypting = self.roles(|function| function.uses(&reference));
            let indexing = self.roles(|function| function.uses(&reference) && function.has_index());
            let physical = self.naming.physical(kept(name.get_ref(), key.renamed_from.as_ref()));
            let readers: BTreeSet<String> = key.readers.iter().map(|reader| reader.get_ref().clone()).collect();
            let index = Key {
                name: index_of(&physical),
                purpose: KeyPurpose::Index,
                rotation: false,
                functions: indexing.clone(),
                readers: readers.clone(),
            };
            let resource = Key {
                name: physical,
                purpose: KeyPurpose::Encryption,
                rotation: key.rotation,
                functions: encrypting,
                readers,
            };
            let days = (key.deletion_window.get_ref().0 / (24 * 3600)).to_string();
            let mut push = |id: String, resource| {
                let node = self.push(id, Any::Key(resource), Vec::new(), key.protect);
                self.nodes[node].tags.insert(DELETION_WINDOW_TAG.to_owned(), days.clone());
            };
            push(reference.to_string(), resource);
            if !indexing.is_empty() {
                push(format!("{reference}.index"), index);
            }
        }
    }

    /// The ARNs of the roles of these functions.
    fn roles(&self, which: impl Fn(&spec::Function) -> bool) -> BTreeSet<String> {
        let functions = self.spec.function.iter().filter(|(_, function)| which(function));
        let role = |name: &str| {
            let role = self.naming.role(name, &self.aws.region);
            self.aws.global_arn("iam", &format!("role{ROLE_PATH}{role}"))
        };
        functions.map(|(name, _)| role(name.get_ref())).collect()
    }

    /// What a function's environment says of encryption; `None` for one that encrypts nothing.
    pub(super) fn encryption(&self, function: &spec::Function, sinks: &Sinks) -> Option<EncryptionSettings> {
        let key = self.key_of(function)?;
        let alias = |name: &str| self.aws.arn("kms", &key_alias(name));
        let bound = [("table", &sinks.table), ("bucket", &sinks.bucket)];
        let bound = bound.into_iter().find_map(|(kind, name)| Some((kind.to_owned(), name.clone()?)));
        let settings = EncryptionSettings {
            key: alias(&key),
            index_key: function.has_index().then(|| alias(&index_of(&key))),
            context: bound.into_iter().collect(),
            fields: function.encrypt.iter().map(|field| field.get_ref().0.clone()).collect(),
        };
        let of_changes = function.source.get_ref().from.get_ref().kind == SectionKind::Table;
        Some(if of_changes { settings.of_changes() } else { settings })
    }

    /// The name in AWS of the key that the function encrypts with.
    fn key_of(&self, function: &spec::Function) -> Option<String> {
        let key = function.key.as_ref().filter(|_| !function.encrypt.is_empty())?;
        Some(self.physical(key.get_ref()))
    }

    /// Permission to encrypt, and nothing to decrypt.
    pub(super) fn encrypts_fields(&self, function: &spec::Function) -> Vec<Statement> {
        let Some(key) = self.key_of(function) else { return Vec::new() };
        let mut statements = vec![use_key(self.aws, &key_alias(&key), &["kms:GenerateDataKey"])];
        if function.has_index() {
            statements.push(use_key(self.aws, &key_alias(&index_of(&key)), &["kms:GenerateMac"]));
        }
        statements
    }

    /// A mapping waits for the keys: without them nothing could be stored.
    pub(super) fn needs_keys(&self, function: &spec::Function) -> Vec<Need> {
        let Some(key) = function.key.as_ref().filter(|_| !function.encrypt.is_empty()) else { return Vec::new() };
        let index = function.has_index().then(|| self.index(&format!("{}.index", key.get_ref())));
        let own = self.need(key.get_ref(), Until::Ready);
        std::iter::once(own).chain(index.map(|node| Need { node, until: Until::Ready })).collect()
    }
}
