//! Calls to a network's API with one key.

use secrecy::SecretString;
use url::Url;

use super::super::client::Account;
use super::super::kind::{ConnectionType, Gateways};
use super::network;
use super::request::ReportRequest;
use super::trouble::Trouble;
use super::wire;
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::outbound::{Answer, Upstream};

const PATH: &str = "/Apiv3/json";

/// What a report that is too much for one request is answered with.
const TOO_MUCH: u16 = 504;

/// The API as one key sees it.
pub(super) struct Api {
    pub(super) upstream: Upstream,
    pub(super) portal: ConnectionType,
    endpoint: Url,
    key: SecretString,
}

impl Api {
    pub(super) fn open(
        portal: ConnectionType,
        account: &Account,
        gateways: &Gateways,
        upstream: Upstream,
    ) -> Result<Self, PlatformError> {
        let endpoint = network::gateway(&account.settings, gateways)
            .and_then(|base| Url::parse(&format!("{base}{PATH}")).ok())
            .ok_or_else(|| PlatformError::new(ErrorKind::InvalidUrl, "The connection has no usable network ID."))?;
        let key = account.credentials.get("api_key").cloned().unwrap_or_default();
        Ok(Self { upstream, portal, endpoint, key })
    }

    /// Asks for a report. The answer may be a refusal all the same: see [`judge`](Self::judge). One that is too much at
    /// once is not asked for again if it `is_divisible`.
    pub(super) async fn ask(&self, request: &ReportRequest<'_>, is_divisible: bool) -> Result<Answer, Trouble> {
        self.post(self.portal, request, is_divisible).await
    }

    /// Whether the key is good at the other portal: asked once, at the same host.
    pub(super) async fn is_known_at_other_portal(&self, request: &ReportRequest<'_>) -> bool {
        let Ok(answer) = self.post(self.portal.other(), request, false).await else { return false };
        match self.judge(&answer) {
            Ok(_) | Err(Trouble::Column(_)) => true,
            Err(Trouble::Failed(error)) => error.kind == ErrorKind::InsufficientPermissions,
            Err(Trouble::TooMuch | Trouble::PageTooLong(_)) => false,
        }
    }

    /// A POST whatever is asked: the key is one of the parameters, and belongs into no address.
    async fn post(
        &self,
        portal: ConnectionType,
        request: &ReportRequest<'_>,
        is_divisible: bool,
    ) -> Result<Answer, Trouble> {
        let form = request.form(portal, &self.key);
        let call = self.upstream.post_secret_form(self.endpoint.clone(), form).rests_when(wire::asks_for_rest);
        let call = if is_divisible { call.returns(TOO_MUCH) } else { call };
        let answer = call.send().await?;
        if answer.status == TOO_MUCH { Err(Trouble::TooMuch) } else { Ok(answer) }
    }
}
