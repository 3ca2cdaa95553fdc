//! The monitoring page: one HTML document that calls only this API.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lambda_http::http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use lambda_http::http::{HeaderName, HeaderValue};
use session_functions::http::{ApiError, RawBody};
use sha2::{Digest as _, Sha256};

const PAGE: &str = include_str!("../page/page.html");
const STYLE: &str = include_str!("../page/page.css");

/// The script: one module, split into files by responsibility.
const SCRIPT: &str = concat!(
    include_str!("../page/script/format.js"),
    include_str!("../page/script/api.js"),
    include_str!("../page/script/texts.js"),
    include_str!("../page/script/sessions.js"),
    include_str!("../page/script/chart.js"),
    include_str!("../page/script/document.js"),
    include_str!("../page/script/reports.js"),
    include_str!("../page/script/users.js"),
    include_str!("../page/script/dialog.js"),
    include_str!("../page/script/events.js"),
);

/// The page with its style and script inline, and its Content-Security-Policy (CSP Level 3), which
/// allows only these two and calls to this host.
static RENDERED: LazyLock<(String, String)> = LazyLock::new(|| {
    let html = PAGE
        .replace(
            r#"<link rel="stylesheet" href="page.css">"#,
            &format!("<style>{STYLE}</style>"),
        )
        .replace(
            r#"<script type="module" src="script/"></script>"#,
            &format!("<script type=\"module\">{SCRIPT}</script>"),
        );
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    (html, policy)
});

/// Returns the page.
pub(crate) fn document() -> Result<RawBody, ApiError> {
    let (html, policy) = &*RENDERED;
    let policy = HeaderValue::from_str(policy).map_err(|error| {
        tracing::error!(%error, "the policy of the page is not a valid header");
        ApiError::Internal
    })?;
    let mut document = RawBody::public("text/html; charset=utf-8", html.as_str());
    document.headers = vec![
        (CONTENT_SECURITY_POLICY, policy),
        (
            REFERRER_POLICY,
            const { HeaderValue::from_static("no-referrer") },
        ),
        // Windows that open this page, or that it opens, cannot access it.
        (
            const { HeaderName::from_static("cross-origin-opener-policy") },
            const { HeaderValue::from_static("same-origin") },
        ),
    ];
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_is_self_contained_and_at_most_110_kb() {
        let (html, _) = &*RENDERED;
        assert!(html.contains(STYLE) && html.contains(SCRIPT));
        assert!(
            !html.contains("page.css") && !html.contains("script/"),
            "{html}"
        );
        assert!(html.len() <= 110_000, "{}", html.len());
    }
}
