//! Sealing of everything private that is stored: credentials, settings, verifications, and what webhooks are signed with.
//!
//! AES-256-GCM from `ring`. A blob is
//!
//! ```text
//! version (1 byte) · length of the key id (1) · key id · nonce (12) · ciphertext · tag (16)
//! ```
//!
//! and its associated data names the row it was made for: organisation, connection or webhook, platform and purpose, beside the
//! version and the key id. A blob that is copied to another row therefore does not open.
//!
//! Nonces are random, which is safe for some 2³² blobs under one key; rotate long before.
//!
//! What leaves the process only for a moment, such as tables that replicas share, is sealed in the same layout, but
//! under keys of its own: one for each place, derived from the ring's key and the place. However much passes, it wears
//! out no key, and least of all the one that credentials are sealed with.

mod keys;
mod passing;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use uuid::Uuid;
use zeroize::Zeroizing;

use self::keys::Key;
pub use self::keys::{KeyRing, KeyRingError};
use crate::platforms::Platform;

/// The layout of blobs and of their associated data.
const VERSION: u8 = 1;

/// What a blob holds. Two blobs of one row are not interchangeable either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The settings: hosts are private too.
    Settings,
    /// The secrets.
    Credentials,
    /// The outcome of a verification, which may name the account.
    Verification,
    /// Why a connection is failing, which names the host.
    Health,
    /// The address of a webhook: it may hold what only its receiver should know.
    WebhookUrl,
    /// What a webhook is signed with.
    WebhookSecret,
    /// What it was signed with before.
    FormerWebhookSecret,
}

impl Purpose {
    /// The name that is bound into blobs. It must never change.
    const fn key(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Credentials => "credentials",
            Self::Verification => "verification",
            Self::Health => "health",
            Self::WebhookUrl => "webhook url",
            Self::WebhookSecret => "webhook secret",
            Self::FormerWebhookSecret => "former webhook secret",
        }
    }
}

/// The one place where a blob opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// Whose it is.
    pub organisation: &'a str,
    /// The connection or webhook it belongs to.
    pub row: Uuid,
    /// The platform, of a connection.
    pub platform: Option<Platform>,
    /// What it holds.
    pub purpose: Purpose,
}

impl Binding<'_> {
    /// Every part with its length before it, so that no two different bindings have the same bytes.
    fn associated_data(&self, key_id: &str) -> Vec<u8> {
        let parts = [
            key_id.as_bytes(),
            self.organisation.as_bytes(),
            self.row.as_bytes(),
            self.platform.map_or("", Platform::key).as_bytes(),
            self.purpose.key().as_bytes(),
        ];
        let mut data = vec![VERSION];
        for part in parts {
            push_prefixed(&mut data, part);
        }
        data
    }
}

fn push_prefixed(data: &mut Vec<u8>, part: &[u8]) {
    data.extend_from_slice(&(part.len() as u64).to_be_bytes());
    data.extend_from_slice(part);
}

/// Why something cannot be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// It was sealed under a key this service does not have (any more). The id of a key is not secret.
    #[error("sealed under the key `{0}`, which is not configured")]
    UnknownKey(String),
    /// It is not a blob, was changed, or belongs elsewhere; these cannot be told apart.
    #[error("damaged, or sealed for another place")]
    Damaged,
    /// The system gives no random numbers, or the content is absurdly large.
    #[error("cannot be sealed")]
    CannotSeal,
}

/// Seals and opens.
#[derive(Debug, Clone)]
pub struct Vault {
    keys: KeyRing,
    random: SystemRandom,
}

impl Vault {
    /// A vault with these keys.
    pub fn new(keys: KeyRing) -> Self {
        Self { keys, random: SystemRandom::new() }
    }

    /// Seals `plaintext` under the active key, for one place only.
    ///
    /// # Errors
    /// [`VaultError::CannotSeal`].
    pub fn seal(&self, binding: &Binding<'_>, plaintext: &[u8]) -> Result<Vec<u8>, VaultError> {
        let key = self.keys.active();
        self.seal_under(&key.sealing, &key.id, &binding.associated_data(&key.id), plaintext)
    }

    fn seal_under(
        &self,
        key: &LessSafeKey,
        key_id: &str,
        associated_data: &[u8],
        plaintext: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let id_length = u8::try_from(key_id.len()).map_err(|_| VaultError::CannotSeal)?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| VaultError::CannotSeal)?;

        // Large enough from the start: a buffer that moved would leave a copy of the plaintext behind.
        let start = 2 + key_id.len() + NONCE_LEN;
        let size = start + plaintext.len() + AES_256_GCM.tag_len();
        let mut blob = Zeroizing::new(Vec::with_capacity(size));
        blob.extend_from_slice(&[VERSION, id_length]);
        blob.extend_from_slice(key_id.as_bytes());
        blob.extend_from_slice(&nonce);
        blob.extend_from_slice(plaintext);

        let nonce = Nonce::assume_unique_for_key(nonce);
        let content = blob.get_mut(start..).ok_or(VaultError::CannotSeal)?;
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(associated_data), content)
            .map_err(|_| VaultError::CannotSeal)?;
        blob.extend_from_slice(tag.as_ref());
        Ok(std::mem::take(&mut *blob))
    }

    /// Opens a blob that was sealed for this very place, under any key of the ring.
    ///
    /// # Errors
    /// [`VaultError::UnknownKey`] or [`VaultError::Damaged`].
    pub fn open(&self, binding: &Binding<'_>, blob: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let sealed = Sealed::split(blob).ok_or(VaultError::Damaged)?;
        let key = self.keys.find(sealed.key_id).ok_or_else(|| VaultError::UnknownKey(sealed.key_id.to_owned()))?;
        sealed.open_under(&key.sealing, &binding.associated_data(sealed.key_id))
    }

    /// Whether a blob should be sealed anew: it is not under the active key.
    pub(crate) fn needs_rotation(&self, blob: &[u8]) -> bool {
        key_id(blob) != Some(self.active_key_id())
    }

    /// The name of the key that new blobs are sealed under.
    pub fn active_key_id(&self) -> &str {
        &self.keys.active().id
    }

    /// The names of all keys, the active one first.
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.ids()
    }

    /// A fingerprint of `data` that only this service can make, as `key id:hex`. `label` says what for: fingerprints
    /// of one kind never equal those of another.
    pub(crate) fn keyed_hash(&self, label: &str, data: &[u8]) -> String {
        let key = self.keys.active();
        let tag = hmac::sign(&key.hashing, &labelled(label, data));
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}:{hex}", key.id)
    }

    /// Whether `stored` is the fingerprint of `data`, made under any key of the ring. Takes the same time however
    /// much of it is right.
    pub(crate) fn verify_keyed_hash(&self, label: &str, data: &[u8], stored: &str) -> bool {
        let parts = stored.split_once(':').and_then(|(id, hex)| self.keys.find(id).zip(from_hex(hex)));
        parts.is_some_and(|(Key { hashing, .. }, tag)| hmac::verify(hashing, &labelled(label, data), &tag).is_ok())
    }
}

/// The name of the key that a blob was sealed under; `None` where it is no blob.
pub fn key_id(blob: &[u8]) -> Option<&str> {
    Sealed::split(blob).map(|sealed| sealed.key_id)
}

/// A blob, taken apart.
struct Sealed<'a> {
    key_id: &'a str,
    nonce: [u8; NONCE_LEN],
    content: &'a [u8],
}

impl<'a> Sealed<'a> {
    fn split(blob: &'a [u8]) -> Option<Self> {
        let (&[VERSION, id_length], rest) = blob.split_first_chunk()? else { return None };
        let (key_id, rest) = rest.split_at_checked(usize::from(id_length))?;
        let (&nonce, content) = rest.split_first_chunk()?;
        Some(Self { key_id: std::str::from_utf8(key_id).ok()?, nonce, content })
    }

    fn open_under(&self, key: &LessSafeKey, associated_data: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let mut buffer = Zeroizing::new(self.content.to_vec());
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = key.open_in_place(nonce, Aad::from(associated_data), &mut buffer);
        let length = opened.map_err(|_| VaultError::Damaged)?.len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

fn labelled(label: &str, data: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(8 + label.len() + data.len());
    push_prefixed(&mut message, label.as_bytes());
    message.extend_from_slice(data);
    message
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|letter| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn vault(keys: &[(&str, u8)]) -> Vault {
        let line: Vec<String> =
            keys.iter().map(|(id, byte)| format!("{id}:{}", STANDARD.encode([*byte; 32]))).collect();
        Vault::new(KeyRing::parse(&line.join(",")).expect("a ring"))
    }

    fn place() -> Binding<'static> {
        Binding {
            organisation: "org-1",
            row: Uuid::from_u128(7),
            platform: Some(Platform::Affise),
            purpose: Purpose::Credentials,
        }
    }

    #[test]
    fn the_same_content_never_gives_the_same_blob() {
        let vault = vault(&[("a", 1)]);
        let blob = || vault.seal(&place(), b"secret").expect("sealed");
        assert_ne!(blob(), blob());
    }

    #[test]
    fn a_blob_does_not_open_anywhere_else() {
        let vault = vault(&[("a", 1)]);
        let blob = vault.seal(&place(), b"secret").expect("sealed");
        let elsewhere = [
            Binding { organisation: "org-2", ..place() },
            Binding { organisation: "", ..place() },
            Binding { row: Uuid::from_u128(8), ..place() },
            Binding { platform: Some(Platform::Cake), ..place() },
            Binding { platform: None, ..place() },
            Binding { purpose: Purpose::Settings, ..place() },
            Binding { purpose: Purpose::Verification, ..place() },
            Binding { purpose: Purpose::Health, ..place() },
            Binding { purpose: Purpose::WebhookUrl, ..place() },
            Binding { purpose: Purpose::WebhookSecret, ..place() },
            Binding { purpose: Purpose::FormerWebhookSecret, ..place() },
        ];
        for binding in elsewhere {
            assert_eq!(vault.open(&binding, &blob), Err(VaultError::Damaged), "{binding:?}");
        }
        assert!(vault.open(&place(), &blob).is_ok());
    }

    #[test]
    fn a_retired_key_still_opens_and_asks_for_rotation() {
        let before = vault(&[("old", 1)]);
        let blob = before.seal(&place(), b"secret").expect("sealed");
        assert!(!before.needs_rotation(&blob));

        let after = vault(&[("new", 2), ("old", 1)]);
        assert!(after.needs_rotation(&blob));
        let opened = after.open(&place(), &blob).expect("opened");
        assert_eq!(opened.as_slice(), b"secret");
        let again = after.seal(&place(), &opened).expect("sealed");
        assert_eq!(key_id(&again), Some("new"));
        assert!(!after.needs_rotation(&again));
    }

    #[test]
    fn a_key_that_is_gone_is_told_apart_from_damage() {
        let blob = vault(&[("old", 1)]).seal(&place(), b"secret").expect("sealed");
        let without = vault(&[("new", 2)]);
        assert_eq!(without.open(&place(), &blob), Err(VaultError::UnknownKey("old".to_owned())));
        let same_name_other_key = vault(&[("old", 2)]);
        assert_eq!(same_name_other_key.open(&place(), &blob), Err(VaultError::Damaged));
    }

    #[test]
    fn a_blob_relabelled_to_another_key_does_not_open_even_if_both_are_equal() {
        let vault = vault(&[("a", 1), ("b", 1)]);
        let mut blob = vault.seal(&place(), b"secret").expect("sealed");
        blob[2] = b'b';
        assert_eq!(vault.open(&place(), &blob), Err(VaultError::Damaged));
    }

    #[test]
    fn a_blob_cut_anywhere_is_damaged() {
        let vault = vault(&[("a", 1)]);
        let blob = vault.seal(&place(), b"").expect("sealed");
        for length in 0..blob.len() {
            assert!(vault.open(&place(), &blob[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(vault.open(&place(), &blob).expect("opened").as_slice(), b"");
    }

    #[test]
    fn blobs_and_hashes_of_version_1_stay_readable() {
        let vault = vault(&[("a", 1)]);
        let blob = STANDARD.decode("AQFhpsmu0SopOsf5rQASLpNtCLQlRGQ59MeM53AYOoZLTICwjg==").expect("base64");
        assert_eq!(vault.open(&place(), &blob).expect("opened").as_slice(), b"secret");
        assert_eq!(
            vault.keyed_hash("body", b"data"),
            "a:1e71e910e8030150c7d84c76654430738380665c2e8119536f0c61e8e1bb650f"
        );
    }

    #[test]
    fn a_keyed_hash_holds_for_its_label_and_data_and_across_rotation() {
        let before = vault(&[("old", 1)]);
        let after = vault(&[("new", 2), ("old", 1)]);
        let hash = before.keyed_hash("body", b"data");
        assert!(hash.starts_with("old:") && hash.len() == 4 + 64, "{hash}");
        assert!(before.verify_keyed_hash("body", b"data", &hash));
        assert!(after.verify_keyed_hash("body", b"data", &hash));
        assert!(!after.verify_keyed_hash("body", b"date", &hash));
        assert!(!after.verify_keyed_hash("bod", b"ydata", &hash));
        assert!(!vault(&[("new", 2)]).verify_keyed_hash("body", b"data", &hash));
        for garbage in ["", ":", "old:", "old:zz", "old:abc", "old:+f", "none:00", "old"] {
            assert!(!after.verify_keyed_hash("body", b"data", garbage), "{garbage}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        assert!(!format!("{:?}", vault(&[("a", 65)])).contains("65"));
        assert!(!format!("{:?}", vault(&[("a", 65)])).contains("AAAA"));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_again(organisation in "\\PC{0,20}", content in any::<Vec<u8>>()) {
            let vault = vault(&[("a", 1)]);
            let binding = Binding { organisation: &organisation, ..place() };
            let blob = vault.seal(&binding, &content).expect("sealed");
            let opened = vault.open(&binding, &blob).expect("opened");
            prop_assert_eq!(opened.as_slice(), content.as_slice());
        }

        #[test]
        fn a_blob_with_any_changed_byte_does_not_open(position in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            let vault = vault(&[("a", 1), ("b", 2)]);
            let mut blob = vault.seal(&place(), b"some secret").expect("sealed");
            let position = position.index(blob.len());
            blob[position] ^= flip;
            prop_assert!(vault.open(&place(), &blob).is_err());
        }

        #[test]
        fn garbage_never_panics(garbage in any::<Vec<u8>>()) {
            let vault = vault(&[("a", 1)]);
            prop_assert!(vault.open(&place(), &garbage).is_err());
            prop_assert!(vault.needs_rotation(&garbage));
        }

        #[test]
        fn different_bindings_have_different_associated_data(
            one in ("[a-c]{0,3}", "[a-c]{0,3}"), other in ("[a-c]{0,3}", "[a-c]{0,3}"),
        ) {
            let data = |(key, organisation): &(String, String)| {
                Binding { organisation, ..place() }.associated_data(key)
            };
            prop_assert_eq!(one == other, data(&one) == data(&other));
        }
    }
}
