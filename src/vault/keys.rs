//! The keys of the vault: which one seals, and which ones still open.
//!
//! They come as one line of configuration, `id:base64(32 bytes)` separated by commas. The first one is active.
//! To rotate, put a new key in front, re-seal everything, then take the old one out.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use ring::hmac::{self, HMAC_SHA256};
use zeroize::Zeroizing;

/// The length of a key in bytes.
const KEY_BYTES: usize = 32;

/// The longest name a key may have. It fits the one byte that a blob has for the length.
const MAX_ID: usize = 32;

/// What is wrong with a line of keys. The keys themselves are never repeated; entries are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// There is no key at all.
    #[error("there is no key in it")]
    Empty,
    /// An entry is not `id:key`.
    #[error("entry {0} is not written id:base64-key")]
    NotAPair(usize),
    /// The name of a key is not a plain word.
    #[error("the id of entry {0} must be 1 to 32 letters, digits, `_` or `-`")]
    BadId(usize),
    /// The key is not base64, or not of the right length.
    #[error("the key of entry {0} must be 32 bytes in base64 (44 characters)")]
    BadKey(usize),
    /// Two keys have the same name.
    #[error("the id of entry {0} is used twice")]
    DuplicateId(usize),
}

/// All keys of the service, the active one first.
///
/// The configured bytes are wiped as soon as the working keys are derived from them. The working keys are `ring`'s,
/// live as long as the process needs them, and are never shown: `Debug` prints names only.
#[derive(Clone)]
pub struct KeyRing {
    active: Arc<Key>,
    retired: Arc<[Arc<Key>]>,
}

/// One key, under its name.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) sealing: LessSafeKey,
    pub(super) hashing: hmac::Key,
    /// What the keys of things that only pass are derived from, one for each place.
    pub(super) passing: Prk,
    /// All its bytes are the same: a placeholder, not a random key.
    trivial: bool,
}

impl KeyRing {
    /// Reads `id:base64,id2:base64`.
    ///
    /// # Errors
    /// The first entry that is no key.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        if text.trim().is_empty() {
            return Err(KeyRingError::Empty);
        }
        let mut keys: Vec<Arc<Key>> = Vec::new();
        for (index, entry) in text.split(',').enumerate() {
            let key = Key::parse(index + 1, entry.trim())?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(KeyRingError::DuplicateId(index + 1));
            }
            keys.push(Arc::new(key));
        }
        let mut keys = keys.into_iter();
        let active = keys.next().ok_or(KeyRingError::Empty)?;
        Ok(Self { active, retired: keys.collect() })
    }

    /// The names of keys that nobody drew at random: all their bytes are the same.
    pub fn trivial_keys(&self) -> impl Iterator<Item = &str> {
        self.iter().filter(|key| key.trivial).map(|key| key.id.as_str())
    }

    /// The names of all keys, the active one first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|key| key.id.as_str())
    }

    pub(super) fn active(&self) -> &Key {
        &self.active
    }

    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        self.iter().find(|key| key.id == id)
    }

    fn iter(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.active).chain(self.retired.iter()).map(AsRef::as_ref)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.iter().map(|key| &key.id)).finish()
    }
}

impl Key {
    fn parse(position: usize, entry: &str) -> Result<Self, KeyRingError> {
        let (id, encoded) = entry.split_once(':').ok_or(KeyRingError::NotAPair(position))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if id.is_empty() || id.len() > MAX_ID || !id.bytes().all(plain) {
            return Err(KeyRingError::BadId(position));
        }
        let bytes = STANDARD.decode(encoded).map(Zeroizing::new).map_err(|_| KeyRingError::BadKey(position))?;
        if bytes.len() != KEY_BYTES {
            return Err(KeyRingError::BadKey(position));
        }
        Self::derive(id, &bytes).ok_or(KeyRingError::BadKey(position))
    }

    /// Sealing, hashing and what only passes get a key each, so that what one of them reveals is worth nothing to the
    /// others.
    fn derive(id: &str, bytes: &[u8]) -> Option<Self> {
        let root: Prk = Salt::new(HKDF_SHA256, b"affzero-connections vault").extract(bytes);
        let passing = Salt::new(HKDF_SHA256, b"affzero-connections passing").extract(bytes);
        let sealing = root.expand(&[b"seal"], &AES_256_GCM).ok()?;
        let hashing = root.expand(&[b"hash"], HMAC_SHA256).ok()?;
        Some(Self {
            id: id.to_owned(),
            sealing: LessSafeKey::new(UnboundKey::from(sealing)),
            hashing: hmac::Key::from(hashing),
            passing,
            trivial: bytes.windows(2).all(|pair| pair.first() == pair.last()),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> String {
        STANDARD.encode([byte; KEY_BYTES])
    }

    #[test]
    fn the_first_key_is_active_and_all_are_found() {
        let ring = KeyRing::parse(&format!("new:{}, old_1:{}", key(1), key(2))).expect("a ring");
        assert_eq!(ring.active().id, "new");
        assert!(ring.find("old_1").is_some());
        assert!(ring.find("older").is_none());
    }

    #[test]
    fn a_malformed_line_is_refused_with_its_place() {
        let refusal = |text: &str| KeyRing::parse(text).expect_err("a refusal");
        let good = key(1);
        assert_eq!(refusal(""), KeyRingError::Empty);
        assert_eq!(refusal("  "), KeyRingError::Empty);
        assert_eq!(refusal(&good), KeyRingError::NotAPair(1));
        assert_eq!(refusal(&format!("a:{good},")), KeyRingError::NotAPair(2));
        assert_eq!(refusal(&format!(":{good}")), KeyRingError::BadId(1));
        assert_eq!(refusal(&format!("a b:{good}")), KeyRingError::BadId(1));
        assert_eq!(refusal(&format!("{}:{good}", "a".repeat(33))), KeyRingError::BadId(1));
        assert_eq!(refusal("a:AAAA"), KeyRingError::BadKey(1));
        assert_eq!(refusal("a:not base64"), KeyRingError::BadKey(1));
        assert_eq!(refusal(&format!("a:{}", STANDARD.encode([1; 33]))), KeyRingError::BadKey(1));
        assert_eq!(refusal(&format!("a:{good},a:{}", key(2))), KeyRingError::DuplicateId(2));
    }

    #[test]
    fn debug_and_errors_show_no_key() {
        let ring = KeyRing::parse(&format!("k1:{},k2:{}", key(1), key(2))).expect("a ring");
        assert_eq!(format!("{ring:?}"), r#"["k1", "k2"]"#);
        let error = KeyRing::parse(&format!("k1:{}x", key(1))).expect_err("a refusal");
        assert!(!format!("{error} {error:?}").contains(&key(1)));
    }

    #[test]
    fn a_key_of_one_repeated_byte_is_named() {
        let random: [u8; KEY_BYTES] = std::array::from_fn(|index| u8::try_from(index).expect("small"));
        let ring = KeyRing::parse(&format!("good:{},zero:{}", STANDARD.encode(random), key(0))).expect("a ring");
        assert_eq!(ring.trivial_keys().collect::<Vec<_>>(), ["zero"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,120}") {
            let _ = KeyRing::parse(&text);
        }
    }
}
