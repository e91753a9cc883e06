//! What stands in front of a tracker and answers instead of it: challenges, firewalls, password walls, dead origins.
//!
//! Everything is judged here, for all platforms alike, before any platform reads a status: 401, 403 and 407 are the
//! platform's word only where the body is in its own shape ([`Dialect`]). What the field really sends is recorded from
//! public threads; a page that is not known by name is still told from the platform by not being in its shape.

use std::net::IpAddr;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

use super::answer::Answer;
use super::retry::Fault;
use crate::outbound::error::{ErrorKind, Owner, PlatformError, Stage};

/// As much of a page as is looked at.
const MOST_SEEN: usize = 16_384;

/// How a platform speaks, so that others can be told from it.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// Whether an answer with status 401 or 403 is in the platform's own shape.
    pub is_own_refusal: fn(&Answer) -> bool,
    /// Whether it is on record what a wrong key is answered. Where it is not, it may look like a wall.
    pub knows_wrong_keys: bool,
    /// Whether the host is the platform's own gateway, which no user entered.
    pub is_gateway: bool,
}

/// Where a call went, as far as it matters for a verdict.
pub(super) struct Scene<'a> {
    pub(super) host: &'a str,
    pub(super) dialect: Dialect,
    /// The addresses that would have to be let in.
    pub(super) own_addresses: &'a [IpAddr],
    /// Whether other calls of this request were answered by the platform.
    pub(super) was_answered: bool,
}

/// What answered instead of the tracker.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wall {
    /// A page that only lets browsers with scripts through.
    Challenge(&'static str),
    /// A CDN's firewall, with the code it gives.
    Block(&'static str, String),
    /// A firewall that is known by name, without a code.
    Firewall(&'static str),
    /// A password in front of the whole host.
    Password,
    /// A proxy on the way that wants to know who calls.
    Proxy,
    /// The web server itself, by its own page.
    Server(&'static str),
    /// Something that shows nothing of itself.
    Unknown,
}

/// Sorts out every answer that is not the tracker's.
pub(super) fn judge(answer: Answer, scene: &Scene<'_>) -> Result<Answer, Fault> {
    let status = answer.status.as_u16();
    let page = Page::of(&answer);
    match status {
        200 | 202 | 403 | 405 | 503 if let Some(name) = page.challenge() => {
            Err(scene.blocked(&Wall::Challenge(name), status))
        }
        401 | 403 | 407 if (scene.dialect.is_own_refusal)(&answer) => Ok(answer),
        401 | 403 | 407 => Err(scene.blocked(&page.wall(status), status)),
        400 if page.has("no required ssl certificate was sent") => Err(scene.wants_certificate()),
        // Web servers and proxies close an idle connection with a 408, which then meets the next call on it.
        408 | 502..=504 | 520..=530 => Err(scene.down(&page, status)),
        // It may be a page of the moment; what it means is for the platform to say.
        200 if page.is_html => {
            let detail = format!("{} answers with a web page.", scene.host);
            Err(Fault::once_more(PlatformError::new(ErrorKind::NotThisPlatform, detail), answer))
        }
        _ => Ok(answer),
    }
}

impl Scene<'_> {
    fn blocked(&self, wall: &Wall, status: u16) -> Fault {
        let Self { host, .. } = self;
        let mut detail = match wall {
            Wall::Challenge(name) => format!(
                "A challenge page of {name} answers instead of {host} ({status}): it lets browsers through, not programs."
            ),
            Wall::Block(name, code) => {
                format!("{name}'s firewall in front of {host} blocks this service (error code {code}).")
            }
            Wall::Firewall(name) => format!("{name} in front of {host} blocks this service ({status})."),
            Wall::Password => {
                format!("A password wall in front of {host} asks for a user name and a password ({status}).")
            }
            Wall::Proxy => format!("A proxy in front of {host} wants to know who calls ({status})."),
            Wall::Server(name) => format!(
                "The web server of {host} ({name}) refuses the call itself, before the tracker sees it ({status})."
            ),
            Wall::Unknown => {
                format!("Something in front of {host} refuses the call ({status}): the answer is not the tracker's.")
            }
        };
        detail.push_str(" It says nothing about the key.");
        let mut error = PlatformError::new(ErrorKind::AccessBlocked, detail).hint(self.hint(wall)).at(Stage::Request);
        error.owner = self.dialect.is_gateway.then_some(Owner::Platform);
        error.lasts = matches!(wall, Wall::Block(..) | Wall::Password) && !self.was_answered;
        error.into()
    }

    /// The one next step.
    fn hint(&self, wall: &Wall) -> String {
        let addresses = own_addresses(self.own_addresses);
        let mut hint = match wall {
            _ if self.dialect.is_gateway => {
                format!("Try again later; if it lasts, ask the platform's support to let {addresses} in.")
            }
            Wall::Password => format!(
                "Ask the tracker's administrator to take the password off the path of the API, or to let {addresses} in \
                 without it."
            ),
            _ => format!("Ask the tracker's administrator to let {addresses} through to the API."),
        };
        if !self.dialect.knows_wrong_keys {
            hint.push_str(" A wrong key can look the same, so check the key too.");
        }
        hint
    }

    fn down(&self, page: &Page<'_>, status: u16) -> Fault {
        let Self { host, .. } = self;
        let detail = match status {
            520..=530 => format!("The CDN in front of {host} cannot reach the tracker's own server ({status})."),
            408 => format!("{host} gave up waiting for the call (408)."),
            503 if page.has("maintenance") => format!("{host} shows a maintenance page ({status})."),
            _ => format!("{host} is failing: it answered {status}."),
        };
        let mut error = PlatformError::new(ErrorKind::Failing, detail).at(Stage::Request);
        error.owner = (!self.dialect.is_gateway).then_some(Owner::TrackerAdmin);
        if !self.dialect.is_gateway {
            error = error.hint("Ask the tracker's administrator whether the tracker's server is up; then try again.");
        }
        error.retry_after(super::retry::retry_after(page.headers)).into()
    }

    /// nginx finishes the handshake first and complains in HTTP.
    fn wants_certificate(&self) -> Fault {
        let detail = format!("TLS with {} failed: the server demands a client certificate.", self.host);
        let mut error =
            PlatformError::new(ErrorKind::TlsFailed, detail).hint(super::handshake::CLIENT_CERTIFICATE_HINT);
        error.lasts = true;
        error.into()
    }
}

/// This service's addresses in a sentence.
pub(super) fn own_addresses(addresses: &[IpAddr]) -> String {
    match addresses {
        [] => "this service's address".to_owned(),
        [only] => format!("this service's address {only}"),
        several => {
            let several: Vec<String> = several.iter().map(ToString::to_string).collect();
            format!("this service's addresses {}", several.join(", "))
        }
    }
}

/// An answer as something in front of a tracker would send it.
struct Page<'a> {
    headers: &'a HeaderMap,
    is_html: bool,
    /// The beginning of the body, in lower case.
    text: String,
}

/// Challenges by a text in them.
const CHALLENGES: [(&str, &str); 7] = [
    ("_cf_chl_opt", "Cloudflare"),
    ("<title>just a moment...</title>", "Cloudflare"),
    ("<title>ddos-guard</title>", "DDoS-Guard"),
    ("request unsuccessful. incapsula incident id", "Imperva"),
    ("captcha-delivery.com", "DataDome"),
    ("px-captcha", "HUMAN"),
    ("sucuri_cloudproxy_js", "Sucuri"),
];

/// Firewalls' own pages by a text in them.
const FIREWALLS: [(&str, &str); 6] = [
    ("attention required! | cloudflare", "Cloudflare's firewall"),
    ("cf-error-details", "Cloudflare's firewall"),
    ("sucuri website firewall", "The Sucuri firewall"),
    ("generated by wordfence", "The Wordfence firewall"),
    ("errors.edgesuite.net", "Akamai's firewall"),
    ("mod_security", "The ModSecurity firewall"),
];

/// Web servers by their own error page.
const SERVERS: [(&str, &str); 6] = [
    ("<center>nginx", "nginx"),
    ("<center>openresty", "OpenResty"),
    ("litespeed", "LiteSpeed"),
    ("don't have permission to access", "Apache"),
    ("403 - forbidden: access is denied", "IIS"),
    ("caddy", "Caddy"),
];

impl<'a> Page<'a> {
    fn of(answer: &'a Answer) -> Self {
        let seen = answer.body.get(..answer.body.len().min(MOST_SEEN)).unwrap_or_default();
        // The reports of trackers are long; what stands in their way is not read through for nothing.
        let is_html = is_web_page(seen);
        let needed = !answer.status.is_success() || is_html;
        let text = if needed { String::from_utf8_lossy(seen).to_lowercase() } else { String::new() };
        Self { headers: &answer.headers, is_html, text }
    }

    fn has(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn name_in(&self, names: &[(&str, &'static str)]) -> Option<&'static str> {
        names.iter().find(|(text, _)| self.has(text)).map(|(_, name)| *name)
    }

    /// Whose challenge it is, where it is known as one.
    fn challenge(&self) -> Option<&'static str> {
        match (self.header("cf-mitigated"), self.header("x-amzn-waf-action")) {
            (Some("challenge"), _) => Some("Cloudflare"),
            (_, Some("challenge" | "captcha")) => Some("AWS WAF"),
            _ => self.name_in(&CHALLENGES),
        }
    }

    /// What else it is.
    fn wall(&self, status: u16) -> Wall {
        let basic = |value: &reqwest::header::HeaderValue| {
            value.to_str().is_ok_and(|text| text.trim_start().to_ascii_lowercase().starts_with("basic"))
        };
        if status == 407 {
            return Wall::Proxy;
        }
        if status == 401 && self.headers.get_all(WWW_AUTHENTICATE).iter().any(basic) {
            return Wall::Password;
        }
        if let Some(code) = self.code() {
            return Wall::Block("Cloudflare", code);
        }
        if let Some(name) = self.name_in(&FIREWALLS) {
            return Wall::Firewall(name);
        }
        self.name_in(&SERVERS).map_or(Wall::Unknown, Wall::Server)
    }

    /// The code of a Cloudflare block: all of such an answer, or a part of its page.
    fn code(&self) -> Option<String> {
        let marks = ["error code: ", "cf-error-code\">", "<title>error ", ">error "];
        marks.iter().find_map(|mark| {
            let (_, rest) = self.text.split_once(mark)?;
            let code: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
            (code.len() == 4 && code.starts_with('1')).then_some(code)
        })
    }
}

/// Whether a body is HTML. Reports may be XML without a declaration, so a leading `<` proves nothing.
fn is_web_page(body: &[u8]) -> bool {
    let start = String::from_utf8_lossy(body.get(..body.len().min(500)).unwrap_or_default()).to_ascii_lowercase();
    let start = start.trim_start_matches('\u{feff}').trim_start();
    let start = match start.split_once("?>") {
        Some((declaration, rest)) if declaration.starts_with("<?xml") => rest.trim_start(),
        _ => start,
    };
    start.starts_with("<!doctype html") || start.starts_with("<html")
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Answer {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers: headers.collect(),
            body: body.to_owned().into_bytes().into(),
        }
    }

    fn wall_of(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Wall {
        Page::of(&answer(status, headers, body)).wall(status)
    }

    #[test]
    fn walls_are_told_apart_by_what_they_send() {
        let basic: &[_] = &[("www-authenticate", "Basic realm=\"stage\"")];
        for (wall, expected) in [
            (wall_of(403, &[], "error code: 1010"), Wall::Block("Cloudflare", "1010".to_owned())),
            (wall_of(403, &[], "<html><title>Error 1020 - x</title>"), Wall::Block("Cloudflare", "1020".to_owned())),
            (
                wall_of(403, &[], "<span class=\"cf-error-code\">1006</span>"),
                Wall::Block("Cloudflare", "1006".to_owned()),
            ),
            (wall_of(403, &[], "error code: 42"), Wall::Unknown),
            (
                wall_of(403, &[], "<title>Attention Required! | Cloudflare</title>"),
                Wall::Firewall("Cloudflare's firewall"),
            ),
            (wall_of(401, basic, "<html>401</html>"), Wall::Password),
            (wall_of(403, basic, ""), Wall::Unknown),
            (wall_of(407, &[], ""), Wall::Proxy),
            (wall_of(403, &[], "<h1>403 Forbidden</h1><hr><center>nginx/1.24</center>"), Wall::Server("nginx")),
            (wall_of(403, &[], "You don't have permission to access /api on this server."), Wall::Server("Apache")),
            (wall_of(401, &[], ""), Wall::Unknown),
        ] {
            assert_eq!(wall, expected);
        }
    }

    #[test]
    fn a_challenge_is_known_by_its_header_or_its_page_but_not_in_a_report() {
        let challenge = |status, headers: &[_], body: &str| Page::of(&answer(status, headers, body)).challenge();
        assert_eq!(challenge(403, &[("cf-mitigated", "challenge")], ""), Some("Cloudflare"));
        assert_eq!(challenge(202, &[("x-amzn-waf-action", "challenge")], ""), Some("AWS WAF"));
        assert_eq!(challenge(503, &[], "<html><title>Just a moment...</title>"), Some("Cloudflare"));
        assert_eq!(challenge(200, &[], "<!DOCTYPE html><title>DDoS-Guard</title>"), Some("DDoS-Guard"));
        assert_eq!(challenge(200, &[], "{\"offer\": \"<title>DDoS-Guard</title>\"}"), None);
        assert_eq!(challenge(200, &[], "<html>Sign in</html>"), None);
    }
}
