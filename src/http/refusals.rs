//! What the HTTP library refuses before any code of ours runs: no HTTP at all, a head that is too long, or one that does
//! not arrive in time. Its own answers are empty; here they become problems like all others.

use std::time::Duration;

use serde_json::to_vec;
use uuid::Uuid;

use crate::problem::{Code, Problem};

/// How long the head of a request may take to arrive.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It cannot be read.
    Malformed,
    /// Its head takes too long.
    TooSlow,
    /// Its head is too long, in bytes or in headers.
    TooLong,
}

impl Refusal {
    /// All of them.
    const ALL: [Self; 3] = [Self::Malformed, Self::TooSlow, Self::TooLong];

    /// The refusal that the library is about to send: an answer without a body, and without the request id that each
    /// answer of ours has.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(b"HTTP/1.1 ").or_else(|| bytes.strip_prefix(b"HTTP/1.0 "))?;
        let refusal = Self::ALL.into_iter().find(|refusal| rest.starts_with(refusal.status_line().as_bytes()))?;
        let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
        let mut headers = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        let is_empty = headers.clone().any(|(name, value)| name == "content-length" && value.trim() == "0");
        let is_ours = headers.any(|(name, _)| name == "x-request-id");
        (is_empty && !is_ours).then_some(refusal)
    }

    const fn status_line(self) -> &'static str {
        match self {
            Self::Malformed => "400 Bad Request",
            Self::TooSlow => "408 Request Timeout",
            Self::TooLong => "431 Request Header Fields Too Large",
        }
    }

    const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::TooSlow => 408,
            Self::TooLong => 431,
        }
    }

    fn detail(self) -> String {
        match self {
            Self::Malformed => "What was sent is no HTTP request.".to_owned(),
            Self::TooSlow => format!("The head of the request took more than {} s.", HEAD_TIMEOUT.as_secs()),
            Self::TooLong => "The head of the request is too long: 32 KiB or a hundred headers.".to_owned(),
        }
    }

    /// The whole answer. The connection ends with it.
    pub(super) fn answer(self) -> Vec<u8> {
        let request_id = Uuid::now_v7().to_string();
        let mut problem = Problem::new(Code::MalformedRequest, self.detail()).body("/", &request_id);
        problem.status = self.status();
        let body = to_vec(&problem).unwrap_or_default();
        tracing::debug!(request_id, http.status = self.status(), "no request");
        let head = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nx-request-id: {request_id}\r\n\
             cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n",
            self.status_line(),
            body.len()
        );
        [head.into_bytes(), body].concat()
    }
}

/// An answer that is sent in the place of another.
pub(super) struct Instead {
    pub(super) bytes: Vec<u8>,
    pub(super) sent: usize,
}

impl From<Refusal> for Instead {
    fn from(refusal: Refusal) -> Self {
        Self { bytes: refusal.answer(), sent: 0 }
    }
}

impl Instead {
    /// What is still to be sent.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_answer_of_the_library_is_replaced() {
        let empty = "content-length: 0\r\nconnection: close\r\n";
        for (head, refusal) in [
            (format!("HTTP/1.1 400 Bad Request\r\n{empty}\r\n"), Some(Refusal::Malformed)),
            (format!("HTTP/1.1 408 Request Timeout\r\n{empty}\r\n"), Some(Refusal::TooSlow)),
            (format!("HTTP/1.1 431 Request Header Fields Too Large\r\n{empty}\r\n"), Some(Refusal::TooLong)),
            (format!("HTTP/1.1 400 Bad Request\r\n{empty}x-request-id: a\r\n\r\n"), None),
            ("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n".to_owned(), None),
            (format!("HTTP/1.1 400 Bad Request\r\n{empty}\r\n{{}}"), None),
            (format!("HTTP/1.1 404 Not Found\r\n{empty}\r\n"), None),
            (String::new(), None),
        ] {
            assert_eq!(Refusal::of(head.as_bytes()), refusal, "{head}");
        }
    }

    #[test]
    fn what_is_sent_in_its_place_is_a_problem_with_an_id_and_never_replaced_again() {
        for refusal in Refusal::ALL {
            let answer = refusal.answer();
            let text = String::from_utf8(answer).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a body");
            let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
            assert_eq!((&body["code"], &body["status"]), (&"malformed_request".into(), &refusal.status().into()));
            let id = body["request_id"].as_str().expect("an id");
            assert!(head.contains(&format!("x-request-id: {id}")), "{head}");
            assert_eq!(Refusal::of(text.as_bytes()), None);
        }
    }
}
