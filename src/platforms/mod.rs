//! Everything that knows an outside API.
//!
//! A platform is one folder here. It describes itself ([`catalogue`]), says how its settings are written
//! ([`Settings`]), and has one client per connection type it really has; all of that it hands over in one table
//! (`descriptor`). Outside this module only the vocabulary, [`open`], [`verify`] and [`Client`] are used: nobody else
//! knows a tracker's paths, fields or errors.
//!
//! Nothing here knows our HTTP statuses, the database or who is asking.

mod address;
mod affise;
pub mod assemble;
mod binom;
mod cake;
pub mod calendar;
pub mod catalogue;
pub mod causes;
pub mod checks;
mod client;
mod columns;
pub mod currency;
pub mod cycle;
mod demo;
mod descriptor;
mod dispatch;
mod everflow;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod integrity;
mod keitaro;
mod kind;
mod learned;
mod list;
mod number;
mod pattern;
mod ratio;
mod schema;
pub mod stats;
mod total;
mod tune;
pub mod verification;
mod voluum;
mod warning;
mod words;
mod zone_changes;

pub use client::{Account, Client, PlatformClient, Platforms, verify};
pub use descriptor::Schemas;
pub use dispatch::{entries, entry, normalise, open, origin};
pub use kind::{ConnectionType, Credentials, FieldError, Gateways, Pair, Platform, Settings};
