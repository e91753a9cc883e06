//! Whose key it is.
//!
//! Both portals share host and paths, so the key has to be asked about. `/3.1/user/me` says the role at once, but is
//! not part of the public reference and missing on some networks; `/3.1/partner/me` then answers affiliates alone,
//! and an admin path settles the rest. These answers repeat the key: only role, ids and zone are read from them.

use super::super::kind::ConnectionType;
use super::super::stats::Currency;
use super::super::verification::Detected;
use super::super::words::speaks_of_addresses;
use super::wire::{Role, User};
use super::{Api, Refusal};
use crate::outbound::error::{ErrorKind, PlatformError, Stage};

const USER: &str = "/3.1/user/me";
const AFFILIATE: &str = "/3.1/partner/me";
/// A small list that only the network's side knows of.
const NETWORK: &str = "/3.0/admin/currency";

/// The end of the name of an account that may see a part of the network only.
pub(super) const MANAGER: &str = " (manager)";

/// What is known of the key's owner.
pub(super) struct Identity {
    portal: ConnectionType,
    /// The account's id, and for an affiliate its number in the network.
    account: Option<String>,
    number: Option<String>,
    timezone: Option<String>,
    /// Whether it is a manager, who may see a part of the network only.
    is_manager: bool,
    /// Whether any call was answered with success, so that a later refusal is about a right and not about the key.
    proven: bool,
}

/// Finds out whose key it is, and refuses one of the other portal.
pub(super) async fn establish(api: &Api, expected: ConnectionType) -> Result<Identity, PlatformError> {
    let identity = identify(api).await.map_err(|error| with_panel_hint(&api.upstream.host(), error))?;
    if identity.portal == expected {
        return Ok(identity);
    }
    let owner = match identity.portal {
        ConnectionType::Admin => "the network",
        ConnectionType::Affiliate => "an affiliate",
    };
    Err(PlatformError::new(
        ErrorKind::WrongPortal,
        format!("{} says that this key belongs to {owner}.", api.upstream.host()),
    ))
}

async fn identify(api: &Api) -> Result<Identity, PlatformError> {
    let mut proven = false;
    match api.get(USER, &[]).await {
        Ok(body) => {
            let user = read(api, &body)?;
            match user.role {
                Role::Network => return Ok(Identity::of(user, ConnectionType::Admin)),
                Role::Manager => {
                    return Ok(Identity { is_manager: true, ..Identity::of(user, ConnectionType::Admin) });
                }
                Role::Affiliate => return Ok(Identity::of(user, ConnectionType::Affiliate)),
                Role::Advertiser => return Err(advertisers_key(api)),
                Role::Unknown => proven = true,
            }
        }
        Err(refusal) if leaves_open(&refusal) => {}
        Err(refusal) => return Err(api.explain(refusal)),
    }
    api.upstream.enter(Stage::Authenticate);
    match api.get(AFFILIATE, &[]).await {
        Ok(body) => return Ok(Identity::of(read(api, &body)?, ConnectionType::Affiliate)),
        Err(refusal @ Refusal::Forbidden(_)) if leaves_open(&refusal) => {}
        Err(refusal) => return Err(api.explain(refusal)),
    }
    match api.get(NETWORK, &[]).await {
        Ok(_) => Ok(Identity::network(true)),
        // A manager without this permission is still on the network's side.
        Err(refusal @ Refusal::Forbidden(_)) if leaves_open(&refusal) => Ok(Identity::network(proven)),
        Err(refusal) => Err(api.explain(refusal)),
    }
}

/// Whether a refusal says nothing yet about the key.
fn leaves_open(refusal: &Refusal) -> bool {
    match refusal {
        Refusal::Forbidden(text) => !speaks_of_addresses(text),
        Refusal::NotFound => true,
        Refusal::Invalid(_) | Refusal::Unauthorized(_) | Refusal::Other(_) => false,
    }
}

fn read(api: &Api, body: &[u8]) -> Result<User, PlatformError> {
    User::read(body).ok_or_else(|| api.not_this_platform("does not say whose key this is"))
}

fn advertisers_key(api: &Api) -> PlatformError {
    PlatformError::new(
        ErrorKind::InsufficientPermissions,
        format!(
            "{} says that this key belongs to an advertiser, who cannot read these statistics.",
            api.upstream.host()
        ),
    )
    .at(Stage::Authenticate)
    .hint("Enter the key of a user of the network, or of an affiliate.")
}

impl Identity {
    fn of(user: User, portal: ConnectionType) -> Self {
        Self {
            portal,
            account: user.id,
            number: user.partner_id,
            timezone: user.timezone,
            is_manager: false,
            proven: true,
        }
    }

    fn network(proven: bool) -> Self {
        Self { portal: ConnectionType::Admin, account: None, number: None, timezone: None, is_manager: false, proven }
    }

    /// Asks for the number by which the network knows an affiliate, where the first answer had none.
    pub(super) async fn look_up_number(&mut self, api: &Api) {
        if self.number.is_some() {
            return;
        }
        api.upstream.enter(Stage::Authenticate);
        let Some(user) = api.get_if_quick(AFFILIATE).await.and_then(|body| User::read(&body)) else { return };
        self.number = user.partner_id;
        self.timezone = self.timezone.take().or(user.timezone);
    }

    /// What a refused report means, now that the key is known.
    pub(super) fn judge(&self, host: &str, error: PlatformError) -> PlatformError {
        if error.kind == ErrorKind::InsufficientPermissions && !self.proven {
            return PlatformError::new(
                ErrorKind::CredentialsRejected,
                format!("{host} refuses everything that was tried with this key; it is most likely not valid."),
            );
        }
        match error.kind {
            ErrorKind::BadResponse | ErrorKind::NotThisPlatform | ErrorKind::Unsupported => error.at(Stage::Authorize),
            _ => error,
        }
    }

    pub(super) fn detected(self, currency: Option<Currency>) -> Detected {
        Detected {
            connection_type: Some(self.portal),
            platform_version: None,
            account: match self.number.or(self.account) {
                account if self.is_manager => Some(format!("{}{MANAGER}", account.unwrap_or_default())),
                account => account,
            },
            currency: currency.map(|currency| currency.as_str().to_owned()),
            timezone: self.timezone,
        }
    }
}

/// People paste the address of the panel, which is the one they see every day.
fn with_panel_hint(host: &str, error: PlatformError) -> PlatformError {
    match (error.kind, api_host_of_panel(host)) {
        (ErrorKind::NotThisPlatform | ErrorKind::Redirected, Some(api_host)) => {
            error.hint(format!("{host} looks like the network's panel; the API host is usually {api_host}."))
        }
        _ => error,
    }
}

fn api_host_of_panel(host: &str) -> Option<String> {
    let network = host.strip_suffix(".affise.com")?;
    let is_api = network.starts_with("api-") || network.starts_with("api.") || network == "api";
    (!is_api).then(|| format!("api-{network}.affise.com"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panels_address_is_told_from_an_apis() {
        assert_eq!(api_host_of_panel("brand.affise.com").as_deref(), Some("api-brand.affise.com"));
        for host in ["api-brand.affise.com", "api.brand.affise.com", "api.brand.example", "127.0.0.1:80"] {
            assert_eq!(api_host_of_panel(host), None, "{host}");
        }
    }

    #[test]
    fn the_hint_stands_only_where_the_address_may_be_wrong() {
        let hint = |kind| with_panel_hint("brand.affise.com", PlatformError::new(kind, "x")).hint;
        assert!(hint(ErrorKind::NotThisPlatform).is_some_and(|hint| hint.contains("api-brand.affise.com")));
        assert!(hint(ErrorKind::CredentialsRejected).is_none());
    }
}
