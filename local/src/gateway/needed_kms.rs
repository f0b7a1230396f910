//! What a call to KMS needs: which key it is about, and what conditions may ask of that key.
//!
//! <https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html>

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use serde_json::{Value, json};
use streamkit_wire::input::{list, map_pairs};
use streamkit_wire::{Call, Service, protocol};
use uuid::Uuid;

use super::needed::Needed;
use crate::services::Services;

/// The actions of a call, with the key that it names by id, ARN, alias or ciphertext.
pub(super) async fn needed(services: &Services, call: &Call, request: &Request<Bytes>) -> Vec<Needed> {
    let input = protocol::decode(call, request.body()).unwrap_or_default();
    let operation = call.operation.as_str();
    let action = format!("kms:{operation}");
    if operation == "CreateKey" {
        let tags: Vec<(String, String)> = tags(&input["Tags"]).collect();
        let with = |needed: Needed| {
            tags.iter().fold(needed, |needed, (name, value)| needed.with(&format!("aws:RequestTag/{name}"), value))
        };
        let create = with(Needed::new(action, "*"));
        let tag = (!tags.is_empty()).then(|| with(Needed::new("kms:TagResource", "*")));
        return std::iter::once(create).chain(tag).collect();
    }
    let named = ["KeyId", "TargetKeyId", "SourceKeyId"].iter().find_map(|member| input[*member].as_str());
    let of_ciphertext = || {
        let bytes = STANDARD.decode(input["CiphertextBlob"].as_str()?).ok()?;
        Some(Uuid::from_slice(bytes.get(..16)?).ok()?.to_string())
    };
    let Some(named) = named.map(str::to_owned).or_else(of_ciphertext) else {
        // Lists, random numbers, and an alias without its key.
        let resource = input["AliasName"].as_str().map_or("*".to_owned(), |alias| alias_arn(services, alias));
        return vec![Needed::new(action, resource)];
    };
    let mut needed = of_key(services, action.clone(), &named, &input).await;
    if named.contains("alias/") {
        let alias = &named[named.find("alias/").unwrap_or_default()..];
        needed = needed.with("kms:RequestAlias", alias);
    }
    let alias = input["AliasName"].as_str().map(|alias| Needed::new(action, alias_arn(services, alias)));
    let destination = match input["DestinationKeyId"].as_str() {
        Some(key) => Some(of_key(services, "kms:ReEncryptTo".to_owned(), key, &input).await),
        None => None,
    };
    if destination.is_some() {
        "kms:ReEncryptFrom".clone_into(&mut needed.action);
    }
    std::iter::once(needed).chain(alias).chain(destination).collect()
}

fn alias_arn(services: &Services, alias: &str) -> String {
    format!("arn:aws:kms:{}:{}:{alias}", services.region, services.account)
}

/// The key with its tags and aliases. Where there is none of that name, nobody knows which it is about.
async fn of_key(services: &Services, action: String, named: &str, input: &Value) -> Needed {
    let run = async |operation: &str, input: Value| services.run(Service::Kms, operation, input).await;
    let Ok(described) = run("DescribeKey", json!({ "KeyId": named })).await else {
        return Needed::new(action, if named.starts_with("arn:") { named } else { "" });
    };
    let arn = described["KeyMetadata"]["Arn"].as_str().unwrap_or_default().to_owned();
    let key = json!({ "KeyId": arn });
    let mut needed = Needed::new(action, arn);
    for (name, value) in map_pairs(&input["EncryptionContext"]) {
        needed = needed.with(&format!("kms:EncryptionContext:{name}"), &value);
    }
    if let Ok(found) = run("ListResourceTags", key.clone()).await {
        for (name, value) in tags(&found["Tags"]) {
            needed = needed.with(&format!("aws:ResourceTag/{name}"), &value);
        }
    }
    for (name, value) in tags(&input["Tags"]) {
        needed = needed.with(&format!("aws:RequestTag/{name}"), &value);
    }
    if let Ok(found) = run("ListAliases", key).await {
        let aliases = list(&found["Aliases"]).iter().filter_map(|alias| alias["AliasName"].as_str());
        needed.context.insert("kms:resourcealiases".to_owned(), aliases.map(str::to_owned).collect());
    }
    needed
}

fn tags(value: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list(value).iter().map(move |tag| (text(&tag["TagKey"]), text(&tag["TagValue"])))
}
