//! What can be wrong with input, whether it comes as a body, a query string or a variable: the codes a client may branch
//! on, and a collector of everything that is wrong, so that a reader never stops at the first mistake.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

/// How far a word may be from the one that was meant, in letters that are changed, left out, added or swapped.
const MAX_TYPING_MISTAKES: usize = 2;
/// The longest word that is looked at for typing mistakes, in bytes.
const MAX_MISTYPED: usize = 64;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $key:literal)*) => {
        /// What is wrong with a field or a parameter.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum InputCode {
            $($(#[$doc])* $variant,)*
        }

        impl InputCode {
            /// The code as it stands in JSON.
            pub const fn key(self) -> &'static str {
                match self { $(Self::$variant => $key),* }
            }
        }
    };
}

codes! {
    /// It contradicts another one.
    Conflict "conflict"
    /// It is not written as it should be.
    Format "format"
    /// It does not fit in another way.
    Invalid "invalid"
    /// It holds characters that it must not hold.
    InvalidCharacters "invalid_characters"
    /// The cursor is damaged, or of another query.
    InvalidCursor "invalid_cursor"
    /// It is no address that could be called.
    InvalidUrl "invalid_url"
    /// Another one has this name.
    NameTaken "name_taken"
    /// The number is too small or too large.
    OutOfRange "out_of_range"
    /// It cannot be changed.
    ReadOnly "read_only"
    /// It may be there only once.
    Repeated "repeated"
    /// It is missing.
    Required "required"
    /// The text is too long.
    TooLong "too_long"
    /// There are too many.
    TooMany "too_many"
    /// Two values stand in one field.
    TwoValues "two_values"
    /// It is of another JSON type.
    Type "type"
    /// There is no such field.
    UnknownField "unknown_field"
    /// There is no such parameter.
    UnknownParameter "unknown_parameter"
    /// It is no time zone.
    UnknownTimezone "unknown_timezone"
    /// It is none of the possible values.
    UnknownValue "unknown_value"
}

impl fmt::Display for InputCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.key())
    }
}

/// Everything that is wrong with an input.
#[derive(Debug)]
pub struct Collector<E> {
    wrong: Vec<E>,
}

impl<E> Default for Collector<E> {
    fn default() -> Self {
        Self { wrong: Vec::new() }
    }
}

impl<E> Collector<E> {
    /// Notes something that is wrong.
    pub fn note(&mut self, error: E) {
        self.wrong.push(error);
    }

    /// The value, or `None` once it is noted what is wrong with it.
    pub fn take<T>(&mut self, read: Result<T, E>) -> Option<T> {
        read.map_err(|error| self.note(error)).ok()
    }

    /// What is wrong so far.
    pub fn so_far(&self) -> &[E] {
        &self.wrong
    }

    /// The value that was read, if nothing is wrong.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn finish<T>(self, read: Option<T>) -> Result<T, Vec<E>> {
        match read {
            Some(read) if self.wrong.is_empty() => Ok(read),
            _ => Err(self.wrong),
        }
    }
}

impl<E> Extend<E> for Collector<E> {
    fn extend<I: IntoIterator<Item = E>>(&mut self, errors: I) {
        self.wrong.extend(errors);
    }
}

/// The known word that a misspelt one was probably meant to be.
pub fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if typed.len() > MAX_MISTYPED {
        return None;
    }
    // Of three letters one may be wrong, of six two.
    let allowed = (typed.chars().count() / 3).min(MAX_TYPING_MISTAKES);
    known
        .into_iter()
        .map(|word| (strsim::osa_distance(typed, word), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_one_spelling() {
        for code in [InputCode::Type, InputCode::InvalidUrl, InputCode::UnknownTimezone] {
            assert_eq!(serde_json::to_value(code).expect("json"), code.key());
        }
    }

    #[test]
    fn typing_mistakes_are_recognised_and_other_words_are_not() {
        let known = ["api_key", "access_key", "access_key_id", "name"];
        for (typed, meant) in [
            ("api_kye", Some("api_key")),
            ("apikey", Some("api_key")),
            ("acces_key", Some("access_key")),
            ("nam", Some("name")),
            ("colour", None),
            ("no", None),
            (&"a".repeat(10_000), None),
        ] {
            assert_eq!(did_you_mean(typed, known), meant, "{typed:.20}");
        }
    }

    #[test]
    fn a_value_comes_out_only_where_nothing_is_wrong() {
        let mut collector = Collector::default();
        assert_eq!(collector.take(Ok::<_, &str>(1)), Some(1));
        assert_eq!(collector.take(Err::<i32, _>("first")), None);
        collector.extend(["second"]);
        assert_eq!(collector.finish(Some(2)), Err(vec!["first", "second"]));
        assert_eq!(Collector::<&str>::default().finish(Some(2)), Ok(2));
    }
}
