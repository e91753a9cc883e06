//! What is posted of a webhook, with everything that is wrong with it at once.

use serde_json::{Map, Value};
use url::Url;

use super::wanted::Wanted;
use crate::input::{Collector, InputCode, did_you_mean};
use crate::problem::{FieldProblem, Problem};

type Errors = Collector<FieldProblem>;

/// The longest address, and the longest description, in characters.
pub(crate) const MAX_URL: usize = 2_048;
pub(crate) const MAX_DESCRIPTION: usize = 200;
/// The most entries of a list of events.
pub(crate) const MAX_EVENTS: usize = 50;

const FIELDS: [&str; 4] = ["url", "events", "active", "description"];
/// What is shown of a webhook and cannot be changed.
const READ_ONLY: [&str; 4] = ["id", "paused_reason", "created_at", "secret"];

/// A webhook as it was posted.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) url: Url,
    pub(super) wanted: Wanted,
    pub(super) active: bool,
    pub(super) description: Option<String>,
}

/// A change of one.
#[derive(Debug, Default)]
pub(super) struct Patch {
    pub(super) url: Option<Url>,
    pub(super) wanted: Option<Wanted>,
    pub(super) active: Option<bool>,
    pub(super) description: Option<Option<String>>,
}

impl Draft {
    /// Reads a create body; what may be left out may be `null` as well.
    pub(super) fn read(body: &Value) -> Result<Self, Problem> {
        let members = members_of(body)?;
        let given = |key: &str| members.get(key).filter(|value| !value.is_null());
        let mut errors = Errors::default();
        errors.extend(unknown_fields(members));
        let url = match given("url") {
            Some(value) => errors.take(read_url(value)),
            None => {
                errors.note(FieldProblem::at("", "url", InputCode::Required, "Say where events are to be sent."));
                None
            }
        };
        let wanted = given("events").map_or(Some(Wanted::All), |value| read_events(value, &mut errors));
        let active = given("active").map_or(Some(true), |value| errors.take(read_active(value)));
        let description = given("description").map_or(Some(None), |value| errors.take(read_description(value)));
        let read = url.zip(wanted).zip(active).zip(description);
        let (((url, wanted), active), description) = errors.finish(read).map_err(Problem::validation)?;
        Ok(Self { url, wanted, active, description })
    }
}

impl Patch {
    /// Reads a merge patch. Only a description can be taken away.
    pub(super) fn read(body: &Value) -> Result<Self, Problem> {
        let members = members_of(body)?;
        let mut errors = Errors::default();
        errors.extend(unknown_fields(members));
        let patch = Self {
            url: members.get("url").and_then(|value| errors.take(read_url(value))),
            wanted: members.get("events").and_then(|value| read_events(value, &mut errors)),
            active: members.get("active").and_then(|value| errors.take(read_active(value))),
            description: members.get("description").and_then(|value| match value {
                Value::Null => Some(None),
                value => errors.take(read_description(value)),
            }),
        };
        errors.finish(Some(patch)).map_err(Problem::validation)
    }
}

fn members_of(body: &Value) -> Result<&Map<String, Value>, Problem> {
    body.as_object().ok_or_else(|| {
        Problem::validation(vec![FieldProblem::new("", InputCode::Type, "The body must be a JSON object.")])
    })
}

fn unknown_fields(members: &Map<String, Value>) -> impl Iterator<Item = FieldProblem> {
    members.keys().filter(|key| !FIELDS.contains(&key.as_str())).map(|key| {
        if READ_ONLY.contains(&key.as_str()) {
            return FieldProblem::at("", key, InputCode::ReadOnly, "This cannot be changed.");
        }
        let detail = match did_you_mean(key, FIELDS) {
            Some(meant) => format!("There is no such field; did you mean {meant}?"),
            None => format!("There is no such field; there are {}.", FIELDS.join(", ")),
        };
        FieldProblem::at("", key, InputCode::UnknownField, detail)
    })
}

fn wrong(key: &str, code: InputCode, detail: impl Into<String>) -> FieldProblem {
    FieldProblem::at("", key, code, detail)
}

/// An address that could be called. Whether it may be is for the egress policy to say.
fn read_url(value: &Value) -> Result<Url, FieldProblem> {
    let refuse = |code, detail: &str| Err(wrong("url", code, detail));
    let Value::String(text) = value else {
        return refuse(InputCode::Type, "The address must be text.");
    };
    let text = text.trim();
    if text.is_empty() {
        return refuse(InputCode::Required, "Say where events are to be sent.");
    }
    if text.chars().count() > MAX_URL {
        return Err(wrong("url", InputCode::TooLong, format!("The address may have at most {MAX_URL} characters.")));
    }
    let Ok(mut url) = Url::parse(text) else {
        return refuse(InputCode::InvalidUrl, "This is no address such as https://hooks.example.com/affzero.");
    };
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
        return refuse(InputCode::InvalidUrl, "The address must begin with https://.");
    }
    if !url.username().is_empty() || url.password().is_some() {
        let detail = "The address must hold no user name and no password: the signature says who sends.";
        return refuse(InputCode::InvalidUrl, detail);
    }
    url.set_fragment(None);
    Ok(url)
}

fn read_events(value: &Value, errors: &mut Errors) -> Option<Wanted> {
    let Value::Array(entries) = value else {
        errors.note(wrong("events", InputCode::Type, "The events must be a list, such as [\"connection.failing\"]."));
        return None;
    };
    if entries.is_empty() {
        errors.note(wrong("events", InputCode::Required, "Name at least one event, or * for all."));
        return None;
    }
    if entries.len() > MAX_EVENTS {
        errors.note(wrong("events", InputCode::TooMany, format!("The list may have at most {MAX_EVENTS} entries.")));
        return None;
    }
    let known = Wanted::keys();
    let mut keys = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let at = format!("/events/{place}");
        match entry.as_str() {
            None => errors.note(FieldProblem::new(at, InputCode::Type, "The name of an event must be text.")),
            Some(key) if known.contains(&key) => keys.push(key),
            Some(key) => {
                let detail = match did_you_mean(key, known.iter().copied()) {
                    Some(meant) => format!("There is no such event; did you mean {meant}?"),
                    None => format!("There is no such event; there are {}.", known.join(", ")),
                };
                errors.note(FieldProblem::new(at, InputCode::UnknownValue, detail));
            }
        }
    }
    Wanted::of(keys)
}

fn read_active(value: &Value) -> Result<bool, FieldProblem> {
    value.as_bool().ok_or_else(|| wrong("active", InputCode::Type, "This must be true or false."))
}

fn read_description(value: &Value) -> Result<Option<String>, FieldProblem> {
    let Value::String(text) = value else {
        return Err(wrong("description", InputCode::Type, "The description must be text."));
    };
    let text = text.trim();
    if text.chars().count() > MAX_DESCRIPTION {
        let detail = format!("The description may have at most {MAX_DESCRIPTION} characters.");
        return Err(wrong("description", InputCode::TooLong, detail));
    }
    if text.chars().any(char::is_control) {
        let detail = "The description must not contain control characters.";
        return Err(wrong("description", InputCode::InvalidCharacters, detail));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints<T: std::fmt::Debug>(read: Result<T, Problem>) -> Vec<String> {
        let problem = read.expect_err("a problem");
        problem.errors.iter().map(|error| format!("{} {}", error.pointer, error.code)).collect()
    }

    #[test]
    fn an_address_is_enough_and_the_rest_has_defaults() {
        let draft =
            Draft::read(&json!({"url": " https://Hooks.Example.com:443/a#b ", "events": null})).expect("a draft");
        assert_eq!(draft.url.as_str(), "https://hooks.example.com/a");
        assert_eq!((draft.wanted, draft.active, draft.description), (Wanted::All, true, None));
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let body = json!({"ulr": "x", "events": ["connection.fails", 7], "active": "yes", "description": 1});
        assert_eq!(
            complaints(Draft::read(&body)),
            [
                "/ulr unknown_field",
                "/url required",
                "/events/0 unknown_value",
                "/events/1 type",
                "/active type",
                "/description type"
            ]
        );
        for (url, code) in [
            (json!(7), "type"),
            (json!(" "), "required"),
            (json!("hooks.example.com"), "invalid_url"),
            (json!("ftp://hooks.example.com"), "invalid_url"),
            (json!("https://user@hooks.example.com/"), "invalid_url"),
            (json!("https://:secret@hooks.example.com/"), "invalid_url"),
            (json!(format!("https://hooks.example.com/{}", "a".repeat(3_000))), "too_long"),
        ] {
            assert_eq!(complaints(Draft::read(&json!({"url": url}))), [format!("/url {code}")]);
        }
        let many = vec!["*"; 51];
        assert_eq!(complaints(Draft::read(&json!({"url": "https://a.b", "events": many}))), ["/events too_many"]);
        assert_eq!(complaints(Draft::read(&json!([]))), [" type"]);
    }

    #[test]
    fn a_change_takes_away_nothing_but_a_description() {
        let patch = Patch::read(&json!({"description": null, "active": false})).expect("a patch");
        assert_eq!((patch.description, patch.active, patch.url.is_none()), (Some(None), Some(false), true));
        let body = json!({"url": null, "events": null, "active": null, "id": "x", "secret": "y"});
        let found = complaints(Patch::read(&body));
        assert_eq!(found, ["/id read_only", "/secret read_only", "/url type", "/events type", "/active type"]);
        assert_eq!(complaints(Patch::read(&json!({"events": []}))), ["/events required"]);
        let spaced = json!({"description": "a\nb"});
        assert_eq!(complaints(Patch::read(&spaced)), ["/description invalid_characters"]);
    }
}
