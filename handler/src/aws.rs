//! The real sink: DynamoDB and SQS through the SDK.

use std::collections::HashMap;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, MessageAttributeValue, SendMessageBatchRequestEntry, SendMessageBatchResultEntry,
};
use aws_smithy_http_client::Builder as HttpClient;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use streamkit_recipes::{Attribute, Item};

use crate::config::Config;
use crate::dead_letter::{EVENT_ID_ATTRIBUTE, Letter};
use crate::sink::{Fault, Sink};

/// Clients for what the function writes to, made once per process.
#[derive(Clone, Debug)]
pub struct Aws {
    dynamodb: aws_sdk_dynamodb::Client,
    sqs: aws_sdk_sqs::Client,
    table: String,
    dead_letter_queue_url: String,
}

impl Aws {
    /// Makes the clients from the variables that Lambda sets for every function: `AWS_REGION`, the credentials of its
    /// role, and for an AWS other than the real one `AWS_ENDPOINT_URL`.
    pub fn new(config: &Config, variable: impl Fn(&str) -> Option<String>) -> Self {
        let region = Region::new(variable("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned()));
        let credentials = Credentials::new(
            variable("AWS_ACCESS_KEY_ID").unwrap_or_default(),
            variable("AWS_SECRET_ACCESS_KEY").unwrap_or_default(),
            variable("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        let endpoint = variable("AWS_ENDPOINT_URL").filter(|url| !url.is_empty());
        // One pool of connections for both services, and the default of neither: see Cargo.toml.
        let http = HttpClient::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(100));
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(Duration::from_secs(5))
            .build();

        let mut dynamodb = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(region.clone())
            .credentials_provider(credentials.clone())
            .http_client(http.clone())
            .retry_config(retries.clone())
            .timeout_config(timeouts.clone());
        let mut sqs = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(region)
            .credentials_provider(credentials)
            .http_client(http)
            .retry_config(retries)
            .timeout_config(timeouts);
        dynamodb.set_endpoint_url(endpoint.clone());
        sqs.set_endpoint_url(endpoint);
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
            sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
            table: config.table.clone(),
            dead_letter_queue_url: config.dead_letter_queue_url.clone().unwrap_or_default(),
        }
    }
}

impl Sink for Aws {
    /// Calls `BatchWriteItem`.
    async fn write(&self, items: &[&Item]) -> Result<Vec<usize>, Fault> {
        let sent: Vec<_> = items.iter().map(|item| attributes(item)).collect();
        let requests = sent.iter().map(|item| {
            let put = PutRequest::builder().set_item(Some(item.clone())).build().expect("the item is set");
            WriteRequest::builder().put_request(put).build()
        });
        let output = self
            .dynamodb
            .batch_write_item()
            .request_items(&self.table, requests.collect())
            .send()
            .await
            .map_err(|error| fault(&error))?;
        // The table may come back under its ARN, and nothing else was asked for: all that is there is ours.
        let left: Vec<_> = output.unprocessed_items.into_iter().flatten().flat_map(|(_, requests)| requests).collect();
        let is_left = |item: &HashMap<_, _>| {
            left.iter().any(|request| request.put_request.as_ref().is_some_and(|put| put.item == *item))
        };
        let places: Vec<usize> = (0..sent.len()).filter(|&place| is_left(&sent[place])).collect();
        // An item that came back in another form must not get lost: putting all again does no harm.
        Ok(if places.len() < left.len() { (0..sent.len()).collect() } else { places })
    }

    /// Calls `SendMessageBatch`.
    async fn send(&self, letters: &[&Letter]) -> Result<Vec<(usize, Fault)>, Fault> {
        let entries = letters.iter().enumerate().map(|(place, letter)| {
            let event_id = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(&letter.event_id)
                .build()
                .expect("the data type is set");
            SendMessageBatchRequestEntry::builder()
                .id(place.to_string())
                .message_body(&letter.body)
                .message_attributes(EVENT_ID_ATTRIBUTE, event_id)
                .build()
                .expect("id and body are set")
        });
        let output = self
            .sqs
            .send_message_batch()
            .queue_url(&self.dead_letter_queue_url)
            .set_entries(Some(entries.collect()))
            .send()
            .await
            .map_err(|error| fault(&error))?;
        let taken: Vec<&str> = output.successful().iter().map(SendMessageBatchResultEntry::id).collect();
        let refusals = (0..letters.len()).filter(|place| !taken.contains(&place.to_string().as_str())).map(|place| {
            let entry = output.failed().iter().find(|entry| entry.id() == place.to_string());
            let fault = Fault {
                permanent: entry.is_some_and(BatchResultErrorEntry::sender_fault),
                code: entry.map_or("NoAnswer", |entry| entry.code()).to_owned(),
                message: entry.and_then(|entry| entry.message()).unwrap_or_default().to_owned(),
            };
            (place, fault)
        });
        Ok(refusals.collect())
    }
}

fn attributes(item: &Item) -> HashMap<String, AttributeValue> {
    item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect()
}

fn attribute(value: &Attribute) -> AttributeValue {
    match value {
        Attribute::S(text) => AttributeValue::S(text.clone()),
        Attribute::N(number) => AttributeValue::N(number.clone()),
        Attribute::B(bytes) => AttributeValue::B(Blob::new(bytes.as_slice())),
        Attribute::Bool(bool) => AttributeValue::Bool(*bool),
        Attribute::Null => AttributeValue::Null(true),
        Attribute::List(list) => AttributeValue::L(list.iter().map(attribute).collect()),
        Attribute::Map(map) => AttributeValue::M(attributes(map)),
        Attribute::Strings(set) => AttributeValue::Ss(set.clone()),
        Attribute::Numbers(set) => AttributeValue::Ns(set.clone()),
        Attribute::Binaries(set) => AttributeValue::Bs(set.iter().map(|bytes| Blob::new(bytes.as_slice())).collect()),
    }
}

/// Codes that blame the request's content. Everything else (throttles, missing permissions, a missing table, no answer)
/// may be over by the next delivery.
const PERMANENT: [&str; 6] = [
    "ValidationException",
    "AWS.SimpleQueueService.BatchRequestTooLong",
    "BatchRequestTooLong",
    "InvalidParameterValue",
    "InvalidMessageContents",
    "InvalidAttributeValue",
];

fn fault<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> Fault {
    let (code, message) = match error {
        SdkError::ServiceError(service) => {
            let error = service.err();
            (error.code().unwrap_or("Unknown"), error.message().unwrap_or_default().to_owned())
        }
        SdkError::TimeoutError(_) => ("Timeout", "no answer in time".to_owned()),
        SdkError::DispatchFailure(_) => ("NoConnection", causes(error)),
        SdkError::ResponseError(_) => ("BadAnswer", causes(error)),
        _ => ("BadRequest", causes(error)),
    };
    Fault { permanent: PERMANENT.contains(&code), code: code.to_owned(), message }
}

/// Joins an error's causes: the SDK's outermost ones say nothing.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
