//! What a change may be made conditional on: the version that its caller has seen.

use std::fmt;
use std::str::FromStr;

use super::ConnectionView;

/// What an `If-Match` header allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// `*`: whatever version there is.
    Any,
    /// One of these.
    Versions(Vec<VersionTag>),
}

impl IfMatch {
    /// Whether a connection may be changed whose version was made then, in microseconds since 1970.
    pub(super) fn allows(&self, version: i64, made_at: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(tags) => {
                tags.iter().any(|tag| tag.version == version && tag.made_at.is_none_or(|known| known == made_at))
            }
        }
    }
}

/// A version of a connection, as its `ETag` names it. The number alone is not enough: after a failover that lost a
/// change, the next change gets the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionTag {
    version: i64,
    /// When it was made. Earlier releases named the number alone.
    made_at: Option<i64>,
}

impl VersionTag {
    /// The tag of a connection as it is.
    #[must_use]
    pub fn of(connection: &ConnectionView) -> Self {
        Self { version: connection.version, made_at: Some(connection.updated_at.as_microsecond()) }
    }
}

impl fmt::Display for VersionTag {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.version)?;
        self.made_at.map_or(Ok(()), |made_at| write!(out, "-{made_at:x}"))
    }
}

impl FromStr for VersionTag {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (version, made_at) = match text.split_once('-') {
            Some((version, made_at)) => (version, Some(i64::from_str_radix(made_at, 16).map_err(drop)?)),
            None => (text, None),
        };
        // Written as this service writes it: `+1` and `01` are no tags of its.
        let tag = Self { version: version.parse().map_err(drop)?, made_at };
        if tag.to_string() == text { Ok(tag) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_came_again_is_not_the_one_that_was_meant() {
        let tag = |text: &str| IfMatch::Versions(vec![text.parse().expect("a tag")]);
        let seen = VersionTag { version: 2, made_at: Some(255) };
        assert_eq!((seen.to_string().as_str(), "2-ff".parse()), ("2-ff", Ok(seen)));
        assert!(tag("2-ff").allows(2, 255));
        assert!(!tag("2-ff").allows(2, 256), "another change got the number of a lost one");
        assert!(!tag("2-ff").allows(3, 255));
        assert!(tag("2").allows(2, 256), "a number alone is what earlier releases gave out");
        assert!(IfMatch::Any.allows(9, 9));
        for bad in ["", "+2", "02", "2-", "x", "2-xyz", "2-0ff", "2-FF"] {
            assert_eq!(bad.parse::<VersionTag>(), Err(()), "{bad}");
        }
    }
}
