//! The services of AWS that are known here, and how requests name them.

/// What tells a service's requests from those of others, and forms its answers.
struct Facts<'a> {
    /// Its name in signatures and files.
    name: &'a str,
    /// How its `X-Amz-Target`, or the service in a path of `rpc-v2-cbor`, begins.
    target: &'a str,
    /// The `Version` of its query protocol.
    query_version: &'a str,
    /// The XML namespace of its query answers.
    xml_namespace: &'a str,
    /// The version of its JSON protocol.
    json_version: &'a str,
    /// Whether its clients look for the error code of an older query protocol in a header.
    query_error_header: bool,
}

/// Of a service without any of these.
const NONE: Facts<'static> = Facts {
    name: "",
    target: "",
    query_version: "",
    xml_namespace: "http://monitoring.amazonaws.com/doc/2010-08-01/",
    json_version: "1.0",
    query_error_header: false,
};

macro_rules! services {
    ($($(#[$doc:meta])* $service:ident { $($fact:ident: $value:expr),+ $(,)? })+) => {
        /// A service of AWS.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Service {
            $($(#[$doc])* $service,)+
            /// Any other, by the name that signatures give it.
            Other(String),
        }

        impl Service {
            /// All that are known.
            const KNOWN: &[Self] = &[$(Self::$service),+];

            fn facts(&self) -> Facts<'_> {
                match self {
                    $(Self::$service => Facts { $($fact: $value,)+ ..NONE },)+
                    Self::Other(name) => Facts { name, ..NONE },
                }
            }
        }
    };
}

services! {
    /// Application Auto Scaling.
    ApplicationAutoScaling { name: "application-autoscaling", target: "AnyScaleFrontendService", json_version: "1.1" }
    /// CloudWatch.
    CloudWatch { name: "cloudwatch", target: "GraniteServiceVersion", query_version: "2010-08-01", query_error_header: true }
    /// DynamoDB.
    DynamoDb { name: "dynamodb", target: "DynamoDB_20120810" }
    /// DynamoDB Streams.
    DynamoDbStreams { name: "dynamodbstreams", target: "DynamoDBStreams_20120810" }
    /// IAM.
    Iam { name: "iam", query_version: "2010-05-08", xml_namespace: "https://iam.amazonaws.com/doc/2010-05-08/" }
    /// Kinesis Data Streams.
    Kinesis { name: "kinesis", target: "Kinesis_", json_version: "1.1" }
    /// KMS.
    Kms { name: "kms", target: "TrentService", json_version: "1.1" }
    /// Lambda.
    Lambda { name: "lambda" }
    /// CloudWatch Logs.
    Logs { name: "logs", target: "Logs_", json_version: "1.1" }
    /// S3.
    S3 { name: "s3" }
    /// SNS.
    Sns { name: "sns", query_version: "2010-03-31", xml_namespace: "http://sns.amazonaws.com/doc/2010-03-31/" }
    /// SQS.
    Sqs {
        name: "sqs",
        target: "AmazonSQS",
        query_version: "2012-11-05",
        xml_namespace: "http://queue.amazonaws.com/doc/2012-11-05/",
        query_error_header: true,
    }
    /// The Resource Groups Tagging API.
    Tagging { name: "tagging", target: "ResourceGroupsTaggingAPI_20170126", json_version: "1.1" }
    /// STS.
    Sts { name: "sts", query_version: "2011-06-15", xml_namespace: "https://sts.amazonaws.com/doc/2011-06-15/" }
}

impl Service {
    /// The name in signatures, in the call log and in files: `kinesis`, `application-autoscaling`.
    pub fn name(&self) -> &str {
        self.facts().name
    }

    /// The service of a signature's scope.
    pub(crate) fn signed(name: &str) -> Self {
        // CloudWatch signs with the name that it had first.
        let name = if name == "monitoring" { "cloudwatch" } else { name };
        Self::find(|facts| facts.name == name).unwrap_or_else(|| Self::Other(name.to_owned()))
    }

    /// The service whose targets begin like this one.
    pub(crate) fn of_target(target: &str) -> Option<Self> {
        Self::find(|facts| !facts.target.is_empty() && target.starts_with(facts.target))
    }

    /// The service with this version of the query protocol.
    pub(crate) fn of_query_version(version: &str) -> Option<Self> {
        Self::find(|facts| !facts.query_version.is_empty() && facts.query_version == version)
    }

    pub(crate) fn xml_namespace(&self) -> &str {
        self.facts().xml_namespace
    }

    pub(crate) fn json_version(&self) -> &str {
        self.facts().json_version
    }

    pub(crate) fn has_query_error_header(&self) -> bool {
        self.facts().query_error_header
    }

    fn find(wanted: impl Fn(&Facts<'_>) -> bool) -> Option<Self> {
        Self::KNOWN.iter().find(|service| wanted(&service.facts())).cloned()
    }
}
