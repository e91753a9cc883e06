//! The true cause of a failure, made to happen by the real thing.

mod tls;
