//! The regions of the embedded AWS: each a world of its own, made when a request is first signed for it. IAM, STS and the names
//! of buckets are the same in all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use axum::body::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use streamkit_lambda::{Config, Engine};
use streamkit_wire::{Call, CallError, Protocol, Service};

use super::dynamodb::{DynamoDb, OtherRegions, Replication};
use super::iam::Deliverer;
use super::lambda;
use super::registry::{Global, Services};
use super::sns::Receivers;
use crate::Strictness;
use crate::rehearsal::SeededTimes;

/// What the regions are made with.
pub(crate) struct RegionsConfig {
    /// The region of requests that are signed for none.
    pub(crate) default: String,
    pub(crate) account: String,
    /// Where the gateway listens.
    pub(crate) address: SocketAddr,
    /// What the path of a function's package begins with.
    pub(crate) packages_path: String,
    pub(crate) state_dir: PathBuf,
    pub(crate) times: SeededTimes,
    pub(crate) strict: Strictness,
}

/// One region.
pub(crate) struct Region {
    name: String,
    pub(crate) services: Arc<Services>,
    lambda: Arc<Engine>,
}

impl Region {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// All regions that a request has asked for, and the default one.
pub(crate) struct Regions {
    default: String,
    packages_url: String,
    state_dir: PathBuf,
    global: Global,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    by_name: BTreeMap<String, Arc<Region>>,
    /// Whether no more are made, because all are ending.
    closed: bool,
}

impl Regions {
    /// Starts the default region.
    pub(crate) fn start(config: RegionsConfig) -> anyhow::Result<Arc<Self>> {
        let RegionsConfig { default, account, address, packages_path, state_dir, times, strict } = config;
        let regions = Arc::new_cyclic(|regions| {
            let all = Arc::new(AllRegions(Weak::clone(regions)));
            let global = Global::new(&account, &default, address, times, strict, all.clone(), all);
            Self {
                packages_url: format!("{}{packages_path}", global.endpoint()),
                default,
                state_dir,
                global,
                made: Mutex::default(),
            }
        });
        let region = regions.make(&regions.default)?;
        regions.made.lock().by_name.insert(regions.default.clone(), Arc::new(region));
        Ok(regions)
    }

    /// The tables that several regions have.
    pub(crate) fn replication(&self) -> &Arc<Replication> {
        &self.global.replication
    }

    pub(crate) fn account(&self) -> &str {
        &self.global.account
    }

    pub(crate) fn strict(&self) -> Strictness {
        self.global.strict
    }

    pub(crate) fn default_name(&self) -> &str {
        &self.default
    }

    /// The names of all regions that there are by now.
    pub(crate) fn names(&self) -> Vec<String> {
        self.made.lock().by_name.keys().cloned().collect()
    }

    /// All regions that there are by now.
    pub(crate) fn all(&self) -> Vec<Arc<Region>> {
        self.made.lock().by_name.values().cloned().collect()
    }

    /// The region that answers a call which was signed for `signed`; made now if it is the first.
    pub(crate) fn answering(&self, call: &Call, signed: Option<&str>) -> Result<Arc<Region>, CallError> {
        // Global services are signed for whatever region their client has, `aws-global` among them.
        let name = signed.filter(|_| !Global::has(&call.service)).unwrap_or(&self.default);
        self.named(name, || no_region(call, name))
    }

    /// The region of this name, made now if it is the first to be asked for it.
    fn named(&self, name: &str, unknown: impl FnOnce() -> CallError) -> Result<Arc<Region>, CallError> {
        let mut made = self.made.lock();
        if let Some(region) = made.by_name.get(name) {
            return Ok(Arc::clone(region));
        }
        if !is_region(name) {
            return Err(unknown());
        }
        if made.closed {
            return Err(CallError::new(503, "ServiceUnavailable", "the embedded AWS is stopping"));
        }
        let region = Arc::new(self.make(name).map_err(CallError::internal)?);
        made.by_name.insert(name.to_owned(), Arc::clone(&region));
        Ok(region)
    }

    /// Cuts a region off, or heals it: its calls fail, its mappings read nothing, and no write of a global table leaves or reaches
    /// it. What knows no regions here goes on: IAM, STS and S3. `false` where there is no such region yet.
    pub(crate) fn set_down(&self, name: &str, down: bool) -> bool {
        let region = self.made.lock().by_name.get(name).cloned();
        let Some(region) = region else { return false };
        region.services.down.store(down, Ordering::Relaxed);
        self.global.replication.set_down(name, down);
        true
    }

    /// A resource's name, with its region where that is not the default one.
    pub(crate) fn scoped(&self, region: &Region, resource: &str) -> String {
        if region.name == self.default { resource.to_owned() } else { format!("{}/{resource}", region.name) }
    }

    /// The deployment package of this name in URLs, while a function of any region uses it.
    pub(crate) async fn package(&self, id: &str) -> Option<Vec<u8>> {
        for region in self.all() {
            if let Some(package) = region.lambda.package(id).await {
                return Some(package);
            }
        }
        None
    }

    /// Ends the functions and mappings of all regions, and waits until every process is gone.
    pub(crate) async fn shutdown(&self) {
        self.made.lock().closed = true;
        for region in self.all() {
            region.lambda.shutdown().await;
        }
    }

    fn make(&self, name: &str) -> anyhow::Result<Region> {
        let services = Services::start(name, &self.global)?;
        let config = Config {
            region: name.to_owned(),
            account: self.global.account.clone(),
            packages_url: self.packages_url.clone(),
            endpoint: Some(self.global.endpoint()),
            state_dir: self.state_dir.clone(),
        };
        let lambda = Engine::new(config, lambda::ports(&services));
        services.lambda.connect(&lambda);
        Ok(Region { name: name.to_owned(), services, lambda })
    }
}

/// The way of services to what other regions have: to the region that a receiver's ARN names, or that is named itself.
struct AllRegions(Weak<Regions>);

impl AllRegions {
    fn region_of(&self, arn: &str) -> Option<Arc<Region>> {
        let regions = self.0.upgrade()?;
        let made = regions.made.lock();
        made.by_name.get(arn.split(':').nth(3)?).cloned()
    }
}

impl OtherRegions for AllRegions {
    fn dynamodb(&self, region: &str) -> Result<Arc<DynamoDb>, CallError> {
        let regions = self.0.upgrade().ok_or_else(|| CallError::internal("the embedded AWS is stopping"))?;
        let unknown = || CallError::bad("ValidationException", format!("Region {region} is not valid"));
        Ok(Arc::clone(&regions.named(region, unknown)?.services.dynamodb))
    }
}

impl Receivers for AllRegions {
    fn invoke(&self, arn: &str, event: Bytes, from: &Deliverer<'_>) -> bool {
        let Some(region) = self.region_of(arn) else { return false };
        let policy = region.lambda.resource_policy(arn);
        from.may("lambda:InvokeFunction", arn, policy.as_ref()) && region.lambda.invoke_async(arn, event).is_ok()
    }

    fn send(&self, arn: &str, request: Value, from: &Deliverer<'_>) -> bool {
        self.region_of(arn).is_some_and(|region| region.services.sqs.deliver(arn, request, from).is_ok())
    }
}

/// Whether a name has the form of AWS's regions, such as `ap-southeast-2`.
fn is_region(name: &str) -> bool {
    const AREAS: [&str; 10] = ["af", "ap", "ca", "cn", "eu", "il", "me", "mx", "sa", "us"];
    const DIRECTIONS: [&str; 11] = [
        "central",
        "north",
        "northeast",
        "northwest",
        "east",
        "south",
        "southeast",
        "southwest",
        "west",
        "gov-east",
        "gov-west",
    ];
    let parts = name.split_once('-').and_then(|(area, rest)| Some((area, rest.rsplit_once('-')?)));
    parts.is_some_and(|(area, (direction, number))| {
        AREAS.contains(&area) && DIRECTIONS.contains(&direction) && matches!(number.as_bytes(), [b'1'..=b'9'])
    })
}

/// What AWS says of a signature for a region that it does not have.
fn no_region(call: &Call, name: &str) -> CallError {
    let message = format!("Credential should be scoped to a valid region, not '{name}'.");
    match (&call.service, call.protocol) {
        (_, Protocol::Query) => CallError::new(403, "SignatureDoesNotMatch", message),
        (Service::Lambda, _) => CallError::new(403, "InvalidSignatureException", message),
        _ => CallError::bad("InvalidSignatureException", message),
    }
}

#[cfg(test)]
mod tests {
    use super::is_region;

    #[test]
    fn regions_are_known_by_their_form() {
        for name in ["us-east-1", "ap-southeast-7", "mx-central-1", "us-gov-west-1", "il-central-1"] {
            assert!(is_region(name), "{name}");
        }
        for name in ["", "local", "us", "us-east", "us-east-", "us-east-0", "us-east-10", "aws-global", "US-EAST-1"] {
            assert!(!is_region(name), "{name}");
        }
    }
}
