//! What signs tokens and checks their signatures: ring, which is here anyway, behind the interface of `jsonwebtoken`.
//!
//! That crate's own backend would bring some forty crates. What neither this service nor its tests use is an error, and so
//! is everything about JWKs: the keys of an issuer are read by [`jwks`](super::jwks).

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind, Result};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::hmac::{self, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Signing::with(*algorithm, key)?)),
    verifier_factory: |algorithm, key| Ok(Box::new(Checking::with(*algorithm, key)?)),
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(unsupported()),
        rsa_pub_components_from_public_key: |_| Err(unsupported()),
        ec_pub_components_from_private_key: |_, _| Err(unsupported()),
        ed_pub_components_from_private_key: |_, _| Err(unsupported()),
        compute_digest: |_, _| Err(unsupported()),
    },
};

/// Has this process sign and check tokens with ring. Needed before the first token; once is enough.
pub fn install_provider() {
    // It is this one that is there already.
    let _ = PROVIDER.install_default();
}

fn unsupported() -> Error {
    ErrorKind::InvalidAlgorithm.into()
}

/// A key goes with the algorithms of its own family only.
fn demand(family: AlgorithmFamily, wanted: AlgorithmFamily) -> Result<()> {
    if family == wanted { Ok(()) } else { Err(ErrorKind::InvalidKeyFormat.into()) }
}

fn hmac_of(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    match algorithm {
        Algorithm::HS256 => Some(HMAC_SHA256),
        Algorithm::HS384 => Some(HMAC_SHA384),
        Algorithm::HS512 => Some(HMAC_SHA512),
        _ => None,
    }
}

/// Something to sign with.
struct Signing {
    algorithm: Algorithm,
    key: SigningKey,
}

enum SigningKey {
    Hmac(hmac::Key),
    Ecdsa(EcdsaKeyPair),
    Eddsa(Ed25519KeyPair),
}

impl Signing {
    fn with(algorithm: Algorithm, key: &EncodingKey) -> Result<Self> {
        let bytes = key.as_bytes();
        let key = match (hmac_of(algorithm), algorithm) {
            (Some(hash), _) => {
                demand(key.family(), AlgorithmFamily::Hmac)?;
                SigningKey::Hmac(hmac::Key::new(hash, bytes))
            }
            (None, Algorithm::ES256) => {
                demand(key.family(), AlgorithmFamily::Ec)?;
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes, &SystemRandom::new());
                SigningKey::Ecdsa(pair.map_err(|_| ErrorKind::InvalidEcdsaKey)?)
            }
            (None, Algorithm::EdDSA) => {
                demand(key.family(), AlgorithmFamily::Ed)?;
                SigningKey::Eddsa(Ed25519KeyPair::from_pkcs8(bytes).map_err(|_| ErrorKind::InvalidEddsaKey)?)
            }
            (None, _) => return Err(unsupported()),
        };
        Ok(Self { algorithm, key })
    }
}

impl Signer<Vec<u8>> for Signing {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        Ok(match &self.key {
            SigningKey::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            SigningKey::Ecdsa(pair) => {
                let signed = pair.sign(&SystemRandom::new(), message).map_err(|_| signature::Error::new())?;
                signed.as_ref().to_vec()
            }
            SigningKey::Eddsa(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}

impl JwtSigner for Signing {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Something to check signatures with.
struct Checking {
    algorithm: Algorithm,
    key: CheckingKey,
}

enum CheckingKey {
    Hmac(hmac::Key),
    Ecdsa(UnparsedPublicKey<Vec<u8>>),
    Eddsa(UnparsedPublicKey<Vec<u8>>),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

impl Checking {
    fn with(algorithm: Algorithm, key: &DecodingKey) -> Result<Self> {
        let family = key.family();
        let key = match (hmac_of(algorithm), algorithm, key.kind()) {
            (Some(hash), _, DecodingKeyKind::SecretOrDer(secret)) => {
                demand(family, AlgorithmFamily::Hmac)?;
                CheckingKey::Hmac(hmac::Key::new(hash, secret))
            }
            (None, Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => {
                demand(family, AlgorithmFamily::Ec)?;
                CheckingKey::Ecdsa(UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point.clone()))
            }
            (None, Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(point)) => {
                demand(family, AlgorithmFamily::Ed)?;
                CheckingKey::Eddsa(UnparsedPublicKey::new(&ED25519, point.clone()))
            }
            (None, Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                demand(family, AlgorithmFamily::Rsa)?;
                // ring takes no zeros in front, and an issuer may write some.
                let bare = |number: &[u8]| number.iter().copied().skip_while(|byte| *byte == 0).collect();
                CheckingKey::Rsa(RsaPublicKeyComponents { n: bare(n), e: bare(e) })
            }
            _ => return Err(unsupported()),
        };
        Ok(Self { algorithm, key })
    }
}

impl Verifier<Vec<u8>> for Checking {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), signature::Error> {
        let outcome = match &self.key {
            CheckingKey::Hmac(key) => hmac::verify(key, message, signature),
            CheckingKey::Ecdsa(key) | CheckingKey::Eddsa(key) => key.verify(message, signature),
            CheckingKey::Rsa(key) => key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature),
        };
        outcome.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Checking {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
