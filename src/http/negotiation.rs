//! Which media type an answer has.

use actix_web::http::header::{self, HeaderMap};

use crate::problem::{Code, Problem};

/// What statistics can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Ndjson,
    Csv,
}

impl Media {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }
}

/// The best of `offered` (the default first) that the caller accepts.
pub(super) fn choose(headers: &HeaderMap, offered: &[Media]) -> Result<Media, Problem> {
    let accepts: Vec<(String, u16)> = headers
        .get_all(header::ACCEPT)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(read_range)
        .collect();
    let quality = |media: &Media| -> u16 {
        let (kind, _) = media.name().split_once('/').unwrap_or_default();
        // The most specific range decides (RFC 9110, 12.5.1).
        [media.name().to_owned(), format!("{kind}/*"), "*/*".to_owned()]
            .iter()
            .find_map(|range| accepts.iter().find(|(name, _)| name == range))
            .map_or(0, |(_, quality)| *quality)
    };
    if accepts.is_empty() {
        return offered.first().copied().ok_or_else(not_acceptable);
    }
    let best = offered.iter().map(quality).max().unwrap_or_default();
    offered.iter().find(|media| best > 0 && quality(media) == best).copied().ok_or_else(not_acceptable)
}

/// A media range and its quality in thousandths.
fn read_range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
    let quality = parts
        .find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")))
        .map_or(Some(1_000), read_quality)?;
    Some((name, quality))
}

fn read_quality(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: u16 = whole.parse().ok().filter(|whole| *whole <= 1)?;
    let thousandths: u16 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some((whole * 1_000 + thousandths).min(1_000))
}

pub(super) fn not_acceptable() -> Problem {
    Problem::new(Code::NotAcceptable, "None of the accepted media types can be produced here.")
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn chosen(accept: &str) -> Option<Media> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).expect("a header"));
        choose(&headers, &[Media::Json, Media::Ndjson, Media::Csv]).ok()
    }

    #[test]
    fn the_callers_preference_decides() {
        assert_eq!(chosen("*/*"), Some(Media::Json));
        assert_eq!(chosen("text/csv"), Some(Media::Csv));
        assert_eq!(chosen("text/html, application/x-ndjson;q=0.9, */*;q=0.1"), Some(Media::Ndjson));
        assert_eq!(chosen("application/json;q=0, text/*"), Some(Media::Csv));
        assert_eq!(chosen("application/json;q=0"), None);
        assert_eq!(chosen("image/png"), None);
        assert_eq!(choose(&HeaderMap::new(), &[Media::Json]).ok(), Some(Media::Json));
    }
}
