//! Names that people take for the same: equal but for letter case, or of letters that look alike (Unicode TS 39).

use unicode_security::skeleton;

use super::pasted::is_invisible;

/// The key under which a name is unique and sorted: trimmed and in lower case.
pub fn name_key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// Whether two names look the same. Anyone tells ASCII letters apart, so that `Modem` and `Modern` are two names.
pub(super) fn look_alike(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return name_key(one) == name_key(other);
    }
    // Letters that look alike in one case need not in the other: В and B do, в and b do not.
    let cases: [fn(&str) -> String; 3] = [str::to_owned, str::to_lowercase, str::to_uppercase];
    cases.into_iter().any(|case| drawn(&case(one)) == drawn(&case(other)))
}

/// What is seen of a name.
fn drawn(name: &str) -> String {
    let visible: String = name.chars().filter(|letter| !is_invisible(*letter)).collect();
    let words: Vec<&str> = visible.split_whitespace().collect();
    skeleton(&words.join(" ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_the_same_are_taken_for_the_same() {
        for (one, other) in [
            ("Brand A", "brand a"),
            ("Brand A", "Brand \u{410}"),
            ("Brand", "\u{412}rand"),
            ("BRAND", "\u{432}rand"),
            ("Caf\u{e9}", "Cafe\u{301}"),
            ("Brand", "Br\u{200b}and"),
            ("Brand A", "Brand\u{a0}A"),
            ("Brand", "\u{ff22}rand"),
            ("paypal", "\u{440}\u{430}\u{443}\u{440}\u{430}l"),
        ] {
            assert!(look_alike(one, other) && look_alike(other, one), "{one} {other}");
        }
    }

    #[test]
    fn names_that_can_be_told_apart_are_different_ones() {
        for (one, other) in [
            ("Modem", "Modern"),
            ("Brand 1", "Brand l"),
            ("Brand", "Brand 2"),
            ("\u{411}ренд", "Brand"),
            ("組織", "组织"),
        ] {
            assert!(!look_alike(one, other), "{one} {other}");
        }
    }
}
