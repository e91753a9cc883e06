//! All integration tests in one binary, because linking is what costs time.

#[path = "../support/mod.rs"]
mod support;

mod platforms;
