//! What a request asks for, and what ASP.NET says of one that it cannot bind.

use super::*;

/// A window in whole hours: traffic stands at the middle of each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) start: DateTime,
    pub(super) end: DateTime,
    pub(super) end_included: bool,
}

impl Asked {
    pub(super) fn has(&self, day: Date, hour: i8) -> bool {
        let at = day.at(hour, 30, 0, 0);
        let whole_last_day = self.end_included && self.end.time().hour() == 0 && at.date() == self.end.date();
        self.start <= at && (at < self.end || whole_last_day)
    }

    pub(super) fn days(&self) -> Vec<Date> {
        let range = DateRange::new(self.start.date(), self.end.date()).expect("a window that does not run backwards");
        range.days().filter(|day| (0..24).any(|hour| self.has(*day, hour))).collect()
    }
}

pub(super) fn moment(text: &str) -> Option<DateTime> {
    let (date, time) = text.split_once(' ')?;
    format!("{date}T{time}").parse().ok().filter(|_| time.len() == 8 && date.len() == 10)
}

/// What ASP.NET answers to a call it cannot bind.
pub(super) fn unbound(text: String) -> Reply {
    Reply::text(500, "text/plain", text)
}

pub(super) fn cannot_convert(value: &str, to: &str) -> Reply {
    unbound(format!(
        "Cannot convert {value} to {to}.\r\nParameter name: type --> Input string was not in a correct format."
    ))
}

/// Checks every declared parameter of a classic method. Names that end with `_id` or are about rows are numbers.
pub(super) fn bind(request: &Request, declared: &[&str]) -> Result<(), Reply> {
    for name in declared {
        let Some(value) = request.param(name) else { return Err(unbound(format!("Missing parameter: {name}."))) };
        let is_number = (name.ends_with("_id") && *name != "subid_id") || matches!(*name, "start_at_row" | "row_limit");
        if is_number && value.parse::<i32>().is_err() {
            return Err(cannot_convert(value, "System.Int32"));
        }
        let allowed: &[&str] = match *name {
            "conversion_type" => &["all", "events", "conversions"],
            "event_type" => &["all", "macro_event_conversions", "micro_events"],
            "revenue_filter" => &["conversions_and_events", "conversions", "events"],
            "sort_descending" | "include_tests" => &["TRUE", "FALSE"],
            _ => continue,
        };
        if !allowed.contains(&value) {
            return Err(cannot_convert(value, "an enumeration"));
        }
    }
    Ok(())
}
