//! From (platform, connection type) to the code that knows it: the one place where platforms are told apart.

use std::sync::LazyLock;

use super::address;
use super::catalogue::{Availability, ConnectionTypeEntry, PlatformEntry};
use super::client::{Account, Client, PlatformClient, Platforms};
use super::kind::{ConnectionType, FieldError, Gateways, Platform, Settings};
use super::{affise, binom, cake, demo, everflow, voluum};
use crate::outbound::error::PlatformError;
use crate::outbound::{CallScope, Limits};

/// A platform and connection type that exist together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pair {
    /// An Affise network's owner.
    AffiseAdmin,
    /// One affiliate of an Affise network.
    AffiseAffiliate,
    /// The owner of a Binom installation.
    BinomAdmin,
    /// One affiliate of a CAKE network.
    CakeAffiliate,
    /// A CAKE network's owner.
    CakeAdmin,
    /// A Voluum account.
    VoluumAdmin,
    /// An Everflow network's owner.
    EverflowAdmin,
    /// One affiliate of an Everflow network.
    EverflowAffiliate,
    /// Made-up numbers of a network.
    DemoAdmin,
    /// Made-up numbers of one affiliate.
    DemoAffiliate,
}

impl Pair {
    /// Every pair, in the catalogue's order.
    pub const ALL: [Self; 10] = [
        Self::AffiseAdmin,
        Self::AffiseAffiliate,
        Self::BinomAdmin,
        Self::CakeAffiliate,
        Self::CakeAdmin,
        Self::VoluumAdmin,
        Self::EverflowAdmin,
        Self::EverflowAffiliate,
        Self::DemoAdmin,
        Self::DemoAffiliate,
    ];

    /// The pair, where connections of it can be made.
    #[must_use]
    pub fn find(platform: Platform, connection_type: ConnectionType) -> Option<Self> {
        Self::ALL.into_iter().find(|pair| pair.platform() == platform && pair.connection_type() == connection_type)
    }

    /// A name for maps and messages.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::AffiseAdmin => "affise admin",
            Self::AffiseAffiliate => "affise affiliate",
            Self::BinomAdmin => "binom admin",
            Self::CakeAffiliate => "cake affiliate",
            Self::CakeAdmin => "cake admin",
            Self::VoluumAdmin => "voluum admin",
            Self::EverflowAdmin => "everflow admin",
            Self::EverflowAffiliate => "everflow affiliate",
            Self::DemoAdmin => "demo admin",
            Self::DemoAffiliate => "demo affiliate",
        }
    }

    /// The platform.
    #[must_use]
    pub const fn platform(self) -> Platform {
        match self {
            Self::AffiseAdmin | Self::AffiseAffiliate => Platform::Affise,
            Self::BinomAdmin => Platform::Binom,
            Self::CakeAffiliate | Self::CakeAdmin => Platform::Cake,
            Self::VoluumAdmin => Platform::Voluum,
            Self::EverflowAdmin | Self::EverflowAffiliate => Platform::Everflow,
            Self::DemoAdmin | Self::DemoAffiliate => Platform::Demo,
        }
    }

    /// The connection type.
    #[must_use]
    pub const fn connection_type(self) -> ConnectionType {
        match self {
            Self::AffiseAdmin
            | Self::BinomAdmin
            | Self::CakeAdmin
            | Self::VoluumAdmin
            | Self::EverflowAdmin
            | Self::DemoAdmin => ConnectionType::Admin,
            Self::AffiseAffiliate | Self::CakeAffiliate | Self::EverflowAffiliate | Self::DemoAffiliate => {
                ConnectionType::Affiliate
            }
        }
    }

    /// The settings field that decides which host is called, if the user enters one.
    #[must_use]
    pub const fn address_field(self) -> Option<&'static str> {
        match self {
            Self::AffiseAdmin | Self::AffiseAffiliate | Self::BinomAdmin => Some("base_url"),
            Self::CakeAffiliate | Self::CakeAdmin => Some("domain"),
            Self::EverflowAdmin | Self::EverflowAffiliate => Some("region"),
            Self::VoluumAdmin | Self::DemoAdmin | Self::DemoAffiliate => None,
        }
    }

    /// The credentials field to look at when the platform rejects them.
    #[must_use]
    pub const fn main_secret(self) -> Option<&'static str> {
        match self {
            Self::AffiseAdmin
            | Self::AffiseAffiliate
            | Self::BinomAdmin
            | Self::CakeAffiliate
            | Self::CakeAdmin
            | Self::EverflowAdmin
            | Self::EverflowAffiliate => Some("api_key"),
            Self::VoluumAdmin => Some("access_key"),
            Self::DemoAdmin | Self::DemoAffiliate => None,
        }
    }

    /// How hard its accounts, and the hosts they are at, may be worked.
    const fn limits(self) -> Limits {
        match self {
            Self::AffiseAdmin | Self::AffiseAffiliate => affise::LIMITS,
            Self::BinomAdmin => binom::LIMITS,
            Self::CakeAffiliate | Self::CakeAdmin => cake::LIMITS,
            Self::VoluumAdmin => voluum::LIMITS,
            Self::EverflowAdmin => everflow::LIMITS,
            Self::EverflowAffiliate => everflow::AFFILIATE_LIMITS,
            Self::DemoAdmin | Self::DemoAffiliate => demo::LIMITS,
        }
    }

    /// The catalogue's entry.
    #[must_use]
    pub fn entry(self) -> &'static ConnectionTypeEntry {
        static ENTRIES: LazyLock<Vec<(Pair, ConnectionTypeEntry)>> = LazyLock::new(|| {
            Pair::ALL
                .into_iter()
                .map(|pair| {
                    let described = match pair {
                        Pair::AffiseAdmin => affise::catalogue::admin(),
                        Pair::AffiseAffiliate => affise::catalogue::affiliate(),
                        Pair::BinomAdmin => binom::catalogue::admin(),
                        Pair::CakeAffiliate => cake::catalogue::affiliate(),
                        Pair::CakeAdmin => cake::catalogue::admin(),
                        Pair::VoluumAdmin => voluum::catalogue::admin(),
                        Pair::EverflowAdmin => everflow::catalogue::admin(),
                        Pair::EverflowAffiliate => everflow::catalogue::affiliate(),
                        Pair::DemoAdmin => demo::catalogue::admin(),
                        Pair::DemoAffiliate => demo::catalogue::affiliate(),
                    };
                    (pair, described.entry())
                })
                .collect()
        });
        match ENTRIES.iter().find(|(pair, _)| *pair == self) {
            Some((_, entry)) => entry,
            None => unreachable!("the table above is made from all pairs"),
        }
    }
}

/// The whole catalogue, in order.
pub fn entries() -> &'static [PlatformEntry] {
    static CATALOGUE: LazyLock<Vec<PlatformEntry>> = LazyLock::new(|| {
        Platform::ALL
            .into_iter()
            .map(|platform| {
                let connection_types: Vec<ConnectionTypeEntry> = Pair::ALL
                    .into_iter()
                    .filter(|pair| pair.platform() == platform)
                    .map(|pair| pair.entry().clone())
                    .collect();
                let status =
                    if connection_types.is_empty() { Availability::ComingSoon } else { Availability::Available };
                PlatformEntry {
                    platform,
                    title: platform.title(),
                    status,
                    summary: summary(platform),
                    connection_types,
                }
            })
            .collect()
    });
    &CATALOGUE
}

/// One platform's part of the catalogue.
pub fn entry(platform: Platform) -> Option<&'static PlatformEntry> {
    entries().iter().find(|entry| entry.platform == platform)
}

const fn summary(platform: Platform) -> &'static str {
    match platform {
        Platform::Affise => affise::catalogue::SUMMARY,
        Platform::Binom => binom::catalogue::SUMMARY,
        Platform::Cake => cake::catalogue::SUMMARY,
        Platform::Voluum => voluum::catalogue::SUMMARY,
        Platform::Everflow => everflow::catalogue::SUMMARY,
        Platform::Demo => demo::catalogue::SUMMARY,
    }
}

/// Brings settings into the form they are stored and shown in, and refuses what cannot be.
///
/// The settings have passed the catalogue's schema before.
///
/// # Errors
/// Every field that is wrong, at once.
pub fn normalise(pair: Pair, settings: &mut Settings) -> Result<(), Vec<FieldError>> {
    match pair {
        Pair::AffiseAdmin | Pair::AffiseAffiliate => affise::normalise(settings),
        Pair::BinomAdmin => binom::normalise(settings),
        Pair::CakeAffiliate | Pair::CakeAdmin => cake::normalise(settings),
        Pair::VoluumAdmin => Ok(()),
        Pair::EverflowAdmin | Pair::EverflowAffiliate => {
            everflow::normalise(settings);
            Ok(())
        }
        Pair::DemoAdmin | Pair::DemoAffiliate => {
            demo::normalise(settings);
            Ok(())
        }
    }
}

/// Scheme, host and port that the secrets of a connection go to; `None` where nothing is called.
#[must_use]
pub fn origin(pair: Pair, settings: &Settings, gateways: &Gateways) -> Option<String> {
    match pair {
        Pair::AffiseAdmin | Pair::AffiseAffiliate | Pair::BinomAdmin => {
            settings.get("base_url").and_then(|url| address::origin(url))
        }
        Pair::CakeAffiliate | Pair::CakeAdmin => cake::origin(settings, gateways),
        Pair::VoluumAdmin => address::origin(&gateways.voluum),
        Pair::EverflowAdmin | Pair::EverflowAffiliate => address::origin(everflow::gateway(settings, gateways)),
        Pair::DemoAdmin | Pair::DemoAffiliate => None,
    }
}

/// Opens a connection: the only way to a client, for verification and for statistics alike.
///
/// # Errors
/// Stored settings that no longer make sense.
pub fn open(pair: Pair, account: Account, platforms: &Platforms, scope: CallScope) -> Result<Client, PlatformError> {
    let account = without_pasted_extras(pair, account);
    let address = origin(pair, &account.settings, &platforms.gateways);
    let upstream =
        platforms.transport.upstream(pair.platform().key(), address, &account.credentials, pair.limits(), scope);
    let road = upstream.clone();
    let platform: Box<dyn PlatformClient> = match pair {
        Pair::AffiseAdmin => Box::new(affise::admin::AdminClient::open(account, road)?),
        Pair::AffiseAffiliate => Box::new(affise::affiliate::AffiliateClient::open(account, road)?),
        Pair::BinomAdmin => Box::new(binom::AdminClient::open(account, road)?),
        Pair::CakeAffiliate => Box::new(cake::affiliate::AffiliateClient::open(&account, road)?),
        Pair::CakeAdmin => Box::new(cake::admin::AdminClient::open(&account, road)?),
        Pair::VoluumAdmin => Box::new(voluum::admin::AdminClient::open(&account, road, platforms)?),
        Pair::EverflowAdmin => Box::new(everflow::admin::AdminClient::open(&account, platforms, road)?),
        Pair::EverflowAffiliate => Box::new(everflow::affiliate::AffiliateClient::open(&account, platforms, road)?),
        Pair::DemoAdmin | Pair::DemoAffiliate => Box::new(demo::DemoClient::open(pair, &account, road)),
    };
    Ok(Client { pair, upstream, platform })
}

/// Takes away what people paste around a key, before the road learns the secrets: it hides the key itself then, and
/// not only the key with what was around it.
fn without_pasted_extras(pair: Pair, mut account: Account) -> Account {
    match pair {
        Pair::BinomAdmin => {
            binom::unwrap_pasted_key(&mut account.credentials);
            account
        }
        Pair::CakeAffiliate | Pair::CakeAdmin => cake::unpaste(account),
        Pair::AffiseAdmin
        | Pair::AffiseAffiliate
        | Pair::VoluumAdmin
        | Pair::EverflowAdmin
        | Pair::EverflowAffiliate
        | Pair::DemoAdmin
        | Pair::DemoAffiliate => account,
    }
}
