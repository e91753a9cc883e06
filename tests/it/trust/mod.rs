//! Attacks: each test here tries something that must not work.

mod abuse;
mod audit;
mod egress;
mod owasp;
mod readers;
mod rotation;
