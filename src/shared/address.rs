//! Where Redis is: at one address, or wherever Sentinels say that its primary is.

use std::fmt;

use redis::sentinel::{Sentinel, SentinelNodeConnectionInfo};
use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, RedisError, RedisResult, TlsMode,
};
use secrecy::{ExposeSecret, SecretString};

use crate::hosts::{Host, Hosts};

const SENTINEL_PORT: u16 = 26_379;

/// The address in `REDIS_URL`.
#[derive(Clone)]
pub struct Address {
    passwords: Vec<SecretString>,
    uses_tls: bool,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Server(Box<Client>),
    Sentinels {
        sentinels: Vec<ConnectionInfo>,
        /// What they call the primary and its replicas.
        name: String,
        /// The login and the database there.
        login: RedisConnectionInfo,
    },
}

impl Address {
    /// Reads `redis://host:6379/0`, `rediss://…`, `redis+sentinel://host1,host2/name/0` or `rediss+sentinel://…`; `None`
    /// if it is none of these.
    pub fn read(url: &str) -> Option<Self> {
        let hosts = Hosts::parse(url)?;
        let passwords = hosts.passwords().cloned().collect();
        let uses_tls = hosts.scheme.starts_with("rediss");
        let way = match hosts.scheme.as_str() {
            "redis" | "rediss" => server(url, &hosts)?,
            "redis+sentinel" | "rediss+sentinel" => sentinels(&hosts, uses_tls)?,
            _ => return None,
        };
        Some(Self { passwords, uses_tls, way })
    }

    /// The passwords that stand in it.
    pub fn passwords(&self) -> &[SecretString] {
        &self.passwords
    }

    pub(super) fn uses_tls(&self) -> bool {
        self.uses_tls
    }

    /// Whether Sentinels may name another server later.
    pub(super) fn may_move(&self) -> bool {
        matches!(self.way, Way::Sentinels { .. })
    }

    /// The server to use right now.
    pub(super) async fn client(&self) -> RedisResult<Client> {
        match &self.way {
            Way::Server(client) => Ok((**client).clone()),
            Way::Sentinels { sentinels, name, login } => {
                let server = SentinelNodeConnectionInfo::default().set_redis_connection_info(login.clone());
                let server = if self.uses_tls { server.set_tls_mode(TlsMode::Secure) } else { server };
                Sentinel::build(sentinels.clone())?.async_master_for(name, Some(&server)).await
            }
        }
    }
}

/// Shows the place and no login.
impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Server(client) => write!(out, "{}", client.get_connection_info().addr()),
            Way::Sentinels { sentinels, name, .. } => {
                let places: Vec<String> = sentinels.iter().map(|sentinel| sentinel.addr().to_string()).collect();
                write!(out, "{name} of the Sentinels {}", places.join(", "))
            }
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Address({self})")
    }
}

fn server(url: &str, hosts: &Hosts) -> Option<Way> {
    if hosts.hosts.len() != 1 {
        return None;
    }
    let info = url.into_connection_info().ok()?;
    let is_safe = matches!(info.addr(), ConnectionAddr::Tcp(..) | ConnectionAddr::TcpTls { insecure: false, .. });
    Some(Way::Server(Box::new(Client::open(info).ok().filter(|_| is_safe)?)))
}

fn sentinels(hosts: &Hosts, uses_tls: bool) -> Option<Way> {
    let (name, database) = match hosts.path.split_once('/') {
        Some((name, database)) => (name, database.parse().ok()?),
        None => (hosts.path.as_str(), 0),
    };
    let known = ["sentinel_username", "sentinel_password"];
    if name.is_empty() || hosts.hosts.is_empty() || hosts.options().any(|option| !known.contains(&option)) {
        return None;
    }
    let mut login = RedisConnectionInfo::default().set_db(database);
    if let Some(user) = &hosts.user {
        login = login.set_username(user);
    }
    if let Some(password) = &hosts.password {
        login = login.set_password(password.expose_secret());
    }
    let mut own = RedisConnectionInfo::default();
    if let Some(user) = hosts.option("sentinel_username") {
        own = own.set_username(user.expose_secret());
    }
    if let Some(password) = hosts.option("sentinel_password") {
        own = own.set_password(password.expose_secret());
    }
    let sentinel = |host: &Host| -> Result<ConnectionInfo, RedisError> {
        let port = host.port.unwrap_or(SENTINEL_PORT);
        Ok(addr_of(&host.name, port, uses_tls).into_connection_info()?.set_redis_settings(own.clone()))
    };
    let sentinels = hosts.hosts.iter().map(sentinel).collect::<Result<_, _>>().ok()?;
    Some(Way::Sentinels { sentinels, name: name.to_owned(), login })
}

fn addr_of(host: &str, port: u16, uses_tls: bool) -> ConnectionAddr {
    if uses_tls {
        ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host.to_owned(), port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_or_the_primary_that_sentinels_name() {
        let shown = |url: &str| Address::read(url).unwrap_or_else(|| panic!("{url} is an address")).to_string();
        assert_eq!(shown("redis://:pass@127.0.0.1:6380/1"), "127.0.0.1:6380");
        assert_eq!(shown("rediss://host"), "host:6379");
        assert_eq!(
            shown("redis+sentinel://:hunter2@a:1,b/primary/3?sentinel_password=hunter2"),
            "primary of the Sentinels a:1, b:26379"
        );
        for bad in [
            "localhost",
            "http://localhost",
            "redis://host/name",
            "redis://a,b",
            "rediss://host/#insecure",
            "redis+sentinel://a,b",
            "redis+sentinel:///name",
            "redis+sentinel://a/name/x",
            "redis+sentinel://a/name?password=b",
        ] {
            assert!(Address::read(bad).is_none(), "{bad}");
        }
    }
}
