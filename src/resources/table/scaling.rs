//! A provisioned table's autoscaling: for reads and for writes a scalable target and its policy, at Application Auto Scaling.

use std::fmt;

use aws_sdk_applicationautoscaling::types::{
    MetricType, PolicyType, PredefinedMetricSpecification, ScalableDimension, ScalingPolicy, ServiceNamespace,
    TargetTrackingScalingPolicyConfiguration,
};

use crate::aws::{AwsError, all};
use crate::resources::context::Cx;
use crate::spec::Autoscaling;

/// The two that streamkit sets: what a plan calls it, its dimension, its metric.
const DIMENSIONS: [(&str, ScalableDimension, MetricType); 2] = [
    ("read", ScalableDimension::DynamoDbTableReadCapacityUnits, MetricType::DynamoDbReadCapacityUtilization),
    ("write", ScalableDimension::DynamoDbTableWriteCapacityUnits, MetricType::DynamoDbWriteCapacityUtilization),
];

/// Limits of the capacity in units, and the use of it that AWS aims at in per cent, for each of [`DIMENSIONS`].
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scaling([Option<Range>; 2]);

#[derive(Debug, Clone, PartialEq)]
struct Range {
    least: i64,
    most: i64,
    /// Without one, nothing scales.
    target: Option<f64>,
}

impl Scaling {
    pub(super) fn new(read: i64, write: i64, autoscaling: Autoscaling) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "checked to be between 20 and 90")]
        let target = Some(autoscaling.target as f64);
        Self([
            Some(Range { least: read, most: autoscaling.max_read, target }),
            Some(Range { least: write, most: autoscaling.max_write, target }),
        ])
    }

    /// What AWS has for the table; `None` when it does not scale. An endpoint without the service may be passed over when
    /// nothing is wanted of it.
    pub(super) async fn read(cx: &Cx, table: &str, wanted: bool) -> Result<Option<Self>, AwsError> {
        let mut found = Self([None, None]);
        let call = cx.aws.autoscaling.describe_scalable_targets().service_namespace(ServiceNamespace::Dynamodb);
        let targets = match all(call.resource_ids(resource_id(table)).into_paginator().items().send()).await {
            Err(error) if !wanted && cx.aws.endpoint.is_some() && is_no_service(&error) => return Ok(None),
            targets => targets?,
        };
        for target in targets {
            if let Some(at) = DIMENSIONS.iter().position(|(_, dimension, _)| *dimension == target.scalable_dimension) {
                let (least, most) = (target.min_capacity.into(), target.max_capacity.into());
                found.0[at] = Some(Range { least, most, target: None });
            }
        }
        if found.0.iter().all(Option::is_none) {
            return Ok(None);
        }
        for policy in policies(cx, table).await? {
            for (range, (_, dimension, metric)) in found.0.iter_mut().zip(&DIMENSIONS) {
                if let Some(range) = range
                    && policy.scalable_dimension == *dimension
                {
                    range.target = range.target.or(target_of(&policy, metric));
                }
            }
        }
        Ok(Some(found))
    }

    /// Lets AWS scale the table like this from now on.
    pub(super) async fn set(&self, cx: &Cx, table: &str) -> anyhow::Result<()> {
        let has = policies(cx, table).await?;
        for (range, (_, dimension, metric)) in self.0.iter().zip(&DIMENSIONS) {
            let Some(range) = range else { continue };
            let call = cx
                .aws
                .autoscaling
                .register_scalable_target()
                .service_namespace(ServiceNamespace::Dynamodb)
                .resource_id(resource_id(table))
                .scalable_dimension(dimension.clone())
                .min_capacity(i32::try_from(range.least)?)
                .max_capacity(i32::try_from(range.most)?);
            cx.retry_while_busy(|| call.clone().send()).await?;
            // A second policy for the same metric is refused, whatever its name.
            let own = has.iter().find(|at| at.scalable_dimension == *dimension && target_of(at, metric).is_some());
            let name =
                own.map_or_else(|| format!("{}:{}", metric.as_str(), resource_id(table)), |at| at.policy_name.clone());
            let tracked = PredefinedMetricSpecification::builder().predefined_metric_type(metric.clone()).build()?;
            let tracking = TargetTrackingScalingPolicyConfiguration::builder()
                .set_target_value(range.target)
                .predefined_metric_specification(tracked)
                .build()?;
            let call = cx
                .aws
                .autoscaling
                .put_scaling_policy()
                .policy_name(name)
                .service_namespace(ServiceNamespace::Dynamodb)
                .resource_id(resource_id(table))
                .scalable_dimension(dimension.clone())
                .policy_type(PolicyType::TargetTrackingScaling)
                .target_tracking_scaling_policy_configuration(tracking);
            cx.retry_while_busy(|| call.clone().send()).await?;
        }
        Ok(())
    }

    /// Leaves the table's capacity as it is; the policies and their alarms go with the targets.
    pub(super) async fn end(cx: &Cx, table: &str) -> anyhow::Result<()> {
        for (_, dimension, _) in &DIMENSIONS {
            let call = cx
                .aws
                .autoscaling
                .deregister_scalable_target()
                .service_namespace(ServiceNamespace::Dynamodb)
                .resource_id(resource_id(table))
                .scalable_dimension(dimension.clone());
            match cx.retry_while_busy(|| call.clone().send()).await {
                Err(error) if !error.is(&["ObjectNotFoundException"]) => Err(error)?,
                _ => {}
            }
        }
        Ok(())
    }
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (range, (name, ..)) in self.0.iter().zip(&DIMENSIONS) {
            let Some(Range { least, most, target }) = range else { continue };
            write!(f, "{separator}{name} {least} to {most}")?;
            match target {
                Some(target) => write!(f, " at {target} %")?,
                None => write!(f, " without a policy")?,
            }
            separator = ", ";
        }
        Ok(())
    }
}

fn resource_id(table: &str) -> String {
    format!("table/{table}")
}

pub(super) async fn policies(cx: &Cx, table: &str) -> Result<Vec<ScalingPolicy>, AwsError> {
    let call = cx.aws.autoscaling.describe_scaling_policies().service_namespace(ServiceNamespace::Dynamodb);
    all(call.resource_id(resource_id(table)).into_paginator().items().send()).await
}

/// The share, in per cent, that a policy wants of this metric.
fn target_of(policy: &ScalingPolicy, metric: &MetricType) -> Option<f64> {
    let tracking = policy.target_tracking_scaling_policy_configuration.as_ref()?;
    let tracked = tracking.predefined_metric_specification.as_ref()?;
    (tracked.predefined_metric_type == *metric).then_some(tracking.target_value)
}

fn is_no_service(error: &AwsError) -> bool {
    error.is_unreadable()
        || error.is(&["UnknownOperationException", "UnknownService", "InvalidAction", "NotImplemented"])
}
