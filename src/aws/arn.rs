//! Amazon Resource Names.

use std::fmt;

/// The parts of an ARN, as <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html> names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arn {
    pub(crate) partition: String,
    pub(crate) service: String,
    /// Empty for what is global, such as roles and buckets.
    pub(crate) region: String,
    /// Empty for buckets.
    pub(crate) account: String,
    /// Type and name, such as `stream/events` or `function:events:live`.
    pub(crate) resource: String,
}

impl Arn {
    /// `None` for what is no ARN, such as the `PendingConfirmation` that SNS gives in the place of one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("arn:")?.splitn(5, ':').map(str::to_owned);
        Some(Self {
            partition: parts.next()?,
            service: parts.next()?,
            region: parts.next()?,
            account: parts.next()?,
            resource: parts.next()?,
        })
    }

    /// The last part of the resource: what comes after its type and path.
    pub(crate) fn name(&self) -> &str {
        self.resource.rsplit(['/', ':']).next().unwrap_or_default()
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { partition, service, region, account, resource } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_written_as_it_was_read() {
        for (text, service, name) in [
            ("arn:aws:kinesis:eu-west-1:123456789012:stream/events", "kinesis", "events"),
            ("arn:aws-cn:sns:cn-north-1:123456789012:alerts", "sns", "alerts"),
            ("arn:aws:iam::123456789012:role/streamkit/shop-f-eu-west-1", "iam", "shop-f-eu-west-1"),
            ("arn:aws:s3:::shop-kept", "s3", "shop-kept"),
            ("arn:aws:logs:eu-west-1:123456789012:log-group:/aws/lambda/shop-f", "logs", "shop-f"),
        ] {
            let arn = Arn::parse(text).unwrap();
            assert_eq!((arn.service.as_str(), arn.name(), arn.to_string()), (service, name, text.to_owned()));
        }
        for text in ["PendingConfirmation", "arn:aws:sns", ""] {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
    }
}
