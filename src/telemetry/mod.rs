//! The log: how it is written, and the ids that tie the lines of one request together.
//!
//! Every line that is written for a request carries its id, and its place in the caller's trace where there is one
//! (W3C Trace Context). The ids go into the log and nowhere else: no tracker ever sees them.

mod json;
mod writer;

use std::error::Error;
use std::fmt;
use std::io::{IsTerminal, Stderr};
use std::sync::LazyLock;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Span, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use self::json::JsonLines;
use self::writer::LogWriter;

static LOG_WRITER: LazyLock<LogWriter<Stderr>> = LazyLock::new(|| LogWriter::to(std::io::stderr()));

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines.
    Json,
}

/// Begins to log, to standard error, what the filter lets through. Whatever ends the process calls [`flush`] before.
///
/// # Errors
/// A filter that cannot be read, or no thread to be had.
pub fn start(format: LogFormat, filter: &str) -> Result<(), Box<dyn Error + Send + Sync>> {
    let filter = EnvFilter::try_new(filter)?;
    std::thread::Builder::new().name("log".to_owned()).spawn(|| LOG_WRITER.write_always())?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| &*LOG_WRITER);
    let colours = std::io::stderr().is_terminal();
    let discreet = filter_fn(is_discreet);
    match format {
        LogFormat::Json => {
            let builder = builder.fmt_fields(JsonFields::new()).event_format(JsonLines);
            builder.finish().with(discreet).with(NoStrangersNoise).init();
        }
        LogFormat::Pretty => {
            builder.with_target(false).with_ansi(colours).finish().with(discreet).with(NoStrangersNoise).init();
        }
    }
    Ok(())
}

/// Writes the lines that wait to be written.
pub fn flush() {
    LOG_WRITER.flush();
}

/// What the targets of the crates here begin with.
const OWN: &str = "affzero_";

/// The libraries below name the hosts they call, and those are private: however loud the log is asked to be, their
/// details stay out of it.
pub fn is_discreet(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || metadata.target().starts_with(OWN)
}

/// Drops the line of level ERROR that the HTTP library writes, without any id, for bytes that are no HTTP. The caller gets
/// at the port can send those, and is answered with 400; lines of level ERROR are what alerts send people to.
struct NoStrangersNoise;

impl<S: Subscriber> Layer<S> for NoStrangersNoise {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if !event.metadata().target().starts_with("actix_http::") {
            return true;
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        !message.0.starts_with("stream error: request parse error")
    }
}

/// The words of an event.
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// An error and, behind colons, everything that caused it.
pub fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

/// The place of one piece of work in a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    trace_id: String,
    span_id: String,
    parent_id: Option<String>,
}

impl Trace {
    /// A trace that begins here.
    pub fn begin() -> Self {
        Self { trace_id: format!("{:032x}", fastrand::u128(1..)), span_id: new_span_id(), parent_id: None }
    }

    /// The caller's trace, gone on with; `None` if this is no valid `traceparent`.
    pub fn resume(traceparent: &str) -> Option<Self> {
        let mut parts = traceparent.split('-');
        let (version, trace_id, parent_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let more = parts.next().is_some();
        let version_is_known = version == "00" && !more;
        let version_is_later = is_hex(version, 2) && version != "00" && version != "ff";
        let whole = (version_is_known || version_is_later)
            && is_hex(trace_id, 32)
            && is_hex(parent_id, 16)
            && is_hex(flags, 2)
            && trace_id.bytes().any(|digit| digit != b'0')
            && parent_id.bytes().any(|digit| digit != b'0');
        whole.then(|| Self {
            trace_id: trace_id.to_owned(),
            span_id: new_span_id(),
            parent_id: Some(parent_id.to_owned()),
        })
    }

    /// What every line of a request carries. Of the highest level, so that no filter takes the ids from a line.
    pub fn request(&self, request_id: &str) -> Span {
        tracing::error_span!(
            "request",
            request_id,
            trace_id = self.trace_id,
            span_id = self.span_id,
            parent_id = self.parent_id.as_deref()
        )
    }
}

/// What every line of a piece of background work carries.
pub fn background(request_id: &str) -> Span {
    let Trace { trace_id, span_id, .. } = Trace::begin();
    tracing::error_span!("background", request_id, trace_id, span_id)
}

fn new_span_id() -> String {
    format!("{:016x}", fastrand::u64(1..))
}

/// Lower-case digits only, as the standard has it.
fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_is_gone_on_with_under_a_span_of_our_own() {
        let trace = Trace::resume(VALID).expect("valid");
        assert_eq!(trace.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(trace.parent_id.as_deref(), Some("00f067aa0ba902b7"));
        assert!(is_hex(&trace.span_id, 16) && trace.span_id != "00f067aa0ba902b7");
        assert_ne!(Trace::resume(VALID), Some(trace), "each request has a span of its own");
    }

    #[test]
    fn a_later_version_may_say_more_and_this_one_may_not() {
        assert!(Trace::resume(&VALID.replacen("00", "cc", 1)).is_some());
        assert!(Trace::resume(&format!("{}-what-else", VALID.replacen("00", "cc", 1))).is_some());
        assert!(Trace::resume(&format!("{VALID}-what-else")).is_none());
    }

    #[test]
    fn what_is_not_valid_begins_a_trace_of_its_own() {
        for bad in [
            "",
            "-",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-zz",
            "0-04bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::resume(bad), None, "{bad}");
        }
        assert_ne!(Trace::begin().trace_id, Trace::begin().trace_id);
    }

    proptest! {
        #[test]
        fn nothing_but_hex_digits_ever_gets_into_the_log(text in "\\PC{0,80}|[0-9a-f-]{50,60}") {
            if let Some(trace) = Trace::resume(&text) {
                prop_assert!(is_hex(&trace.trace_id, 32) && is_hex(&trace.parent_id.unwrap_or_default(), 16));
            }
        }
    }
}
