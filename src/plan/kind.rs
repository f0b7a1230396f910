//! The kinds of AWS resources that a pipeline is made of, in the order in which they are deleted.

/// Writes each kind once: the enum, the list of all and their texts follow from it.
macro_rules! kinds {
    ($($kind:ident => $text:literal,)+) => {
        /// What kind of AWS resource something is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum ResourceKind {
            $($kind,)+
        }

        impl ResourceKind {
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),+];

            /// The kind in AWS's own terms.
            pub(crate) fn text(self) -> &'static str {
                match self {
                    $(Self::$kind => $text,)+
                }
            }
        }
    };
}

kinds! {
    Dashboard => "CloudWatch dashboard",
    Alarm => "CloudWatch alarm",
    Mapping => "event source mapping",
    Consumer => "stream consumer",
    Function => "Lambda function",
    LogGroup => "CloudWatch log group",
    Role => "IAM role",
    Topic => "SNS topic",
    Queue => "SQS queue",
    Bucket => "S3 bucket",
    Table => "DynamoDB table",
    Stream => "Kinesis stream",
    Key => "KMS key",
}

impl ResourceKind {
    /// `Kinesis stream (retail-events)`, as errors name a resource of this kind.
    pub(crate) fn label(self, name: &str) -> String {
        format!("{} ({name})", self.text())
    }

    /// False for what has the owner of its parent, and no tags of its own.
    pub(crate) fn has_tags(self) -> bool {
        self != Self::Mapping
    }

    /// True for what people would miss, and for keys without which that can't be read: `down --keep-data` leaves these.
    pub(crate) fn is_data(self) -> bool {
        matches!(self, Self::Queue | Self::Bucket | Self::Table | Self::Key)
    }

    /// True for what holds records, items, messages or objects: `up` deletes it only when it is named.
    pub(crate) fn keeps_data(self) -> bool {
        self.is_data() || self == Self::Stream
    }
}
