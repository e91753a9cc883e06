//! What sets Affise apart, for the dispatch.

use std::convert::identity;

use super::super::address;
use super::super::descriptor::{Compiled, Descriptor, PlatformDescriptor};
use super::super::kind::{ConnectionType, Platform};
use super::admin::AdminClient;
use super::affiliate::AffiliateClient;
use super::{DIALECT, LIMITS, catalogue, normalise};

pub(in super::super) static PLATFORM: PlatformDescriptor =
    PlatformDescriptor { title: "Affise", summary: catalogue::SUMMARY, counts_toward_limit: true };

pub(in super::super) static ADMIN: Descriptor = Descriptor {
    platform: Platform::Affise,
    connection_type: ConnectionType::Admin,
    limits: LIMITS,
    dialect: DIALECT,
    address_field: Some("base_url"),
    main_secret: Some("api_key"),
    halves: None,
    describe: catalogue::admin,
    normalise,
    origin: |settings, _| address::origin_in(settings, "base_url"),
    prepare: identity,
    open: |account, upstream, platforms| Ok(Box::new(AdminClient::open(account, upstream, platforms)?)),
    compiled: Compiled::later(),
};

pub(in super::super) static AFFILIATE: Descriptor = Descriptor {
    platform: Platform::Affise,
    connection_type: ConnectionType::Affiliate,
    limits: LIMITS,
    dialect: DIALECT,
    address_field: Some("base_url"),
    main_secret: Some("api_key"),
    halves: None,
    describe: catalogue::affiliate,
    normalise,
    origin: |settings, _| address::origin_in(settings, "base_url"),
    prepare: identity,
    open: |account, upstream, platforms| Ok(Box::new(AffiliateClient::open(account, upstream, platforms)?)),
    compiled: Compiled::later(),
};
