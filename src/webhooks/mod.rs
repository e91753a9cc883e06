//! Webhooks: receivers of an organisation that are notified of the events of its connections.
//!
//! [`service::Webhooks`] is what HTTP calls, and what sends in the background. There is no list of what is to be sent: a
//! webhook carries the number of the last event that was tried, and the organisation's events after that number are still
//! to be sent. So an event that is committed is sent, whichever process dies in between. What failed stands in a table of
//! its own until it is delivered or given up.
//!
//! One process at a time sends to a webhook, one event after the other: the right to is a lease on its row (`queue`). What
//! comes of an attempt is written in one transaction with the step forward, so that a process that dies in between has an
//! event sent twice at most, and never lost.
//!
//! Deliveries follow Standard Webhooks 1.0.

mod draft;
pub mod edit;
pub mod inventory;
mod pace;
mod queue;
pub mod rotation;
mod rows;
mod sample;
mod seal;
mod secret;
mod sending;
pub mod service;
mod slots;
mod store;
mod trial;
mod upkeep;
pub mod view;
pub mod wanted;
mod worker;
