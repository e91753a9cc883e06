//! The HTTP server that callers meet: its timeouts, its buffers, and the application of each worker.
//!
//! It is actix-web's own server but for the socket, which actix-web lets nobody replace: what a caller may send unread,
//! and how slowly it may read, is bounded there.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, Request, Response};
use actix_server::Server;
use actix_service::{IntoServiceFactory, Service, ServiceFactoryExt, fn_service, map_config};
use actix_web::body::MessageBody;
use actix_web::dev::{AppConfig, Extensions, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::rt::net::TcpStream;
use actix_web::{App, middleware, web};
use utoipa_actix_web::AppExt;

use super::admission::PIECE_BYTES;
use super::client_connections::ClientConnections;
use super::fallback::Methods;
use super::refusals::HEAD_TIMEOUT;
use super::socket::Socket;
use super::state::State;
use super::{admission, console, cors, edge, fallback, openapi, routes};
use crate::shares::Pool;

/// How long a connection may be silent after an answer.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How long what is left of a refused body is thrown away, so that its sender gets to see the answer.
const LINGER: Duration = Duration::from_secs(1);

/// The largest body that is read.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What the system keeps of an answer until it is acknowledged, and of a request until it is read. Linux takes twice as
/// much, for what it keeps beside it.
#[cfg(target_os = "linux")]
const SEND_BUFFER_BYTES: usize = 24 * 1024;
#[cfg(target_os = "linux")]
const RECEIVE_BUFFER_BYTES: usize = 8 * 1024;

/// Where a server listens, and how.
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) workers: usize,
    /// How long requests in flight may go on once it stops.
    pub(crate) grace: Duration,
    pub(crate) connections: ClientConnections,
}

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
    let bodies = Pool::new(state.sizing.bodies, state.sizing.bodies / 4);
    let connections =
        ClientConnections::watched(KEEP_ALIVE + HEAD_TIMEOUT, state.sizing.connections, bodies, state.proxies.clone());
    let state = Arc::clone(state);
    let door = Door { address, workers, grace, connections };
    door.open(move || app(&state)).map(|(address, server)| (vec![address], server))
}

impl Door {
    /// Listens, and serves the application that `factory` makes for each worker.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(crate) fn open<F, I, S, B>(self, factory: F) -> io::Result<(SocketAddr, Server)>
    where
        F: Fn() -> I + Send + Clone + 'static,
        I: IntoServiceFactory<S, Request>,
        S: ServiceFactory<Request, Config = AppConfig> + 'static,
        S::Error: Into<actix_web::Error> + 'static,
        S::InitError: fmt::Debug,
        S::Response: Into<Response<B>> + 'static,
        S::Service: 'static,
        <S::Service as Service<Request>>::Future: 'static,
        B: MessageBody + 'static,
    {
        let Self { address, workers, grace, connections } = self;
        let listener = listener(address)?;
        let address = listener.local_addr()?;
        let builder = Server::build()
            .workers(workers)
            // Not what bounds them: who is one too many has to be let in to take the place of another.
            .max_concurrent_connections(connections.most().saturating_mul(2))
            .disable_signals()
            .shutdown_timeout(grace.as_secs());
        let stopping = builder.graceful_shutdown_signal();
        let builder = builder.listen("http", listener, move || {
            let (connections, stopping) = (connections.clone(), stopping.clone());
            let application = factory().into_factory().map_err(|error| error.into().error_response());
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .keep_alive(KEEP_ALIVE)
                .client_request_timeout(HEAD_TIMEOUT)
                .client_disconnect_timeout(LINGER)
                // A caller that closes its side has left: what nobody else waits for ends with it.
                .h1_allow_half_closed(false)
                .h1_write_buffer_size(PIECE_BYTES)
                .local_addr(address)
                .on_connect_ext(|socket: &Socket, data: &mut Extensions| {
                    data.insert(Arc::clone(socket.connection()));
                })
                .h1(map_config(application, |()| AppConfig::default()));
            let sockets = fn_service(move |stream: TcpStream| {
                let peer = stream.peer_addr().ok();
                let registered = connections.add(peer.map(|peer| peer.ip()));
                let refused = || DispatchError::Io(io::ErrorKind::ConnectionRefused.into());
                let socket = registered.map(|registered| (Socket::new(stream, registered), peer)).ok_or_else(refused);
                std::future::ready(socket)
            });
            sockets.and_then(http)
        })?;
        Ok((address, builder.run()))
    }
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // The sockets that are accepted have the same buffers.
    #[cfg(target_os = "linux")]
    {
        rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER_BYTES)?;
        rustix::net::sockopt::set_socket_recv_buffer_size(&listener, RECEIVE_BUFFER_BYTES)?;
    }
    Ok(listener)
}

/// The whole application, for one worker.
pub fn app(
    state: &Arc<State>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
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
