//! What is posted, checked against the catalogue's own schemas and typed.
//!
//! Every error is reported at once, and none quotes a value: what is wrong may be a secret in the wrong field.

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::expiry::Day;
use super::pasted;
use super::wiped::Wiped;
use crate::input::{Collector, InputCode, did_you_mean};
use crate::platforms::catalogue::Availability;
use crate::platforms::checks::{Checks, Fault};
use crate::platforms::{self, ConnectionType, Credentials, Pair, Platform, Settings};
use crate::problem::{Code, FieldProblem, Problem};

/// Everything that is wrong with a body.
type Errors = Collector<FieldProblem>;

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
    /// The last day on which they are good.
    pub(super) expiry: Option<Day>,
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
    /// The last day on which they are good, if that is mentioned.
    pub(super) expiry: Option<Option<Day>>,
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
        let mut errors = Errors::default();
        errors.extend(unknown_fields(members));
        let name = match members.get("name") {
            None | Some(Value::Null) if !name_required => None,
            value => read_name(value, &mut errors),
        };
        let expiry = members.get(EXPIRY).and_then(|value| read_expiry(value, &mut errors)).flatten();
        let pair = read_pair(members, &mut errors)?;
        let settings = texts(members.get("settings"), "/settings", &mut errors);
        let credentials = texts(members.get("credentials"), "/credentials", &mut errors);
        let read = pair.map(|pair| {
            let settings = settings.map(|settings| check_settings(pair, settings, &mut errors));
            let credentials = credentials.map(|mut credentials| {
                if let Some(halves) = pair.halves() {
                    pasted::take_apart(halves, &mut credentials, &mut errors);
                }
                check_credentials(pair, &credentials, &mut errors);
                credentials
            });
            settings.zip(credentials).map(|(settings, credentials)| (pair, settings, credentials))
        });
        let (pair, settings, credentials) = errors.finish(read.flatten()).map_err(Problem::validation)?;
        Ok(Self { name, pair, settings: plain(settings), credentials: secret(credentials), expiry })
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
        let mut errors = Errors::default();
        for fixed in ["platform", "connection_type"].into_iter().filter(|fixed| members.contains_key(*fixed)) {
            let detail = "This cannot be changed. Add a new connection instead.";
            errors.note(FieldProblem::at("", fixed, InputCode::ReadOnly, detail));
        }
        errors.extend(unknown_fields(members));
        let name = members.get("name").and_then(|value| read_name(Some(value), &mut errors));
        let expiry = members.get(EXPIRY).and_then(|value| read_expiry(value, &mut errors));

        let mut settings: Wiped = text_members(current.clone()).into();
        let entry = pair.entry();
        merge(&mut settings, members.get("settings"), "/settings", &entry.settings_schema, &mut errors);
        // Stored secrets take part in the check by name only.
        let mut credentials: Wiped = text_members(secrets.iter().map(|key| (key.clone(), "stored".to_owned()))).into();
        let posted = posted_credentials(pair, members, &mut errors);
        merge(&mut credentials, posted.as_deref(), "/credentials", &entry.credentials_schema, &mut errors);

        // A new name is welcome even where what is stored cannot be read, or no longer fits.
        if members.contains_key("settings") || members.contains_key("credentials") {
            settings = check_settings(pair, settings, &mut errors);
            check_credentials(pair, &credentials, &mut errors);
        }
        errors.finish(Some(())).map_err(Problem::validation)?;
        let mentioned = || posted.as_deref().and_then(Value::as_object).into_iter().flatten();
        let changes = |key: &String| mentioned().any(|(name, value)| name == key && !value.is_null());
        let mut credentials = secret(credentials);
        credentials.retain(|key, _| changes(key));
        Ok(Self {
            name,
            settings: members.contains_key("settings").then(|| plain(settings)),
            credentials,
            removed: mentioned()
                .filter(|(key, value)| value.is_null() && secrets.contains(key))
                .map(|(key, _)| key.clone())
                .collect(),
            expiry,
        })
    }
}

fn not_an_object() -> Problem {
    Problem::validation(vec![FieldProblem::new("", InputCode::Type, "The body must be a JSON object.")])
}

/// The fields of a body.
const FIELDS: [&str; 6] = ["name", "platform", "connection_type", "settings", "credentials", EXPIRY];
/// The field of the day on which the key runs out.
const EXPIRY: &str = "credentials_expire_at";

fn unknown_fields(members: &Map<String, Value>) -> impl Iterator<Item = FieldProblem> {
    members.keys().filter(|key| !FIELDS.contains(&key.as_str())).map(|key| unknown_field("", key, &FIELDS))
}

/// A field that there is none of: which one was probably meant, or else which there are.
fn unknown_field(at: &str, key: &str, known: &[&str]) -> FieldProblem {
    let detail = match (did_you_mean(key, known.iter().copied()), known) {
        (Some(meant), _) => format!("There is no such field; did you mean {meant}?"),
        (None, []) => "There are no fields here.".to_owned(),
        (None, known) => format!("There is no such field; there are {}.", known.join(", ")),
    };
    FieldProblem::at(at, key, InputCode::UnknownField, detail)
}

/// Characters that have what follows shown in another order: a name must not look like another one.
fn turns_text_around(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn read_name(value: Option<&Value>, errors: &mut Errors) -> Option<String> {
    let (code, detail) = match value {
        None | Some(Value::Null) => (InputCode::Required, "Give the connection a name.".to_owned()),
        Some(Value::String(text)) => {
            let name = pasted::as_meant(text, false);
            if name.is_empty() {
                (InputCode::Required, "Give the connection a name.".to_owned())
            } else if name.chars().count() > MAX_NAME {
                (InputCode::TooLong, format!("The name may have at most {MAX_NAME} characters."))
            } else if text.trim().chars().any(|letter| letter.is_control() || turns_text_around(letter)) {
                (InputCode::InvalidCharacters, "The name must not contain control characters.".to_owned())
            } else {
                return Some(name.to_owned());
            }
        }
        Some(_) => (InputCode::Type, "The name must be text.".to_owned()),
    };
    errors.note(FieldProblem::at("", "name", code, detail));
    None
}

/// A date, or `null` for none.
fn read_expiry(value: &Value, errors: &mut Errors) -> Option<Option<Day>> {
    let (code, detail) = match value {
        Value::Null => return Some(None),
        Value::String(text) => match Day::read(text.trim()) {
            Some(day) => return Some(Some(day)),
            None => (InputCode::Format, "Write the date as in 2027-03-31."),
        },
        _ => (InputCode::Type, "The date must be text, as in 2027-03-31."),
    };
    errors.note(FieldProblem::at("", EXPIRY, code, detail));
    None
}

/// There is no client for the platform yet.
pub fn coming_soon(platform: Platform) -> Problem {
    Problem::new(Code::PlatformUnavailable, format!("Connections to {} cannot be made yet.", platform.title()))
}

fn read_pair(members: &Map<String, Value>, errors: &mut Errors) -> Result<Option<Pair>, Problem> {
    let all = || Platform::ALL.map(Platform::key).join(", ");
    let platform: Platform = match members.get("platform") {
        None | Some(Value::Null) => {
            errors.note(FieldProblem::at("", "platform", InputCode::Required, format!("Choose one of {}.", all())));
            return Ok(None);
        }
        Some(Value::String(key)) => match key.parse() {
            Ok(platform) => platform,
            Err(()) => {
                errors.note(FieldProblem::at(
                    "",
                    "platform",
                    InputCode::UnknownValue,
                    format!("Choose one of {}.", all()),
                ));
                return Ok(None);
            }
        },
        Some(_) => {
            errors.note(FieldProblem::at("", "platform", InputCode::Type, "The platform must be text."));
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
            _ => InputCode::Required,
        },
        Some(Value::String(key)) => match key.parse().ok().and_then(|kind| Pair::find(platform, kind)) {
            Some(pair) => return Ok(Some(pair)),
            None => InputCode::UnknownValue,
        },
        Some(_) => InputCode::Type,
    };
    let detail = format!("{} has the connection types {listed}; name one of them.", platform.title());
    errors.note(FieldProblem::at("", "connection_type", wrong, detail));
    Ok(None)
}

/// An object with its texts trimmed; a missing one is empty.
fn texts(value: Option<&Value>, at: &str, errors: &mut Errors) -> Option<Wiped> {
    match value {
        None | Some(Value::Null) => Some(Map::new().into()),
        Some(Value::Object(members)) => {
            let cut = |(key, value): (&String, &Value)| (key.clone(), as_meant(value, pasted::is_key(at, key)));
            Some(members.iter().map(cut).collect::<Map<_, _>>().into())
        }
        Some(_) => {
            errors.note(FieldProblem::new(at, InputCode::Type, "This must be a JSON object."));
            None
        }
    }
}

/// The credentials of a merge patch, with two halves in one field taken apart.
fn posted_credentials(pair: Pair, members: &Map<String, Value>, errors: &mut Errors) -> Option<Wiped> {
    let posted = members.get("credentials")?;
    let (Some(halves), Value::Object(_)) = (pair.halves(), posted) else {
        return Some(posted.clone().into());
    };
    let mut credentials = texts(Some(posted), "/credentials", errors)?;
    pasted::take_apart(halves, &mut credentials, errors);
    Some(credentials)
}

fn as_meant(value: &Value, is_key: bool) -> Value {
    match value {
        Value::String(text) => Value::String(pasted::as_meant(text, is_key).to_owned()),
        other => other.clone(),
    }
}

/// RFC 7396, one level deep: all values are texts. Taking away a field that `schema` does not know is refused, because
/// it is as likely a misspelt name as any other.
fn merge(into: &mut Wiped, patch: Option<&Value>, at: &str, schema: &Value, errors: &mut Errors) {
    match patch {
        None => {}
        Some(Value::Object(members)) => {
            let known = keys(schema);
            for (key, value) in members {
                match value {
                    Value::Null if !known.contains(&key.as_str()) => errors.note(unknown_field(at, key, &known)),
                    Value::Null => into.remove(key),
                    value => into.put(key.clone(), as_meant(value, pasted::is_key(at, key))),
                }
            }
        }
        Some(_) => errors.note(FieldProblem::new(at, InputCode::Type, "This must be a JSON object.")),
    }
}

/// The names that a schema of an object knows.
fn keys(schema: &Value) -> Vec<&str> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// Holds settings against their schema and the platform's own rules, and brings them into the form they are stored in.
fn check_settings(pair: Pair, settings: Wiped, errors: &mut Errors) -> Wiped {
    let mut found = Errors::default();
    check(&pair.schemas().settings, &settings, "/settings", &mut found);
    let mut normal = plain(settings);
    let wrong = platforms::normalise(pair, &mut normal).err().unwrap_or_default();
    let wrong = wrong.into_iter().map(|error| FieldProblem::at("/settings", error.field, error.code, error.detail));
    let wrong: Vec<FieldProblem> = wrong.collect();
    let found = found.finish(None::<()>).err().unwrap_or_default();
    // Of one field one mistake is enough. Of what has not the right form, the platform's own words say more.
    let says_more = |known: &FieldProblem| known.code == InputCode::Format.into() && is_about(&wrong, known);
    let found: Vec<FieldProblem> = found.into_iter().filter(|known| !says_more(known)).collect();
    let new: Vec<FieldProblem> = wrong.iter().filter(|error| !is_about(&found, error)).cloned().collect();
    errors.extend(found.into_iter().chain(new));
    text_members(normal).into()
}

/// Whether one of `problems` is about the same field as `other`.
fn is_about(problems: &[FieldProblem], other: &FieldProblem) -> bool {
    problems.iter().any(|problem| problem.pointer == other.pointer)
}

fn check_credentials(pair: Pair, credentials: &Wiped, errors: &mut Errors) {
    check(&pair.schemas().credentials, credentials, "/credentials", errors);
}

fn check(checks: &Checks, object: &Wiped, at: &str, errors: &mut Errors) {
    let known: Vec<&str> = checks.names().collect();
    for (key, fault) in checks.faults(object) {
        let (code, detail) = match fault {
            Fault::Unknown => {
                errors.note(unknown_field(at, key, &known));
                continue;
            }
            Fault::Missing => (InputCode::Required, "This field is required.".to_owned()),
            Fault::NotText => (InputCode::Type, "The value must be text.".to_owned()),
            Fault::Empty => (InputCode::Required, "The value must not be empty.".to_owned()),
            Fault::TooLong(limit) => (InputCode::TooLong, format!("The value may have at most {limit} characters.")),
            Fault::NotOneOf(choices) => {
                (InputCode::UnknownValue, format!("The value must be one of {}.", choices.join(", ")))
            }
            // A pattern says nothing to people, an example does.
            Fault::Form(example) => (InputCode::Format, format!("The value should look like {example}.")),
        };
        errors.note(FieldProblem::at(at, key, code, detail));
    }
    for (key, value) in object.members() {
        let detail = value.as_str().and_then(|text| match pasted::is_key(at, key) {
            true => pasted::odd_character(text),
            false => {
                let words = || "The value must not contain control characters.".to_owned();
                text.chars().any(char::is_control).then(words)
            }
        });
        if let Some(detail) = detail {
            errors.note(FieldProblem::at(at, key, InputCode::InvalidCharacters, detail));
        }
    }
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
            "settings": {"base_url": 5, "currency": "UDS"}, "credentials": {"api_kye": "x"}
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
    fn what_the_platform_says_of_an_address_comes_with_what_the_schema_says() {
        let body = json!({"name": "x", "platform": "cake", "connection_type": "affiliate", "colour": 1,
            "settings": {"domain": "https://a b", "timezone": "Mars", "currency": "UDS"}, "credentials": {"api_kye": "x"}});
        let problem = Draft::read(&body, true).expect_err("a problem");
        let mut found = codes(&problem);
        found.sort();
        let expected = [
            ("/colour", "unknown_field"),
            ("/credentials/api_key", "required"),
            ("/credentials/api_kye", "unknown_field"),
            ("/settings/currency", "format"),
            ("/settings/domain", "invalid_url"),
            ("/settings/timezone", "unknown_timezone"),
        ];
        assert_eq!(found, expected.map(|(pointer, code)| (pointer.to_owned(), code.to_owned())));
    }

    #[test]
    fn errors_are_in_words() {
        let body = json!({"name": "x", "platform": "everflow", "connection_type": "admin",
            "settings": {"region": "moon", "currency": "UDS"}, "credentials": {"api_kye": "x"}});
        let problem = Draft::read(&body, true).expect_err("a problem");
        let details: Vec<&str> = problem.errors.iter().map(|error| error.detail.as_str()).collect();
        for expected in [
            "The value must be one of us, eu.",
            "This is not an ISO 4217 currency code; the nearest is USD (United States dollar).",
            "There is no such field; did you mean api_key?",
        ] {
            assert!(details.contains(&expected), "{expected} in {details:?}");
        }
        let whole = Draft::read(&json!([]), true).expect_err("a problem");
        assert_eq!(whole.detail, "The body must be a JSON object.");
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
