//! What sets Voluum apart, for the dispatch.

use std::convert::identity;

use super::super::address;
use super::super::descriptor::{Compiled, Descriptor, PlatformDescriptor};
use super::super::kind::{ConnectionType, Platform};
use super::admin::AdminClient;
use super::{DIALECT, LIMITS, catalogue};

pub(in super::super) static PLATFORM: PlatformDescriptor =
    PlatformDescriptor { title: "Voluum", summary: catalogue::SUMMARY, counts_toward_limit: true };

pub(in super::super) static ADMIN: Descriptor = Descriptor {
    platform: Platform::Voluum,
    connection_type: ConnectionType::Admin,
    limits: LIMITS,
    dialect: DIALECT,
    address_field: None,
    main_secret: Some("access_key"),
    halves: Some(("access_key_id", "access_key")),
    describe: catalogue::admin,
    normalise: |_| Ok(()),
    origin: |_, gateways| address::origin(&gateways.voluum),
    prepare: identity,
    open: |account, upstream, platforms| Ok(Box::new(AdminClient::open(&account, upstream, platforms)?)),
    compiled: Compiled::later(),
};
