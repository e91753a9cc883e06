//! The two portals of a network. Each has paths and keys of its own.

/// Which of the two portals a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Portal {
    /// The network's owner.
    Network,
    /// One of its affiliates.
    Affiliate,
}

impl Portal {
    /// The first segment of its paths.
    pub(super) const fn segment(self) -> &'static str {
        match self {
            Self::Network => "networks",
            Self::Affiliate => "affiliates",
        }
    }

    /// Where its keys are found.
    pub(super) const fn key_place(self) -> &'static str {
        match self {
            Self::Network => "Control Center → Security → API Keys",
            Self::Affiliate => "My Account → API",
        }
    }
}
