//! The clients of one origin: one for each thread that calls it.
//!
//! A connection is driven by the runtime that opened it, and each thread that answers has a runtime of its own. A call
//! over another thread's connection would wake that thread twice, and wait for whatever else it has to do.

use reqwest::Client;
use thread_local::ThreadLocal;

use crate::platforms::error::{ErrorKind, PlatformError};

/// Makes clients that are all alike.
type Make = dyn Fn() -> reqwest::Result<Client> + Send + Sync;

pub(super) struct Clients {
    of_threads: ThreadLocal<Client>,
    make: Box<Make>,
}

impl Clients {
    pub(super) fn made_by(make: impl Fn() -> reqwest::Result<Client> + Send + Sync + 'static) -> Self {
        Self { of_threads: ThreadLocal::new(), make: Box::new(make) }
    }

    /// This thread's client.
    pub(super) fn own(&self) -> Result<&Client, PlatformError> {
        self.of_threads
            .get_or_try(|| (self.make)())
            .map_err(|_| PlatformError::new(ErrorKind::InvalidUrl, "No connection can be set up for this address."))
    }
}
