//! The rules, and their ids.

/// What advice can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    UnlimitedRetries,
    NoOnFailure,
    NoDeadLetters,
    NoBisect,
    StartsAtLatest,
    AgeBeyondRetention,
    Throttled,
    FilterNeverMatches,
    ImageNotCarried,
    DeadLettersExpireFirst,
    UnwatchedDeadLetters,
    AlarmNotifiesNobody,
    NobodySubscribed,
    NothingExpires,
    StatesNeverExpire,
    AlarmPeriodTooShort,
    UnknownMetric,
    DimensionWithoutStage,
    RecordTooLargeForLambda,
    Unencrypted,
    UnusedAllow,
}

impl Rule {
    pub(crate) const ALL: [Self; 21] = [
        Self::UnlimitedRetries,
        Self::NoOnFailure,
        Self::NoDeadLetters,
        Self::NoBisect,
        Self::StartsAtLatest,
        Self::AgeBeyondRetention,
        Self::Throttled,
        Self::FilterNeverMatches,
        Self::ImageNotCarried,
        Self::DeadLettersExpireFirst,
        Self::UnwatchedDeadLetters,
        Self::AlarmNotifiesNobody,
        Self::NobodySubscribed,
        Self::NothingExpires,
        Self::StatesNeverExpire,
        Self::AlarmPeriodTooShort,
        Self::UnknownMetric,
        Self::DimensionWithoutStage,
        Self::RecordTooLargeForLambda,
        Self::Unencrypted,
        Self::UnusedAllow,
    ];

    /// The name by which the spec silences it.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::UnlimitedRetries => "unlimited-retries",
            Self::NoOnFailure => "no-on-failure",
            Self::NoDeadLetters => "no-dead-letters",
            Self::NoBisect => "no-bisect",
            Self::StartsAtLatest => "starts-at-latest",
            Self::AgeBeyondRetention => "age-beyond-retention",
            Self::Throttled => "throttled",
            Self::FilterNeverMatches => "filter-never-matches",
            Self::ImageNotCarried => "image-not-carried",
            Self::DeadLettersExpireFirst => "dead-letters-expire-first",
            Self::UnwatchedDeadLetters => "unwatched-dead-letters",
            Self::AlarmNotifiesNobody => "alarm-notifies-nobody",
            Self::NobodySubscribed => "nobody-subscribed",
            Self::NothingExpires => "nothing-expires",
            Self::StatesNeverExpire => "states-never-expire",
            Self::AlarmPeriodTooShort => "alarm-period-too-short",
            Self::UnknownMetric => "unknown-metric",
            Self::DimensionWithoutStage => "dimension-without-stage",
            Self::RecordTooLargeForLambda => "record-too-large-for-lambda",
            Self::Unencrypted => "unencrypted",
            Self::UnusedAllow => "unused-allow",
        }
    }

    /// What surprises, in a sentence.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::UnlimitedRetries => "A bad batch blocks its shard until its records expire.",
            Self::NoOnFailure => "Records that have used up their retries are dropped.",
            Self::NoDeadLetters => "The payload of a bad record is kept nowhere.",
            Self::NoBisect => "A bad record takes its whole batch along.",
            Self::StartsAtLatest => "Records from before the mapping reads are never seen.",
            Self::AgeBeyondRetention => "The stream drops records before the mapping gives them up.",
            Self::Throttled => "There is less reserved concurrency than the source keeps going.",
            Self::FilterNeverMatches => "The filter lets nothing through.",
            Self::ImageNotCarried => "The view type of the stream lacks an image of the items.",
            Self::DeadLettersExpireFirst => {
                "A message keeps its age in its dead letter queue, and may expire there before anybody sees it."
            }
            Self::UnwatchedDeadLetters => "Nobody is told of dead letters.",
            Self::AlarmNotifiesNobody => "The alarm tells nobody.",
            Self::NobodySubscribed => "An alarm tells a topic that nobody is subscribed to.",
            Self::NothingExpires => "The recipe of the table never sets its `ttl` attribute.",
            Self::StatesNeverExpire => "A table of states has no `ttl`, and grows for ever.",
            Self::AlarmPeriodTooShort => "The metric has points more seldom than the alarm looks.",
            Self::UnknownMetric => "AWS publishes no metric of this name here.",
            Self::DimensionWithoutStage => "With a stage, the alarm still watches what has no stage.",
            Self::RecordTooLargeForLambda => "The stream takes larger records than an event of Lambda holds.",
            Self::Unencrypted => "Encryption at rest is switched off.",
            Self::UnusedAllow => "`[lint] allow` names advice that is not given.",
        }
    }
}
