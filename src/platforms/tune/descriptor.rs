//! What sets TUNE apart, for the dispatch.

use std::convert::identity;

use super::super::descriptor::{Compiled, Descriptor, PlatformDescriptor};
use super::super::kind::{ConnectionType, Platform};
use super::client::TuneClient;
use super::network::NETWORK_ID;
use super::{DIALECT, LIMITS, catalogue, normalise, origin};

pub(in super::super) static PLATFORM: PlatformDescriptor =
    PlatformDescriptor { title: "TUNE", summary: catalogue::SUMMARY, counts_toward_limit: true };

pub(in super::super) static ADMIN: Descriptor = Descriptor {
    platform: Platform::Tune,
    connection_type: ConnectionType::Admin,
    limits: LIMITS,
    dialect: DIALECT,
    address_field: Some(NETWORK_ID),
    main_secret: Some("api_key"),
    halves: None,
    describe: catalogue::admin,
    normalise,
    origin,
    prepare: identity,
    open: |account, upstream, platforms| {
        Ok(Box::new(TuneClient::open(ConnectionType::Admin, &account, upstream, platforms)?))
    },
    compiled: Compiled::later(),
};

pub(in super::super) static AFFILIATE: Descriptor = Descriptor {
    platform: Platform::Tune,
    connection_type: ConnectionType::Affiliate,
    limits: LIMITS,
    dialect: DIALECT,
    address_field: Some(NETWORK_ID),
    main_secret: Some("api_key"),
    halves: None,
    describe: catalogue::affiliate,
    normalise,
    origin,
    prepare: identity,
    open: |account, upstream, platforms| {
        Ok(Box::new(TuneClient::open(ConnectionType::Affiliate, &account, upstream, platforms)?))
    },
    compiled: Compiled::later(),
};
