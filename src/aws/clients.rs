//! One client for each service, from one configuration, and the ARNs of their account and region.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use aws_config::BehaviorVersion;
use aws_config::profile::load;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::SdkConfig;
use aws_types::os_shim_internal::{Env, Fs};
use aws_types::region::Region;

use super::arn::Arn;
use super::call_log::{self, CallLog};
use super::clock::Clock;
use super::error::{AwsError, answered, lacking, no_credentials};
use super::https::https;
use crate::lock::locked;

/// Where to connect, from the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Connection {
    pub(crate) region: Option<String>,
    pub(crate) profile: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) credentials: Credentials,
    /// The account, when it is known without asking STS.
    pub(crate) account: Option<String>,
    /// The endpoint is the embedded AWS.
    pub(crate) embedded: bool,
}

/// Whose credentials to use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// The usual chain: environment, profile, SSO, instance.
    #[default]
    Chain,
    /// Made-up ones: the embedded AWS does not check them, and real ones should not be sent to it.
    Local,
}

/// The clients of one account and region.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    pub(crate) kinesis: aws_sdk_kinesis::Client,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) dynamodbstreams: aws_sdk_dynamodbstreams::Client,
    pub(crate) autoscaling: aws_sdk_applicationautoscaling::Client,
    pub(crate) tagging: aws_sdk_resourcegroupstagging::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) sns: aws_sdk_sns::Client,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) lambda: aws_sdk_lambda::Client,
    pub(crate) cloudwatch: aws_sdk_cloudwatch::Client,
    pub(crate) logs: aws_sdk_cloudwatchlogs::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    clock: Clock,
    pub(crate) region: String,
    pub(crate) account: String,
    /// ARN of the caller, if STS was asked.
    pub(crate) caller: Option<String>,
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub(crate) partition: String,
    /// The endpoint of all services, when it is not AWS's own.
    pub(crate) endpoint: Option<String>,
    embedded: bool,
    config: SdkConfig,
    /// The clients of the same account in other regions, as far as somebody has asked for them.
    elsewhere: Arc<Mutex<BTreeMap<String, Arc<Clients>>>>,
}

/// Who calls, and where.
struct CallersPlace {
    region: String,
    account: String,
    caller: Option<String>,
    partition: String,
}

/// Five tries: one more than the default, since one lost call should not fail a run of fifty.
const ATTEMPTS: u32 = 5;
const CALL_LIMIT: Duration = Duration::from_secs(60);
/// What the slowest line carries that a package is uploaded through: a megabit a second.
const UPLOAD_BYTES_PER_SECOND: u64 = 125_000;

/// How long an attempt of a call may take that carries so many bytes, as base64.
pub(crate) fn upload_limit(bytes: usize) -> Duration {
    let carried = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(4) / 3;
    CALL_LIMIT + Duration::from_secs(carried / UPLOAD_BYTES_PER_SECOND)
}

/// A client of one service, with the settings that it alone has. The clock notes the dates of its answers, and it is watched if
/// somebody reads the log.
///
/// A macro, since each service's crate has a `Builder` of its own, and the configuration that they share takes no interceptor.
macro_rules! client {
    ($service:ident, $config:expr, $clock:expr $(, $setting:ident($value:expr))*) => {{
        let builder = $service::config::Builder::from($config)$(.$setting($value))*.interceptor($clock.clone());
        let builder = if call_log::is_read() { builder.interceptor(CallLog) } else { builder };
        $service::Client::from_conf(builder.build())
    }};
}

impl Clients {
    /// Loads the configuration, and asks STS whose account it is.
    ///
    /// # Errors
    /// No region; no credentials; the endpoint does not answer.
    pub(crate) async fn connect(connection: &Connection) -> anyhow::Result<Self> {
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(https())
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(CALL_LIMIT).build());
        let from_environment = || default_region(|name| std::env::var(name).ok());
        if let Some(region) = connection.region.clone().or_else(from_environment) {
            loader = loader.region(Region::new(region));
        }
        if connection.credentials == Credentials::Chain {
            check_profile(connection.profile.as_deref()).await?;
        }
        if let Some(profile) = &connection.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(endpoint) = &connection.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if connection.credentials == Credentials::Local {
            loader = loader.credentials_provider(aws_credential_types::Credentials::new(
                "local",
                "local",
                None,
                None,
                "streamkit",
            ));
        }
        let config = loader.load().await;
        let clock = Clock::default();
        let region = config.region().map(ToString::to_string).ok_or_else(|| anyhow!(NoRegion))?;
        let (account, caller) = if let Some(account) = &connection.account {
            (account.clone(), None)
        } else {
            let (account, arn) = caller_identity(&config, &clock)
                .await
                .context("asking STS whose account this is (GetCallerIdentity)")?;
            (account, Some(arn))
        };
        let caller_arn = caller.as_deref().and_then(Arn::parse);
        let partition = caller_arn.map_or_else(|| partition_of(&region).to_owned(), |arn| arn.partition);
        let place = CallersPlace { region, account, caller, partition };
        Ok(Self::new(config, clock, place, connection.embedded))
    }

    fn new(config: SdkConfig, clock: Clock, place: CallersPlace, embedded: bool) -> Self {
        let CallersPlace { region, account, caller, partition } = place;
        Self {
            kinesis: client!(aws_sdk_kinesis, &config, clock),
            dynamodb: client!(aws_sdk_dynamodb, &config, clock),
            dynamodbstreams: client!(aws_sdk_dynamodbstreams, &config, clock),
            autoscaling: client!(aws_sdk_applicationautoscaling, &config, clock),
            tagging: client!(aws_sdk_resourcegroupstagging, &config, clock),
            sqs: client!(aws_sdk_sqs, &config, clock),
            kms: client!(aws_sdk_kms, &config, clock),
            sns: client!(aws_sdk_sns, &config, clock),
            iam: client!(aws_sdk_iam, &config, clock),
            lambda: client!(aws_sdk_lambda, &config, clock),
            cloudwatch: client!(aws_sdk_cloudwatch, &config, clock),
            logs: client!(aws_sdk_cloudwatchlogs, &config, clock),
            // Another endpoint than AWS's has one name for all buckets.
            s3: client!(aws_sdk_s3, &config, clock, force_path_style(config.endpoint_url().is_some())),
            clock,
            endpoint: config.endpoint_url().map(|url| url.trim_end_matches('/').to_owned()),
            config,
            elsewhere: Arc::default(),
            embedded,
            region,
            account,
            caller,
            partition,
        }
    }

    /// Looks for credentials as a call would, and says when they expire, if they do.
    ///
    /// # Errors
    /// There are none.
    pub(crate) async fn credentials_expire(&self) -> Result<Option<SystemTime>, AwsError> {
        let Some(provider) = self.config.credentials_provider() else { return Err(no_credentials(None)) };
        let credentials = provider.provide_credentials().await.map_err(|error| no_credentials(Some(&error)))?;
        Ok(credentials.expiry())
    }

    /// Asks STS for the account and the caller's ARN.
    pub(crate) async fn identity(&self) -> Result<(String, String), AwsError> {
        caller_identity(&self.config, &self.clock).await
    }

    /// Whether AWS's clock is ahead of this machine's, and by how much; nothing where that is no more than the way of an answer.
    pub(crate) fn clock_ahead(&self) -> (bool, Duration) {
        self.clock.ahead()
    }

    /// The clients of the same account in another region.
    pub(crate) fn in_region(&self, region: &str) -> Arc<Self> {
        if region == self.region {
            return Arc::new(self.clone());
        }
        let mut elsewhere = locked(&self.elsewhere);
        let clients = elsewhere.entry(region.to_owned()).or_insert_with(|| {
            let config = self.config.to_builder().region(Region::new(region.to_owned())).build();
            let place = CallersPlace {
                region: region.to_owned(),
                account: self.account.clone(),
                caller: self.caller.clone(),
                partition: self.partition.clone(),
            };
            Arc::new(Self::new(config, self.clock.clone(), place, self.embedded))
        });
        Arc::clone(clients)
    }

    /// True where a resource that was made has the tags and settings that it was made with. Some emulators lose some of them.
    pub(crate) fn keeps_what_it_is_given(&self) -> bool {
        self.endpoint.is_none() || self.embedded
    }

    /// The time by AWS's clock.
    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    /// An ARN of this account and region.
    pub(crate) fn arn(&self, service: &str, resource: &str) -> String {
        self.arn_in(service, &self.region, &self.account, resource)
    }

    /// An ARN of this account in a service that has no regions, such as IAM.
    pub(crate) fn global_arn(&self, service: &str, resource: &str) -> String {
        self.arn_in(service, "", &self.account, resource)
    }

    /// The ARN of a bucket, which names neither account nor region.
    pub(crate) fn bucket_arn(&self, name: &str) -> String {
        self.arn_in("s3", "", "", name)
    }

    fn arn_in(&self, service: &str, region: &str, account: &str, resource: &str) -> String {
        let [partition, service, region, account, resource] =
            [self.partition.as_str(), service, region, account, resource].map(str::to_owned);
        Arn { partition, service, region, account, resource }.to_string()
    }

    /// The URL of a queue of this name.
    pub(crate) fn queue_url(&self, name: &str) -> String {
        if let Some(endpoint) = &self.endpoint {
            format!("{endpoint}/{}/{name}", self.account)
        } else {
            let suffix = if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
            format!("https://sqs.{}.{suffix}/{}/{name}", self.region, self.account)
        }
    }
}

/// The account and the ARN of the caller.
async fn caller_identity(config: &SdkConfig, clock: &Clock) -> Result<(String, String), AwsError> {
    let caller = answered(client!(aws_sdk_sts, config, clock).get_caller_identity().send().await)?;
    let of = |part: Option<String>, what: &str| part.ok_or_else(|| lacking(what));
    Ok((of(caller.account, "account")?, of(caller.arn, "ARN")?))
}

/// The region that `AWS_DEFAULT_REGION` names, which the SDK does not read and all of AWS's other tools do: it counts where
/// `AWS_REGION` names none, before the profile.
fn default_region(variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let named = |name: &str| variable(name).filter(|region| !region.is_empty());
    if named("AWS_REGION").is_some() { None } else { named("AWS_DEFAULT_REGION") }
}

/// <https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html>
fn partition_of(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    }
}

/// The chosen profile is in none of the configuration files. The SDK passes over such a one, and looks for credentials elsewhere.
#[derive(Debug, thiserror::Error)]
#[error("there is no AWS profile `{profile}`")]
pub(crate) struct NoProfile {
    profile: String,
    /// Those that there are.
    pub(crate) known: Vec<String>,
}

/// Looks for the profile of the command line or environment.
async fn check_profile(chosen: Option<&str>) -> anyhow::Result<()> {
    let of_environment = || std::env::var("AWS_PROFILE").ok().filter(|profile| !profile.is_empty());
    let Some(profile) = chosen.map(str::to_owned).or_else(of_environment) else { return Ok(()) };
    let files = load(&Fs::real(), &Env::real(), &EnvConfigFiles::default(), None).await;
    let files = files.context("reading the AWS configuration files")?;
    if files.get_profile(&profile).is_some() {
        return Ok(());
    }
    let mut known: Vec<_> = files.profiles().map(str::to_owned).collect();
    known.sort();
    Err(NoProfile { profile, known }.into())
}

/// Neither the command line nor the environment nor the profile names a region.
#[derive(Debug, thiserror::Error)]
#[error("no AWS region is set")]
pub(crate) struct NoRegion;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_region_counts_where_no_other_is_set() {
        let region = |pairs: &[(&str, &str)]| {
            default_region(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        assert_eq!(region(&[("AWS_DEFAULT_REGION", "eu-west-1")]).as_deref(), Some("eu-west-1"));
        assert_eq!(region(&[("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "eu-west-1")]).as_deref(), Some("eu-west-1"));
        assert_eq!(region(&[("AWS_REGION", "us-east-1"), ("AWS_DEFAULT_REGION", "eu-west-1")]), None);
        assert_eq!(region(&[("AWS_DEFAULT_REGION", "")]), None);
    }

    #[test]
    fn a_large_upload_may_take_as_long_as_a_slow_line_needs() {
        assert_eq!(upload_limit(0), CALL_LIMIT);
        assert_eq!(upload_limit(50 << 20), Duration::from_secs(60 + 559));
    }
}
