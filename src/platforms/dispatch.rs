//! From (platform, connection type) to the folder that knows it: the one place where platforms are told apart.

use std::fmt;
use std::sync::LazyLock;

use super::catalogue::{Availability, ConnectionTypeEntry, PlatformEntry};
use super::client::{Account, Client, Platforms};
use super::descriptor::{Descriptor, PlatformDescriptor, Schemas};
use super::kind::{ConnectionType, FieldError, Gateways, Pair, Platform, Settings};
use super::verification::Subject;
use super::{affise, binom, cake, currency, demo, everflow, keitaro, tune, voluum};
use crate::outbound::error::PlatformError;
use crate::outbound::{CallScope, Callee};

/// The folder of each platform.
fn of_platform(platform: Platform) -> &'static PlatformDescriptor {
    match platform {
        Platform::Affise => &affise::descriptor::PLATFORM,
        Platform::Binom => &binom::descriptor::PLATFORM,
        Platform::Cake => &cake::descriptor::PLATFORM,
        Platform::Voluum => &voluum::descriptor::PLATFORM,
        Platform::Everflow => &everflow::descriptor::PLATFORM,
        Platform::Keitaro => &keitaro::descriptor::PLATFORM,
        Platform::Tune => &tune::descriptor::PLATFORM,
        Platform::Demo => &demo::descriptor::PLATFORM,
    }
}

/// The folder's part for each connection type.
fn of(pair: Pair) -> &'static Descriptor {
    match pair {
        Pair::AffiseAdmin => &affise::descriptor::ADMIN,
        Pair::AffiseAffiliate => &affise::descriptor::AFFILIATE,
        Pair::BinomAdmin => &binom::descriptor::ADMIN,
        Pair::CakeAffiliate => &cake::descriptor::AFFILIATE,
        Pair::CakeAdmin => &cake::descriptor::ADMIN,
        Pair::VoluumAdmin => &voluum::descriptor::ADMIN,
        Pair::EverflowAdmin => &everflow::descriptor::ADMIN,
        Pair::EverflowAffiliate => &everflow::descriptor::AFFILIATE,
        Pair::KeitaroAdmin => &keitaro::descriptor::ADMIN,
        Pair::TuneAdmin => &tune::descriptor::ADMIN,
        Pair::TuneAffiliate => &tune::descriptor::AFFILIATE,
        Pair::DemoAdmin => &demo::descriptor::ADMIN,
        Pair::DemoAffiliate => &demo::descriptor::AFFILIATE,
    }
}

impl Platform {
    /// The name for people.
    pub fn title(self) -> &'static str {
        of_platform(self).title
    }

    /// Whether connections of this platform count toward the plan's limit.
    pub fn counts_toward_limit(self) -> bool {
        of_platform(self).counts_toward_limit
    }
}

impl Pair {
    /// The pair, where connections of it can be made.
    pub fn find(platform: Platform, connection_type: ConnectionType) -> Option<Self> {
        Self::ALL.into_iter().find(|pair| pair.platform() == platform && pair.connection_type() == connection_type)
    }

    /// The platform.
    pub fn platform(self) -> Platform {
        of(self).platform
    }

    /// The connection type.
    pub fn connection_type(self) -> ConnectionType {
        of(self).connection_type
    }

    /// Two credentials that people paste into one field: an id and its key.
    pub fn halves(self) -> Option<(&'static str, &'static str)> {
        of(self).halves
    }

    /// What a verification has to know of it.
    pub fn subject(self) -> Subject {
        of(self).subject()
    }

    /// The catalogue's entry.
    pub fn entry(self) -> &'static ConnectionTypeEntry {
        of(self).entry()
    }

    /// What checks settings and credentials: the schemas of the catalogue's entry.
    pub fn schemas(self) -> &'static Schemas {
        of(self).schemas()
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.platform(), self.connection_type())
    }
}

/// The whole catalogue, in order.
pub fn entries() -> &'static [PlatformEntry] {
    static CATALOGUE: LazyLock<Vec<PlatformEntry>> = LazyLock::new(|| {
        Platform::ALL
            .into_iter()
            .map(|platform| {
                let PlatformDescriptor { title, summary, .. } = *of_platform(platform);
                let connection_types: Vec<ConnectionTypeEntry> = Pair::ALL
                    .into_iter()
                    .filter(|pair| pair.platform() == platform)
                    .map(|pair| pair.entry().clone())
                    .collect();
                let status =
                    if connection_types.is_empty() { Availability::ComingSoon } else { Availability::Available };
                PlatformEntry { platform, title, status, summary, connection_types }
            })
            .collect()
    });
    &CATALOGUE
}

/// One platform's part of the catalogue.
pub fn entry(platform: Platform) -> Option<&'static PlatformEntry> {
    entries().iter().find(|entry| entry.platform == platform)
}

/// Brings settings into the form they are stored and shown in, and refuses what cannot be.
///
/// The settings have passed the catalogue's schema before.
///
/// # Errors
/// Every field that is wrong, at once.
pub fn normalise(pair: Pair, settings: &mut Settings) -> Result<(), Vec<FieldError>> {
    let mut errors = (of(pair).normalise)(settings).err().unwrap_or_default();
    errors.extend(currency::normalise(settings).err());
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Scheme, host and port that the secrets of a connection go to; `None` where nothing is called.
pub fn origin(pair: Pair, settings: &Settings, gateways: &Gateways) -> Option<String> {
    (of(pair).origin)(settings, gateways)
}

/// Opens a connection: the only way to a client, for verification and for statistics alike.
///
/// # Errors
/// Stored settings that no longer make sense.
pub fn open(pair: Pair, account: Account, platforms: &Platforms, scope: CallScope) -> Result<Client, PlatformError> {
    let descriptor = of(pair);
    let account = (descriptor.prepare)(account);
    let address = (descriptor.origin)(&account.settings, &platforms.gateways);
    let Descriptor { limits, dialect, .. } = *descriptor;
    let callee = Callee {
        label: descriptor.platform.key(),
        connection: account.connection,
        address,
        secrets: &account.credentials,
    };
    let upstream = platforms.transport.upstream(callee, limits, dialect, scope);
    let platform = (descriptor.open)(account, upstream.clone(), platforms)?;
    Ok(Client { pair, subject: descriptor.subject(), upstream, platform })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_pair_is_found_by_its_platform_and_type() {
        for pair in Pair::ALL {
            assert_eq!(Pair::find(pair.platform(), pair.connection_type()), Some(pair), "{pair}");
        }
        assert_eq!(Pair::ALL.map(|pair| pair.to_string()).into_iter().collect::<BTreeSet<_>>().len(), Pair::ALL.len());
    }

    #[test]
    fn what_a_failure_points_at_is_a_field_of_the_form() {
        for pair in Pair::ALL {
            let Subject { address_field, main_secret, .. } = pair.subject();
            let entry = pair.entry();
            for (field, schema) in [(address_field, &entry.settings_schema), (main_secret, &entry.credentials_schema)] {
                let is_listed = |field: &str| schema["properties"].get(field).is_some();
                assert!(field.is_none_or(is_listed), "{pair}: {field:?}");
            }
        }
    }
}
