//! Entity tags that callers send back, also in the forms that proxies make of them.
//!
//! A proxy that compresses an answer marks its tag: nginx and HAProxy make it weak, Apache and Caddy add the name of the
//! compression to it. What stands for the data is the same.

/// What Apache and Caddy add.
const SUFFIXES: [&str; 3] = ["-gzip", "-br", "-zstd"];

/// The tags of `If-Match` or `If-None-Match`, without quotes and marks. None of this service's has a comma.
pub(super) fn read(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter_map(plain)
}

/// Whether one of the tags is this one (RFC 9110, 13.1.2: weak comparison).
pub(super) fn matches(list: &str, etag: &str) -> bool {
    list.trim() == "*" || read(list).any(|tag| plain(etag) == Some(tag))
}

fn plain(tag: &str) -> Option<&str> {
    let tag = tag.trim();
    let text = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
    Some(SUFFIXES.iter().find_map(|suffix| text.strip_suffix(suffix)).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_in_every_form_that_proxies_make_of_it() {
        for sent in ["\"5\"", "W/\"5\"", "\"5-gzip\"", "W/\"5-br\"", "\"5-zstd\"", "\"4\", W/\"5\"", " \"5\" ", "*"] {
            assert!(matches(sent, "\"5\"") && matches(sent, "W/\"5\""), "{sent}");
        }
        for sent in ["\"55\"", "\"5-deflate\"", "5", "\"5", "W/5", "w/\"5\"", "", "\"*\"", "\"-gzip\""] {
            assert!(!matches(sent, "\"5\""), "{sent}");
        }
    }

    #[test]
    fn a_tag_that_ends_like_a_mark_by_chance_is_still_itself() {
        assert!(matches("W/\"abc-br\"", "W/\"abc-br\""));
    }

    #[test]
    fn a_list_is_read_tag_by_tag() {
        assert_eq!(read("\"1\", W/\"2.ab-gzip\",x,").collect::<Vec<_>>(), ["1", "2.ab"]);
    }
}
