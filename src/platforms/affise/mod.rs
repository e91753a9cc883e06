//! Affise (stub while the spine is being built).
pub(super) mod admin;
pub(super) mod affiliate;
pub(super) mod catalogue;
use super::transport::Limits;
use super::{FieldError, Settings, address};

pub(super) const LIMITS: Limits = Limits { concurrency: 8 };

pub(super) fn normalise(settings: &mut Settings) -> Result<(), Vec<FieldError>> {
    if let Some(url) = settings.get_mut("base_url") {
        *url = address::normalise("base_url", url, |_| String::new()).map_err(|error| vec![error])?;
    }
    Ok(())
}
