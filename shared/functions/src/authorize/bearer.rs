//! The bearer token of a request.

/// Extracts the token from an `Authorization` header: the scheme `Bearer` in any case, one or more
/// spaces, and one token (RFC 6750 §2.1, RFC 9110 §11.1).
pub(super) fn bearer_token(header: &str) -> Option<&str> {
    let (scheme, rest) = header.trim_matches(' ').split_once(' ')?;
    let token = rest.trim_start_matches(' ');
    let is_one_token = !token.is_empty() && !token.contains(char::is_whitespace);
    (scheme.eq_ignore_ascii_case("Bearer") && is_one_token).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_bearer_token_as_one_word_after_scheme() {
        for (header, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("BEARER   abc", Some("abc")),
            (" Bearer abc ", Some("abc")),
            ("Bearer", None),
            ("Bearer ", None),
            ("", None),
            ("abc", None),
            ("Basic abc", None),
            ("Bearer abc def", None),
            ("Bearer abc, Bearer def", None),
            ("Bearer abc,Bearer def", None),
            ("Bearer\tabc", None),
            ("Bearerabc", None),
        ] {
            assert_eq!(bearer_token(header), token, "{header:?}");
        }
    }
}
