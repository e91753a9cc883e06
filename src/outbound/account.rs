//! Which account a call is for.

use std::collections::BTreeMap;

use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};

/// What an account is known by: a keyed hash of where it is and of its secrets.
pub type AccountId = [u8; 32];

/// What accounts are told apart by where no other process has to know.
pub(super) fn own_names() -> hmac::Key {
    let mut bytes = [0; 32];
    // Without random numbers the names can be guessed by who sees them, and nobody does.
    let _ = SystemRandom::new().fill(&mut bytes);
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
}

/// Which account a key opens.
pub(super) fn account_id(
    names: &hmac::Key,
    label: &str,
    address: Option<&str>,
    secrets: &BTreeMap<String, SecretString>,
) -> AccountId {
    let mut hash = hmac::Context::with_key(names);
    let mut add = |part: &str| {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    };
    add(label);
    add(address.unwrap_or_default());
    for (field, secret) in secrets {
        add(field);
        add(secret.expose_secret().trim());
    }
    let mut id = AccountId::default();
    id.copy_from_slice(hash.sign().as_ref());
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(label: &str, address: &str, secrets: &[(&str, &str)]) -> AccountId {
        let secrets =
            secrets.iter().map(|(field, secret)| ((*field).to_owned(), SecretString::from(*secret))).collect();
        account_id(&hmac::Key::new(hmac::HMAC_SHA256, b"names"), label, Some(address), &secrets)
    }

    #[test]
    fn an_account_is_known_by_platform_place_and_secrets() {
        let one = id("affise", "https://a.example", &[("api_key", "k1")]);
        assert_eq!(one, id("affise", "https://a.example", &[("api_key", " k1\n")]), "pasted with blanks");
        for other in [
            id("binom", "https://a.example", &[("api_key", "k1")]),
            id("affise", "https://b.example", &[("api_key", "k1")]),
            id("affise", "https://a.example", &[("api_key", "k2")]),
            id("affise", "https://a.example", &[("api_key", "k1"), ("more", "")]),
            id("affise", "https://a.example", &[]),
        ] {
            assert_ne!(one, other);
        }
        assert_ne!(own_names().sign_one(), own_names().sign_one());
    }

    trait SignOne {
        fn sign_one(&self) -> Vec<u8>;
    }

    impl SignOne for hmac::Key {
        fn sign_one(&self) -> Vec<u8> {
            hmac::sign(self, b"").as_ref().to_vec()
        }
    }
}
