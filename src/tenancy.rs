//! Whose data something is: organisations and their plans.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An organisation's id, as its tokens name it. Every query about connections takes one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OrgId(String);

impl OrgId {
    /// Takes 1 to 128 printable characters.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = !text.is_empty() && text.chars().count() <= 128 && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrgId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What an organisation pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Starter.
    Starter,
    /// Pro.
    Pro,
    /// Pro+.
    ProPlus,
    /// Business.
    Business,
}

impl Plan {
    /// All plans, smallest first.
    pub const ALL: [Self; 4] = [Self::Starter, Self::Pro, Self::ProPlus, Self::Business];

    /// The key in tokens and configuration.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Starter => "starter",
            Self::Pro => "pro",
            Self::ProPlus => "pro_plus",
            Self::Business => "business",
        }
    }
}

impl FromStr for Plan {
    type Err = ();

    fn from_str(key: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|plan| plan.key() == key).ok_or(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.key())
    }
}

/// How many connections each plan allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanLimits([u32; 4]);

impl Default for PlanLimits {
    fn default() -> Self {
        Self([1, 3, 8, 10])
    }
}

impl PlanLimits {
    /// The limit of a plan.
    #[must_use]
    pub fn of(&self, plan: Plan) -> u32 {
        self.0.get(plan as usize).copied().unwrap_or_default()
    }
}

impl FromStr for PlanLimits {
    type Err = String;

    /// Reads `starter=1,pro=3,…`; plans that are left out keep their default.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut limits = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (plan, limit) = entry.split_once('=').ok_or_else(|| format!("`{entry}` is not plan=number"))?;
            let plan: Plan = plan.trim().parse().map_err(|()| format!("`{}` is not a plan", plan.trim()))?;
            let limit = limit.trim().parse().map_err(|_| format!("`{}` is not a number", limit.trim()))?;
            if let Some(place) = limits.0.get_mut(plan as usize) {
                *place = limit;
            }
        }
        Ok(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_plan_and_malformed_ones_are_refused() {
        let limits: PlanLimits = "pro=5, business=20".parse().expect("limits");
        assert_eq!(Plan::ALL.map(|plan| limits.of(plan)), [1, 5, 8, 20]);
        for bad in ["pro", "pro=x", "gold=1", "pro=-1"] {
            assert!(bad.parse::<PlanLimits>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_organisation_has_a_name() {
        assert!(OrgId::new(" ").is_none());
        assert!(OrgId::new("a\nb").is_none());
        assert_eq!(OrgId::new(" acme ").map(|org| org.to_string()).as_deref(), Some("acme"));
    }
}
