//! The sink that calls AWS: DynamoDB, S3, SNS and SQS through the SDK.

mod window_table;

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::Region;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{DataKeySpec, MacAlgorithmSpec};
use aws_sdk_sns::types::{MessageAttributeValue as SnsAttribute, PublishBatchRequestEntry};
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry, SendMessageBatchResultEntry};
use aws_smithy_http_client::Builder as HttpClient;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use bytes::Bytes;
use streamkit_recipes::{Attribute, Item, Notification, Object, OutgoingRecord};

use crate::attribute::{attribute_values, item};
use crate::batch::{STATE_KEY, STATE_REVISION};
use crate::config::Config;
use crate::dead_letter::{DeadLetter, EVENT_ID_ATTRIBUTE};
use crate::encryption::{Context, DataKey, EncryptedDataKey, KeyService};
use crate::sink::{Sink, SinkError};

/// The key of AES-256.
const DATA_KEY_BYTES: usize = 32;

/// Clients for the services that the function writes to, created once per process.
#[derive(Clone, Debug)]
pub struct Aws {
    dynamodb: aws_sdk_dynamodb::Client,
    s3: aws_sdk_s3::Client,
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
    /// In the region of the stream, and only where there is one.
    kinesis: Option<aws_sdk_kinesis::Client>,
    /// Only where fields are encrypted.
    kms: Option<aws_sdk_kms::Client>,
    table: String,
    state_table: String,
    bucket: String,
    /// The account that must own the bucket: the function's. None until the first invocation.
    account: OnceLock<String>,
    stream_arn: String,
    topic_arn: String,
    dead_letter_queue_url: String,
}

impl Aws {
    /// Notes whose function this is, from its ARN.
    pub fn runs_as(&self, function_arn: &str) {
        if let Some(account) = function_arn.split(':').nth(4).filter(|account| !account.is_empty()) {
            self.account.get_or_init(|| account.to_owned());
        }
    }

    /// Creates the clients from the variables that Lambda sets for every function: `AWS_REGION`, the credentials of its role,
    /// and `AWS_ENDPOINT_URL` for another endpoint than AWS.
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
        // One pool of connections for all services, and the default of none: see Cargo.toml.
        let http = HttpClient::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let retries = RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(100));
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(Duration::from_secs(5))
            .build();

        // The services' builders are alike, and of different types.
        macro_rules! settings {
            ($service:ident) => {{
                let mut builder = $service::Config::builder()
                    .behavior_version($service::config::BehaviorVersion::v2026_01_12())
                    .region(region.clone())
                    .credentials_provider(credentials.clone())
                    .http_client(http.clone())
                    .retry_config(retries.clone())
                    .timeout_config(timeouts.clone())
                    // An attempt is over before a stream counts as stalled.
                    .stalled_stream_protection($service::config::StalledStreamProtectionConfig::disabled());
                builder.set_endpoint_url(endpoint.clone());
                builder
            }};
        }
        // Bucket names as host names are for AWS's own domains.
        let s3 = settings!(aws_sdk_s3).force_path_style(endpoint.is_some());
        // `arn:aws:kinesis:<region>:<account>:stream/<name>`
        let kinesis = config.stream_arn.split(':').nth(3).map(|of_stream| {
            let builder = settings!(aws_sdk_kinesis).region(aws_sdk_kinesis::config::Region::new(of_stream.to_owned()));
            aws_sdk_kinesis::Client::from_conf(builder.build())
        });
        Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(settings!(aws_sdk_dynamodb).build()),
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            sns: aws_sdk_sns::Client::from_conf(settings!(aws_sdk_sns).build()),
            sqs: aws_sdk_sqs::Client::from_conf(settings!(aws_sdk_sqs).build()),
            kinesis,
            kms: (config.encryption.as_ref()).map(|_| aws_sdk_kms::Client::from_conf(settings!(aws_sdk_kms).build())),
            table: config.table.clone(),
            state_table: config.state_table.clone(),
            bucket: config.bucket.clone(),
            account: OnceLock::new(),
            stream_arn: config.stream_arn.clone(),
            topic_arn: config.topic_arn.clone(),
            dead_letter_queue_url: config.dead_letter_queue_url.clone().unwrap_or_default(),
        }
    }
}

impl Sink for Aws {
    /// Calls `BatchWriteItem`.
    async fn write(&self, items: &[&Item]) -> Result<Vec<usize>, SinkError> {
        let body = puts(&self.table, items);
        let output = self
            .dynamodb
            .batch_write_item()
            .set_request_items(Some(HashMap::new()))
            .customize()
            // Items serialize to DynamoDB's JSON themselves: building the SDK's types first would cost as much as all the
            // rest of the function's work.
            .mutate_request(move |request| {
                request.headers_mut().insert("content-length", body.len().to_string());
                *request.body_mut() = body.clone().into();
            })
            .send()
            .await
            .map_err(|error| sink_error(&error))?;
        // The table may be named by its ARN here. The request has only one table, so every entry is this table's.
        let left: Vec<_> = output.unprocessed_items.into_iter().flatten().flat_map(|(_, requests)| requests).collect();
        if left.is_empty() {
            return Ok(Vec::new());
        }
        let is_left = |item: &Item| {
            let item = attribute_values(item);
            left.iter().any(|request| request.put_request.as_ref().is_some_and(|put| put.item == item))
        };
        let places: Vec<usize> = (0..items.len()).filter(|&place| is_left(items[place])).collect();
        // If an unprocessed item can't be matched, all items are put again, which does no harm.
        Ok(if places.len() < left.len() { (0..items.len()).collect() } else { places })
    }

    /// Calls `BatchGetItem`.
    async fn read(&self, keys: &[Item]) -> Result<(Vec<Item>, Vec<Item>), SinkError> {
        self.read_from(&self.table, keys.iter().map(attribute_values).collect()).await
    }

    /// Calls `BatchGetItem`.
    async fn read_states(&self, keys: &[String]) -> Result<(Vec<Item>, Vec<String>), SinkError> {
        let key = |key: &String| HashMap::from([(STATE_KEY.to_owned(), AttributeValue::S(key.clone()))]);
        let (found, left) = self.read_from(&self.state_table, keys.iter().map(key).collect()).await?;
        let text = |key: Item| match key.get(STATE_KEY) {
            Some(Attribute::S(text)) => Some(text.clone()),
            _ => None,
        };
        Ok((found, left.into_iter().filter_map(text).collect()))
    }

    /// Calls `PutItem` with a condition.
    async fn write_state(&self, item: &Item, expected: Option<&str>) -> Result<bool, SinkError> {
        let put = self.dynamodb.put_item().table_name(&self.state_table).set_item(Some(attribute_values(item)));
        let put = match expected {
            None => {
                put.condition_expression("attribute_not_exists(#name)").expression_attribute_names("#name", STATE_KEY)
            }
            Some(revision) => put
                .condition_expression("#name = :expected")
                .expression_attribute_names("#name", STATE_REVISION)
                .expression_attribute_values(":expected", AttributeValue::S(revision.to_owned())),
        };
        match put.send().await.map_err(|error| sink_error(&error)) {
            Ok(_) => Ok(true),
            Err(error) if error.code == "ConditionalCheckFailedException" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Calls `PutObject`.
    async fn put(&self, object: &Object, only_new: bool) -> Result<bool, SinkError> {
        let only_new = only_new || object.keep_existing;
        let put = self
            .s3
            .put_object()
            .bucket(&self.bucket)
            // The name of a bucket that was deleted is anybody's.
            .set_expected_bucket_owner(self.account.get().cloned())
            .key(&object.key)
            .content_type(object.content_type)
            .body(object.body.clone().into())
            .set_if_none_match(only_new.then(|| "*".to_owned()))
            .send()
            .await;
        match put.map_err(|error| sink_error(&error)) {
            Ok(_) => Ok(false),
            Err(error) if error.code == "PreconditionFailed" => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Calls `PutRecords`.
    async fn put_records(&self, records: &[&OutgoingRecord]) -> Result<Vec<(usize, SinkError)>, SinkError> {
        let kinesis = self.kinesis.as_ref().ok_or_else(|| SinkError {
            permanent: false,
            code: "NoStream".to_owned(),
            message: "the environment names no stream".to_owned(),
        })?;
        let entries = records.iter().map(|record| {
            PutRecordsRequestEntry::builder()
                .partition_key(&record.partition_key)
                .set_explicit_hash_key(record.explicit_hash_key.clone())
                .data(aws_sdk_kinesis::primitives::Blob::new(record.data.clone()))
                .build()
                .expect("partition key and data are set")
        });
        let call = kinesis.put_records().stream_arn(&self.stream_arn).set_records(Some(entries.collect()));
        let output = call.send().await.map_err(|error| sink_error(&error))?;
        // One answer for each record, in their order: one that is missing has failed too.
        let failed = (0..records.len()).filter_map(|place| {
            let (code, message) = match output.records.get(place) {
                Some(answer) => (answer.error_code.as_deref()?, answer.error_message.as_deref().unwrap_or_default()),
                None => ("NoAnswer", ""),
            };
            // What is wrong with a record itself fails the whole call.
            Some((place, SinkError { permanent: false, code: code.to_owned(), message: message.to_owned() }))
        });
        Ok(failed.collect())
    }

    /// Calls `PublishBatch`.
    async fn publish(&self, notifications: &[&Notification]) -> Result<Vec<(usize, SinkError)>, SinkError> {
        let entries = notifications.iter().enumerate().map(|(place, notification)| {
            let attributes = notification.attributes.iter().map(|(name, value)| {
                let value = SnsAttribute::builder().data_type("String").string_value(value).build();
                ((*name).to_owned(), value.expect("the data type is set"))
            });
            PublishBatchRequestEntry::builder()
                .id(place.to_string())
                .subject(&notification.subject)
                .message(&notification.message)
                .set_message_attributes(Some(attributes.collect()))
                .build()
                .expect("id and message are set")
        });
        let output = self
            .sns
            .publish_batch()
            .topic_arn(&self.topic_arn)
            .set_publish_batch_request_entries(Some(entries.collect()))
            .send()
            .await
            .map_err(|error| sink_error(&error))?;
        let successful: Vec<&str> = output.successful().iter().filter_map(|entry| entry.id()).collect();
        let failed = output.failed().iter().map(|entry| FailedEntry {
            id: entry.id(),
            permanent: entry.sender_fault(),
            code: entry.code(),
            message: entry.message(),
        });
        Ok(failed_entries(notifications.len(), &successful, &failed.collect::<Vec<_>>()))
    }

    /// Calls `SendMessageBatch`.
    async fn send(&self, dead_letters: &[&DeadLetter]) -> Result<Vec<(usize, SinkError)>, SinkError> {
        let entries = dead_letters.iter().enumerate().map(|(place, dead_letter)| {
            let event_id = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(&dead_letter.event_id)
                .build()
                .expect("the data type is set");
            SendMessageBatchRequestEntry::builder()
                .id(place.to_string())
                .message_body(&dead_letter.body)
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
            .map_err(|error| sink_error(&error))?;
        let successful: Vec<&str> = output.successful().iter().map(SendMessageBatchResultEntry::id).collect();
        let failed = output.failed().iter().map(|entry| FailedEntry {
            id: entry.id(),
            permanent: entry.sender_fault(),
            code: entry.code(),
            message: entry.message(),
        });
        Ok(failed_entries(dead_letters.len(), &successful, &failed.collect::<Vec<_>>()))
    }
}

impl Aws {
    async fn read_from(
        &self,
        table: &str,
        keys: Vec<HashMap<String, AttributeValue>>,
    ) -> Result<(Vec<Item>, Vec<Item>), SinkError> {
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true).build();
        let wanted = wanted.expect("the keys are set");
        let output = self.dynamodb.batch_get_item().request_items(table, wanted).send().await;
        let output = output.map_err(|error| sink_error(&error))?;
        // The request has only one table, so every entry is this table's.
        let found = output.responses.into_iter().flatten().flat_map(|(_, items)| items).map(item);
        let left = output.unprocessed_keys.into_iter().flatten().flat_map(|(_, left)| left.keys).map(item);
        Ok((found.collect(), left.collect()))
    }
}

impl KeyService for Aws {
    /// Calls `GenerateDataKey`.
    async fn data_key(&self, key: &str, context: &Context) -> Result<DataKey, SinkError> {
        let call = self.kms()?.generate_data_key().key_id(key).key_spec(DataKeySpec::Aes256);
        let context = context.clone().into_iter().collect();
        let output = call.set_encryption_context(Some(context)).send().await.map_err(|error| key_error(&error))?;
        match (output.plaintext, output.ciphertext_blob, output.key_id) {
            (Some(plaintext), Some(ciphertext), Some(key_arn)) if plaintext.as_ref().len() == DATA_KEY_BYTES => {
                let encrypted = EncryptedDataKey { key_arn, ciphertext: ciphertext.into_inner() };
                Ok(DataKey { plaintext: plaintext.into_inner(), encrypted })
            }
            _ => Err(incomplete("GenerateDataKey")),
        }
    }

    /// Calls `GenerateMac`.
    async fn mac(&self, key: &str, message: &[u8]) -> Result<Vec<u8>, SinkError> {
        let call = self.kms()?.generate_mac().key_id(key).mac_algorithm(MacAlgorithmSpec::HmacSha256);
        let output = call.message(Blob::new(message)).send().await.map_err(|error| key_error(&error))?;
        output.mac.map(Blob::into_inner).ok_or_else(|| incomplete("GenerateMac"))
    }
}

impl Aws {
    fn kms(&self) -> Result<&aws_sdk_kms::Client, SinkError> {
        self.kms.as_ref().ok_or_else(|| incomplete("the environment"))
    }
}

/// What KMS refuses is never the record's fault: throttles, outages, a missing right and a key that is disabled or about to be
/// deleted are mended, and the record waits.
fn key_error<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> SinkError {
    SinkError { permanent: false, ..sink_error(error) }
}

fn incomplete(what: &str) -> SinkError {
    SinkError { permanent: false, code: "NoKey".to_owned(), message: format!("{what} gave no key") }
}

/// The body of a call that puts items into one table.
fn puts(table: &str, items: &[&Item]) -> Bytes {
    // Most items are shorter than that.
    let mut body = String::with_capacity(64 + 640 * items.len());
    body.push_str(r#"{"RequestItems":{"#);
    body.push_str(&serde_json::to_string(table).expect("a text always serializes"));
    let mut before = r#":[{"PutRequest":{"Item":"#;
    for item in items {
        body.push_str(before);
        item.push_json(&mut body);
        before = r#"}},{"PutRequest":{"Item":"#;
    }
    body.push_str("}}]}}");
    body.into()
}

/// A failed entry in the response of a batch call.
struct FailedEntry<'a> {
    id: &'a str,
    permanent: bool,
    code: &'a str,
    message: Option<&'a str>,
}

/// The places of entries that failed. An entry that the response does not mention has failed too.
fn failed_entries(sent: usize, successful: &[&str], failed: &[FailedEntry<'_>]) -> Vec<(usize, SinkError)> {
    let open = (0..sent).filter(|place| !successful.contains(&place.to_string().as_str()));
    let of = |place: usize| {
        let entry = failed.iter().find(|entry| entry.id == place.to_string());
        let error = SinkError {
            permanent: entry.is_some_and(|entry| entry.permanent),
            code: entry.map_or("NoAnswer", |entry| entry.code).to_owned(),
            message: entry.and_then(|entry| entry.message).unwrap_or_default().to_owned(),
        };
        (place, error)
    };
    open.map(of).collect()
}

/// Codes of errors in the request's content. Everything else (throttling, missing permissions, a missing table, no response)
/// may be mended by the next delivery.
///
/// SNS's `InvalidParameter` is not among them: from `PublishBatch` it is about the topic.
const PERMANENT: [&str; 9] = [
    "ValidationException",
    "KeyTooLongError",
    "EntityTooLarge",
    "AWS.SimpleQueueService.BatchRequestTooLong",
    "BatchRequestTooLong",
    "InvalidParameterValue",
    // Of Kinesis: a record that is larger than the stream takes.
    "InvalidArgumentException",
    "InvalidMessageContents",
    "InvalidAttributeValue",
];

fn sink_error<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> SinkError {
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
    SinkError { permanent: PERMANENT.contains(&code), code: code.to_owned(), message }
}

/// Joins the causes of an error: the SDK's outermost error says nothing.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
