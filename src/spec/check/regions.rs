//! Mistakes about regions: of a table's replicas.

use std::collections::BTreeSet;

use toml::Spanned;

use super::super::stage::is_region;
use super::super::types::{Table, ViewType};
use super::super::values::Billing;
use super::Checker;

impl Checker<'_> {
    /// What AWS needs of a table that has replicas.
    pub(super) fn replicas(&mut self, table: &Table) {
        let Some(first) = table.replicas.first() else { return };
        self.regions(&table.replicas);
        if table.stream != Some(ViewType::NewAndOldImages) {
            self.say(
                first.span(),
                "a table with replicas needs a stream with both images, from which DynamoDB replicates",
                "write stream = \"new-and-old-images\"",
            );
        }
        if *table.billing.get_ref() != Billing::OnDemand {
            self.say(
                table.billing.span(),
                "a table with replicas is paid for on demand: provisioned capacity would need autoscaling of its own in each \
                 region",
                "leave `billing` out",
            );
        }
    }

    /// Names of regions, each once.
    pub(super) fn regions(&mut self, regions: &[Spanned<String>]) {
        let mut seen = BTreeSet::new();
        for region in regions {
            if !is_region(region.get_ref()) {
                self.say(
                    region.span(),
                    format!("`{}` is no AWS region", region.get_ref()),
                    "write something like \"eu-west-1\"",
                );
            } else if !seen.insert(region.get_ref()) {
                self.say(region.span(), format!("`{}` is named twice", region.get_ref()), "name it once");
            }
        }
    }
}
