//! The vocabulary that every platform shares: what there is, whose credentials it takes, and what they are made of.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::input::InputCode;

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
    /// Keitaro, self-hosted.
    Keitaro,
    /// TUNE networks.
    Tune,
    /// Made-up numbers, for trying things out.
    Demo,
}

impl Platform {
    /// All platforms, in the order the catalogue lists them.
    pub const ALL: [Self; 8] =
        [Self::Affise, Self::Binom, Self::Cake, Self::Voluum, Self::Everflow, Self::Keitaro, Self::Tune, Self::Demo];

    /// The key in URLs, bodies and the database.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Affise => "affise",
            Self::Binom => "binom",
            Self::Cake => "cake",
            Self::Voluum => "voluum",
            Self::Everflow => "everflow",
            Self::Keitaro => "keitaro",
            Self::Tune => "tune",
            Self::Demo => "demo",
        }
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
    /// The owner of a Keitaro panel.
    KeitaroAdmin,
    /// A TUNE network's owner.
    TuneAdmin,
    /// One affiliate of a TUNE network.
    TuneAffiliate,
    /// Made-up numbers of a network.
    DemoAdmin,
    /// Made-up numbers of one affiliate.
    DemoAffiliate,
}

impl Pair {
    /// Every pair, in the catalogue's order.
    pub const ALL: [Self; 13] = [
        Self::AffiseAdmin,
        Self::AffiseAffiliate,
        Self::BinomAdmin,
        Self::CakeAffiliate,
        Self::CakeAdmin,
        Self::VoluumAdmin,
        Self::EverflowAdmin,
        Self::EverflowAffiliate,
        Self::KeitaroAdmin,
        Self::TuneAdmin,
        Self::TuneAffiliate,
        Self::DemoAdmin,
        Self::DemoAffiliate,
    ];
}

/// The settings of a connection by field, in normalised form. Not secret, but private: hosts are in here.
pub type Settings = BTreeMap<String, String>;

/// The secrets of a connection by field.
pub type Credentials = BTreeMap<String, SecretString>;

/// A value that cannot be what its field says, with the fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// The key of the field within `settings`.
    pub field: &'static str,
    /// A stable code.
    pub code: InputCode,
    /// What is wrong and how it should be.
    pub detail: String,
}

/// The addresses of platforms that have one gateway for all customers; replaceable, for tests.
#[derive(Debug, Clone, Default)]
pub struct Gateways {
    /// Voluum's API.
    pub voluum: String,
    /// Everflow's API for US-hosted accounts.
    pub everflow_us: String,
    /// Everflow's API for EU-hosted accounts.
    pub everflow_eu: String,
    /// The domain under which a bare CAKE subdomain stands.
    pub cake_domain: String,
    /// TUNE's API, with `{network_id}` where the network's id stands.
    pub tune: String,
}
