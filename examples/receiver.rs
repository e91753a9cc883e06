//! A receiver of webhooks; docs/service-to-service.md has it too, word for word.
use std::collections::HashSet;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::hmac;
use serde::Deserialize;

/// How far the sender's clock may be from this one, in seconds.
const TOLERANCE: u64 = 300;

/// What it needs of an event; there is more.
#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    /// None, of a test.
    connection: Option<Connection>,
}

#[derive(Deserialize)]
struct Connection {
    name: String,
}

/// What a receiver remembers.
struct Receiver {
    key: hmac::Key,
    seen: Mutex<HashSet<String>>,
}

/// The event of a delivery, if it is signed with this key and not old. The body is signed as it is, byte for byte.
fn verified(key: &hmac::Key, request: &HttpRequest, body: &[u8]) -> Option<Event> {
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let (id, timestamp) = (header("webhook-id")?, header("webhook-timestamp")?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    if now.abs_diff(timestamp.parse().ok()?) > TOLERANCE {
        return None;
    }
    let content = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    // While a secret is being changed there are two signatures. One is enough.
    let is_signed = header("webhook-signature")?.split(' ').any(|signature| {
        let tag = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
        tag.is_some_and(|tag| hmac::verify(key, &content, &tag).is_ok())
    });
    if is_signed { serde_json::from_slice(body).ok() } else { None }
}

async fn receive(receiver: web::Data<Receiver>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let Some(event) = verified(&receiver.key, &request, &body) else {
        return HttpResponse::BadRequest().finish();
    };
    // An event may come twice. Keep the ids where they outlive a restart, together with what the event makes you do.
    if receiver.seen.lock().is_ok_and(|mut seen| seen.insert(event.id)) {
        let connection = event.connection.map(|connection| connection.name);
        log(&format!("{} {}", event.kind, connection.unwrap_or_default()));
    }
    HttpResponse::NoContent().finish()
}

fn log(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = std::env::var("WEBHOOK_SECRET")?;
    let key = STANDARD.decode(secret.trim_start_matches("whsec_"))?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let receiver = web::Data::new(Receiver { key, seen: Mutex::default() });
    let port = std::env::var("PORT")?.parse::<u16>()?;
    let app = move || App::new().app_data(receiver.clone()).route("/", web::post().to(receive));
    actix_web::rt::System::new().block_on(HttpServer::new(app).bind(("127.0.0.1", port))?.run())?;
    Ok(())
}
