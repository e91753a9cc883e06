//! The only way out of this service.
//!
//! Every call to a tracker goes through [`Upstream`]: the address is checked and pinned (`egress`), no redirect is
//! followed, no proxy variable is read, the answer is bounded in time and in bytes after decompression, and reads are
//! retried within the request's deadline. Calls to one origin and to one account are bounded in number (`growth`) and pace, shared
//! fairly between tenants (`gate`) and, where there are several, between processes (`turn`). An origin that keeps
//! failing is left alone for a while (`breaker`). An error that leaves here carries no URL.
//!
//! What is called is a label and an address here: nothing of this knows a platform.

mod account;
mod allowance;
mod answer;
mod back_off;
mod breaker;
mod call;
mod certificate;
mod circuit;
mod clients;
pub mod egress;
pub mod error;
mod faults;
mod gate;
mod growth;
mod handshake;
mod host;
mod in_time;
mod memory;
mod origins;
mod parcel;
mod quote;
mod recent;
mod resolver;
mod retry;
mod scope;
mod sharing;
mod text;
mod timings;
mod tls;
mod transport;
mod turn;
mod upstream;
mod wall;

pub use self::account::AccountId;
pub use self::allowance::{Allowance, Limits, Pace};
pub use self::answer::Answer;
pub use self::call::{Call, MAX_BODY_BYTES};
pub use self::growth::Change;
pub use self::origins::TransportConfig;
pub use self::parcel::{Parcel, Receipt};
pub use self::scope::{CallScope, Purpose, VERIFICATION_DEADLINE};
pub use self::sharing::{Ask, BackOffId, Bound, Decision, Lease, Places, SharedBudget};
pub use self::text::MARK;
pub use self::timings::Timings;
pub use self::transport::Transport;
pub(crate) use self::upstream::Callee;
pub use self::upstream::Upstream;
pub use self::wall::Dialect;
