//! DynamoDB tables, their autoscaling and their replicas.

use super::super::hcl::{Body, Expression};
use super::super::live::Details;
use super::stream::field;
use super::{Files, Subject};
use crate::plan::id_at_home;
use crate::resources::{Replica, Table};
use crate::spec::{Autoscaling, Billing};

const TABLES: &str = "tables.tf";

impl Files<'_> {
    pub(super) fn table(&mut self, subject: &Subject<'_>, table: &Table) {
        let mut body = Body::default();
        body.text("name", &table.name);
        let mut ignored = Vec::new();
        match table.billing {
            Billing::OnDemand => {
                body.text("billing_mode", "PAY_PER_REQUEST");
            }
            Billing::Provisioned { read, write, autoscaling } => {
                body.text("billing_mode", "PROVISIONED").raw("read_capacity", read).raw("write_capacity", write);
                if autoscaling.is_some() {
                    ignored.extend(["read_capacity", "write_capacity"]);
                }
            }
        }
        body.text("hash_key", &table.partition_key.name);
        if let Some(key) = &table.sort_key {
            body.text("range_key", &key.name);
        }
        if table.stream.is_some() {
            body.raw("stream_enabled", true).text("stream_view_type", &field(table, "stream"));
        }
        body.raw("deletion_protection_enabled", table.protect).set("tags", self.tags(subject));
        for key in std::iter::once(&table.partition_key).chain(&table.sort_key) {
            body.block("attribute", |body| {
                body.text("name", &key.name).text("type", &format!("{:?}", key.kind));
            });
        }
        if let Some(attribute) = &table.ttl {
            body.block("ttl", |body| {
                body.text("attribute_name", attribute).raw("enabled", true);
            });
        }
        body.block("point_in_time_recovery", |body| {
            body.raw("enabled", table.point_in_time_recovery);
        });
        // The replicas are resources of their own.
        if self.has_replicas(subject) {
            ignored.push("replica");
        }
        if !ignored.is_empty() {
            body.block("lifecycle", |body| {
                body.set("ignore_changes", Expression::List(ignored.iter().copied().map(Expression::raw).collect()));
            });
        }
        self.add(TABLES, subject, "aws_dynamodb_table", body, subject.import(&table.name));
        if let Billing::Provisioned { read, write, autoscaling: Some(scaling) } = table.billing {
            self.scaling(subject, table, (read, write), scaling);
        }
    }

    fn has_replicas(&self, subject: &Subject<'_>) -> bool {
        let start = format!("{}@", subject.node.id);
        self.pipeline.nodes.iter().any(|node| node.id.starts_with(&start))
    }

    /// A scalable target and its policy, for reads and for writes.
    fn scaling(&mut self, subject: &Subject<'_>, table: &Table, least: (i64, i64), scaling: Autoscaling) {
        for (what, kind, least, most) in
            [("read", "Read", least.0, scaling.max_read), ("write", "Write", least.1, scaling.max_write)]
        {
            let label = format!("{}_{what}", subject.label);
            let dimension = format!("dynamodb:table:{kind}CapacityUnits");
            let resource = format!("table/{}", table.name);
            let own = format!("aws_appautoscaling_target.{label}");
            let mut body = Body::default();
            let id = format!("\"table/${{aws_dynamodb_table.{}.name}}\"", subject.label);
            body.text("service_namespace", "dynamodb")
                .raw("resource_id", id)
                .text("scalable_dimension", &dimension)
                .raw("min_capacity", least)
                .raw("max_capacity", most);
            let import = subject.import(format!("dynamodb/{resource}/{dimension}"));
            self.add_labelled(TABLES, subject, ("aws_appautoscaling_target", &label), body, import, &[]);

            let metric = format!("DynamoDB{kind}CapacityUtilization");
            let policies: &[_] = if let Details::Table(policies) = &subject.live.details { policies } else { &[] };
            let present = policies.iter().find(|(of, _)| *of == dimension).map(|(_, name)| name.clone());
            let name = present.clone().unwrap_or_else(|| format!("{metric}:{resource}"));
            let mut body = Body::default();
            body.text("name", &name).text("policy_type", "TargetTrackingScaling");
            for argument in ["service_namespace", "resource_id", "scalable_dimension"] {
                body.raw(argument, format!("{own}.{argument}"));
            }
            body.block("target_tracking_scaling_policy_configuration", |body| {
                body.raw("target_value", scaling.target);
                body.block("predefined_metric_specification", |body| {
                    body.text("predefined_metric_type", &metric);
                });
            });
            let import = present.map(|name| format!("dynamodb/{resource}/{dimension}/{name}"));
            self.add_labelled(TABLES, subject, ("aws_appautoscaling_policy", &label), body, import, &[]);
        }
    }

    pub(super) fn replica(&mut self, subject: &Subject<'_>, replica: &Replica) {
        let home = id_at_home(&subject.node.id);
        let home = home.strip_prefix("table.").unwrap_or(home);
        let mut body = Body::default();
        let arn = subject.aws.in_region(&replica.home).arn("dynamodb", &format!("table/{}", replica.name));
        body.set("global_table_arn", self.references.text(&arn))
            .raw("point_in_time_recovery", replica.point_in_time_recovery)
            .raw("deletion_protection_enabled", replica.protect)
            .set("tags", self.tags(subject));
        let import = subject.import(format!("{}:{}", replica.name, replica.home));
        self.add(TABLES, subject, "aws_dynamodb_table_replica", body, import);
        // The resource does not tell the ARN of the replica's stream.
        let mut body = Body::default();
        body.raw("name", format!("aws_dynamodb_table.{}.name", super::word(home)));
        body.set(
            "depends_on",
            Expression::List(vec![Expression::raw(format!("aws_dynamodb_table_replica.{}", subject.label))]),
        );
        self.add_data(TABLES, subject, "aws_dynamodb_table", body);
    }
}
