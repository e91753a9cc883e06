//! What deliveries are signed with, after Standard Webhooks 1.0: HMAC-SHA256 over the id, the time and the body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::vault::VaultError;

/// How the text of a secret begins.
const PREFIX: &str = "whsec_";
/// Bytes of a secret.
const LENGTH: usize = 32;

/// A secret of a webhook.
pub(super) struct Secret(Zeroizing<[u8; LENGTH]>);

impl Secret {
    /// A new one.
    pub(super) fn random() -> Result<Self, VaultError> {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        SystemRandom::new().fill(&mut *bytes).map_err(|_| VaultError::CannotSeal)?;
        Ok(Self(bytes))
    }

    /// One that was stored.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let mut own = Zeroizing::new([0; LENGTH]);
        (bytes.len() == LENGTH).then(|| own.copy_from_slice(bytes))?;
        Some(Self(own))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &*self.0
    }

    /// As receivers are given it. Standard base64 with padding: the official libraries disagree on every other form.
    pub(super) fn text(&self) -> SecretString {
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + LENGTH * 2));
        text.push_str(PREFIX);
        STANDARD.encode_string(self.bytes(), &mut text);
        SecretString::from(std::mem::take(&mut *text))
    }
}

/// The header `webhook-signature`: one signature for each secret, with blanks between.
pub(super) fn signatures(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let all: Vec<String> = secrets.iter().map(|secret| signature(secret.bytes(), id, timestamp, body)).collect();
    all.join(" ")
}

fn signature(secret: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    format!("v1,{}", STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specifications_libraries() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_written_in_standard_base64_with_padding() {
        let secret = Secret::of(&[0xfb; LENGTH]).expect("a secret");
        assert_eq!(secret.text().expose_secret(), "whsec_+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=");
        let [one, other] = [Secret::random(), Secret::random()].map(|secret| secret.expect("random numbers"));
        assert_ne!(one.bytes(), other.bytes());
        assert!(Secret::of(&[1; 31]).is_none());
    }

    #[test]
    fn two_secrets_sign_side_by_side() {
        let secrets = [1, 2].map(|byte| Secret::of(&[byte; LENGTH]).expect("a secret"));
        let both = signatures(&secrets, "id", 1, b"body");
        let parts: Vec<&str> = both.split(' ').collect();
        assert_eq!(parts.len(), 2);
        assert!(parts.iter().all(|part| part.starts_with("v1,") && part.len() == 47), "{both}");
        assert_ne!(parts[0], parts[1]);
    }
}
