//! What sets CAKE apart, for the dispatch.

use super::super::descriptor::{Compiled, Descriptor, PlatformDescriptor};
use super::super::kind::{ConnectionType, Platform};
use super::admin::AdminClient;
use super::affiliate::AffiliateClient;
use super::{DIALECT, LIMITS, catalogue, normalise, origin, unpaste};

pub(in super::super) static PLATFORM: PlatformDescriptor =
    PlatformDescriptor { title: "CAKE", summary: catalogue::SUMMARY, counts_toward_limit: true };

pub(in super::super) static AFFILIATE: Descriptor = Descriptor {
    platform: Platform::Cake,
    connection_type: ConnectionType::Affiliate,
    limits: LIMITS,
    dialect: DIALECT,
    address_field: Some("domain"),
    main_secret: Some("api_key"),
    halves: None,
    describe: catalogue::affiliate,
    normalise,
    origin,
    prepare: unpaste,
    open: |account, upstream, _| Ok(Box::new(AffiliateClient::open(&account, upstream)?)),
    compiled: Compiled::later(),
};

pub(in super::super) static ADMIN: Descriptor = Descriptor {
    platform: Platform::Cake,
    connection_type: ConnectionType::Admin,
    limits: LIMITS,
    dialect: DIALECT,
    address_field: Some("domain"),
    main_secret: Some("api_key"),
    halves: None,
    describe: catalogue::admin,
    normalise,
    origin,
    prepare: unpaste,
    open: |account, upstream, _| Ok(Box::new(AdminClient::open(&account, upstream)?)),
    compiled: Compiled::later(),
};
