//! A network's id: found in what people paste, and put into the address of its API.

use url::Url;

use super::super::address;
use super::super::kind::{FieldError, Gateways, Settings};
use crate::input::InputCode;

/// The setting that names a network.
pub(super) const NETWORK_ID: &str = "network_id";

/// What stands for the id in a configured address.
const PLACEHOLDER: &str = "{network_id}";

/// The domain that TUNE's portals and APIs stand under.
const DOMAIN: &str = "hasoffers.com";

/// Names under [`DOMAIN`] that are TUNE's own.
const NOT_NETWORKS: [&str; 3] = ["api", "www", "developers"];

/// The base address of the API of the network that the settings name.
pub(super) fn gateway(settings: &Settings, gateways: &Gateways) -> Option<String> {
    let id = settings.get(NETWORK_ID)?;
    Some(gateways.tune.replace(PLACEHOLDER, id).trim_end_matches('/').to_owned())
}

/// The id in what was entered: the id itself, or an address of TUNE's that has it.
pub(super) fn id_in(entered: &str) -> Result<String, FieldError> {
    let text = entered.trim().to_ascii_lowercase();
    if address::is_label(&text) {
        return Ok(text);
    }
    let refuse = |detail: &str| FieldError { field: NETWORK_ID, code: InputCode::Format, detail: detail.to_owned() };
    // The id is only cut out of an address: whatever else was pasted with it, such as a key, goes no further.
    let with_scheme = if text.contains("://") { text } else { format!("https://{text}") };
    let url = Url::parse(&with_scheme).ok();
    let Some(host) = url.as_ref().and_then(Url::host_str) else {
        return Err(refuse("A network ID has letters, digits and hyphens only, such as acme."));
    };
    let under = host.strip_suffix(DOMAIN).and_then(|rest| rest.strip_suffix('.'));
    let Some(under) = under else {
        return Err(refuse(
            "The network ID cannot be read from this address. Enter the ID alone, or the portal's address at hasoffers.com.",
        ));
    };
    let of_shared_host = || {
        let mut pairs = url.iter().flat_map(Url::query_pairs);
        pairs.find(|(name, _)| name == "networkid").map(|(_, id)| id.into_owned())
    };
    let id = match under.strip_suffix(".api").unwrap_or(under) {
        "api" => of_shared_host().unwrap_or_default(),
        id => id.to_owned(),
    };
    if address::is_label(&id) && !NOT_NETWORKS.contains(&id.as_str()) {
        Ok(id)
    } else {
        Err(refuse("This address of TUNE's names no network. Enter the network ID alone."))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(entered: &str) -> Option<String> {
        id_in(entered).ok()
    }

    #[test]
    fn an_id_is_found_in_what_people_paste() {
        for entered in [
            "acme",
            " Acme\n",
            "acme.hasoffers.com",
            "https://acme.hasoffers.com",
            "https://ACME.hasoffers.com/admin/login?x=1",
            "https://acme.api.hasoffers.com/Apiv3/json?NetworkToken=NETsecret&Target=Report",
            "acme.api.hasoffers.com",
            "https://api.hasoffers.com/Apiv3/json?NetworkId=acme&NetworkToken=NETsecret",
        ] {
            assert_eq!(id(entered).as_deref(), Some("acme"), "{entered}");
        }
    }

    #[test]
    fn what_names_no_network_is_refused_without_being_repeated() {
        for entered in [
            "",
            "a b",
            "-acme",
            "https://",
            "https://portal.acme.com/?secret",
            "https://acme.go2cloud.org/secret",
            "https://hasoffers.com",
            "https://api.hasoffers.com/secret",
            "https://www.hasoffers.com",
            "https://x.y.hasoffers.com",
            "https://acmehasoffers.com",
            "https://acme.hasoffers.com.evil.example",
        ] {
            let error = id_in(entered).expect_err(entered);
            assert_eq!(error.field, NETWORK_ID);
            assert!(!error.detail.contains("secret"), "{}", error.detail);
        }
    }

    #[test]
    fn the_id_is_put_where_it_is_asked_for() {
        let base = |tune: &str| {
            let gateways = Gateways { tune: tune.to_owned(), ..Gateways::default() };
            gateway(&Settings::from([(NETWORK_ID.to_owned(), "acme".to_owned())]), &gateways)
        };
        assert_eq!(base("https://{network_id}.api.hasoffers.com").as_deref(), Some("https://acme.api.hasoffers.com"));
        assert_eq!(base("http://127.0.0.1:9/{network_id}/").as_deref(), Some("http://127.0.0.1:9/acme"));
        assert_eq!(base("http://127.0.0.1:9").as_deref(), Some("http://127.0.0.1:9"));
    }

    proptest! {
        #[test]
        fn what_is_stored_is_accepted_again_and_nothing_panics(entered in "\\PC{0,60}") {
            if let Ok(found) = id_in(&entered) {
                prop_assert_eq!(id_in(&found), Ok(found.clone()));
            }
        }
    }
}
