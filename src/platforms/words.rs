//! What platforms say in words of their own, where several of them say it alike.

/// Words that only stand in a refusal about addresses.
const LISTS: [&str; 6] = ["whitelist", "whitelisted", "allowlist", "allowlisted", "white-list", "allow-list"];

/// Whether a refusal is about the address that the call came from, and not about the key.
pub(super) fn speaks_of_addresses(text: &str) -> bool {
    text.to_ascii_lowercase()
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-')
        .any(|word| word == "ip" || word == "ips" || LISTS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_address_is_told_from_a_refused_key() {
        for text in
            ["Your IP is not in the white list", "IP 192.0.2.1 not allowed", "host is not whitelisted", "bad-ip: IP!"]
        {
            assert!(speaks_of_addresses(text), "{text}");
        }
        for text in ["Auth Denied: this script is shipped without permission", "Out of realm", "zip", ""] {
            assert!(!speaks_of_addresses(text), "{text}");
        }
    }
}
