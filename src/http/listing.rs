//! Which part of a list is asked for.

use super::query::{Parameters, Query, date};
use crate::auth::MAX_SUBJECT;
use crate::connections::Status;
use crate::connections::action::Action;
use crate::connections::audit::AuditQuery;
use crate::connections::draft::MAX_NAME;
use crate::connections::store::{ListQuery, SortColumn};
use crate::input::InputCode;
use crate::platforms::{ConnectionType, Platform};
use crate::problem::Problem;

/// Entries of a page by default, and at most.
pub(super) const DEFAULT_LIMIT: i64 = 25;
const MAX_LIMIT: i64 = 100;

/// How long a page is, and where it goes on.
pub(super) struct PageOf {
    pub(super) limit: i64,
    pub(super) cursor: Option<String>,
}

impl PageOf {
    fn read(parameters: &mut Parameters<'_>) -> Self {
        let limit = parameters.number("limit", DEFAULT_LIMIT, 1..=MAX_LIMIT);
        Self { limit, cursor: parameters.text("cursor").map(str::to_owned) }
    }
}

/// A page of a list that takes no other parameters.
pub(super) fn plain(query: &Query) -> Result<PageOf, Problem> {
    let mut parameters = Parameters::of(&query.0, &["limit", "cursor"], &[]);
    let page = PageOf::read(&mut parameters);
    parameters.finish(Some(page))
}

/// A page of audit events, and which of them.
pub(super) fn audit_events(query: &Query) -> Result<(PageOf, AuditQuery), Problem> {
    let known = ["limit", "cursor", "connection_id", "action", "actor", "from", "to"];
    let mut parameters = Parameters::of(&query.0, &known, &[]);
    let page = PageOf::read(&mut parameters);
    let connection = parameters.connections("connection_id").into_iter().next();
    let action = parameters.read("action", |key| {
        Action::find(key)
            .ok_or_else(|| (InputCode::UnknownValue, super::query::possible(key, &Action::ALL.map(Action::key))))
    });
    let actor = parameters.read("actor", subject).map(str::to_owned);
    let (from, to) = (parameters.read("from", date), parameters.read("to", date));
    parameters.finish(Some((page, AuditQuery { connection, action, actor, from, to })))
}

/// What the subject of a token could be.
fn subject(text: &str) -> Result<&str, (InputCode, String)> {
    if text.chars().count() > MAX_SUBJECT {
        Err((InputCode::TooLong, format!("No token's subject has more than {MAX_SUBJECT} characters.")))
    } else if text.chars().any(char::is_control) {
        Err((InputCode::InvalidCharacters, "No token's subject contains control characters.".to_owned()))
    } else {
        Ok(text)
    }
}

/// A page of connections.
pub(super) fn connections(query: &Query) -> Result<(ListQuery, Option<String>), Problem> {
    let known = ["limit", "cursor", "platform", "connection_type", "status", "q", "sort"];
    let mut parameters = Parameters::of(&query.0, &known, &[]);
    let PageOf { limit, cursor } = PageOf::read(&mut parameters);
    let platform = parameters.choice("platform", &Platform::ALL.map(Platform::key));
    let connection_type = parameters.choice("connection_type", &ConnectionType::ALL.map(ConnectionType::key));
    let status = parameters.read("status", |key| {
        let known = Status::ALL.map(Status::key);
        Status::find(key).ok_or_else(|| (InputCode::UnknownValue, super::query::possible(key, &known)))
    });
    let name = parameters.read("q", part_of_a_name);
    let (sort, descending) = parameters.read("sort", order).unwrap_or((SortColumn::CreatedAt, true));
    let name_contains = name.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
    let wanted = ListQuery { platform, connection_type, status, name_contains, sort, descending, after: None, limit };
    parameters.finish(Some((wanted, cursor)))
}

/// What a name could contain.
fn part_of_a_name(part: &str) -> Result<&str, (InputCode, String)> {
    if part.chars().count() > MAX_NAME {
        Err((InputCode::TooLong, format!("No name has more than {MAX_NAME} characters.")))
    } else if part.chars().any(char::is_control) {
        Err((InputCode::InvalidCharacters, "No name contains control characters.".to_owned()))
    } else {
        Ok(part)
    }
}

/// A column, with a leading `-` for the reverse.
fn order(text: &str) -> Result<(SortColumn, bool), (InputCode, String)> {
    let (descending, column) = direction(text);
    let column = match column {
        "name" => SortColumn::Name,
        "created_at" => SortColumn::CreatedAt,
        "updated_at" => SortColumn::UpdatedAt,
        "credentials_expire_at" => SortColumn::CredentialsExpireAt,
        _ => {
            let detail =
                "Sort by name, created_at, updated_at or credentials_expire_at, with a leading - for the reverse.";
            return Err((InputCode::UnknownValue, detail.to_owned()));
        }
    };
    Ok((column, descending))
}

/// Whether an order is reversed, and its column.
pub(super) fn direction(sort: &str) -> (bool, &str) {
    match sort.strip_prefix('-') {
        Some(column) => (true, column),
        None => (false, sort),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(query: &str) -> Vec<String> {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        let problem = connections(&Query(pairs)).expect_err("a problem");
        problem.errors.iter().map(|error| format!("{} {}", error.pointer, error.code)).collect()
    }

    #[test]
    fn an_unknown_parameter_hides_no_other_mistake() {
        assert_eq!(
            complaints("limit=0&status=bad&sort=foo&colour=1"),
            ["/colour unknown_parameter", "/limit out_of_range", "/status unknown_value", "/sort unknown_value"]
        );
        assert_eq!(complaints("limit=1&limit=2&q=a%00"), ["/limit repeated", "/q invalid_characters"]);
    }

    #[test]
    fn a_misspelt_parameter_is_named() {
        let query = Query(vec![("plattform".to_owned(), "demo".to_owned())]);
        let problem = connections(&query).expect_err("a problem");
        assert!(problem.detail.contains("did you mean platform?"), "{}", problem.detail);
    }
}
