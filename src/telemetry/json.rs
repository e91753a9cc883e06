//! Log lines as JSON, for programs.
//!
//! What a line says is the same as with the formatter of `tracing-subscriber`. That one reads a span's fields, which are
//! JSON already, and writes them anew for each line; here they are copied. A line per request is written on the threads
//! that answer, so what it costs is what callers wait for.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// One object a line: `timestamp`, `level`, the event's own fields, `target` and, within one, `span`.
pub(super) struct JsonLines;

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, JsonFields> for JsonLines {
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        out.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut out)?;
        write!(out, "\",\"level\":\"{}\"", metadata.level())?;
        let mut members = Members { out: &mut out, outcome: Ok(()) };
        event.record(&mut members);
        members.text("target", metadata.target());
        members.outcome?;
        if let Some(span) = event.parent().and_then(|id| context.span(id)).or_else(|| context.lookup_current()) {
            out.write_str(",\"span\":{")?;
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>().map_or("", |fields| fields.fields.as_str());
            let fields = fields.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
            if !fields.is_empty() {
                out.write_str(fields)?;
                out.write_char(',')?;
            }
            write!(out, "\"name\":\"{}\"}}", span.name())?;
        }
        out.write_str("}\n")
    }
}

/// The members of a line.
struct Members<'a, 'w> {
    out: &'a mut Writer<'w>,
    outcome: fmt::Result,
}

impl Members<'_, '_> {
    fn member(&mut self, name: &str, value: fmt::Arguments<'_>) {
        // Names are those that stand in the code.
        self.outcome = self.outcome.and_then(|()| write!(self.out, ",\"{name}\":{value}"));
    }

    fn text(&mut self, name: &str, text: &str) {
        self.outcome = self.outcome.and_then(|()| {
            write!(self.out, ",\"{name}\":\"")?;
            escape(self.out, text)?;
            self.out.write_char('"')
        });
    }
}

impl Visit for Members<'_, '_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.member(field.name(), format_args!("{value}"));
        } else {
            self.member(field.name(), format_args!("null"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field.name(), format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field.name(), format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field.name(), format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }
}

/// Writes what stands between the quotes of a JSON string.
fn escape(out: &mut impl Write, text: &str) -> fmt::Result {
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        // What is escaped is one byte long, so both ends lie between characters.
        out.write_str(text.get(plain..at).unwrap_or_default())?;
        match byte {
            b'"' => out.write_str("\\\"")?,
            b'\\' => out.write_str("\\\\")?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\t' => out.write_str("\\t")?,
            _ => write!(out, "\\u{byte:04x}")?,
        }
        plain = at + 1;
    }
    out.write_str(text.get(plain..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `work` logs: ours, and those of the library.
    fn lines(work: impl Fn()) -> (Vec<Value>, Vec<Value>) {
        let read = |paper: &Paper| -> Vec<Value> {
            let bytes = paper.0.lock().clone();
            let text = String::from_utf8(bytes).expect("text");
            let strip = |line: &str| {
                let mut line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                let time = line["timestamp"].take();
                assert!(time.as_str().is_some_and(|time| time.ends_with('Z') && time.len() == 27), "{time}");
                line
            };
            text.lines().map(strip).collect()
        };
        let (own, theirs) = (Paper::default(), Paper::default());
        let (out, their_out) = (own.clone(), theirs.clone());
        let builder = || tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
        let subscriber =
            builder().fmt_fields(JsonFields::new()).event_format(JsonLines).with_writer(move || out.clone()).finish();
        tracing::subscriber::with_default(subscriber, &work);
        let library = builder().json().flatten_event(true).with_span_list(false);
        tracing::subscriber::with_default(library.with_writer(move || their_out.clone()).finish(), &work);
        (read(&own), read(&theirs))
    }

    #[test]
    fn a_line_says_what_the_librarys_own_formatter_says() {
        let (own, theirs) = lines(|| {
            tracing::info!("alone");
            let span = tracing::error_span!("request", request_id = "r\"1", parent_id = Option::<&str>::None);
            let _inside = span.enter();
            tracing::warn!(http.status = 200_u16, cache = Some("hit"), nothing = Option::<u64>::None, "inside");
            tracing::error!(negative = -7, ratio = 0.5, yes = true, list = ?["a", "b\n"], words = %"said");
            tracing::trace!(large = u128::MAX, "tabs\tand \\ and \u{7}");
        });
        assert_eq!(own.len(), 4);
        for (own, theirs) in own.into_iter().zip(theirs) {
            // The library writes numbers beyond 64 bits as numbers, which few readers of JSON can read.
            if own["large"].is_string() {
                assert_eq!(own["large"], json!(u128::MAX.to_string()));
                continue;
            }
            assert_eq!(own, theirs);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(text in any::<String>()) {
            let mut written = String::from("\"");
            escape(&mut written, &text).expect("a string takes everything");
            written.push('"');
            prop_assert_eq!(serde_json::from_str::<String>(&written).expect("JSON"), text);
            prop_assert!(!written.contains('\n'));
        }
    }
}
