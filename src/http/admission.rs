//! Whether a request is let in at all: not while this instance stops, and no more of an address or an organisation than
//! its share. And how an answer leaves: in pieces, none before the one before it was taken.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{RequestHead, ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, ResponseError, web};

use super::callers::network;
use super::client_connections::{Answering, Body, ClientConnection};
use super::edge::ApiError;
use super::state::State;
use crate::problem::{Code, Problem};
use crate::shares::{Owner, Pool, Share};

/// The longest path and query together.
const MAX_TARGET_BYTES: usize = 16 * 1024;

/// How much of an answer is on its way at a time.
pub(super) const PIECE_BYTES: usize = 16 * 1024;

/// Answers up to this size are part of what each request may have.
const SMALL_ANSWER_BYTES: usize = 32 * 1024;

/// How long a request waits for a place, and an answer for room.
const PLACE_TIMEOUT: Duration = Duration::from_secs(2);
const ROOM_TIMEOUT: Duration = Duration::from_secs(10);

/// What a request holds for its organisation, beside the place that it has already.
pub(super) struct Party {
    owner: Owner,
    _place: Share,
}

/// The room of a body, where its maker has taken it already; nothing where its bytes hold it themselves.
pub(super) struct Room(pub(super) Vec<Share>);

/// An answer that keeps what its request holds until it is sent or its reader has gone.
pub struct HoldingBody {
    body: BoxBody,
    /// What the body has given and is not sent yet.
    rest: web::Bytes,
    _place: Option<Share>,
    _party: Option<Party>,
    _room: Vec<Share>,
    _connection: Option<Answering>,
}

impl MessageBody for HoldingBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<web::Bytes, Self::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            match ready!(this.body.as_pin_mut().poll_next(context)) {
                Some(Ok(bytes)) => this.rest = bytes,
                end => return Poll::Ready(end),
            }
        }
        let piece = this.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(this.rest.split_to(piece))))
    }
}

/// Turns away what is too long, what is too much at once, and what comes after the order to stop. Health is always
/// reported. An instance that is about to stop ends each connection with its answer, so that callers go elsewhere.
///
/// # Errors
/// What comes after it cannot answer.
pub(crate) async fn admit<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<HoldingBody, BoxBody>>, Error> {
    let state = request.app_data::<web::Data<State>>().cloned();
    let place = match (request.path(), &state) {
        ("/healthz" | "/readyz", _) | (_, None) => Ok(None),
        (_, Some(state)) if state.is_draining() => Err(shutting_down()),
        (_, Some(state)) => enter(state, &request).await.map(Some),
    };
    let connection = request.conn_data::<Arc<ClientConnection>>().cloned();
    let answering =
        connection.as_ref().map(|connection| connection.begin(length(request.head()), announced(request.headers())));
    let mut response = match place {
        Ok(place) => hold(next.call(request).await?, state.as_ref(), place, answering).await,
        Err(problem) => refuse(request, problem),
    };
    let is_refused = response.status().is_client_error() || response.status().is_server_error();
    let ends = is_refused && connection.is_some_and(|connection| connection.refuse_body());
    if ends || state.is_some_and(|state| state.is_leaving()) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

fn refuse(request: ServiceRequest, problem: Problem) -> ServiceResponse<EitherBody<HoldingBody, BoxBody>> {
    request.into_response(ApiError(problem).error_response()).map_into_right_body()
}

/// Has an answer keep what its request holds. A large one needs room of its own.
async fn hold<B: MessageBody + 'static>(
    response: ServiceResponse<B>,
    state: Option<&web::Data<State>>,
    place: Option<Share>,
    connection: Option<Answering>,
) -> ServiceResponse<EitherBody<HoldingBody, BoxBody>> {
    let party = response.request().extensions_mut().remove::<Party>();
    let made = response.request().extensions_mut().remove::<Room>();
    let is_paid = made.is_some();
    let mut room = made.map_or_else(Vec::new, |Room(room)| room);
    if let (BodySize::Sized(size), Some(Party { owner, .. }), Some(state), false) =
        (response.response().body().size(), &party, state, is_paid)
        && let Ok(size) = usize::try_from(size)
        && size > SMALL_ANSWER_BYTES
    {
        match state.connections.results().take(*owner, size, Instant::now() + ROOM_TIMEOUT).await {
            Ok(taken) => room.push(taken),
            Err(_) => {
                let (request, _) = response.into_parts();
                let refused = ServiceResponse::new(request, ApiError(no_room()).error_response());
                return refused.map_into_right_body();
            }
        }
    }
    response
        .map_into_boxed_body()
        .map_body(|_, body| HoldingBody {
            body,
            rest: web::Bytes::new(),
            _place: place,
            _party: party,
            _room: room,
            _connection: connection,
        })
        .map_into_left_body()
}

/// How many bytes a head has, as nearly everybody writes it.
fn length(head: &RequestHead) -> usize {
    let target = head.uri.path_and_query().map_or(1, |target| target.as_str().len());
    let headers = head.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    head.method.as_str().len() + target + "  HTTP/1.1\r\n\r\n".len() + headers.sum::<usize>()
}

fn announced(headers: &header::HeaderMap) -> Body {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        return Body::Chunked;
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.filter(|length| *length > 0).map_or(Body::Nothing, Body::Sized)
}

pub(super) fn shutting_down() -> Problem {
    Problem::new(Code::ShuttingDown, "This instance is being stopped.")
        .hint("Send the request again; another instance takes it.")
        .retry_after(Duration::from_secs(1))
}

/// A place for a request of this address. It waits a moment for one: where a connection that reads nothing has made room
/// for this one, its place is about to be free.
async fn enter(state: &State, request: &ServiceRequest) -> Result<Share, Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET_BYTES {
        let detail = format!("The address with its query is longer than {} KiB.", MAX_TARGET_BYTES / 1024);
        return Err(Problem::new(Code::MalformedRequest, detail));
    }
    let address = state.proxies.caller(request.peer_addr(), request.headers()).map(network);
    state.in_flight.take(Owner::of(address), 1, Instant::now() + PLACE_TIMEOUT).await.map_err(|_| overloaded())
}

/// A place for a request of this organisation, which is the owner of what the request takes from now on. One that has its
/// eighth already gets what is free, and does not wait.
///
/// # Errors
/// There is none.
pub(super) async fn join(places: &Pool, owner: Owner) -> Result<Party, Problem> {
    let place = if places.is_within_share(owner) {
        places.take(owner, 1, Instant::now() + PLACE_TIMEOUT).await
    } else {
        places.take_now(owner, 1)
    };
    Ok(Party { owner, _place: place.map_err(|_| overloaded())? })
}

pub(super) fn overloaded() -> Problem {
    Problem::new(Code::Overloaded, "The service works on as many requests as it can.")
        .retry_after(Duration::from_secs(1))
}

fn no_room() -> Problem {
    Problem::new(Code::Overloaded, "Too many large answers wait to be read already.")
        .hint("Read the answers that are on their way, or ask for smaller pages.")
        .retry_after(Duration::from_secs(5))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
    use actix_web::test::TestRequest;

    use super::*;

    fn held(body: impl MessageBody + 'static, place: Option<Share>) -> HoldingBody {
        let rest = web::Bytes::new();
        HoldingBody {
            body: BoxBody::new(body),
            rest,
            _place: place,
            _party: None,
            _room: Vec::new(),
            _connection: None,
        }
    }

    #[actix_web::test]
    async fn an_answer_keeps_its_place_until_it_is_sent() {
        let places = Pool::new(1, 1);
        let place = places.take_now(Owner::of(1), 1).expect("a place");
        let held = held("answer", Some(place));
        assert_eq!((held.size(), places.held()), (BodySize::Sized(6), 1));
        assert_eq!(actix_web::body::to_bytes(held).await.expect("a body"), "answer");
        assert_eq!(places.held(), 0);
    }

    #[actix_web::test]
    async fn an_answer_leaves_in_pieces_that_are_not_copied() {
        static FILE: [u8; PIECE_BYTES * 2 + 1] = [b'x'; PIECE_BYTES * 2 + 1];
        let mut held = held(web::Bytes::from_static(&FILE), None);
        let mut sizes = Vec::new();
        while let Some(piece) = std::future::poll_fn(|context| Pin::new(&mut held).poll_next(context)).await {
            let piece = piece.expect("a piece");
            assert!(FILE.as_ptr_range().contains(&piece.as_ptr()), "copied");
            sizes.push(piece.len());
        }
        assert_eq!(sizes, [PIECE_BYTES, PIECE_BYTES, 1]);
    }

    #[actix_web::test]
    async fn an_organisation_with_its_eighth_does_not_wait_and_another_does() {
        let places = Pool::new(16, 12);
        let (hog, other) = (Owner::of("hog"), Owner::of("other"));
        let mut parties = Vec::new();
        for _ in 0..12 {
            parties.push(join(&places, hog).await.expect("a place"));
        }
        assert_eq!(join(&places, hog).await.err().map(|problem| problem.code), Some(Code::Overloaded));
        let rest: Vec<Share> = (0..4).map(|number| places.take_now(Owner::of(number), 1).expect("a place")).collect();
        let waits = join(&places, other);
        let leaves = async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            parties.clear();
        };
        let (joined, ()) = futures_util::join!(waits, leaves);
        assert!(joined.is_ok());
        drop(rest);
    }

    #[test]
    fn a_head_has_as_many_bytes_as_were_sent() {
        let sent = "GET /api/v1/usage?x=1 HTTP/1.1\r\nhost: example.com\r\nx-two: 22\r\n\r\n";
        let request = TestRequest::get()
            .uri("/api/v1/usage?x=1")
            .insert_header(("host", "example.com"))
            .insert_header(("x-two", "22"))
            .to_srv_request();
        assert_eq!(length(request.head()), sent.len());
    }

    #[test]
    fn a_body_is_announced_by_its_length_or_in_chunks() {
        for (name, value, expected) in [
            ("content-length", "5", Body::Sized(5)),
            ("content-length", "0", Body::Nothing),
            ("content-length", "x", Body::Nothing),
            ("transfer-encoding", "chunked", Body::Chunked),
            ("accept", "5", Body::Nothing),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            assert_eq!(announced(&headers), expected, "{name}: {value}");
        }
    }
}
