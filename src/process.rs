//! What the process itself is given and denied: memory and files of its own, descriptors, and the signals that end it.

use std::future::Future;
use std::io::Write;

use crate::telemetry;

/// As many descriptors as the process wants, if it may have them.
#[cfg(target_os = "linux")]
const DESCRIPTORS: u64 = 65_536;

/// Why a command failed.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Secrets are in this process's memory: no core dump of it is written, and no other program of the same user may
/// look into it. What a panic says goes nowhere, for it may quote what it stumbled over; where it happened does.
pub(crate) fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
        // A system that refuses dumps nothing that it would not have dumped before.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        if tracing::event_enabled!(tracing::Level::ERROR) {
            tracing::error!(place, "panic");
            // It may be the end of the process.
            telemetry::flush();
        } else {
            // Logging has not started.
            let _ = writeln!(std::io::stderr(), "affzero-connections: panic at {place}");
        }
    }));
}

/// What this process writes is for its own user alone: the database names customers, even where it is sealed.
pub(crate) fn keep_files_private() {
    #[cfg(target_os = "linux")]
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Where the system bounds the size of files, a write beyond it is an error like a full disk, not the end of the process.
pub(crate) fn survive_large_files() {
    #[cfg(target_os = "linux")]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // Once caught the signal stays caught. If it cannot be, the system does as before.
        drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())));
    }
}

/// Takes the descriptors that the system lets a process take but does not give it by default: each caller needs some.
pub(crate) fn have_descriptors() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = maximum.unwrap_or(u64::MAX).min(DESCRIPTORS);
        if current.is_some_and(|current| current < wanted) {
            // If it may not, there are fewer callers at the same time.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
        }
    }
}

/// Waits for Ctrl-C or SIGTERM, and listens from the moment that it is called, not only once it is waited for.
pub(crate) fn stop_signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let listeners = {
        use tokio::signal::unix::{SignalKind, signal};
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    };
    async move {
        #[cfg(unix)]
        if let (Ok(mut interrupted), Ok(mut terminated)) = listeners {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
        let _ = tokio::signal::ctrl_c().await;
    }
}
