//! What sets Everflow apart, for the dispatch.

use std::convert::identity;

use super::super::address;
use super::super::descriptor::{Compiled, Descriptor, PlatformDescriptor};
use super::super::kind::{ConnectionType, Platform};
use super::admin::AdminClient;
use super::affiliate::AffiliateClient;
use super::{AFFILIATE_LIMITS, DIALECT, LIMITS, REGION, catalogue, gateway, normalise};

pub(in super::super) static PLATFORM: PlatformDescriptor =
    PlatformDescriptor { title: "Everflow", summary: catalogue::SUMMARY, counts_toward_limit: true };

pub(in super::super) static ADMIN: Descriptor = Descriptor {
    platform: Platform::Everflow,
    connection_type: ConnectionType::Admin,
    limits: LIMITS,
    dialect: DIALECT,
    address_field: Some(REGION),
    main_secret: Some("api_key"),
    halves: None,
    describe: catalogue::admin,
    normalise,
    origin: |settings, gateways| address::origin(gateway(settings, gateways)),
    prepare: identity,
    open: |account, upstream, platforms| Ok(Box::new(AdminClient::open(&account, upstream, platforms)?)),
    compiled: Compiled::later(),
};

pub(in super::super) static AFFILIATE: Descriptor = Descriptor {
    platform: Platform::Everflow,
    connection_type: ConnectionType::Affiliate,
    limits: AFFILIATE_LIMITS,
    dialect: DIALECT,
    address_field: Some(REGION),
    main_secret: Some("api_key"),
    halves: None,
    describe: catalogue::affiliate,
    normalise,
    origin: |settings, gateways| address::origin(gateway(settings, gateways)),
    prepare: identity,
    open: |account, upstream, platforms| Ok(Box::new(AffiliateClient::open(&account, upstream, platforms)?)),
    compiled: Compiled::later(),
};
