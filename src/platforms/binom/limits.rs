//! How hard an installation may be worked.

use crate::outbound::{Allowance, Limits};

/// It is somebody's live tracking server, so it is asked gently until it shows what it bears; one client is known to run
/// ten calls at once.
pub(super) const LIMITS: Limits = Limits { origin: PLACES, account: PLACES };

const PLACES: Allowance = Allowance::of(2).up_to(8);
