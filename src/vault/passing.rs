//! What leaves the process for a moment: sealed for one place, and told apart by names that say nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

use super::keys::Key;
use super::{Sealed, VERSION, Vault, VaultError, push_prefixed};

impl Vault {
    /// Seals something short-lived for the place that `parts` name together.
    ///
    /// # Errors
    /// [`VaultError::CannotSeal`].
    pub(crate) fn seal_passing(&self, parts: &[&[u8]], plaintext: &[u8]) -> Result<Vec<u8>, VaultError> {
        let key = self.keys.active();
        let own = key_of_place(key, parts).ok_or(VaultError::CannotSeal)?;
        self.seal_under(&own, &key.id, &[VERSION], plaintext)
    }

    /// Opens what was sealed for this very place, under any key of the ring.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`] or [`VaultError::Damaged`].
    pub(crate) fn open_passing(&self, parts: &[&[u8]], blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let sealed = Sealed::split(blob).ok_or(VaultError::Damaged)?;
        let key = self.keys.find(sealed.key_id).ok_or_else(|| VaultError::UnknownKey(sealed.key_id.to_owned()))?;
        let own = key_of_place(key, parts).ok_or(VaultError::Damaged)?;
        sealed.open_under(&own, &[VERSION])
    }

    /// A name for what `parts` name together. Only a service with the same active key makes the same one, and it
    /// says nothing to anybody else.
    pub(crate) fn pseudonym(&self, label: &str, parts: &[&[u8]]) -> String {
        let tag = hmac::sign(&self.pseudonyms(label), &prefixed(parts));
        URL_SAFE_NO_PAD.encode(tag.as_ref().get(..16).unwrap_or_default())
    }

    /// A key to make pseudonyms of one kind with.
    pub fn pseudonyms(&self, label: &str) -> hmac::Key {
        let tag = hmac::sign(&self.keys.active().hashing, &prefixed(&[b"pseudonym", label.as_bytes()]));
        hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref())
    }
}

fn key_of_place(key: &Key, parts: &[&[u8]]) -> Option<LessSafeKey> {
    let place = prefixed(parts);
    let info = [place.as_slice()];
    let derived = key.passing.expand(&info, &AES_256_GCM).ok()?;
    Some(LessSafeKey::new(UnboundKey::from(derived)))
}

fn prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let mut data = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        push_prefixed(&mut data, part);
    }
    data
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::vault::{KeyRing, key_id};

    fn vault(keys: &[(&str, u8)]) -> Vault {
        let line: Vec<String> =
            keys.iter().map(|(id, byte)| format!("{id}:{}", STANDARD.encode([*byte; 32]))).collect();
        Vault::new(KeyRing::parse(&line.join(",")).expect("a ring"))
    }

    #[test]
    fn what_passes_opens_in_its_place_only() {
        let vault = vault(&[("a", 1)]);
        let blob = vault.seal_passing(&[b"acme", b"query"], b"numbers").expect("sealed");
        let opened = vault.open_passing(&[b"acme", b"query"], &blob).expect("opened");
        assert_eq!(opened.as_slice(), b"numbers");
        for elsewhere in [&[b"acm".as_slice(), b"equery"][..], &[b"acme"], &[b"acme", b"query", b""], &[]] {
            assert_eq!(vault.open_passing(elsewhere, &blob), Err(VaultError::Damaged));
        }
        for position in 0..blob.len() {
            let mut changed = blob.clone();
            changed[position] ^= 1;
            assert!(vault.open_passing(&[b"acme", b"query"], &changed).is_err(), "byte {position}");
        }
    }

    #[test]
    fn what_passes_opens_under_any_key_of_the_ring() {
        let blob = vault(&[("old", 1)]).seal_passing(&[b"place"], b"numbers").expect("sealed");
        assert!(vault(&[("new", 2), ("old", 1)]).open_passing(&[b"place"], &blob).is_ok());
        let without = vault(&[("new", 2)]).open_passing(&[b"place"], &blob);
        assert_eq!(without, Err(VaultError::UnknownKey("old".to_owned())));
        assert_eq!(key_id(&blob), Some("old"));
    }

    #[test]
    fn a_pseudonym_depends_on_key_label_and_every_part() {
        let name = vault(&[("a", 1)]).pseudonym("account", &[b"x", b"y"]);
        assert_eq!(name, vault(&[("a", 1), ("b", 2)]).pseudonym("account", &[b"x", b"y"]));
        for other in [
            vault(&[("b", 2), ("a", 1)]).pseudonym("account", &[b"x", b"y"]),
            vault(&[("a", 1)]).pseudonym("origin", &[b"x", b"y"]),
            vault(&[("a", 1)]).pseudonym("account", &[b"xy"]),
            vault(&[("a", 1)]).pseudonym("account", &[b"xy", b""]),
        ] {
            assert_ne!(name, other);
        }
        assert_eq!(name.len(), 22);
    }
}
