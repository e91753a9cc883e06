//! What sets Keitaro apart, for the dispatch.

use super::super::address;
use super::super::descriptor::{Compiled, Descriptor, PlatformDescriptor};
use super::super::kind::{ConnectionType, Platform};
use super::{AdminClient, DIALECT, LIMITS, catalogue, normalise};

pub(in super::super) static PLATFORM: PlatformDescriptor =
    PlatformDescriptor { title: "Keitaro", summary: catalogue::SUMMARY, counts_toward_limit: true };

pub(in super::super) static ADMIN: Descriptor = Descriptor {
    platform: Platform::Keitaro,
    connection_type: ConnectionType::Admin,
    limits: LIMITS,
    dialect: DIALECT,
    address_field: Some("base_url"),
    main_secret: Some("api_key"),
    halves: None,
    describe: catalogue::admin,
    normalise,
    origin: |settings, _| address::origin_in(settings, "base_url"),
    prepare: |account| account,
    open: |account, upstream, platforms| Ok(Box::new(AdminClient::open(account, upstream, platforms)?)),
    compiled: Compiled::later(),
};
