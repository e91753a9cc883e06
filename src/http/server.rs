//! The HTTP server that callers meet: its timeouts, and the application of each worker.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Server, ServiceFactory};
use actix_web::{App, HttpServer, dev, middleware, web};
use utoipa_actix_web::AppExt;

use super::fallback::Methods;
use super::lines::{Lines, most_lines};
use super::state::State;
use super::{admission, console, cors, edge, fallback, openapi, routes};

/// How long the head of a request may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be silent after an answer.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The largest body that is read.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Serves callers at this address, with so many workers; requests in flight may finish within `grace`.
///
/// # Errors
/// The address cannot be listened on.
pub fn listen(
    state: &Arc<State>,
    address: SocketAddr,
    workers: usize,
    grace: Duration,
) -> io::Result<(Vec<SocketAddr>, Server)> {
    let state = Arc::clone(state);
    let lines = Lines::watched(KEEP_ALIVE + HEAD_TIMEOUT);
    let server = HttpServer::new(move || app(&state))
        .workers(workers)
        .max_connections(most_lines().div_ceil(workers.max(1)))
        .disable_signals()
        .shutdown_timeout(grace.as_secs())
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        // The end of a stream is a short packet, and does not wait for the one before it to be acknowledged.
        .tcp_nodelay(true)
        // A caller that closes its side has left: what nobody else waits for ends with it.
        .h1_allow_half_closed(false)
        .on_connect(move |socket, data| lines.add(socket, data))
        .bind(address)?;
    Ok((server.addrs(), server.run()))
}

/// The whole application, for one worker.
pub fn app(
    state: &Arc<State>,
) -> App<
    impl ServiceFactory<
        dev::ServiceRequest,
        Config = (),
        Response = dev::ServiceResponse<impl actix_web::body::MessageBody + use<>>,
        Error = actix_web::Error,
        InitError = (),
    > + use<>,
> {
    let (app, _) = App::new().into_utoipa_app().configure(routes).split_for_parts();
    app.service(openapi::document_route())
        .service(openapi::swagger_redirect())
        .service(openapi::swagger_style())
        .service(openapi::swagger_ui())
        .configure(console::routes(state.serves_console))
        .default_service(web::to(fallback::no_route))
        .app_data(web::Data::from(Arc::clone(state)))
        .app_data(web::Data::new(Methods::of(openapi::methods())))
        .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
        .wrap(middleware::from_fn(edge::answer_head))
        .wrap(middleware::from_fn(admission::admit))
        .wrap(cors::cors(&state.cors_origins))
        .wrap(middleware::from_fn(cors::explain_preflights))
        .wrap(middleware::from_fn(edge::write_problems))
        .wrap(middleware::from_fn(edge::observe))
}
