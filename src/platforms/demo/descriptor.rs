//! What sets Demo apart, for the dispatch.

use std::convert::identity;

use super::super::descriptor::{Compiled, Descriptor, PlatformDescriptor};
use super::super::kind::{ConnectionType, Platform};
use super::{DIALECT, DemoClient, LIMITS, catalogue, normalise};

pub(in super::super) static PLATFORM: PlatformDescriptor =
    PlatformDescriptor { title: "Demo", summary: catalogue::SUMMARY, counts_toward_limit: false };

pub(in super::super) static ADMIN: Descriptor = Descriptor {
    platform: Platform::Demo,
    connection_type: ConnectionType::Admin,
    limits: LIMITS,
    dialect: DIALECT,
    address_field: None,
    main_secret: None,
    halves: None,
    describe: catalogue::admin,
    normalise,
    origin: |_, _| None,
    prepare: identity,
    open: |account, upstream, _| Ok(Box::new(DemoClient::open(ConnectionType::Admin, &account, upstream))),
    compiled: Compiled::later(),
};

pub(in super::super) static AFFILIATE: Descriptor = Descriptor {
    platform: Platform::Demo,
    connection_type: ConnectionType::Affiliate,
    limits: LIMITS,
    dialect: DIALECT,
    address_field: None,
    main_secret: None,
    halves: None,
    describe: catalogue::affiliate,
    normalise,
    origin: |_, _| None,
    prepare: identity,
    open: |account, upstream, _| Ok(Box::new(DemoClient::open(ConnectionType::Affiliate, &account, upstream))),
    compiled: Compiled::later(),
};
