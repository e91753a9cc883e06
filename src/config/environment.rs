//! Development or production.

/// How strict the start is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Missing secrets are generated.
    Development,
    /// Generated and example secrets are refused.
    Production,
}
