//! A tagged resource, and whether a request asks for it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use streamkit_wire::CallError;
use streamkit_wire::input::{list, texts};

pub(super) type Tags = BTreeMap<String, String>;

/// A resource of any service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) arn: String,
    pub(super) tags: Tags,
}

impl Resource {
    pub(super) fn shown(&self) -> Value {
        let tags: Vec<Value> = self.tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
        json!({ "ResourceARN": self.arn, "Tags": tags })
    }
}

/// `[{Key, Value}]`, in whatever case a service names the two.
pub(super) fn pairs(tags: &Value) -> Tags {
    let member = |tag: &Value, names: [&str; 3]| names.iter().find_map(|name| tag[*name].as_str()).map(str::to_owned);
    let pair = |tag: &Value| {
        let key = member(tag, ["Key", "TagKey", "key"])?;
        Some((key, member(tag, ["Value", "TagValue", "value"]).unwrap_or_default()))
    };
    list(tags).iter().filter_map(pair).collect()
}

/// `{key: value}`.
pub(super) fn map(tags: &Value) -> Tags {
    let members = tags.as_object().into_iter().flatten();
    members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// What `GetResources` asks for.
#[derive(Debug)]
pub(super) struct Filter {
    arns: Vec<String>,
    types: Vec<String>,
    /// Keys, each with the values that it may have: any, if there are none.
    tags: Vec<(String, Vec<String>)>,
}

impl Filter {
    /// See <https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html>.
    pub(super) fn read(input: &Value) -> Result<Self, CallError> {
        const MAX_FILTERS: usize = 50;
        const MAX_VALUES: usize = 20;
        const MAX_TYPES: usize = 100;
        let filter = Self {
            arns: texts(&input["ResourceARNList"]),
            types: texts(&input["ResourceTypeFilters"]),
            tags: list(&input["TagFilters"])
                .iter()
                .map(|filter| {
                    let key = filter["Key"].as_str().filter(|key| !key.is_empty());
                    let key = key.ok_or_else(|| invalid("TagFilters must have a Key"))?;
                    Ok((key.to_owned(), texts(&filter["Values"])))
                })
                .collect::<Result<_, CallError>>()?,
        };
        if !(filter.arns.is_empty() || filter.types.is_empty() && filter.tags.is_empty()) {
            return Err(invalid(
                "ResourceARNList can not be specified together with other filters such as TagFilters or ResourceTypeFilters",
            ));
        }
        if filter.arns.len() > MAX_TYPES || filter.types.len() > MAX_TYPES {
            return Err(invalid(&format!("A list must not have more than {MAX_TYPES} elements")));
        }
        if filter.tags.len() > MAX_FILTERS || filter.tags.iter().any(|(_, values)| values.len() > MAX_VALUES) {
            return Err(invalid(&format!(
                "TagFilters must not have more than {MAX_FILTERS} keys, and no key more than {MAX_VALUES} values"
            )));
        }
        Ok(filter)
    }

    pub(super) fn has(&self, resource: &Resource) -> bool {
        let Resource { arn, tags } = resource;
        (self.arns.is_empty() || self.arns.contains(arn))
            && (self.types.is_empty() || self.types.iter().any(|kind| is_of_type(arn, kind)))
            && self
                .tags
                .iter()
                .all(|(key, values)| tags.get(key).is_some_and(|value| values.is_empty() || values.contains(value)))
    }
}

/// Whether an ARN is of `service` or `service:type`. Queues, topics and buckets have no type in their ARNs.
fn is_of_type(arn: &str, wanted: &str) -> bool {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, resource) = (parts.next().unwrap_or_default(), parts.nth(2).unwrap_or_default());
    match wanted.split_once(':') {
        None => service == wanted,
        Some((of, kind)) if of == service => {
            let own = resource.split([':', '/']).next().unwrap_or_default();
            own == kind || matches!((service, kind), ("sqs", "queue") | ("sns", "topic") | ("s3", "bucket"))
        }
        Some(_) => false,
    }
}

pub(super) fn invalid(message: &str) -> CallError {
    CallError::bad("InvalidParameterException", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_chosen_by_type_and_tags() {
        let resource = |arn: &str| Resource {
            arn: arn.to_owned(),
            tags: [("team", "a"), ("stage", "prod")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        };
        let stream = resource("arn:aws:kinesis:us-east-1:000000000000:stream/s");
        let queue = resource("arn:aws:sqs:us-east-1:000000000000:q");
        let has = |input: Value, resource: &Resource| Filter::read(&input).map(|filter| filter.has(resource));
        for (input, of_stream, of_queue) in [
            (json!({}), true, true),
            (json!({ "ResourceTypeFilters": ["kinesis"] }), true, false),
            (json!({ "ResourceTypeFilters": ["kinesis:stream", "sqs"] }), true, true),
            (json!({ "ResourceTypeFilters": ["kinesis:consumer", "sqs:queue"] }), false, true),
            (json!({ "TagFilters": [{ "Key": "team" }, { "Key": "stage", "Values": ["dev", "prod"] }] }), true, true),
            (json!({ "TagFilters": [{ "Key": "team", "Values": ["b"] }] }), false, false),
            (json!({ "TagFilters": [{ "Key": "other" }] }), false, false),
            (json!({ "ResourceARNList": ["arn:aws:sqs:us-east-1:000000000000:q"] }), false, true),
        ] {
            let seen = (has(input.clone(), &stream), has(input.clone(), &queue));
            assert_eq!(seen, (Ok(of_stream), Ok(of_queue)), "{input}");
        }
        for wrong in [
            json!({ "ResourceARNList": ["arn"], "ResourceTypeFilters": ["sqs"] }),
            json!({ "TagFilters": [{ "Values": ["x"] }] }),
            json!({ "TagFilters": [{ "Key": "k", "Values": vec!["x"; 21] }] }),
        ] {
            assert_eq!(has(wrong, &queue).map_err(|error| error.code), Err("InvalidParameterException".to_owned()));
        }
    }
}
