//! Trackers that live inside the test process.
//!
//! Each platform has a simulator built from what is known of its API: it refuses what the real one refuses and
//! checks what is sent. [`tracker::Simulator`] serves any of them on a loopback port, records every request and
//! plays faults. `examples/trackers.rs` starts the same simulators for people.

#![expect(unreachable_pub, reason = "an example shows the same simulators to people")]

pub mod affise;
pub mod binom;
pub mod cake;
pub mod everflow;
pub mod keitaro;
pub mod samples;
#[cfg(test)]
pub mod tls;
#[cfg(test)]
pub mod toxic;
pub mod tracker;
pub mod tune;
pub mod voluum;
pub mod walls;
