//! What stands in front of trackers and answers instead of them, as it was seen in the field.

use super::tracker::Reply;

/// Something that answers instead of a tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wall {
    /// Cloudflare's challenge, as it is sent to programs.
    Challenge,
    /// The same with a good status.
    ChallengeWithStatus200,
    /// The older one, with 503.
    ChallengeWithStatus503,
    /// Cloudflare's block by the client's signature: a bare text.
    Block1010,
    /// Cloudflare's block by a rule of the owner's: a page.
    Block1020,
    /// Cloudflare's managed rules, without a code.
    BlockedPage,
    /// A password in front of a staging host.
    Password,
    /// nginx refuses by itself.
    Nginx403,
    /// Apache refuses by itself.
    Apache403,
    /// A refusal without a body.
    Empty401,
    /// The same.
    Empty403,
    /// A gateway's JSON, in nobody's shape.
    ForeignJson403,
    /// A proxy wants to know who calls.
    Proxy407,
    /// Cloudflare does not reach the server behind it.
    OriginDown521,
    /// Cloudflare finds no server behind it.
    OriginLost530,
    /// A maintenance page.
    Maintenance503,
    /// What closes a connection that was idle for too long.
    Idle408,
}

impl Wall {
    pub const ALL: [Self; 17] = [
        Self::Challenge,
        Self::ChallengeWithStatus200,
        Self::ChallengeWithStatus503,
        Self::Block1010,
        Self::Block1020,
        Self::BlockedPage,
        Self::Password,
        Self::Nginx403,
        Self::Apache403,
        Self::Empty401,
        Self::Empty403,
        Self::ForeignJson403,
        Self::Proxy407,
        Self::OriginDown521,
        Self::OriginLost530,
        Self::Maintenance503,
        Self::Idle408,
    ];

    /// The name of the switch.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Challenge => "challenge",
            Self::ChallengeWithStatus200 => "challenge-200",
            Self::ChallengeWithStatus503 => "challenge-503",
            Self::Block1010 => "block-1010",
            Self::Block1020 => "block-1020",
            Self::BlockedPage => "blocked",
            Self::Password => "password",
            Self::Nginx403 => "nginx-403",
            Self::Apache403 => "apache-403",
            Self::Empty401 => "empty-401",
            Self::Empty403 => "empty-403",
            Self::ForeignJson403 => "json-403",
            Self::Proxy407 => "proxy-407",
            Self::OriginDown521 => "origin-521",
            Self::OriginLost530 => "origin-530",
            Self::Maintenance503 => "maintenance",
            Self::Idle408 => "idle-408",
        }
    }

    /// What it answers.
    pub fn reply(self) -> Reply {
        let page = |status, body: &str| Reply::text(status, "text/html; charset=UTF-8", body);
        let cloudflare =
            |reply: Reply| reply.with_header("server", "cloudflare").with_header("cf-ray", "8f0c1d2e3f405162-FRA");
        let challenge = "<!DOCTYPE html><html lang=\"en-US\"><head><title>Just a moment...</title></head><body>\
                         <script>window._cf_chl_opt={cvId:'3'}</script></body></html>";
        match self {
            Self::Challenge => cloudflare(page(403, challenge)).with_header("cf-mitigated", "challenge"),
            Self::ChallengeWithStatus200 => cloudflare(page(200, challenge)),
            Self::ChallengeWithStatus503 => cloudflare(page(503, challenge)),
            Self::Block1010 => cloudflare(Reply::text(403, "text/plain; charset=UTF-8", "error code: 1010")),
            Self::Block1020 => cloudflare(page(
                403,
                "<!DOCTYPE html><html><head><title>Access denied | x used Cloudflare to restrict access</title></head>\
                 <body><div id=\"cf-error-details\"><h1><span>Error</span> <span class=\"cf-error-code\">1020</span></h1></div>",
            )),
            Self::BlockedPage => cloudflare(page(
                403,
                "<!DOCTYPE html><html><head><title>Attention Required! | Cloudflare</title></head>\
                 <body><h1 data-translate=\"block_headline\">Sorry, you have been blocked</h1></body></html>",
            )),
            Self::Password => page(401, "<html><head><title>401 Authorization Required</title></head></html>")
                .with_header("www-authenticate", "Basic realm=\"Restricted\""),
            Self::Nginx403 => page(
                403,
                "<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>\
                 \r\n<hr><center>nginx/1.24.0</center>\r\n</body>\r\n</html>\r\n",
            ),
            Self::Apache403 => page(
                403,
                "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html><head>\n<title>403 Forbidden</title>\n</head>\
                 <body>\n<h1>Forbidden</h1>\n<p>You don't have permission to access this resource.</p>\n</body></html>\n",
            ),
            Self::Empty401 => Reply::text(401, "text/plain", ""),
            Self::Empty403 => Reply::text(403, "text/plain", ""),
            Self::ForeignJson403 => Reply::text(403, "application/json", r#"{"detail":"Blocked by policy 7"}"#),
            Self::Proxy407 => page(407, "<html>Proxy Authentication Required</html>")
                .with_header("proxy-authenticate", "Basic realm=\"proxy\""),
            Self::OriginDown521 => cloudflare(page(521, "<!DOCTYPE html><title>x | 521: Web server is down</title>")),
            Self::OriginLost530 => cloudflare(Reply::text(530, "text/plain; charset=UTF-8", "error code: 1016")),
            Self::Maintenance503 => page(503, "<!DOCTYPE html><title>Down for maintenance</title>"),
            Self::Idle408 => page(408, "<html><body><h1>408 Request Time-out</h1></body></html>"),
        }
    }
}
