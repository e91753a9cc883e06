//! The `doctor` command: looks at everything the service stands on, and says what to fix.
//!
//! A check says what it found, never a secret. A failure is what keeps the service from working as configured, or what
//! endangers what it keeps; what may be meant so, or may be the network's mood, is a warning.

mod check;
mod machine;
mod network;
mod storage;

use std::fmt::Write;

use serde::Serialize;

pub use self::check::{Check, Verdict};
use crate::config::{Config, ConfigError, Environment, Misspelt, Variables};
use crate::db::DatabaseUrl;
use crate::terminal::one_line;

/// All checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst of them.
    pub status: Verdict,
    /// Each of them, in the order of dependence.
    pub checks: Vec<Check>,
}

impl Report {
    fn of(checks: Vec<Check>) -> Self {
        let status = checks.iter().map(|check| check.status).max().unwrap_or(Verdict::Ok);
        Self { status, checks }
    }

    /// Whether anything has to be fixed.
    pub(crate) fn has_failures(&self) -> bool {
        self.status == Verdict::Fail
    }

    /// For programs.
    ///
    /// # Errors
    /// None that could happen: it is text all through.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// For people: a line for each check.
    pub fn text(&self) -> String {
        let width = self.checks.iter().map(|check| check.check.len()).max().unwrap_or_default();
        let mut text = String::new();
        for Check { check, status, found, fix } in &self.checks {
            let status = match status {
                Verdict::Ok => "ok",
                Verdict::Warn => "warn",
                Verdict::Fail => "FAIL",
            };
            // Writing to memory cannot fail. What is found may be a foreign program's words: they stay on their line.
            let _ = write!(text, "{status:<4}  {check:<width$}  {}", one_line(found));
            if let Some(fix) = fix {
                let _ = write!(text, " -> {fix}");
            }
            text.push('\n');
        }
        let [fine, warnings, failures] = [Verdict::Ok, Verdict::Warn, Verdict::Fail].map(|verdict| self.count(verdict));
        let _ = write!(text, "{fine} ok, {warnings} warn, {failures} FAIL");
        text
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.status == verdict).count()
    }
}

/// Looks at everything. Without a configuration there is nothing else to look at.
pub async fn examine(variables: Result<Variables, ConfigError>) -> Report {
    let configured = variables.and_then(|variables| Ok((Config::of(&variables)?, variables.misspelt())));
    let (config, misspelt) = match configured {
        Ok(configured) => configured,
        Err(ConfigError { problems }) => {
            let fix = "set the variable as .env.example says";
            return Report::of(
                problems.into_iter().map(|problem| Check::fail("configuration", problem, fix)).collect(),
            );
        }
    };
    let mut checks = vec![configuration(&config)];
    checks.extend(misspelt.iter().map(unknown));
    checks.extend([network::cors(&config), network::egress(&config), machine::clock(), machine::zone_tables()]);
    checks.extend(machine::files(&config));
    checks.extend(machine::disk(&config));
    checks.extend(machine::addresses(&config));
    checks.extend(storage::database(&config).await);
    checks.extend(network::redis(&config).await);
    checks.extend(network::outside(&config).await);
    Report::of(checks)
}

fn unknown(Misspelt { name, nearest }: &Misspelt) -> Check {
    let found = format!("{name} is set, but no variable of this service");
    Check::fail("configuration", found, format!("set {nearest} if that is meant, or take it away"))
}

fn configuration(config: &Config) -> Check {
    let environment = match config.environment {
        Environment::Development => "development",
        Environment::Production => "production",
    };
    let database = match &config.database_url {
        DatabaseUrl::Sqlite(path) => format!("SQLite at {}", path.display()),
        DatabaseUrl::Postgres(_) => "PostgreSQL".to_owned(),
    };
    let tokens = match &config.auth.jwks_url {
        Some(_) => "published keys",
        None => "one secret",
    };
    Check::ok("configuration", format!("{environment}, {database}, tokens checked with {tokens}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_is_one_line_and_the_worst_decides() {
        let report = Report::of(vec![
            Check::ok("a", "fine"),
            Check::warn("longer", "so\nso\u{1b}[31m", "look"),
            Check::fail("b", "bad", "fix it"),
        ]);
        assert_eq!(
            report.text(),
            "ok    a       fine\nwarn  longer  so so [31m -> look\nFAIL  b       bad -> fix it\n\
             1 ok, 1 warn, 1 FAIL"
        );
        assert!(report.has_failures());
        assert!(!Report::of(vec![Check::warn("a", "b", "c")]).has_failures());
        assert_eq!(serde_json::to_value(&report).expect("JSON")["checks"][2]["status"], "fail");
    }

    #[tokio::test]
    async fn a_configuration_that_is_wrong_is_all_there_is_to_say() {
        let problems = vec!["BIND_ADDR: nonsense".to_owned(), "PLAN_LIMITS: too".to_owned()];
        let report = examine(Err(ConfigError { problems })).await;
        assert_eq!(report.checks.len(), 2);
        assert!(report.has_failures() && report.text().contains("BIND_ADDR: nonsense -> "));
    }
}
