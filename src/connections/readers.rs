//! The threads on which trackers' answers are read. However long one takes, and whatever is made of it, the threads that
//! answer callers go on.

use std::panic::resume_unwind;
use std::sync::LazyLock;

use futures_util::{Stream, StreamExt};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{Instrument, Span};

/// Answers are read by at least so many threads at the same time: one that takes long holds up no other.
const LEAST_THREADS: usize = 2;

/// Where they run; nowhere of their own, if the system has no threads to give.
fn threads() -> Handle {
    static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| {
        let threads =
            std::thread::available_parallelism().map_or(LEAST_THREADS, |cores| cores.get().max(LEAST_THREADS));
        Builder::new_multi_thread().worker_threads(threads).thread_name("reader").enable_all().build().ok()
    });
    RUNTIME.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
}

/// Does this on the threads that read. It ends early when its caller goes away.
pub(super) async fn run<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let mut running = JoinSet::new();
    running.spawn_on(work.instrument(Span::current()), &threads());
    match running.join_next().await {
        Some(Ok(outcome)) => outcome,
        Some(Err(failed)) if failed.is_panic() => resume_unwind(failed.into_panic()),
        // The process ends, and nobody is going to be answered.
        _ => std::future::pending().await,
    }
}

/// Drives a stream on the threads that read, one part ahead of its reader. It ends early with that.
pub(super) fn stream<T: Send + 'static>(parts: impl Stream<Item = T> + Send + 'static) -> impl Stream<Item = T> + Send {
    let span = Span::current();
    async_stream::stream! {
        let (send, mut parts_read) = mpsc::channel(1);
        let mut running = JoinSet::new();
        let reading = async move {
            let mut parts = std::pin::pin!(parts);
            // Nothing is read before there is room for it.
            while let Ok(room) = send.reserve().await
                && let Some(part) = parts.next().await
            {
                room.send(part);
            }
        };
        running.spawn_on(reading.instrument(span), &threads());
        while let Some(part) = parts_read.recv().await {
            yield part;
        }
        // What has broken off is not complete.
        if let Some(Err(failed)) = running.join_next().await
            && failed.is_panic()
        {
            resume_unwind(failed.into_panic());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_is_read_holds_up_nobody_here() {
        let busy = run(async { std::thread::sleep(Duration::from_millis(200)) });
        let here = async {
            tokio::task::yield_now().await;
            7
        };
        tokio::select! {
            biased;
            () = busy => panic!("this thread was busy"),
            number = here => assert_eq!(number, 7),
        }
    }

    #[tokio::test]
    async fn a_stream_is_read_no_further_than_one_part_ahead_and_ends_with_its_reader() {
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let parts = futures_util::stream::iter(0..1_000).map(move |number| {
            count.fetch_add(1, Ordering::SeqCst);
            number
        });
        let mut parts = Box::pin(stream(parts));
        assert_eq!(parts.next().await, Some(0));
        assert_eq!(parts.next().await, Some(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(made.load(Ordering::SeqCst) <= 4, "{made:?}");
        drop(parts);
    }

    #[tokio::test]
    #[should_panic(expected = "no rows")]
    async fn a_stream_that_panics_does_not_look_complete() {
        let parts = futures_util::stream::iter(0..3).map(|number| if number == 2 { panic!("no rows") } else { number });
        let all: Vec<i32> = Box::pin(stream(parts)).collect().await;
        panic!("complete: {all:?}");
    }
}
