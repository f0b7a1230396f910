//! Scalable targets and policies, which are kept and given back; nothing is scaled.

use winterbaume_applicationautoscaling::ApplicationAutoScalingService;

use crate::services::service::AwsService;
use crate::services::winterbaume::Winterbaume;

/// All scalable targets.
pub(crate) fn autoscaling(region: &str) -> impl AwsService + use<> {
    Winterbaume::new(ApplicationAutoScalingService::new(), region)
}
