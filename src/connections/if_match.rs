//! What a change may be made conditional on: the version that its caller has seen.

use std::fmt;
use std::str::FromStr;

use ring::digest::{SHA256, digest};
use serde::Serialize;

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
    /// Whether something may be changed whose version was made then, in microseconds since 1970. What a pull or a
    /// check has changed since counts for nothing.
    pub(crate) fn allows(&self, version: i64, made_at: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(tags) => tags.iter().any(|tag| {
                tag.version == version
                    && tag.state.is_none_or(|state| state.edit == fingerprint(&made_at.to_be_bytes()))
            }),
        }
    }
}

/// Something as it is, as its `ETag` names it: `<version>.<state>`.
///
/// The number alone is not enough: after a failover that lost a change, the next change gets the same number. So the first
/// half of the state tells edits apart that have the same number, and `If-Match` looks at that. The second half follows the
/// whole of what is shown; only `If-None-Match` looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionTag {
    version: i64,
    /// A caller may name the number alone.
    state: Option<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    edit: u32,
    shown: u32,
}

impl VersionTag {
    /// The tag of a connection as it is.
    pub fn of(connection: &ConnectionView) -> Self {
        Self::of_version(connection.version, connection.updated_at.as_microsecond(), connection)
    }

    /// The tag of what is shown so, at a version that was made then, in microseconds since 1970.
    pub fn of_version(version: i64, made_at: i64, shown: &impl Serialize) -> Self {
        let edit = fingerprint(&made_at.to_be_bytes());
        let shown = fingerprint(&serde_json::to_vec(shown).unwrap_or_default());
        Self { version, state: Some(State { edit, shown }) }
    }
}

/// The same in every process and release.
fn fingerprint(bytes: &[u8]) -> u32 {
    digest(&SHA256, bytes).as_ref().first_chunk().copied().map_or(0, u32::from_be_bytes)
}

impl fmt::Display for VersionTag {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.version)?;
        self.state.map_or(Ok(()), |State { edit, shown }| write!(out, ".{edit:08x}{shown:08x}"))
    }
}

impl FromStr for VersionTag {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, state) = match text.split_once(['.', '-']) {
            Some((number, state)) if text.contains('.') => (number, State::read(state)?),
            // What the first release gave out: the number, and when the version was made.
            Some((number, made_at)) => {
                let made_at = i64::from_str_radix(made_at, 16).map_err(drop)?;
                (number, Some(State { edit: fingerprint(&made_at.to_be_bytes()), shown: 0 }))
            }
            None => (text, None),
        };
        let version: i64 = number.parse().map_err(drop)?;
        // Written as this service writes it: `+1` and `01` are no tags of its.
        if version.to_string() == number { Ok(Self { version, state }) } else { Err(()) }
    }
}

impl State {
    /// Reads a state. One of another length is of another release: of that, the version alone counts.
    fn read(text: &str) -> Result<Option<Self>, ()> {
        let is_hexadecimal = |digit: char| matches!(digit, '0'..='9' | 'a'..='f');
        if text.is_empty() || !text.chars().all(is_hexadecimal) {
            return Err(());
        }
        let (Some(edit), Some(shown), 16) = (text.get(..8), text.get(8..), text.len()) else { return Ok(None) };
        let number = |half: &str| u32::from_str_radix(half, 16).map_err(drop);
        Ok(Some(Self { edit: number(edit)?, shown: number(shown)? }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_came_again_is_not_the_one_that_was_meant() {
        let tag = |text: &str| IfMatch::Versions(vec![text.parse().expect("a tag")]);
        let edit = fingerprint(&255_i64.to_be_bytes());
        let seen = VersionTag { version: 2, state: Some(State { edit, shown: 7 }) };
        let text = format!("2.{edit:08x}00000007");
        assert_eq!((seen.to_string(), text.parse()), (text.clone(), Ok(seen)));
        assert!(tag(&text).allows(2, 255));
        assert!(tag(&format!("2.{edit:08x}ffffffff")).allows(2, 255), "a check or a pull came between");
        assert!(!tag(&text).allows(2, 256), "another change got the number of a lost one");
        assert!(!tag(&text).allows(3, 255));
        assert!(tag("2").allows(2, 256), "a number alone leaves open which");
        assert!(tag("2.abc").allows(2, 256), "so does the state of another release");
        assert!(tag("2-ff").allows(2, 255) && !tag("2-ff").allows(2, 256), "the first release named the time itself");
        assert!(IfMatch::Any.allows(9, 9));
        for bad in
            ["", "+2", "02", "2.", "x", "2-", "2.xyz", "2.FFFFFFFFFFFFFFFF", "2.+123456789abcdef", "+2.ff", "2.ff-ff"]
        {
            assert_eq!(bad.parse::<VersionTag>(), Err(()), "{bad}");
        }
    }
}
