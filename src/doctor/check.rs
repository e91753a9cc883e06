//! What one check found.

use serde::Serialize;

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// Worth a look.
    Warn,
    /// To be fixed.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub check: &'static str,
    /// How it ended.
    pub status: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; `null` if nothing.
    // As 0.1.0 wrote it: programs read this.
    #[serde(rename = "mend")]
    pub fix: Option<String>,
}

impl Check {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, status: Verdict::Ok, found: found.into(), fix: None }
    }

    pub(super) fn warn(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, status: Verdict::Warn, found: found.into(), fix: Some(fix.into()) }
    }

    pub(super) fn fail(check: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { check, status: Verdict::Fail, found: found.into(), fix: Some(fix.into()) }
    }
}
