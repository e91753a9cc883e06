//! What CAKE's answers mean where they are no report.
//!
//! Most refusals come with status 200, `success` false and a sentence; ASP.NET's own come as a 500 with plain text;
//! the newer paths use statuses as well. No list of the sentences is published, so they are sorted by the words in
//! them that are known, and quoted.

use super::super::kind::ConnectionType;
use super::parse::parse;
use super::wire::Table;
use crate::outbound::error::{ErrorKind, PlatformError, Stage};
use crate::outbound::{Answer, Upstream};

/// Why a call gave no table.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The network does not have this path or version.
    NoSuchPath,
    /// The window is longer than this network allows.
    RangeTooLong,
    /// A refusal in words that are not known.
    SaidNo(String),
    /// Anything else.
    Failed(PlatformError),
}

impl From<PlatformError> for Trouble {
    fn from(error: PlatformError) -> Self {
        Self::Failed(error)
    }
}

/// Who reads the answers of one account, and puts refusals into words.
pub(super) struct Judge {
    pub(super) upstream: Upstream,
    pub(super) portal: ConnectionType,
    pub(super) has_affiliate_id: bool,
}

impl Judge {
    /// The table of an answer, or what the answer says instead.
    pub(super) fn table(&self, answer: &Answer, rows: &[&str]) -> Result<Table, Trouble> {
        let status = answer.status.as_u16();
        if status == 404 {
            return Err(Trouble::NoSuchPath);
        }
        let document = parse(&answer.body);
        if answer.status.is_success() && document.as_ref().is_ok_and(|document| document.is_repaired) {
            self.upstream.note_repaired();
        }
        let read = document.and_then(|document| Table::read(document, rows));
        if !answer.status.is_success() {
            let message = read.ok().and_then(|table| table.message).or_else(|| plain_text(answer));
            return Err(self.refused(answer, message.as_deref()));
        }
        if is_web_page(answer) {
            return Err(self.not_cake("answers with a web page instead of a report").into());
        }
        let table = read
            .map_err(|malformed| self.odd(&format!("sent an answer that cannot be read as a report: {malformed}")))?;
        match (table.success, &table.message) {
            (Some(false), message) => Err(self.said_no(message.as_deref().unwrap_or("no reason given"))),
            // Some envelopes have no `success`; a message instead of rows is a refusal all the same.
            (None, Some(message)) if table.rows.as_ref().is_none_or(Vec::is_empty) => Err(self.said_no(message)),
            _ => Ok(table),
        }
    }

    /// What a status other than 2xx and 404 means.
    fn refused(&self, answer: &Answer, message: Option<&str>) -> Trouble {
        let said = message.unwrap_or_default();
        let kind = kind_of(said);
        match answer.status.as_u16() {
            status @ (401 | 403) => {
                let kind = match kind {
                    Some(Said::Refusal(kind)) => kind,
                    _ => ErrorKind::CredentialsRejected,
                };
                let words = if said.is_empty() { format!("status {status}") } else { said.to_owned() };
                self.refusal(kind, &words).into()
            }
            500 if message.is_none() => answer.failing(&self.upstream.host()).into(),
            status => match kind {
                Some(Said::NoSuchPath) => Trouble::NoSuchPath,
                Some(Said::RangeTooLong) => Trouble::RangeTooLong,
                Some(Said::AffiliateId) if self.lacks_affiliate_id() => self.affiliate_id_required(said).into(),
                Some(Said::Parameter | Said::AffiliateId) => {
                    self.odd(&format!("does not take a parameter of the call: {}", self.words(said))).into()
                }
                Some(Said::Refusal(kind)) => self.refusal(kind, said).into(),
                None if status == 500 => answer.failing(&self.upstream.host()).into(),
                None if said.is_empty() => self.not_cake(&format!("answers with status {status}")).into(),
                None => Trouble::SaidNo(said.to_owned()),
            },
        }
    }

    /// What `success=false` means. Most refusals of CAKE's come this way, with status 200.
    fn said_no(&self, message: &str) -> Trouble {
        match kind_of(message) {
            Some(Said::RangeTooLong) => Trouble::RangeTooLong,
            Some(Said::NoSuchPath) => Trouble::NoSuchPath,
            Some(Said::Refusal(kind)) => self.refusal(kind, message).into(),
            Some(Said::AffiliateId) if self.portal == ConnectionType::Affiliate => {
                self.refusal(ErrorKind::CredentialsRejected, message).into()
            }
            Some(Said::AffiliateId | Said::Parameter) | None => Trouble::SaidNo(message.to_owned()),
        }
    }

    /// A refused key.
    pub(super) fn refusal(&self, kind: ErrorKind, message: &str) -> PlatformError {
        if kind == ErrorKind::CredentialsRejected && self.lacks_affiliate_id() {
            return self.affiliate_id_required(message);
        }
        let (host, said) = (self.upstream.host(), self.words(message));
        match kind {
            ErrorKind::IpNotAllowed => self.upstream.ip_not_allowed(format!("{host} refuses the address: {said}.")),
            ErrorKind::RateLimited => PlatformError::new(kind, format!("{host} asks to be called less often: {said}.")),
            _ => PlatformError::new(kind, format!("{host} refuses the key: {said}.")).hint(match (kind, self.portal) {
                (ErrorKind::InsufficientPermissions, _) => {
                    "Ask the network to turn on API access to reports for this account."
                }
                (_, ConnectionType::Affiliate) => {
                    "Copy the key and the Affiliate ID again; both stand side by side under Reporting API (or Account Settings > API) in the affiliate portal."
                }
                (_, ConnectionType::Admin) => {
                    "Copy the key again from Admin > System Settings > API (older: Setup > Permissions > API key); regenerating a key ends the old one."
                }
            }),
        }
    }

    /// What is left of a trouble that nobody could work around.
    pub(super) fn explain(&self, trouble: Trouble) -> PlatformError {
        match trouble {
            Trouble::Failed(error) => error,
            Trouble::NoSuchPath => self.not_cake("has none of the reports that CAKE's reporting API has"),
            Trouble::RangeTooLong => self.odd("finds even one day too long a range"),
            Trouble::SaidNo(message) => self.odd(&format!("refuses the report: {}", self.words(&message))),
        }
    }

    /// CAKE's own words, safe to show and ready to end a sentence.
    fn words(&self, message: &str) -> String {
        self.upstream.quote(message).trim_end_matches(['.', ' ']).to_owned()
    }

    pub(super) fn lacks_affiliate_id(&self) -> bool {
        self.portal == ConnectionType::Affiliate && !self.has_affiliate_id
    }

    pub(super) fn affiliate_id_required(&self, message: &str) -> PlatformError {
        let (host, said) = (self.upstream.host(), self.words(message));
        PlatformError::new(
            ErrorKind::AffiliateIdRequired,
            format!("{host} refuses the key without an Affiliate ID: {said}."),
        )
        .hint("Enter the Affiliate ID that is shown beside the key, and check that the key was copied whole.")
    }

    /// The verdict on a key that works, but at the other portal.
    pub(super) fn wrong_portal(&self, what: &str) -> PlatformError {
        PlatformError::new(ErrorKind::WrongPortal, format!("{} knows this key: it is {what}.", self.upstream.host()))
    }

    fn not_cake(&self, does: &str) -> PlatformError {
        PlatformError::new(ErrorKind::NotThisPlatform, format!("{} {does}.", self.upstream.host()))
            .hint("Enter the address at which you log in to the network's portal.")
            .at(Stage::Request)
    }

    /// An answer that contradicts itself or what is known of CAKE.
    pub(super) fn odd(&self, does: &str) -> PlatformError {
        PlatformError::bad_response(format!("{} {does}.", self.upstream.host()))
    }
}

/// Whether a refusal is CAKE's own: its envelope, a message, or known words. What every web server says is neither.
pub(super) fn is_own_refusal(answer: &Answer) -> bool {
    let table = parse(&answer.body).and_then(|document| Table::read(document, &[])).ok();
    match table {
        Some(table) => table.success.is_some() || table.message.is_some(),
        None => plain_text(answer).is_some_and(|text| kind_of(&text).is_some() && !is_anybodys(&text)),
    }
}

/// What web servers and gateways say of their own accord.
fn is_anybodys(text: &str) -> bool {
    let text = text.trim().trim_end_matches(['.', '!']).to_lowercase();
    let text = text.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == ' ');
    matches!(text, "forbidden" | "unauthorized" | "access denied" | "missing authentication token" | "not authorized")
}

/// Whether a list that failed so is simply not to be had.
pub(super) fn is_unavailable(kind: ErrorKind) -> bool {
    kind.is_refusal() || matches!(kind, ErrorKind::NotThisPlatform | ErrorKind::BadResponse)
}

/// What a message of CAKE's is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Refusal(ErrorKind),
    /// The affiliate's id is missing or wrong.
    AffiliateId,
    RangeTooLong,
    NoSuchPath,
    /// A parameter is missing or has a value that the method does not take.
    Parameter,
}

/// Sorts a message by its words; no complete list of them is published, and only these are known.
fn kind_of(message: &str) -> Option<Said> {
    let message = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    match () {
        () if has(&["date range"]) && has(&["too long", "exceed", "maximum"]) => Some(Said::RangeTooLong),
        () if has(&["request format is unrecognized"]) => Some(Said::NoSuchPath),
        () if has(&["affiliate_id", "affiliate id", "affiliateid"]) => Some(Said::AffiliateId),
        () if has(&["missing parameter", "missing value for parameter", "cannot convert", "parameter name"]) => {
            Some(Said::Parameter)
        }
        () if has(&["ip address", "ip not ", "whitelist", "allowlist"]) => Some(Said::Refusal(ErrorKind::IpNotAllowed)),
        () if has(&["too many requests", "rate limit", "throttl"]) => Some(Said::Refusal(ErrorKind::RateLimited)),
        () if has(&["permission", "access to reports", "no api access", "api access is"]) => {
            Some(Said::Refusal(ErrorKind::InsufficientPermissions))
        }
        () if has(&[
            "api key",
            "api_key",
            "apikey",
            "expired",
            "not authorized",
            "unauthorized",
            "invalid affiliate",
            "forbidden",
        ]) =>
        {
            Some(Said::Refusal(ErrorKind::CredentialsRejected))
        }
        () => None,
    }
}

/// Whether a filter names an entity that the network does not have (`Invalid Offer ID`).
pub(super) fn is_unknown_id(message: &str) -> bool {
    let message = message.trim().trim_end_matches('.').to_lowercase();
    message.starts_with("invalid ") && (message.ends_with(" id") || message.ends_with("_id"))
}

/// The text of an error body that is neither a page nor a structure.
fn plain_text(answer: &Answer) -> Option<String> {
    if is_web_page(answer) {
        // A missing method is reported on a page, and is worth more than the page's status.
        let page = String::from_utf8_lossy(&answer.body).to_lowercase();
        let missing = "request format is unrecognized";
        return page.contains(missing).then(|| missing.to_owned());
    }
    let text = String::from_utf8_lossy(&answer.body).trim().to_owned();
    let is_text = !text.is_empty() && !text.starts_with(['{', '[', '<']);
    is_text.then_some(text)
}

/// Whether a body is HTML. Reports may be XML without a declaration, so a leading `<` proves nothing.
fn is_web_page(answer: &Answer) -> bool {
    let start = answer.body.get(..answer.body.len().min(500)).unwrap_or_default();
    let start = String::from_utf8_lossy(start).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let start = match start.split_once("?>") {
        Some((declaration, rest)) if declaration.starts_with("<?xml") => rest.trim_start(),
        _ => &start,
    };
    start.starts_with("<!doctype html") || start.starts_with("<html")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_sorted_whatever_their_case() {
        use ErrorKind::{CredentialsRejected, InsufficientPermissions, IpNotAllowed, RateLimited};
        for (message, said) in [
            ("Invalid API Key", Some(Said::Refusal(CredentialsRejected))),
            ("INVALID AFFILIATE", Some(Said::Refusal(CredentialsRejected))),
            ("Your key has expired", Some(Said::Refusal(CredentialsRejected))),
            ("Missing parameter: affiliate_id.", Some(Said::AffiliateId)),
            ("Date Range Too Long", Some(Said::RangeTooLong)),
            ("Missing parameter: row_limit.", Some(Said::Parameter)),
            ("Cannot convert x to System.Int32.\r\nParameter name: type --> Input string", Some(Said::Parameter)),
            ("Request format is unrecognized for URL unexpectedly ending in '/X'.", Some(Said::NoSuchPath)),
            ("You do not have permission", Some(Said::Refusal(InsufficientPermissions))),
            ("IP address 1.2.3.4 is not allowed", Some(Said::Refusal(IpNotAllowed))),
            ("Too many requests", Some(Said::Refusal(RateLimited))),
            ("Something else", None),
        ] {
            assert_eq!(kind_of(message), said, "{message}");
        }
    }
}
