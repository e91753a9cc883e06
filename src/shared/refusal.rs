//! Why Redis is of no use, and what fixes that.
//!
//! All of it is in our own words. A server may quote what it was sent, and that begins with the password.

use std::fmt;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why Redis is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What happened.
    pub cause: String,
    /// What to do.
    pub fix: &'static str,
    /// Whether it may be over in a while without anybody doing anything.
    pub may_pass: bool,
}

impl Refusal {
    fn lasting(cause: impl Into<String>, fix: &'static str) -> Self {
        Self { cause: cause.into(), fix, may_pass: false }
    }

    fn passing(cause: impl Into<String>, fix: &'static str) -> Self {
        Self { cause: cause.into(), fix, may_pass: true }
    }

    pub(super) fn silence(tls: bool) -> Self {
        let fix = if tls {
            "look at the way there and at what listens; a server without TLS needs redis://"
        } else {
            "look at the way there and at what listens; a server that wants TLS needs rediss://"
        };
        Self::passing("does not answer in time", fix)
    }

    /// What a server's own list says of why it is of no use, although it answers.
    pub(super) fn of_mode(about: &str) -> Option<Self> {
        // Valkey calls it otherwise.
        match value(about, "redis_mode").or_else(|| value(about, "server_mode"))? {
            "cluster" => Some(Self::cluster("cluster mode")),
            "sentinel" => Some(Self::lasting(
                "is a Sentinel, which keeps nothing itself",
                "write redis+sentinel://host:port/name in REDIS_URL, with the name of the primary that it watches",
            )),
            _ => None,
        }
    }

    fn cluster(how: &str) -> Self {
        let cause = format!("is a cluster, whose nodes would each know a part of what is shared ({how})");
        Self::lasting(cause, "name one Redis that is no cluster in REDIS_URL, or one behind Sentinels")
    }

    pub(super) fn no_run_id() -> Self {
        Self::lasting("does not name its run_id in INFO", "use Redis or Valkey, without a proxy that changes INFO")
    }

    /// What an error means; `tls` says whether the address begins with `rediss:`.
    pub(super) fn of(error: &RedisError, tls: bool) -> Self {
        match error.kind() {
            ErrorKind::Io => of_the_line(error, tls),
            ErrorKind::AuthenticationFailed => {
                Self::lasting("refuses the password", "fix the user and the password in REDIS_URL")
            }
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::lasting(
                "answers, but not as Redis does",
                "fix the host and the port in REDIS_URL; a server that wants TLS needs rediss://",
            ),
            ErrorKind::Server(kind) => of_the_server(error, kind),
            ErrorKind::Extension => of_its_word(error),
            ErrorKind::MasterNameNotFoundBySentinel => Self::passing(
                "has no primary of this name that answers, by what its Sentinels say",
                "fix the name in REDIS_URL, or wait until the Sentinels have agreed on a primary",
            ),
            kind => Self::lasting(format!("cannot be used: {kind:?}"), "fix REDIS_URL"),
        }
    }
}

/// One line for the log.
impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "it {}: {}", self.cause, self.fix)
    }
}

/// What a server says of a name, in its own list.
pub(super) fn value<'a>(about: &'a str, name: &str) -> Option<&'a str> {
    about.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn of_the_line(error: &RedisError, tls: bool) -> Refusal {
    let start = "start Redis, or fix the host and the port in REDIS_URL";
    if error.is_connection_refusal() {
        return Refusal::passing("refuses connections", start);
    }
    if error.is_timeout() {
        return Refusal::silence(tls);
    }
    if tls {
        let fix = "use redis:// for a server without TLS; with TLS it needs a certificate of a public authority";
        return Refusal::lasting("no TLS connection could be made", fix);
    }
    if error.is_connection_dropped() {
        return Refusal::passing("ends the connection", "look at its log; a server that wants TLS needs rediss://");
    }
    Refusal::passing("cannot be reached", start)
}

fn of_the_server(error: &RedisError, kind: ServerErrorKind) -> Refusal {
    match kind {
        ServerErrorKind::NoPerm => of_its_word(error),
        ServerErrorKind::ReadOnly => {
            Refusal::lasting("only reads (READONLY)", "name the primary in REDIS_URL, not a replica")
        }
        ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown | ServerErrorKind::TryAgain => {
            Refusal::passing(format!("is not ready yet ({})", word(error)), "wait, then look again")
        }
        ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::ClusterDown | ServerErrorKind::CrossSlot => {
            Refusal::cluster(&word(error))
        }
        // The crate's words for a refused SELECT are the only ones that tell it from other errors.
        _ if error.to_string().starts_with("Redis server refused to switch database") => {
            Refusal::lasting("has no database of this number", "fix the number at the end of REDIS_URL")
        }
        _ => of_its_word(error),
    }
}

/// Servers begin an error with a word of capitals.
fn of_its_word(error: &RedisError) -> Refusal {
    match word(error).as_str() {
        "NOAUTH" => Refusal::lasting("wants a password (NOAUTH)", "put the user and the password into REDIS_URL"),
        "WRONGPASS" => Refusal::lasting("refuses the password", "fix the user and the password in REDIS_URL"),
        "NOPERM" => Refusal::lasting(
            "does not give this user the rights it needs (NOPERM)",
            "give the user the keys, the channel and the commands that docs/operations.md lists",
        ),
        "OOM" => Refusal::lasting("is full (OOM)", "set maxmemory-policy to allkeys-lru, or give it more memory"),
        "MISCONF" => Refusal::lasting("cannot save to its disk (MISCONF)", "make room, or start it with --save \"\""),
        word => Refusal::lasting(format!("refuses what the service needs ({word})"), "look at its log and its version"),
    }
}

/// The error's own word, as long as it is one.
fn word(error: &RedisError) -> String {
    let word = error.code().unwrap_or_default();
    let is_one = (1..=20).contains(&word.len()) && word.bytes().all(|letter| letter.is_ascii_uppercase());
    if is_one { word.to_owned() } else { "ERR".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server says behind its `-`, as an error.
    fn said(line: &str) -> RedisError {
        let answer = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("an answer");
        answer.extract_error().expect_err("an error")
    }

    #[test]
    fn what_the_server_says_has_a_cause_and_a_mend_in_our_words() {
        for (line, cause, fix, may_pass) in [
            ("NOAUTH Authentication required.", "NOAUTH", "password", false),
            ("WRONGPASS invalid username-password pair", "refuses the password", "password", false),
            ("NOPERM User x has no permissions to run 'set'", "NOPERM", "docs/operations.md", false),
            ("READONLY You can't write against a read only replica.", "READONLY", "primary", false),
            ("OOM command not allowed", "OOM", "allkeys-lru", false),
            ("LOADING Redis is loading the dataset in memory", "LOADING", "wait", true),
            ("MOVED 3999 127.0.0.1:6381", "cluster", "no cluster", false),
            ("CROSSSLOT Keys in request don't hash to the same slot", "cluster", "no cluster", false),
            ("ERR unknown command", "(ERR)", "version", false),
        ] {
            let refusal = Refusal::of(&said(line), false);
            assert!(refusal.cause.contains(cause), "{line}: {refusal:?}");
            assert!(refusal.fix.contains(fix), "{line}: {refusal:?}");
            assert_eq!(refusal.may_pass, may_pass, "{line}");
        }
    }

    #[test]
    fn a_server_that_is_no_server_of_its_own_is_refused_by_its_mode() {
        let mode = |about: &str| Refusal::of_mode(about).map(|refusal| refusal.to_string());
        assert_eq!(mode("redis_version:7.0.15\r\nredis_mode:standalone\r\n"), None);
        assert!(mode("redis_mode:cluster\r\n").is_some_and(|words| words.contains("is a cluster")));
        assert!(mode("server_mode:cluster\r\n").is_some_and(|words| words.contains("is a cluster")));
        assert!(mode("redis_mode:sentinel\r\n").is_some_and(|words| words.contains("redis+sentinel://")));
    }

    #[test]
    fn nothing_that_the_server_quotes_is_passed_on() {
        for line in ["ERR unknown command 'AUTH', with args beginning with: 'hunter2'", "HUNTER2 hunter2", "hunter2"] {
            let refusal = Refusal::of(&said(line), false);
            assert!(!format!("{refusal:?}").to_lowercase().contains("hunter2"), "{refusal:?}");
        }
    }

    #[test]
    fn a_refusal_says_how_the_line_broke() {
        let broken = |kind: std::io::ErrorKind| RedisError::from(std::io::Error::from(kind));
        let refused = Refusal::of(&broken(std::io::ErrorKind::ConnectionRefused), true);
        assert!(refused.may_pass && refused.cause.contains("refuses connections"));
        let garbled = Refusal::of(&broken(std::io::ErrorKind::InvalidData), true);
        assert!(!garbled.may_pass && garbled.fix.contains("redis://"));
        let ended = Refusal::of(&broken(std::io::ErrorKind::UnexpectedEof), false);
        assert!(ended.may_pass && ended.fix.contains("rediss://"));
    }
}
