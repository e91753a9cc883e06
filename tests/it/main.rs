//! All integration tests in one binary, because linking is what costs time.

#![cfg(test)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says what went wrong by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod app;
mod auth;
mod binary;
mod edge;
mod openapi;
mod platforms;
mod process;
mod secrets;
mod smoke;
mod tokens;
