//! What a token allows.

use std::str::FromStr;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// One right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ToSchema)]
pub enum Scope {
    /// See connections.
    #[schema(rename = "connections:read")]
    ConnectionsRead,
    /// Create, change, verify and delete connections.
    #[schema(rename = "connections:write")]
    ConnectionsWrite,
    /// Pull statistics.
    #[schema(rename = "stats:read")]
    StatsRead,
    /// Name the organisation on each call: for internal services.
    #[schema(rename = "org:any")]
    OrgAny,
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::ConnectionsRead, Self::ConnectionsWrite, Self::StatsRead, Self::OrgAny];

    /// The name in tokens.
    pub const fn key(self) -> &'static str {
        match self {
            Self::ConnectionsRead => "connections:read",
            Self::ConnectionsWrite => "connections:write",
            Self::StatsRead => "stats:read",
            Self::OrgAny => "org:any",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// There is no scope of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown scope; the scopes are connections:read, connections:write, stats:read and org:any")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(key: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.key() == key).ok_or(UnknownScope)
    }
}

/// A set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// The rights in a `scope` claim. Names that mean something elsewhere are passed over.
    pub(crate) fn from_claim(claim: &str) -> Self {
        claim.split_ascii_whitespace().filter_map(|name| name.parse().ok()).collect()
    }

    /// Whether a right is among them.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_gives_exactly_the_rights_it_names() {
        let scopes = Scopes::from_claim("openid  stats:read connections:read stats:READ");
        let held: Vec<Scope> = Scope::ALL.into_iter().filter(|scope| scopes.has(*scope)).collect();
        assert_eq!(held, [Scope::ConnectionsRead, Scope::StatsRead]);
        assert_eq!(Scopes::from_claim(""), Scopes::default());
        for scope in Scope::ALL {
            assert_eq!(Scopes::from_claim(scope.key()), [scope].into_iter().collect());
        }
    }
}
