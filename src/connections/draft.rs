//! What is posted, checked against the catalogue's own schemas and typed.
//!
//! Every error is reported at once, and none quotes a value: what is wrong may be a secret in the wrong field.

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::wiped::Wiped;
use crate::platforms::catalogue::Availability;
use crate::platforms::{self, ConnectionType, Credentials, Pair, Platform, Settings};
use crate::problem::{Code, FieldProblem, Problem};

/// The longest name, in characters.
pub const MAX_NAME: usize = 100;

/// A connection as it was posted, ready to be verified and saved.
#[derive(Debug)]
pub struct Draft {
    /// The name; a dry run may go without.
    pub name: Option<String>,
    /// Platform and type.
    pub pair: Pair,
    /// The settings, normalised.
    pub settings: Settings,
    /// The secrets.
    pub credentials: Credentials,
}

/// A change of a connection.
#[derive(Debug, Default)]
pub struct Patch {
    /// The new name.
    pub name: Option<String>,
    /// The settings as they will be, if they were mentioned.
    pub settings: Option<Settings>,
    /// The secrets that change.
    pub credentials: Credentials,
    /// The secrets that are taken away.
    pub removed: Vec<String>,
}

impl Draft {
    /// Reads a create body.
    ///
    /// # Errors
    /// All wrong fields at once, or a platform that is not available yet.
    pub fn read(body: &Value, name_required: bool) -> Result<Self, Problem> {
        let Value::Object(members) = body else {
            return Err(not_an_object());
        };
        let mut errors = unknown_fields(members, &["name", "platform", "connection_type", "settings", "credentials"]);
        let name = match members.get("name") {
            None | Some(Value::Null) if !name_required => None,
            value => read_name(value, &mut errors),
        };
        let pair = read_pair(members, &mut errors)?;
        let settings = texts(members.get("settings"), "/settings", &mut errors);
        let credentials = texts(members.get("credentials"), "/credentials", &mut errors);
        let (Some(pair), Some(mut settings), Some(credentials)) = (pair, settings, credentials) else {
            return Err(Problem::validation(errors));
        };
        check_schemas(pair, &settings, &credentials, &mut errors);
        if errors.is_empty() {
            settings = normalise(pair, settings, &mut errors);
        }
        if !errors.is_empty() {
            return Err(Problem::validation(errors));
        }
        Ok(Self { name, pair, settings: plain(settings), credentials: secret(credentials) })
    }
}

impl Patch {
    /// Reads a merge patch against what is stored.
    ///
    /// # Errors
    /// All wrong fields at once.
    pub fn read(body: &Value, pair: Pair, current: &Settings, secrets: &[String]) -> Result<Self, Problem> {
        let Value::Object(members) = body else {
            return Err(not_an_object());
        };
        let mut errors = Vec::new();
        for fixed in ["platform", "connection_type"].into_iter().filter(|fixed| members.contains_key(*fixed)) {
            errors.push(FieldProblem::new(
                format!("/{fixed}"),
                "read_only",
                "This cannot be changed. Add a new connection instead.",
            ));
        }
        errors.extend(unknown_fields(members, &["name", "platform", "connection_type", "settings", "credentials"]));
        let name = members.get("name").and_then(|value| read_name(Some(value), &mut errors));

        let mut settings: Wiped = text_members(current.clone()).into();
        let entry = pair.entry();
        merge(&mut settings, members.get("settings"), "/settings", &entry.settings_schema, &mut errors);
        // Stored secrets take part in the check by name only.
        let mut credentials: Wiped = text_members(secrets.iter().map(|key| (key.clone(), "stored".to_owned()))).into();
        merge(&mut credentials, members.get("credentials"), "/credentials", &entry.credentials_schema, &mut errors);

        // A new name is welcome even where what is stored cannot be read, or no longer fits.
        if members.contains_key("settings") || members.contains_key("credentials") {
            check_schemas(pair, &settings, &credentials, &mut errors);
            if errors.is_empty() {
                settings = normalise(pair, settings, &mut errors);
            }
        }
        if !errors.is_empty() {
            return Err(Problem::validation(errors));
        }
        let mentioned = |key: &str| members.get(key).and_then(Value::as_object).into_iter().flatten();
        let changes = |key: &String| mentioned("credentials").any(|(name, value)| name == key && !value.is_null());
        let mut credentials = secret(credentials);
        credentials.retain(|key, _| changes(key));
        Ok(Self {
            name,
            settings: members.contains_key("settings").then(|| plain(settings)),
            credentials,
            removed: mentioned("credentials")
                .filter(|(key, value)| value.is_null() && secrets.contains(key))
                .map(|(key, _)| key.clone())
                .collect(),
        })
    }
}

fn not_an_object() -> Problem {
    Problem::validation(vec![FieldProblem::new("", "type", "The body must be a JSON object.")])
}

fn unknown_fields(members: &Map<String, Value>, known: &[&str]) -> Vec<FieldProblem> {
    members
        .keys()
        .filter(|key| !known.contains(&key.as_str()))
        .map(|key| {
            FieldProblem::new(pointer("", key), "unknown_field", format!("Known fields are {}.", known.join(", ")))
        })
        .collect()
}

/// Characters that have what follows shown in another order: a name must not look like another one.
fn turns_text_around(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn read_name(value: Option<&Value>, errors: &mut Vec<FieldProblem>) -> Option<String> {
    let (code, detail) = match value {
        None | Some(Value::Null) => ("required", "Give the connection a name.".to_owned()),
        Some(Value::String(text)) => {
            let name = text.trim();
            if name.is_empty() {
                ("required", "Give the connection a name.".to_owned())
            } else if name.chars().count() > MAX_NAME {
                ("too_long", format!("The name may have at most {MAX_NAME} characters."))
            } else if name.chars().any(|letter| letter.is_control() || turns_text_around(letter)) {
                ("invalid_characters", "The name must not contain control characters.".to_owned())
            } else {
                return Some(name.to_owned());
            }
        }
        Some(_) => ("type", "The name must be text.".to_owned()),
    };
    errors.push(FieldProblem::new("/name", code, detail));
    None
}

pub(crate) fn coming_soon(platform: Platform) -> Problem {
    Problem::new(Code::PlatformUnavailable, format!("Connections to {} cannot be made yet.", platform.title()))
}

fn read_pair(members: &Map<String, Value>, errors: &mut Vec<FieldProblem>) -> Result<Option<Pair>, Problem> {
    let all = || Platform::ALL.map(Platform::key).join(", ");
    let platform: Platform = match members.get("platform") {
        None | Some(Value::Null) => {
            errors.push(FieldProblem::new("/platform", "required", format!("Choose one of {}.", all())));
            return Ok(None);
        }
        Some(Value::String(key)) => match key.parse() {
            Ok(platform) => platform,
            Err(()) => {
                errors.push(FieldProblem::new("/platform", "unknown_value", format!("Choose one of {}.", all())));
                return Ok(None);
            }
        },
        Some(_) => {
            errors.push(FieldProblem::new("/platform", "type", "The platform must be text."));
            return Ok(None);
        }
    };
    let types: Vec<ConnectionType> =
        Pair::ALL.into_iter().filter(|pair| pair.platform() == platform).map(Pair::connection_type).collect();
    if platforms::entry(platform).is_none_or(|entry| entry.status == Availability::ComingSoon) {
        return Err(coming_soon(platform));
    }
    let listed = types.iter().map(|kind| kind.key()).collect::<Vec<_>>().join(", ");
    let wrong = match members.get("connection_type") {
        None | Some(Value::Null) => match types.as_slice() {
            [only] => return Ok(Pair::find(platform, *only)),
            _ if platform == Platform::Demo => return Ok(Pair::find(platform, ConnectionType::Admin)),
            _ => "required",
        },
        Some(Value::String(key)) => match key.parse().ok().and_then(|kind| Pair::find(platform, kind)) {
            Some(pair) => return Ok(Some(pair)),
            None => "unknown_value",
        },
        Some(_) => "type",
    };
    let detail = format!("{} has the connection types {listed}; name one of them.", platform.title());
    errors.push(FieldProblem::new("/connection_type", wrong, detail));
    Ok(None)
}

/// An object with its texts trimmed; a missing one is empty.
fn texts(value: Option<&Value>, at: &str, errors: &mut Vec<FieldProblem>) -> Option<Wiped> {
    match value {
        None | Some(Value::Null) => Some(Map::new().into()),
        Some(Value::Object(members)) => {
            Some(members.iter().map(|(key, value)| (key.clone(), trimmed(value))).collect::<Map<_, _>>().into())
        }
        Some(_) => {
            errors.push(FieldProblem::new(at, "type", "This must be a JSON object."));
            None
        }
    }
}

fn trimmed(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.trim().to_owned()),
        other => other.clone(),
    }
}

/// RFC 7396, one level deep: all values are texts. Taking away a field that `schema` does not know is refused, because
/// it is as likely a misspelt name as any other.
fn merge(into: &mut Wiped, patch: Option<&Value>, at: &str, schema: &Value, errors: &mut Vec<FieldProblem>) {
    match patch {
        None => {}
        Some(Value::Object(members)) => {
            for (key, value) in members {
                match value {
                    Value::Null if schema.pointer(&pointer("/properties", key)).is_none() => {
                        errors.push(unknown_field(at, key));
                    }
                    Value::Null => into.remove(key),
                    value => into.put(key.clone(), trimmed(value)),
                }
            }
        }
        Some(_) => errors.push(FieldProblem::new(at, "type", "This must be a JSON object.")),
    }
}

fn check_schemas(pair: Pair, settings: &Wiped, credentials: &Wiped, errors: &mut Vec<FieldProblem>) {
    let schemas = pair.schemas();
    check(&schemas.settings, settings, "/settings", errors);
    check(&schemas.credentials, credentials, "/credentials", errors);
    for (at, object) in [("/settings", settings), ("/credentials", credentials)] {
        for (key, value) in object.members() {
            if value.as_str().is_some_and(|text| text.chars().any(char::is_control)) {
                let detail = "The value must not contain control characters.";
                errors.push(FieldProblem::new(pointer(at, key), "invalid_characters", detail));
            }
        }
    }
}

fn check(validator: &Validator, value: &Value, at: &str, errors: &mut Vec<FieldProblem>) {
    for error in validator.iter_errors(value) {
        let place = format!("{at}{}", error.instance_path().as_str());
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                errors.push(FieldProblem::new(pointer(&place, key), "required", "This field is required."));
            }
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                errors.extend(unexpected.iter().map(|key| unknown_field(&place, key)));
            }
            ValidationErrorKind::Type { .. } => {
                errors.push(FieldProblem::new(place, "type", "The value must be text."));
            }
            ValidationErrorKind::MinLength { .. } => {
                errors.push(FieldProblem::new(place, "required", "The value must not be empty."));
            }
            ValidationErrorKind::MaxLength { limit } => {
                let detail = format!("The value may have at most {limit} characters.");
                errors.push(FieldProblem::new(place, "too_long", detail));
            }
            ValidationErrorKind::Enum { options } => {
                let detail = format!("The value must be one of {options}.");
                errors.push(FieldProblem::new(place, "unknown_value", detail));
            }
            ValidationErrorKind::Pattern { pattern } => {
                let detail = format!("The value must match {pattern}.");
                errors.push(FieldProblem::new(place, "format", detail));
            }
            _ => errors.push(FieldProblem::new(place, "invalid", "The value does not fit the platform's schema.")),
        }
    }
}

fn unknown_field(at: &str, key: &str) -> FieldProblem {
    let detail = "There is no such field; see the platform's schema in the catalogue.";
    FieldProblem::new(pointer(at, key), "unknown_field", detail)
}

fn normalise(pair: Pair, settings: Wiped, errors: &mut Vec<FieldProblem>) -> Wiped {
    let mut settings = plain(settings);
    if let Err(wrong) = platforms::normalise(pair, &mut settings) {
        errors.extend(
            wrong
                .into_iter()
                .map(|error| FieldProblem::new(format!("/settings/{}", error.field), error.code, error.detail)),
        );
    }
    text_members(settings).into()
}

fn text_members(texts: impl IntoIterator<Item = (String, String)>) -> Map<String, Value> {
    texts.into_iter().map(|(key, text)| (key, Value::String(text))).collect()
}

fn plain(members: Wiped) -> Settings {
    members.into_texts().into_iter().collect()
}

fn secret(members: Wiped) -> Credentials {
    members.into_texts().into_iter().map(|(key, text)| (key, SecretString::from(text))).collect()
}

/// A JSON pointer to `key` below `at` (RFC 6901).
fn pointer(at: &str, key: &str) -> String {
    let key: String = key.chars().take(100).collect();
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn codes(problem: &Problem) -> Vec<(String, String)> {
        problem.errors.iter().map(|error| (error.pointer.clone(), error.code.to_string())).collect()
    }

    #[test]
    fn all_errors_come_at_once_with_pointers() {
        let body = json!({
            "name": " ", "platform": "affise", "connection_type": "admin", "nam": 1,
            "settings": {"base_url": 5, "currency": "usd"}, "credentials": {"api_kye": "x"}
        });
        let problem = Draft::read(&body, true).expect_err("a problem");
        let found = codes(&problem);
        for (pointer, code) in [
            ("/nam", "unknown_field"),
            ("/name", "required"),
            ("/settings/base_url", "type"),
            ("/settings/currency", "format"),
            ("/credentials/api_key", "required"),
            ("/credentials/api_kye", "unknown_field"),
        ] {
            assert!(found.contains(&(pointer.to_owned(), code.to_owned())), "{pointer} {code} in {found:?}");
        }
    }

    #[test]
    fn demo_needs_nothing_but_a_name() {
        let draft = Draft::read(&json!({"name": "Try", "platform": "demo"}), true).expect("a draft");
        assert_eq!(draft.pair, Pair::DemoAdmin);
        assert_eq!(draft.settings.get("scenario").map(String::as_str), Some("healthy"));
    }

    #[test]
    fn a_patch_merges_and_null_removes() {
        let current = Settings::from([
            ("base_url".to_owned(), "https://api-a.affise.com".to_owned()),
            ("currency".to_owned(), "EUR".to_owned()),
        ]);
        let secrets = ["api_key".to_owned()];
        let patch = Patch::read(&json!({"settings": {"currency": null}}), Pair::AffiseAdmin, &current, &secrets)
            .expect("a patch");
        assert_eq!(patch.settings.map(|settings| settings.len()), Some(1));
        let removed = Patch::read(&json!({"credentials": {"api_key": null}}), Pair::AffiseAdmin, &current, &secrets)
            .expect_err("a problem");
        assert_eq!(codes(&removed), [("/credentials/api_key".to_owned(), "required".to_owned())]);
        let moved =
            Patch::read(&json!({"platform": "demo"}), Pair::AffiseAdmin, &current, &secrets).expect_err("a problem");
        assert_eq!(codes(&moved), [("/platform".to_owned(), "read_only".to_owned())]);
    }

    #[test]
    fn a_name_that_would_be_shown_in_another_order_is_refused() {
        for (name, good) in [("\u{202e}dnarB", false), ("a\u{2066}b", false), ("a\u{7}b", false), ("مرحبا", true)]
        {
            assert_eq!(Draft::read(&json!({"name": name, "platform": "demo"}), true).is_ok(), good, "{name:?}");
        }
    }

    #[test]
    fn no_error_quotes_a_value() {
        let body = json!({"name": "x", "platform": "affise", "connection_type": "admin",
            "settings": {"base_url": "canary-secret with blanks", "currency": "canary-secret"},
            "credentials": {"api_key": {"canary-secret": 1}}});
        let problem = Draft::read(&body, true).expect_err("a problem");
        assert!(!format!("{problem:?}").contains("canary-secret"), "{problem:?}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
            prop_oneof![Just("affise"), Just("demo"), Just("admin"), Just("binom")].prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            let key = prop_oneof![
                Just("name".to_owned()),
                Just("platform".to_owned()),
                Just("connection_type".to_owned()),
                Just("settings".to_owned()),
                Just("credentials".to_owned()),
                Just("base_url".to_owned()),
                Just("api_key".to_owned()),
                "\\PC{0,6}"
            ];
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::hash_map(key, inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_a_draft_or_a_problem(body in any_json()) {
            if let Err(problem) = Draft::read(&body, true) {
                prop_assert!(problem.code.status() == 422);
                prop_assert!(problem.code != Code::ValidationFailed || !problem.errors.is_empty());
            }
            let _ = Patch::read(&body, Pair::AffiseAdmin, &Settings::new(), &[]);
        }
    }
}
