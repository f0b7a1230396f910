//! The kinds of AWS resources that a pipeline is made of, in the order in which they are deleted.

/// What kind of AWS resource something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ResourceKind {
    Dashboard,
    Alarm,
    Mapping,
    Consumer,
    Function,
    LogGroup,
    Role,
    Topic,
    Queue,
    Bucket,
    Table,
    Stream,
}

impl ResourceKind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Dashboard,
        Self::Alarm,
        Self::Mapping,
        Self::Consumer,
        Self::Function,
        Self::LogGroup,
        Self::Role,
        Self::Topic,
        Self::Queue,
        Self::Bucket,
        Self::Table,
        Self::Stream,
    ];

    /// The kind in AWS's own terms.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Dashboard => "CloudWatch dashboard",
            Self::Alarm => "CloudWatch alarm",
            Self::Mapping => "event source mapping",
            Self::Consumer => "stream consumer",
            Self::Function => "Lambda function",
            Self::LogGroup => "CloudWatch log group",
            Self::Role => "IAM role",
            Self::Topic => "SNS topic",
            Self::Queue => "SQS queue",
            Self::Bucket => "S3 bucket",
            Self::Table => "DynamoDB table",
            Self::Stream => "Kinesis stream",
        }
    }

    /// `Kinesis stream (retail-events)`, as errors name a resource of this kind.
    pub(crate) fn label(self, name: &str) -> String {
        format!("{} ({name})", self.text())
    }

    /// False for what has the owner of its parent, and no tags of its own.
    pub(crate) fn has_tags(self) -> bool {
        self != Self::Mapping
    }

    /// True for what people would miss: `down --keep-data` leaves these.
    pub(crate) fn is_data(self) -> bool {
        matches!(self, Self::Queue | Self::Bucket | Self::Table)
    }

    /// True for what holds records, items, messages or objects: `up` deletes it only when it is named.
    pub(crate) fn keeps_data(self) -> bool {
        self.is_data() || self == Self::Stream
    }
}
