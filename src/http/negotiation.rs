//! Which media type an answer has. That is known before any work is done: a handler gets at [`Accepts`] only if the
//! caller takes what it writes, and cannot write JSON without it.

use std::marker::PhantomData;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder};
use serde::Serialize;

use super::edge::ApiError;
use crate::problem::{Code, Problem};

/// The parameter that decides on the media type before anything else is read.
pub(super) const FORMAT: &str = "format";
/// The parameter that makes one table of several connections' statistics.
pub(super) const MERGE: &str = "merge";

/// What a call can write.
pub(super) trait Offer: 'static {
    /// The media types, the default first.
    const MEDIA: &'static [Media];
    /// Whether the parameter `format` decides where it is there, whatever the `Accept` header says.
    const BY_PARAMETER: bool = false;

    /// What it can write of this question.
    fn media(_query: &str) -> &'static [Media] {
        Self::MEDIA
    }
}

/// JSON and nothing else.
pub(super) struct JsonOnly;
/// Statistics: a page, or all rows in one of two forms.
pub(super) struct Table;
/// Statistics of several connections, which are one table only where that is asked for.
pub(super) struct Tables;

impl Offer for JsonOnly {
    const MEDIA: &'static [Media] = &[Media::Json];
}
impl Offer for Table {
    const MEDIA: &'static [Media] = &Media::ALL;
    const BY_PARAMETER: bool = true;
}
impl Offer for Tables {
    const MEDIA: &'static [Media] = &[Media::Json];
    const BY_PARAMETER: bool = true;

    fn media(query: &str) -> &'static [Media] {
        let is_merged = form_urlencoded::parse(query.as_bytes()).any(|(key, value)| key == MERGE && value == "true");
        if is_merged { Table::MEDIA } else { Self::MEDIA }
    }
}

/// That the caller takes what the call writes, and in which media type.
pub(super) struct Accepts<O> {
    pub(super) media: Media,
    offer: PhantomData<O>,
}

impl<O: Offer> FromRequest for Accepts<O> {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let offered = O::media(request.query_string());
        let format = O::BY_PARAMETER.then(|| format(request.query_string(), offered)).flatten();
        let chosen = format.map_or_else(|| choose(request.headers(), offered), Ok);
        std::future::ready(chosen.map(|media| Self { media, offer: PhantomData }).map_err(ApiError::from))
    }
}

impl Accepts<JsonOnly> {
    /// An answer with this body.
    pub(super) fn ok(self, body: &impl Serialize) -> HttpResponse {
        self.write(HttpResponse::Ok(), body)
    }

    /// An answer with JSON that is written already.
    pub(super) fn written(self, body: Bytes) -> HttpResponse {
        HttpResponse::Ok().content_type(Media::Json.name()).body(body)
    }

    /// The answer that has been begun, with this body.
    #[expect(clippy::disallowed_methods, reason = "the one place where JSON is written")]
    pub(super) fn write(self, mut response: HttpResponseBuilder, body: &impl Serialize) -> HttpResponse {
        response.json(body)
    }
}

/// What the parameter names, or the default where it names nothing that is offered: what is wrong is said with
/// everything else that is wrong with the query.
fn format(query: &str, offered: &[Media]) -> Option<Media> {
    let (_, named) = form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == FORMAT)?;
    offered.iter().find(|media| media.key() == named).or(offered.first()).copied()
}

/// What statistics can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Ndjson,
    Csv,
}

impl Media {
    /// All of them, the default first.
    pub(super) const ALL: [Self; 3] = [Self::Json, Self::Ndjson, Self::Csv];

    /// The value of the parameter `format`.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }
}

/// The best of `offered` (the default first) that the caller accepts.
fn choose(headers: &HeaderMap, offered: &[Media]) -> Result<Media, Problem> {
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
        return offered.first().copied().ok_or_else(|| not_acceptable(offered));
    }
    let best = offered.iter().map(quality).max().unwrap_or_default();
    offered.iter().find(|media| best > 0 && quality(media) == best).copied().ok_or_else(|| not_acceptable(offered))
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

pub(super) fn not_acceptable(offered: &[Media]) -> Problem {
    let offered = offered.iter().map(|media| media.name()).collect::<Vec<_>>().join(", ");
    Problem::new(Code::NotAcceptable, format!("The Accept header asks for none of what this call answers: {offered}."))
        .hint("Name one of these in the Accept header, or leave the header out.")
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
