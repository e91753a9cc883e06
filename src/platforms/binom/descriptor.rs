//! What sets Binom apart, for the dispatch.

use super::super::address;
use super::super::descriptor::{Compiled, Descriptor, PlatformDescriptor};
use super::super::kind::{ConnectionType, Platform};
use super::limits::LIMITS;
use super::{AdminClient, DIALECT, catalogue, normalise, unpaste};

pub(in super::super) static PLATFORM: PlatformDescriptor =
    PlatformDescriptor { title: "Binom", summary: catalogue::SUMMARY, counts_toward_limit: true };

pub(in super::super) static ADMIN: Descriptor = Descriptor {
    platform: Platform::Binom,
    connection_type: ConnectionType::Admin,
    limits: LIMITS,
    dialect: DIALECT,
    address_field: Some("base_url"),
    main_secret: Some("api_key"),
    halves: None,
    describe: catalogue::admin,
    normalise,
    origin: |settings, _| address::origin_in(settings, "base_url"),
    prepare: unpaste,
    open: |account, upstream, platforms| Ok(Box::new(AdminClient::open(account, upstream, platforms)?)),
    compiled: Compiled::later(),
};
