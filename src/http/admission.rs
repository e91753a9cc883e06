//! Whether a request is let in at all: not while this instance stops, and only so many at the same time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::edge::ApiError;
use super::lines::{Answering, Line};
use super::state::State;
use crate::problem::{Code, Problem};

/// The longest path and query together.
const MAX_TARGET_BYTES: usize = 16 * 1024;

/// An answer that keeps its request's place, and the connection it came by, until it is sent or its reader has gone.
pub struct Held {
    body: BoxBody,
    _place: Option<OwnedSemaphorePermit>,
    _line: Option<Answering>,
}

impl MessageBody for Held {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<web::Bytes, Self::Error>>> {
        self.get_mut().body.as_pin_mut().poll_next(context)
    }
}

/// Turns away what is too long, what is too much at once, and what comes after the order to stop. Health is always
/// told. An instance that is about to stop ends each connection with its answer, so that callers go elsewhere.
///
/// # Errors
/// What comes after it cannot answer.
pub async fn admit<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<Held, BoxBody>>, Error> {
    let state = request.app_data::<web::Data<State>>().cloned();
    let place = match (request.path(), &state) {
        ("/healthz" | "/readyz", _) | (_, None) => Ok(None),
        (_, Some(state)) if state.is_draining() => Err(shutting_down()),
        (_, Some(state)) => enter(&state.in_flight, request.uri()).map(Some),
    };
    let line = request.conn_data::<Arc<Line>>().map(Line::begin);
    let mut response = match place {
        Ok(place) => {
            let response = next.call(request).await?.map_into_boxed_body();
            response.map_body(|_, body| Held { body, _place: place, _line: line }).map_into_left_body()
        }
        Err(problem) => request.into_response(ApiError(problem).error_response()).map_into_right_body(),
    };
    if state.is_some_and(|state| state.is_leaving()) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

pub(super) fn shutting_down() -> Problem {
    Problem::new(Code::ShuttingDown, "This instance is being stopped.")
        .hint("Send the request again; another instance takes it.")
        .retry_after(Duration::from_secs(1))
}

fn enter(in_flight: &Arc<Semaphore>, target: &actix_web::http::Uri) -> Result<OwnedSemaphorePermit, Problem> {
    if target.path_and_query().is_some_and(|target| target.as_str().len() > MAX_TARGET_BYTES) {
        let detail = format!("The address with its query is longer than {} KiB.", MAX_TARGET_BYTES / 1024);
        return Err(Problem::new(Code::MalformedRequest, detail));
    }
    Arc::clone(in_flight).try_acquire_owned().map_err(|_| overloaded())
}

pub(super) fn overloaded() -> Problem {
    Problem::new(Code::Overloaded, "The service works on as many requests as it can.")
        .retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn an_answer_keeps_its_place_until_it_is_sent() {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().expect("a place");
        let held = Held { body: BoxBody::new("answer"), _place: Some(place), _line: None };
        assert_eq!((held.size(), places.available_permits()), (BodySize::Sized(6), 0));
        assert_eq!(actix_web::body::to_bytes(held).await.expect("a body"), "answer");
        assert_eq!(places.available_permits(), 1);
    }

    #[test]
    fn what_comes_when_all_places_are_taken_is_turned_away() {
        let places = Arc::new(Semaphore::new(1));
        let target = actix_web::http::Uri::from_static("/api/v1/usage");
        let first = enter(&places, &target).expect("a place");
        let problem = enter(&places, &target).expect_err("no place");
        assert_eq!((problem.code, problem.retry_after), (Code::Overloaded, Some(Duration::from_secs(1))));
        drop(first);
        assert!(enter(&places, &target).is_ok());
    }
}
