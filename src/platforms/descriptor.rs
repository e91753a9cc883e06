//! What a platform's folder hands over: one table of constants and functions for the platform, and one for each
//! connection type it has. [`dispatch`](super::dispatch) finds them; nobody else tells platforms apart.

use std::sync::OnceLock;

use super::catalogue::{ConnectionTypeEntry, Described};
use super::checks::Checks;
use super::client::{Account, PlatformClient, Platforms};
use super::kind::{ConnectionType, FieldError, Gateways, Platform, Settings};
use super::verification::Subject;
use crate::outbound::error::PlatformError;
use crate::outbound::{Dialect, Limits, Upstream};

/// A platform, whatever its connection types.
pub(super) struct PlatformDescriptor {
    /// The name for people.
    pub(super) title: &'static str,
    /// One sentence for the catalogue.
    pub(super) summary: &'static str,
    /// Whether its connections count toward the plan's limit.
    pub(super) counts_toward_limit: bool,
}

/// Makes the client of an account that takes this road.
type Open = fn(Account, Upstream, &Platforms) -> Result<Box<dyn PlatformClient>, PlatformError>;

/// A connection type of a platform.
pub(super) struct Descriptor {
    pub(super) platform: Platform,
    pub(super) connection_type: ConnectionType,
    /// How hard its accounts, and the hosts they are at, may be worked.
    pub(super) limits: Limits,
    /// How its own answers are told from those of something in front of it.
    pub(super) dialect: Dialect,
    /// The settings field that decides which host is called, if the user enters one.
    pub(super) address_field: Option<&'static str>,
    /// The credentials field to look at when the platform rejects them.
    pub(super) main_secret: Option<&'static str>,
    /// Two credentials that belong together and are pasted together: an id and its key.
    pub(super) halves: Option<(&'static str, &'static str)>,
    /// What the catalogue says of it.
    pub(super) describe: fn() -> Described,
    /// Brings settings that have passed the catalogue's schema into the form they are stored in. Every field that is
    /// wrong is reported at once.
    pub(super) normalise: fn(&mut Settings) -> Result<(), Vec<FieldError>>,
    /// Scheme, host and port that the secrets go to; `None` where nothing is called.
    pub(super) origin: fn(&Settings, &Gateways) -> Option<String>,
    /// Takes away what people paste around a key. This comes before the road learns the secrets, so that it conceals
    /// the key itself and not only the key with what was around it.
    pub(super) prepare: fn(Account) -> Account,
    /// Makes the client of a prepared account.
    pub(super) open: Open,
    pub(super) compiled: Compiled,
}

/// What is made of a descriptor when it is first used.
pub(super) struct Compiled(OnceLock<(ConnectionTypeEntry, Schemas)>);

impl Compiled {
    pub(super) const fn later() -> Self {
        Self(OnceLock::new())
    }
}

/// The catalogue's own fields, ready to check what is posted.
pub struct Schemas {
    /// Of `settings`.
    pub settings: Checks,
    /// Of `credentials`.
    pub credentials: Checks,
}

impl Descriptor {
    /// The catalogue's entry.
    pub(super) fn entry(&self) -> &ConnectionTypeEntry {
        &self.compiled().0
    }

    /// What checks requests against that entry.
    pub(super) fn schemas(&self) -> &Schemas {
        &self.compiled().1
    }

    /// What a verification has to know of it.
    pub(super) fn subject(&self) -> Subject {
        Subject {
            connection_type: self.connection_type,
            address_field: self.address_field,
            main_secret: self.main_secret,
            is_gateway: self.dialect.is_gateway,
        }
    }

    fn compiled(&self) -> &(ConnectionTypeEntry, Schemas) {
        self.compiled.0.get_or_init(|| {
            let described = (self.describe)();
            let schemas =
                Schemas { settings: Checks::of(&described.settings), credentials: Checks::of(&described.credentials) };
            (described.entry(self.connection_type), schemas)
        })
    }
}
