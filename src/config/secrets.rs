//! The two secrets the service cannot do without: where they come from, and which ones production refuses.
//!
//! In development a missing secret is drawn at random and kept in a file that only its owner can read, so that a
//! restart keeps working. Production neither generates nor believes anything that was generated or copied from an
//! example.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::Environment;
use super::reader::Reader;
use crate::vault::KeyRing;

/// The shortest secret that HS256 may be used with.
const MIN_SECRET_BYTES: usize = 32;

/// Words that no real secret contains. Generated ones carry the last.
const PLACEHOLDERS: [&str; 5] = ["change-me", "changeme", "example", "placeholder", "generated"];

/// A secret: its variable, and how it is made and kept where that is allowed.
struct Kept {
    name: &'static str,
    file: &'static str,
    prefix: &'static str,
}

const AUTH_SECRET: Kept = Kept { name: "AUTH_JWT_SECRET", file: "auth_jwt_secret", prefix: "generated-" };
const CREDENTIALS_KEYS: Kept = Kept { name: "CREDENTIALS_KEYS", file: "credentials_keys", prefix: "generated:" };

/// The secret that tokens are signed with. With `needed` off (another issuer signs them) an unset one is fine.
pub(super) fn auth_secret(
    reader: &mut Reader<'_>,
    environment: Environment,
    data: &Path,
    needed: bool,
) -> Option<SecretString> {
    if !needed && reader.text(AUTH_SECRET.name).is_none() {
        return None;
    }
    let secret = AUTH_SECRET.find(reader, environment, data)?;
    if secret.expose_secret().len() < MIN_SECRET_BYTES {
        reader.add_problem(AUTH_SECRET.name, format!("must be at least {MIN_SECRET_BYTES} bytes long"));
        return None;
    }
    if environment == Environment::Production && is_repetition(secret.expose_secret().as_bytes()) {
        reader.add_problem(AUTH_SECRET.name, "is one character over and over; production needs a random secret");
    }
    Some(secret)
}

/// The keys of the vault.
pub(super) fn credentials_keys(reader: &mut Reader<'_>, environment: Environment, data: &Path) -> Option<KeyRing> {
    let line = CREDENTIALS_KEYS.find(reader, environment, data)?;
    let keys = match KeyRing::parse(line.expose_secret()) {
        Ok(keys) => keys,
        Err(error) => {
            reader.add_problem(CREDENTIALS_KEYS.name, error);
            return None;
        }
    };
    if environment == Environment::Production {
        for id in keys.trivial_keys() {
            reader.add_problem(
                CREDENTIALS_KEYS.name,
                format!("the key `{id}` is one byte over and over; production needs random keys"),
            );
        }
    }
    Some(keys)
}

/// Refuses an address with a password that is a placeholder, in production.
pub(super) fn check_passwords(
    reader: &mut Reader<'_>,
    environment: Environment,
    name: &str,
    passwords: &[SecretString],
) {
    let mut passwords = passwords.iter().map(ExposeSecret::expose_secret);
    if environment == Environment::Production && passwords.any(is_placeholder) {
        reader.add_problem(name, "its password is an example; production needs a real one");
    }
}

/// The files that generated secrets are kept in, under [`DATA_DIR`](super::DATA_DIR).
pub const SECRET_FILES: [&str; 2] = [AUTH_SECRET.file, CREDENTIALS_KEYS.file];

impl Kept {
    fn find(&self, reader: &mut Reader<'_>, environment: Environment, data: &Path) -> Option<SecretString> {
        match (reader.text(self.name).map(SecretString::from), environment) {
            (Some(secret), Environment::Production) if is_placeholder(secret.expose_secret()) => {
                reader
                    .add_problem(self.name, "is an example or was generated for development; production needs its own");
                None
            }
            (Some(secret), _) => Some(secret),
            (None, Environment::Production) => {
                reader.add_problem(self.name, "must be set in production");
                None
            }
            (None, Environment::Development) => {
                let path = data.join(self.file);
                let kept = read_or_make(&path, || self.generate());
                let describe = |error: io::Error| {
                    format!("is not set, and a generated one cannot be kept in {}: {error}", path.display())
                };
                kept.map_err(|error| reader.add_problem(self.name, describe(error))).ok()
            }
        }
    }

    fn generate(&self) -> io::Result<SecretString> {
        let mut bytes = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(bytes.as_mut()).map_err(|_| io::Error::other("no random numbers"))?;
        Ok(format!("{}{}", self.prefix, STANDARD.encode(bytes.as_ref())).into())
    }
}

fn is_placeholder(secret: &str) -> bool {
    let secret = secret.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|word| secret.contains(word))
}

fn is_repetition(bytes: &[u8]) -> bool {
    bytes.windows(2).all(|pair| pair.first() == pair.last())
}

/// The content of a file, which is made if there is none.
fn read_or_make(path: &Path, make: impl FnOnce() -> io::Result<SecretString>) -> io::Result<SecretString> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        outcome => return outcome,
    }
    if let Some(parent) = path.parent() {
        make_private_dir(parent)?;
    }
    let secret = make()?;
    // Written aside and then linked: the name never stands for half a secret, and of two processes that start at
    // the same time one wins and the other reads what the first has made.
    let aside = path.with_extension(format!("{:016x}.new", fastrand::u64(..)));
    let linked = write_private(&aside, &secret).and_then(|()| fs::hard_link(&aside, path));
    fs::remove_file(&aside).or_else(|error| if linked.is_ok() { Err(error) } else { Ok(()) })?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => read(path),
    }
}

fn read(path: &Path) -> io::Result<SecretString> {
    let content = Zeroizing::new(fs::read_to_string(path)?);
    Ok(content.trim().into())
}

fn write_private(path: &Path, secret: &SecretString) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{}", secret.expose_secret())?;
    file.sync_all()
}

/// Makes a directory, and those above it, for their owner only. One that is there already is left as it is.
pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
