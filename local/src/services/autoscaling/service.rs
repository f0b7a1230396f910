//! Scalable targets, their policies and tags.
//!
//! <https://docs.aws.amazon.com/autoscaling/application/APIReference/API_Operations.html>

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde_json::{Value, json};
use streamkit_wire::input::{integer, list, map_pairs, required, texts};
use streamkit_wire::{Call, CallError, Service, clock};
use uuid::Uuid;

use crate::services::service::{AwsService, BoxFuture};

/// Service, resource and dimension: `dynamodb`, `table/orders`, `dynamodb:table:ReadCapacityUnits`.
type Id = (String, String, String);
type Answer = Result<Value, CallError>;

struct Target {
    shown: Value,
    arn: String,
    tags: BTreeMap<String, String>,
    /// By name.
    policies: BTreeMap<String, Value>,
}

/// All scalable targets of a region.
pub(crate) struct AutoScaling {
    region: String,
    account: String,
    targets: Mutex<BTreeMap<Id, Target>>,
}

impl AutoScaling {
    pub(crate) fn new(region: &str, account: &str) -> Self {
        Self { region: region.to_owned(), account: account.to_owned(), targets: Mutex::default() }
    }

    fn call(&self, operation: &str, input: &Value) -> Answer {
        match operation {
            "RegisterScalableTarget" => self.register(input),
            "DescribeScalableTargets" => self.found("ScalableTargets", input, |target| vec![target.shown.clone()]),
            "DeregisterScalableTarget" => {
                let id = id(input)?;
                self.targets.lock().remove(&id).map(|_| json!({})).ok_or_else(|| no_target(&id))
            }
            "PutScalingPolicy" => self.with(input, |target| self.put_policy(target, input)),
            "DescribeScalingPolicies" => {
                let names = texts(&input["PolicyNames"]);
                let wanted = |name: &String| names.is_empty() || names.contains(name);
                let policies = |target: &'_ Target| -> Vec<Value> {
                    target.policies.iter().filter(|(name, _)| wanted(name)).map(|(_, policy)| policy.clone()).collect()
                };
                self.found("ScalingPolicies", input, policies)
            }
            "DeleteScalingPolicy" => {
                let name = required(input, "PolicyName")?;
                self.with(input, |target| {
                    target.policies.remove(name).map(|_| json!({})).ok_or_else(|| no_policy(name))
                })
            }
            "DescribeScalingActivities" => Ok(json!({ "ScalingActivities": [] })),
            "DescribeScheduledActions" => Ok(json!({ "ScheduledActions": [] })),
            "TagResource" => self.tagged(input, |target| target.tags.extend(map_pairs(&input["Tags"]))),
            "UntagResource" => self.tagged(input, |target| {
                list(&input["TagKeys"]).iter().filter_map(Value::as_str).for_each(|key| drop(target.tags.remove(key)));
            }),
            "ListTagsForResource" => {
                let mut tags = Value::Null;
                self.tagged(input, |target| tags = json!(target.tags))?;
                Ok(json!({ "Tags": tags }))
            }
            _ => Err(CallError::unknown_operation(Service::ApplicationAutoScaling.name(), operation)),
        }
    }

    /// Makes a target, or changes the limits of one.
    fn register(&self, input: &Value) -> Answer {
        let id = id(input)?;
        let mut targets = self.targets.lock();
        let known = targets.get(&id).map(|target| target.shown.clone());
        let limit =
            |name: &str| integer(&input[name]).or_else(|| known.as_ref().and_then(|known| known[name].as_i64()));
        let (Some(least), Some(most)) = (limit("MinCapacity"), limit("MaxCapacity")) else {
            return Err(invalid("Both MinCapacity and MaxCapacity are required for a new scalable target."));
        };
        if least > most {
            return Err(invalid("Minimum capacity must be less than or equal to maximum capacity."));
        }
        let Self { region, account, .. } = self;
        let target = targets.entry(id.clone()).or_insert_with(|| {
            let (service, resource, dimension) = &id;
            let unique = &Uuid::new_v4().simple().to_string()[..20];
            let arn = format!("arn:aws:application-autoscaling:{region}:{account}:scalable-target/{unique}");
            let kind = if service == "dynamodb" { "DynamoDBTable" } else { "CustomResource" };
            let shown = json!({
                "ServiceNamespace": service,
                "ResourceId": resource,
                "ScalableDimension": dimension,
                "RoleARN": format!(
                    "arn:aws:iam::{account}:role/aws-service-role/{service}.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_{kind}"
                ),
                "CreationTime": clock::seconds(clock::now_ms()),
                "SuspendedState": {
                    "DynamicScalingInSuspended": false,
                    "DynamicScalingOutSuspended": false,
                    "ScheduledScalingSuspended": false,
                },
                "ScalableTargetARN": arn,
            });
            Target { shown, arn, tags: map_pairs(&input["Tags"]).collect(), policies: BTreeMap::new() }
        });
        target.shown["MinCapacity"] = json!(least);
        target.shown["MaxCapacity"] = json!(most);
        for member in ["RoleARN", "SuspendedState"] {
            if !input[member].is_null() {
                target.shown[member] = input[member].clone();
            }
        }
        Ok(json!({ "ScalableTargetARN": target.arn }))
    }

    fn put_policy(&self, target: &mut Target, input: &Value) -> Answer {
        const SAID: [&str; 5] = [
            "PolicyType",
            "TargetTrackingScalingPolicyConfiguration",
            "StepScalingPolicyConfiguration",
            "PredictiveScalingPolicyConfiguration",
            "PolicyName",
        ];
        let name = required(input, "PolicyName")?;
        let Self { region, account, .. } = self;
        let mut policy = target.policies.get(name).cloned().unwrap_or_else(|| {
            let (service, resource) = (&target.shown["ServiceNamespace"], &target.shown["ResourceId"]);
            let place = [service, resource].map(|text| text.as_str().unwrap_or_default()).join("/");
            let unique = Uuid::new_v4();
            json!({
                "PolicyARN": format!(
                    "arn:aws:autoscaling:{region}:{account}:scalingPolicy:{unique}:resource/{place}:policyName/{name}"
                ),
                "ServiceNamespace": service,
                "ResourceId": resource,
                "ScalableDimension": target.shown["ScalableDimension"],
                "PolicyType": "StepScaling",
                "CreationTime": clock::seconds(clock::now_ms()),
                "Alarms": [],
            })
        });
        for member in SAID.into_iter().filter(|member| !input[*member].is_null()) {
            policy[member] = input[member].clone();
        }
        let answer = json!({ "PolicyARN": policy["PolicyARN"], "Alarms": [] });
        target.policies.insert(name.to_owned(), policy);
        Ok(answer)
    }

    /// What is found of the targets that an input names; those of the whole service where it names none.
    fn found(&self, member: &str, input: &Value, of: impl Fn(&Target) -> Vec<Value>) -> Answer {
        let service = required(input, "ServiceNamespace")?;
        let mut resources = texts(&input["ResourceIds"]);
        resources.extend(input["ResourceId"].as_str().map(str::to_owned));
        let dimension = input["ScalableDimension"].as_str();
        let targets = self.targets.lock();
        let found = targets.iter().filter(|((of, resource, along), _)| {
            of == service
                && (resources.is_empty() || resources.contains(resource))
                && dimension.is_none_or(|dimension| dimension == along)
        });
        let found: Vec<Value> = found.flat_map(|(_, target)| of(target)).collect();
        let mut answer = json!({});
        answer[member] = json!(found);
        Ok(answer)
    }

    fn with(&self, input: &Value, act: impl FnOnce(&mut Target) -> Answer) -> Answer {
        let id = id(input)?;
        act(self.targets.lock().get_mut(&id).ok_or_else(|| no_target(&id))?)
    }

    fn tagged(&self, input: &Value, act: impl FnOnce(&mut Target)) -> Answer {
        let arn = required(input, "ResourceARN")?;
        let mut targets = self.targets.lock();
        let target = targets.values_mut().find(|target| target.arn == arn);
        let missing = || CallError::bad("ResourceNotFoundException", format!("The resource {arn} cannot be found."));
        act(target.ok_or_else(missing)?);
        Ok(json!({}))
    }
}

impl AwsService for AutoScaling {
    fn run<'a>(&'a self, call: &'a Call, input: Value) -> BoxFuture<'a, Result<Value, CallError>> {
        Box::pin(async move { self.call(&call.operation, &input) })
    }
}

fn id(input: &Value) -> Result<Id, CallError> {
    let member = |name| required(input, name).map(str::to_owned);
    Ok((member("ServiceNamespace")?, member("ResourceId")?, member("ScalableDimension")?))
}

fn invalid(message: &str) -> CallError {
    CallError::bad("ValidationException", message)
}

fn no_target((service, resource, dimension): &Id) -> CallError {
    let message = format!(
        "No scalable target registered for service namespace: {service}, resource ID: {resource}, scalable dimension: {dimension}"
    );
    CallError::bad("ObjectNotFoundException", message)
}

fn no_policy(name: &str) -> CallError {
    CallError::bad("ObjectNotFoundException", format!("No scaling policy found for policy name: {name}"))
}
