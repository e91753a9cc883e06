//! Variables as an operator sets them: those of the process and, behind them, those of a `.env` file.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::LazyLock;

use serde::Serialize;

use super::ConfigError;
use crate::input::did_you_mean;

/// The names of all variables. The example that operators copy is the list, so none can be missing there.
pub(super) static NAMES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let lines = include_str!("../../.env.example").lines();
    let pairs = lines.filter_map(|line| line.strip_prefix('#')?.split_once('='));
    pairs.map(|(name, _)| name).filter(|name| name.bytes().all(is_of_name)).collect()
});

/// How names begin that are nobody else's.
const OWN: [&str; 8] =
    ["AUTH_JWKS_", "AUTH_JWT_", "CREDENTIALS_KEY", "EGRESS_", "RATE_LIMIT_", "SHUTDOWN_", "STATS_", "UPSTREAM_"];

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
}

/// Where a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A variable of the process.
    Environment,
    /// The `.env` file.
    File,
    /// A secret that was generated for development, and is kept under `data/`.
    Generated,
    /// Nobody has set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Environment => "environment",
            Self::File => ".env",
            Self::Generated => "generated",
            Self::Default => "default",
        })
    }
}

/// A variable that is set, does nothing, and was probably meant to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misspelt {
    /// As it is set.
    pub name: String,
    /// The real one that is most like it.
    pub nearest: &'static str,
}

impl fmt::Display for Misspelt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} is set, but no variable of this service; did you mean {}?", self.name, self.nearest)
    }
}

/// All variables that are set.
pub struct Variables {
    process: HashMap<String, String>,
    file: HashMap<String, String>,
}

impl Variables {
    /// Reads `.env` in the working directory, and the environment.
    ///
    /// # Errors
    /// A `.env` that cannot be read.
    pub(crate) fn of_process() -> Result<Self, ConfigError> {
        let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        let process = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Ok(Self { process, file: read_dotenv(Path::new(".env"))? })
    }

    /// What a variable is set to. An empty variable of the process wins too: this is how a line of `.env` is taken back
    /// for one run.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.process.get(name).or_else(|| self.file.get(name)).cloned()
    }

    /// Where a variable is set; an empty one is not.
    pub(super) fn origin(&self, name: &str) -> Option<Origin> {
        let (text, origin) = match self.process.get(name) {
            Some(text) => (text, Origin::Environment),
            None => (self.file.get(name)?, Origin::File),
        };
        (!text.trim().is_empty()).then_some(origin)
    }

    /// Variables that have no effect and are called nearly as one of this service, or as nobody else's.
    pub fn misspelt(&self) -> Vec<Misspelt> {
        let names = self.process.keys().chain(self.file.keys());
        let mut found: Vec<_> =
            names.filter_map(|name| Some(Misspelt { name: name.clone(), nearest: meant(name)? })).collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        found.dedup();
        found
    }

    #[cfg(test)]
    pub(super) fn made_of(process: &[(&str, &str)], file: &[(&str, &str)]) -> Self {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        Self { process: owned(process), file: owned(file) }
    }
}

/// The variable that this name was probably meant to be.
fn meant(name: &str) -> Option<&'static str> {
    if NAMES.contains(&name) {
        return None;
    }
    let name = name.to_ascii_uppercase();
    if !name.bytes().all(is_of_name) {
        return None;
    }
    let known = || NAMES.iter().copied();
    let is_own = OWN.iter().any(|own| name.starts_with(own));
    did_you_mean(&name, known())
        .or_else(|| known().filter(|_| is_own).min_by_key(|real| strsim::osa_distance(&name, real)))
}

/// The pairs of a `.env` file; none if there is no such file. The process's own environment is not touched.
pub(super) fn read_dotenv(path: &Path) -> Result<HashMap<String, String>, ConfigError> {
    let problem = |error: &dotenvy::Error| {
        let reason = match error {
            // The line itself may be a secret.
            dotenvy::Error::LineParse(..) => "a line is not KEY=value".to_owned(),
            dotenvy::Error::Io(error) => error.to_string(),
            _ => "it cannot be read".to_owned(),
        };
        ConfigError { problems: vec![format!("{}: {reason}", path.display())] }
    };
    match dotenvy::from_path_iter(path) {
        Ok(pairs) => pairs.collect::<Result<_, _>>().map_err(|error| problem(&error)),
        Err(dotenvy::Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(HashMap::new()),
        Err(error) => Err(problem(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_nearly_right_is_reported_with_the_real_one() {
        for (name, real) in [
            ("STATS_CACH_TTL_S", "STATS_CACHE_TTL_S"),
            ("STATS_CACHE_TTL", "STATS_CACHE_TTL_S"),
            ("DATABSE_URL", "DATABASE_URL"),
            ("CREDENTIAL_KEYS", "CREDENTIALS_KEYS"),
            ("EGRESS_PRIVATE_NETWORKS", "EGRESS_ADDRESSES"),
            ("RATE_LIMIT_PER_ORGANISATION", "RATE_LIMIT_PER_ORG"),
        ] {
            assert_eq!(meant(name), Some(real), "{name}");
        }
    }

    #[test]
    fn variables_of_other_programs_are_their_own_business() {
        for name in [
            "PATH",
            "HOME",
            "NAME",
            "HOSTNAME",
            "LOG_LEVEL",
            "RUST_BACKTRACE",
            "NODE_ENV",
            "PORT",
            "POSTGRES_PASSWORD",
            "REDIS_PORT",
            "REDIS_SERVICE_HOST",
            "REDIS_PORT_6379_TCP_ADDR",
            "TEST_DATABASE_URL",
            "AUTH_TOKEN",
            "_",
        ] {
            assert_eq!(meant(name), None, "{name}");
        }
        assert!(NAMES.iter().all(|name| meant(name).is_none()));
    }

    #[test]
    fn a_name_in_small_letters_is_another_name() {
        let variables = Variables::made_of(&[("database_url", "x"), ("redis_ur", "y")], &[("STATS_MAX_ROW", "1")]);
        let names: Vec<_> = variables.misspelt().into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["STATS_MAX_ROW", "database_url", "redis_ur"]);
    }
}
