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
}
