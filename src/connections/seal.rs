//! What a connection keeps sealed: settings and hints, secrets, verifications, and its health. Each is bound to its
//! organisation, connection, platform and purpose.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::SecretHint;
use super::health::Condition;
use crate::platforms::verification::Verification;
use crate::platforms::{Credentials, Platform, Settings};
use crate::tenancy::OrgId;
use crate::vault::{Binding, Purpose, Vault, VaultError};

/// More bytes than anything has that is sealed: a body has 64 KiB at most.
const ROOM: usize = 80 * 1024;

/// What is sealed beside the secrets: hosts are private, and so are four characters of a key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Profile {
    /// The settings, normalised.
    pub settings: Settings,
    /// What may be shown of each secret.
    pub hints: BTreeMap<String, SecretHint>,
}

/// Seals and opens what a row holds.
#[derive(Clone, Copy)]
pub struct Sealer<'a> {
    vault: &'a Vault,
    organisation: &'a str,
    connection: Uuid,
    platform: Platform,
}

impl<'a> Sealer<'a> {
    /// For a connection of an organisation.
    pub fn new(vault: &'a Vault, organisation: &'a OrgId, connection: Uuid, platform: Platform) -> Self {
        Self { vault, organisation: organisation.as_str(), connection, platform }
    }

    fn binding(&self, purpose: Purpose) -> Binding<'a> {
        Binding { organisation: self.organisation, row: self.connection, platform: Some(self.platform), purpose }
    }

    fn seal<T: Serialize>(&self, purpose: Purpose, value: &T) -> Result<Vec<u8>, VaultError> {
        // With room for all of it: what grows leaves unwiped copies of itself behind.
        let mut text = Zeroizing::new(Vec::with_capacity(ROOM));
        serde_json::to_writer(&mut *text, value).map_err(|_| VaultError::Damaged)?;
        self.vault.seal(&self.binding(purpose), &text)
    }

    fn open<T: serde::de::DeserializeOwned>(&self, purpose: Purpose, blob: &[u8]) -> Result<T, VaultError> {
        let text = self.vault.open(&self.binding(purpose), blob)?;
        serde_json::from_slice(&text).map_err(|_| VaultError::Damaged)
    }

    /// Seals settings and hints.
    ///
    /// # Errors
    /// No randomness.
    pub(crate) fn seal_profile(&self, profile: &Profile) -> Result<Vec<u8>, VaultError> {
        self.seal(Purpose::Settings, profile)
    }

    /// Opens settings and hints.
    ///
    /// # Errors
    /// An unknown key or a damaged blob.
    pub(crate) fn open_profile(&self, blob: Option<&[u8]>) -> Result<Profile, VaultError> {
        self.open(Purpose::Settings, blob.ok_or(VaultError::Damaged)?)
    }

    /// Seals secrets.
    ///
    /// # Errors
    /// No randomness.
    pub(crate) fn seal_credentials(&self, credentials: &Credentials) -> Result<Vec<u8>, VaultError> {
        let exposed: BTreeMap<&str, &str> =
            credentials.iter().map(|(key, secret)| (key.as_str(), secret.expose_secret())).collect();
        self.seal(Purpose::Credentials, &exposed)
    }

    /// Opens secrets.
    ///
    /// # Errors
    /// An unknown key or a damaged blob.
    pub(crate) fn open_credentials(&self, blob: Option<&[u8]>) -> Result<Credentials, VaultError> {
        self.open::<BTreeMap<String, SecretString>>(Purpose::Credentials, blob.ok_or(VaultError::Damaged)?)
    }

    /// Seals what is known of a connection's health, whose words name the host too.
    ///
    /// # Errors
    /// No randomness.
    pub(crate) fn seal_health(&self, condition: &Condition) -> Result<Vec<u8>, VaultError> {
        self.seal(Purpose::Health, condition)
    }

    /// Opens what is known of a connection's health.
    ///
    /// # Errors
    /// An unknown key or a damaged blob.
    pub(crate) fn open_health(&self, blob: &[u8]) -> Result<Condition, VaultError> {
        self.open(Purpose::Health, blob)
    }

    /// Seals a verification, whose words name the host.
    ///
    /// # Errors
    /// No randomness.
    pub(crate) fn seal_verification(&self, verification: &Verification) -> Result<Vec<u8>, VaultError> {
        self.seal(Purpose::Verification, verification)
    }

    /// Opens a verification.
    ///
    /// # Errors
    /// An unknown key or a damaged blob.
    pub(crate) fn open_verification(&self, blob: &[u8]) -> Result<Verification, VaultError> {
        self.open(Purpose::Verification, blob)
    }
}
