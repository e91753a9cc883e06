//! What replicas ask Redis for, as the label of its failures.

/// An operation on Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedisOperation {
    Connect,
    Ping,
    Renew,
    Take,
    GiveBack,
    Resize,
    Hush,
    Unhush,
    Count,
    TakeBack,
    Look,
    Keep,
    Announce,
}

impl RedisOperation {
    /// Every operation.
    pub(crate) const ALL: [Self; 13] = [
        Self::Connect,
        Self::Ping,
        Self::Renew,
        Self::Take,
        Self::GiveBack,
        Self::Resize,
        Self::Hush,
        Self::Unhush,
        Self::Count,
        Self::TakeBack,
        Self::Look,
        Self::Keep,
        Self::Announce,
    ];

    /// Its name as a label, and in the log.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Ping => "ping",
            Self::Renew => "renew",
            Self::Take => "take",
            Self::GiveBack => "give_back",
            Self::Resize => "resize",
            Self::Hush => "hush",
            Self::Unhush => "unhush",
            Self::Count => "count",
            Self::TakeBack => "take_back",
            Self::Look => "look",
            Self::Keep => "keep",
            Self::Announce => "announce",
        }
    }
}
