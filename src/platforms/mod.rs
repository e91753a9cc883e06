//! Everything that knows an outside API.
//!
//! A platform is one folder here. It describes itself ([`catalogue`]), says how its settings are written
//! ([`Settings`]), and has one client per connection type it really has. Outside this module only the vocabulary,
//! [`open`] and [`Client`] are used: nobody else knows a tracker's paths, fields or errors.
//!
//! Nothing here knows our HTTP statuses, the database or who is asking.

mod address;
mod affise;
pub mod assemble;
mod binom;
mod cake;
pub mod calendar;
pub mod catalogue;
mod demo;
mod dispatch;
mod everflow;
#[cfg(fuzzing)]
pub mod fuzzing;
mod list;
mod number;
mod schema;
pub mod stats;
pub mod verification;
mod voluum;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::outbound::Upstream;
use crate::outbound::error::PlatformError;
pub use dispatch::{Pair, entries, entry, normalise, open, origin};
use stats::{Report, StatsQuery};
use verification::Detected;

/// A tracking platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Affise networks.
    Affise,
    /// Binom, self-hosted.
    Binom,
    /// CAKE networks.
    Cake,
    /// Voluum.
    Voluum,
    /// Everflow networks.
    Everflow,
    /// Made-up numbers, for trying things out.
    Demo,
}

impl Platform {
    /// All platforms, in the order the catalogue lists them.
    pub const ALL: [Self; 6] = [Self::Affise, Self::Binom, Self::Cake, Self::Voluum, Self::Everflow, Self::Demo];

    /// The key in URLs, bodies and the database.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Affise => "affise",
            Self::Binom => "binom",
            Self::Cake => "cake",
            Self::Voluum => "voluum",
            Self::Everflow => "everflow",
            Self::Demo => "demo",
        }
    }

    /// The name for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Affise => "Affise",
            Self::Binom => "Binom",
            Self::Cake => "CAKE",
            Self::Voluum => "Voluum",
            Self::Everflow => "Everflow",
            Self::Demo => "Demo",
        }
    }

    /// Whether connections of this platform count toward the plan's limit.
    #[must_use]
    pub const fn counts_toward_limit(self) -> bool {
        !matches!(self, Self::Demo)
    }
}

impl FromStr for Platform {
    type Err = ();

    fn from_str(key: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|platform| platform.key() == key).ok_or(())
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.key())
    }
}

/// Whose credentials a connection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionType {
    /// The account's owner, who sees everything.
    Admin,
    /// One affiliate, who sees its own data.
    Affiliate,
}

impl ConnectionType {
    /// Both types.
    pub const ALL: [Self; 2] = [Self::Admin, Self::Affiliate];

    /// The key in bodies and the database.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Affiliate => "affiliate",
        }
    }

    /// The type this is not.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Admin => Self::Affiliate,
            Self::Affiliate => Self::Admin,
        }
    }
}

impl FromStr for ConnectionType {
    type Err = ();

    fn from_str(key: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.key() == key).ok_or(())
    }
}

impl fmt::Display for ConnectionType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.key())
    }
}

/// The settings of a connection by field, in normalised form. Not secret, but private: hosts are in here.
pub type Settings = BTreeMap<String, String>;

/// The secrets of a connection by field.
pub type Credentials = BTreeMap<String, SecretString>;

/// A value that cannot be what its field says, with the mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The key of the field within `settings`.
    pub field: &'static str,
    /// A stable code.
    pub code: &'static str,
    /// What is wrong and how it should be.
    pub detail: String,
}

/// The addresses of platforms that have one gateway for all customers; replaceable, for tests.
#[derive(Debug, Clone)]
pub struct Gateways {
    /// Voluum's API.
    pub voluum: String,
    /// Everflow's API for US-hosted accounts.
    pub everflow_us: String,
    /// Everflow's API for EU-hosted accounts.
    pub everflow_eu: String,
    /// The domain under which a bare CAKE subdomain stands.
    pub cake_domain: String,
}

/// One outside account, ready to be asked.
///
/// What every client promises:
/// - `verify` only reads, and its last call is the smallest real report, judged by the parser that `stats` uses.
/// - Rows have one value for each of the query's dimensions, in that order.
/// - Days and hours are in the query's zone, both ends of the range included; where the platform cannot do that the
///   report says so in a warning, or is refused.
/// - A report is whole or ends in an error. All pages are read, and what the platform says of its totals and counts
///   is held against the rows.
/// - Metrics mean what [`stats::Metric`] says; what the platform does not tell is `None`.
/// - No credential appears in an error, a log line or `Debug`.
#[async_trait]
pub trait PlatformClient: Send + Sync {
    /// Proves that reports can be read.
    async fn verify(&self) -> Result<Detected, PlatformError>;

    /// Plans and starts a report. An impossible query is refused here, before anything is read.
    async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError>;
}

/// What a connection is opened with.
pub struct Account {
    /// Its id; a dry run has one too, made up for the occasion.
    pub connection: Uuid,
    /// Its settings.
    pub settings: Settings,
    /// Its secrets.
    pub credentials: Credentials,
    /// What the last good verification found out.
    pub detected: Detected,
}

/// An opened connection: the platform's client, and the road its calls take.
pub struct Client {
    pair: Pair,
    upstream: Upstream,
    platform: Box<dyn PlatformClient>,
}

impl Client {
    /// Which platform and type it speaks to.
    #[must_use]
    pub fn pair(&self) -> Pair {
        self.pair
    }

    /// The road its calls take, with its counters.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    async fn verify(&self) -> Result<Detected, PlatformError> {
        self.platform.verify().await
    }

    /// Plans and starts a report.
    ///
    /// # Errors
    /// What the platform, or the road to it, refuses.
    pub async fn stats<'a>(&'a self, query: &'a StatsQuery) -> Result<Report<'a>, PlatformError> {
        self.platform.stats(query).await
    }
}

/// What all clients of a process share.
#[derive(Clone)]
pub struct Platforms {
    /// The only way out.
    pub transport: crate::outbound::Transport,
    /// Fixed addresses.
    pub gateways: Arc<Gateways>,
    /// The sessions that Voluum's access keys have bought.
    voluum: voluum::Sessions,
    /// Everflow's lists of time zones.
    everflow: everflow::Zones,
}

impl Platforms {
    /// What all clients share, with nothing learned yet.
    #[must_use]
    pub fn new(transport: crate::outbound::Transport, gateways: Gateways) -> Self {
        Self {
            transport,
            gateways: Arc::new(gateways),
            voluum: voluum::Sessions::default(),
            everflow: everflow::Zones::default(),
        }
    }

    /// The same, used for one tenant: its calls take their turns beside those of all others.
    #[must_use]
    pub fn on_behalf_of(&self, tenant: u64) -> Self {
        Self { transport: self.transport.on_behalf_of(tenant), ..self.clone() }
    }
}
