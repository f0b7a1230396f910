//! The operations of the Resource Groups Tagging API.
//!
//! See <https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/Welcome.html>.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use streamkit_wire::input::{integer, required, text, texts};
use streamkit_wire::{Call, CallError, Service};

use super::json_services::Operations;
use super::resource::{Filter, Resource, Tags, invalid, map};
use super::rest_services;
use crate::services::service::{AwsService, BoxFuture};

/// `GetResources` has 50 resources a page unless it is asked for others, up to 100.
const PAGE: i64 = 50;
const MAX_PAGE: i64 = 100;
/// Keys and values have pages of a thousand.
const NAMES_PAGE: usize = 1_000;
const MAX_CHANGED: usize = 20;
/// How old what it tells may be where AWS's consistency is asked for: its index follows the services, and AWS does not say how fast.
const OLD: Duration = Duration::from_secs(60);

/// The tags of a region.
pub(crate) struct Tagging {
    pub(super) region: String,
    account: String,
    services: Vec<(Service, Arc<dyn AwsService>)>,
    /// What is told until it is [`OLD`]; `None` where everything is told as it is.
    index: Option<Mutex<Option<Index>>>,
}

impl AwsService for Tagging {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move {
            match call.operation.as_str() {
                "GetResources" => self.get_resources(&input).await,
                "GetTagKeys" => {
                    let keys = self.resources().await?.into_iter().flat_map(|resource| resource.tags.into_keys());
                    Ok(names_page(keys.collect(), "TagKeys", &input))
                }
                "GetTagValues" => {
                    let key = required(&input, "Key").map_err(|_| invalid("Key must be specified"))?;
                    let resources = self.resources().await?;
                    let values = resources.iter().filter_map(|resource| resource.tags.get(key).cloned());
                    Ok(names_page(values.collect(), "TagValues", &input))
                }
                "TagResources" => self.change(&input, Change::Tag(&map(&input["Tags"]))).await,
                "UntagResources" => self.change(&input, Change::Untag(&input["TagKeys"])).await,
                operation => Err(CallError::unknown_operation("tagging", operation)),
            }
        })
    }
}

/// What is told, and when it was so.
struct Index {
    made: Instant,
    resources: Vec<Resource>,
}

/// What is done to the tags of some resources.
#[derive(Debug, Clone, Copy)]
enum Change<'a> {
    Tag(&'a Tags),
    Untag(&'a Value),
}

impl Tagging {
    /// The tags of these services; where it `lags`, as they were up to a minute ago.
    pub(crate) fn new(region: &str, account: &str, services: &[(Service, Arc<dyn AwsService>)], lags: bool) -> Self {
        let index = lags.then(Mutex::default);
        Self { region: region.to_owned(), account: account.to_owned(), services: services.to_vec(), index }
    }

    pub(super) fn service(&self, service: &Service) -> Result<&dyn AwsService, CallError> {
        let found = self.services.iter().find(|(known, _)| known == service).map(|(_, service)| &**service);
        found.ok_or_else(|| CallError::unknown_operation("tagging", service.name()))
    }

    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }

    /// All resources with tags, by ARN, as the index has them.
    async fn resources(&self) -> Result<Vec<Resource>, CallError> {
        let Some(index) = &self.index else { return self.tagged().await };
        if let Some(Index { made, resources }) = &*index.lock()
            && made.elapsed() < OLD
        {
            return Ok(resources.clone());
        }
        let made = Instant::now();
        let resources = self.tagged().await?;
        *index.lock() = Some(Index { made, resources: resources.clone() });
        Ok(resources)
    }

    async fn tagged(&self) -> Result<Vec<Resource>, CallError> {
        let mut all = rest_services::lambda_resources(self).await?;
        all.extend(rest_services::buckets(self).await?);
        for operations in Operations::all() {
            all.extend(operations.resources(self).await?);
        }
        all.sort_by(|one, other| one.arn.cmp(&other.arn));
        Ok(all)
    }

    async fn get_resources(&self, input: &Value) -> Result<Value, CallError> {
        let filter = Filter::read(input)?;
        let most = integer(&input["ResourcesPerPage"]).unwrap_or(PAGE);
        if !(1..=MAX_PAGE).contains(&most) {
            return Err(invalid(&format!("ResourcesPerPage must be between 1 and {MAX_PAGE}")));
        }
        // A token is the last ARN of the page before, so that what comes and goes meanwhile moves nothing.
        let after = text(input, "PaginationToken").unwrap_or_default();
        let mut found = self.resources().await?;
        found.retain(|resource| resource.arn.as_str() > after && filter.has(resource));
        let most = usize::try_from(most).unwrap_or(1);
        let token = found.get(most).and_then(|_| found.get(most - 1)).map_or("", |last| last.arn.as_str());
        let shown: Vec<Value> = found.iter().take(most).map(Resource::shown).collect();
        Ok(json!({ "PaginationToken": token, "ResourceTagMappingList": shown }))
    }

    async fn change(&self, input: &Value, change: Change<'_>) -> Result<Value, CallError> {
        let arns = texts(&input["ResourceARNList"]);
        if arns.is_empty() || arns.len() > MAX_CHANGED {
            return Err(invalid(&format!("ResourceARNList must have between 1 and {MAX_CHANGED} elements")));
        }
        let mut failed = Map::new();
        for arn in arns {
            if let Err(error) = self.change_one(&arn, change).await {
                let why = json!({
                    "StatusCode": error.status, "ErrorCode": "InvalidParameterException", "ErrorMessage": error.message,
                });
                failed.insert(arn, why);
            }
        }
        Ok(json!({ "FailedResourcesMap": failed }))
    }

    async fn change_one(&self, arn: &str, change: Change<'_>) -> Result<(), CallError> {
        let mut parts = arn.split(':').skip(2);
        let (service, region) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if !region.is_empty() && region != self.region {
            return Err(invalid(&format!("The resource {arn} is in another region than {}", self.region)));
        }
        match (service, change) {
            ("lambda", Change::Tag(tags)) => rest_services::tag_lambda(self, arn, tags).await,
            ("lambda", Change::Untag(keys)) => rest_services::untag_lambda(self, arn, keys).await,
            ("s3", Change::Tag(tags)) => {
                rest_services::change_bucket(self, arn, |known| known.extend(tags.clone())).await
            }
            ("s3", Change::Untag(keys)) => {
                let keys = texts(keys);
                rest_services::change_bucket(self, arn, |known| known.retain(|key, _| !keys.contains(key))).await
            }
            _ => {
                let operations = Operations::all().iter().find(|operations| operations.service.name() == service);
                let operations =
                    operations.ok_or_else(|| invalid(&format!("The resource {arn} is of no service with tags")))?;
                match change {
                    Change::Tag(tags) => operations.tag(self, arn, tags).await,
                    Change::Untag(keys) => operations.untag(self, arn, keys).await,
                }
            }
        }
    }
}

/// One page of names; its token is the last name of the page before.
fn names_page(names: BTreeSet<String>, member: &str, input: &Value) -> Value {
    let after = text(input, "PaginationToken").unwrap_or_default();
    let mut rest = names.into_iter().filter(|name| name.as_str() > after);
    let page: Vec<String> = rest.by_ref().take(NAMES_PAGE).collect();
    let token = rest.next().and_then(|_| page.last().cloned()).unwrap_or_default();
    json!({ "PaginationToken": token, member: page })
}
