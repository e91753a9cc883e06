//! URLs that may name several hosts, as those of PostgreSQL and of Sentinels do:
//! `scheme://user:password@first:1,second:2/path?name=value`.
//!
//! The `url` crate takes one host only. What is kept here is what was written: nothing is looked up, and nothing is
//! given a default.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};

/// A URL, taken apart.
#[derive(Debug, Clone)]
pub struct Hosts {
    /// In lower case.
    pub(crate) scheme: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<SecretString>,
    /// Names or addresses and ports, in the order of the URL. Empty where the URL leaves them out.
    pub(crate) hosts: Vec<Host>,
    /// What follows the first `/` behind the hosts.
    pub(crate) path: String,
    query: Vec<(String, SecretString)>,
}

/// One of the hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// Without the brackets of IPv6.
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
}

impl Hosts {
    /// Takes a URL apart; `None` if it is none.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let hosts: Option<Vec<Host>> =
            if hosts.is_empty() { Some(Vec::new()) } else { hosts.split(',').map(Host::parse).collect() };
        let query: Option<Vec<_>> = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
        Some(Self {
            scheme: scheme.to_ascii_lowercase(),
            user: some(&decoded(user)?).map(str::to_owned),
            password: some(&decoded(password)?).map(SecretString::from),
            hosts: hosts?,
            path: decoded(path)?.into_owned(),
            query: query?,
        })
    }

    /// What the query says of a name, the last time that it does.
    pub(crate) fn option(&self, name: &str) -> Option<&SecretString> {
        self.query.iter().rfind(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The names in the query.
    pub(crate) fn options(&self) -> impl Iterator<Item = &str> {
        self.query.iter().map(|(name, _)| name.as_str())
    }

    /// How many hosts are named, wherever they stand; at least one.
    pub(crate) fn count(&self) -> u64 {
        let in_query = ["host", "hostaddr"].into_iter().filter_map(|name| self.option(name));
        let in_query = in_query.map(|hosts| hosts.expose_secret().split(',').count());
        in_query.chain([self.hosts.len(), 1]).max().and_then(|count| u64::try_from(count).ok()).unwrap_or(1)
    }

    /// The URL again, with this text in the place of each password.
    pub fn with_secrets_as(&self, hidden: &str) -> String {
        let Self { scheme, user, password, hosts, path, query } = self;
        let mut login = user.clone().unwrap_or_default();
        if password.is_some() {
            login = format!("{login}:{hidden}");
        }
        if !login.is_empty() {
            login.push('@');
        }
        let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        let mut url = format!("{scheme}://{login}{}/{path}", hosts.join(","));
        for (number, (name, value)) in query.iter().enumerate() {
            let value = if is_secret(name) { hidden } else { value.expose_secret() };
            url.push(if number == 0 { '?' } else { '&' });
            url.push_str(&format!("{name}={value}"));
        }
        url
    }

    /// The passwords that stand anywhere in it.
    pub fn passwords(&self) -> impl Iterator<Item = &SecretString> {
        let in_query = self.query.iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| value);
        self.password.iter().chain(in_query)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port } = self;
        let (open, close) = if name.contains(':') { ("[", "]") } else { ("", "") };
        write!(out, "{open}{name}{close}")?;
        port.map_or(Ok(()), |port| write!(out, ":{port}"))
    }
}

/// Whether an option of this name is a password.
fn is_secret(option: &str) -> bool {
    option.ends_with("password")
}

impl Host {
    fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, port) = rest.split_once(']')?;
                (name, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => Some(port.parse().ok()?),
            None => None,
        };
        (!name.is_empty()).then_some(())?;
        Some(Self { name: decoded(name)?.into_owned(), port })
    }
}

fn pair(text: &str) -> Option<(String, SecretString)> {
    let (name, value) = text.split_once('=')?;
    Some((decoded(name)?.into_owned(), decoded(value)?.into_owned().into()))
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(text).decode_utf8().ok()
}

fn some(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(url: &str) -> Vec<(String, Option<u16>)> {
        let hosts = Hosts::parse(url).unwrap_or_else(|| panic!("{url} is a URL")).hosts;
        hosts.into_iter().map(|host| (host.name, host.port)).collect()
    }

    #[test]
    fn a_url_names_one_host_or_several_or_none() {
        let two = [("a".to_owned(), Some(1)), ("::1".to_owned(), Some(2))];
        assert_eq!(named("postgres://user:p%40ss@a:1,[::1]:2/db?sslmode=require"), two);
        assert_eq!(named("postgres://a"), [("a".to_owned(), None)]);
        assert_eq!(named("postgres://user@/db?host=a,b"), []);
        for bad in ["a:1", "postgres://a:x/db", "postgres://a,/db", "postgres://[::1/db", "postgres://a?novalue"] {
            assert!(Hosts::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_found_wherever_it_stands() {
        let passwords = |url: &str| -> Vec<String> {
            Hosts::parse(url).expect("a URL").passwords().map(|found| found.expose_secret().to_owned()).collect()
        };
        assert_eq!(passwords("postgres://u:p%40ss@a,b/db"), ["p@ss"]);
        assert_eq!(passwords("postgres://u@/db?host=a&password=hunter2"), ["hunter2"]);
        assert_eq!(passwords("redis+sentinel://:one@a/name?sentinel_password=two"), ["one", "two"]);
        assert_eq!(passwords("postgres://u@a/db"), [""; 0]);
        for (url, shown) in [
            ("postgres://u:hunter2@a:1,[::1]:2/db?sslmode=require", "postgres://u:***@a:1,[::1]:2/db?sslmode=require"),
            ("postgres://u@/db?host=a&password=hunter2", "postgres://u@/db?host=a&password=***"),
            ("redis://:hunter2@host", "redis://:***@host/"),
        ] {
            assert_eq!(Hosts::parse(url).expect("a URL").with_secrets_as("***"), shown);
        }
        assert!(!format!("{:?}", Hosts::parse("postgres://u:hunter2@a/db?password=hunter2")).contains("hunter2"));
    }
}
