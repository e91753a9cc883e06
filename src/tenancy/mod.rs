//! Whose data something is: organisations and their plans.

mod organisation;
mod plan;

pub use self::organisation::{BadOrgId, OrgId};
pub use self::plan::{Plan, PlanLimits, UnknownPlan};
