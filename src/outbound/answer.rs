//! What a tracker answered.

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status: 2xx, 4xx but 429, or 500. Everything else is an error already.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decompressed.
    pub body: Bytes,
}

impl Answer {
    /// Whether the body is a web page: what a login form, a proxy or another product answers.
    pub fn is_html(&self) -> bool {
        self.body.trim_ascii_start().first() == Some(&b'<') && !self.body.trim_ascii_start().starts_with(b"<?xml")
    }
}
