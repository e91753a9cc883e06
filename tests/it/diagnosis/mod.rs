//! The true cause of a failure, made to happen by the real thing.

mod codes;
mod pasted;
mod table;
mod tls;
mod walls;
