//! The keys, of which only descriptions matter here: nothing is encrypted.

use winterbaume_kms::KmsService;

use crate::services::service::AwsService;
use crate::services::winterbaume::Winterbaume;

/// All keys.
pub(crate) fn kms(region: &str) -> impl AwsService + use<> {
    Winterbaume::new(KmsService::new(), region)
}
