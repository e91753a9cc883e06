//! What an organisation has bought, and how many connections that allows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A plan, from the smallest to the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Starter.
    Starter,
    /// Pro.
    Pro,
    /// Pro Plus.
    ProPlus,
    /// Business.
    Business,
}

impl Plan {
    /// All plans.
    pub const ALL: [Self; 4] = [Self::Starter, Self::Pro, Self::ProPlus, Self::Business];

    /// The key in tokens, headers and bodies.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Pro => "pro",
            Self::ProPlus => "pro_plus",
            Self::Business => "business",
        }
    }
}

/// There is no plan of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown plan; the plans are starter, pro, pro_plus and business")]
pub struct UnknownPlan;

impl FromStr for Plan {
    type Err = UnknownPlan;

    fn from_str(key: &str) -> Result<Self, UnknownPlan> {
        Self::ALL.into_iter().find(|plan| plan.key() == key).ok_or(UnknownPlan)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.key())
    }
}

/// How many connections each plan allows. Demo connections are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanLimits {
    starter: u32,
    pro: u32,
    pro_plus: u32,
    business: u32,
}

impl Default for PlanLimits {
    fn default() -> Self {
        Self { starter: 1, pro: 3, pro_plus: 8, business: 10 }
    }
}

impl PlanLimits {
    /// The most connections an organisation with this plan may have.
    pub const fn limit(&self, plan: Plan) -> u32 {
        match plan {
            Plan::Starter => self.starter,
            Plan::Pro => self.pro,
            Plan::ProPlus => self.pro_plus,
            Plan::Business => self.business,
        }
    }

    fn limit_mut(&mut self, plan: Plan) -> &mut u32 {
        match plan {
            Plan::Starter => &mut self.starter,
            Plan::Pro => &mut self.pro,
            Plan::ProPlus => &mut self.pro_plus,
            Plan::Business => &mut self.business,
        }
    }
}

impl fmt::Display for PlanLimits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = Plan::ALL.map(|plan| format!("{plan}={}", self.limit(plan)));
        out.write_str(&entries.join(","))
    }
}

impl FromStr for PlanLimits {
    type Err = String;

    /// Reads `starter=1,pro=3`. A plan that is not named keeps its default; every bad entry is reported.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut limits = Self::default();
        let mut seen = Vec::new();
        let mut problems = Vec::new();
        for entry in text.split(',').map(str::trim) {
            match read_entry(entry) {
                Ok((plan, _)) if seen.contains(&plan) => problems.push(format!("`{plan}` stands there twice")),
                Ok((plan, limit)) => {
                    seen.push(plan);
                    *limits.limit_mut(plan) = limit;
                }
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(limits) } else { Err(problems.join("; ")) }
    }
}

fn read_entry(entry: &str) -> Result<(Plan, u32), String> {
    let (name, limit) = entry.split_once('=').ok_or_else(|| format!("`{entry}` is not written plan=number"))?;
    let plan = name.trim().parse().map_err(|error: UnknownPlan| format!("`{}`: {error}", name.trim()))?;
    let limit = limit.trim().parse().map_err(|_| format!("the limit of `{plan}` is not a whole number"))?;
    Ok((plan, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_one_spelling_everywhere() {
        for plan in Plan::ALL {
            assert_eq!(plan.key().parse(), Ok(plan));
            assert_eq!(serde_json::to_value(plan).expect("json"), plan.key());
        }
        assert_eq!("Pro".parse::<Plan>(), Err(UnknownPlan));
    }

    #[test]
    fn plans_that_are_not_named_keep_their_limit() {
        let limits: PlanLimits = "pro_plus = 20, starter=0".parse().expect("limits");
        assert_eq!(Plan::ALL.map(|plan| limits.limit(plan)), [0, 3, 20, 10]);
        assert_eq!(limits.to_string(), "starter=0,pro=3,pro_plus=20,business=10");
    }

    #[test]
    fn every_bad_entry_is_reported() {
        let error = "gold=5,pro,starter=-1,business=1,business=2".parse::<PlanLimits>().expect_err("a refusal");
        for part in ["`gold`", "`pro` is not written", "limit of `starter`", "`business` stands there twice"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!("".parse::<PlanLimits>().is_err());
    }
}
