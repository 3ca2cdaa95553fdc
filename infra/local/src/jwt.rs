//! Options for the tokens that the authorizer accepts and for their sessions. They have the names of its environment
//! variables (`JWT_ISSUER` is `--jwt-issuer`), so its errors about variables become errors about
//! options.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use session_functions::config::AuthorizerConfig;
use session_functions::environment::Environment;
use session_token::ClaimRole;

use crate::dynamodb::TABLE_NAME;
use crate::error::{Context as _, ServeError};
use crate::tokens::{AUDIENCE, Bearer, ISSUER, Issuer, Tokens, random_secret};

/// Variables for the lifetime of sessions that are options.
const LIFETIME: [&str; 3] = ["OPEN_SESSIONS", "SESSION_MAX_HOURS", "SESSION_IDLE_MINUTES"];

/// Options for the tokens that the authorizer accepts, and for the lifetime of their sessions.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Tokens that the authorizer accepts, and their sessions")]
pub struct JwtOptions {
    /// File with the secret of an HS algorithm, without the line end at its end
    /// [default: a random secret, stored next to the file of --data]
    #[arg(long, value_name = "FILE")]
    pub jwt_secret: Option<PathBuf>,
    /// File with the public key of your login service, in PEM
    #[arg(long, value_name = "FILE")]
    pub jwt_public_key: Option<PathBuf>,
    /// URL of your identity provider's JWK Set: https, or http on loopback
    #[arg(long, value_name = "URL", visible_alias = "jwks")]
    pub jwks_url: Option<String>,
    /// Algorithm of the signatures [default: HS256; RS256 with a public key or a JWK Set]
    #[arg(long, value_name = "ALGORITHM")]
    pub jwt_algorithm: Option<String>,
    /// Required value of the claim `iss`.
    #[arg(long, value_name = "ISSUER", help = format!("Required value of the claim `iss` [default: {ISSUER}]"))]
    pub jwt_issuer: Option<String>,
    /// Required value of the claim `aud`.
    #[arg(long, value_name = "AUDIENCE", help = format!("Required value of the claim `aud` [default: {AUDIENCE}]"))]
    pub jwt_audience: Option<String>,
    /// Accepted values of the header `typ`, separated by commas [default: any but other kinds of JWT]
    #[arg(long, value_name = "TYPES")]
    pub jwt_type: Option<String>,
    /// Claims that a token must have: NAME=VALUE, separated by commas
    #[arg(long, value_name = "CLAIMS")]
    pub jwt_required_claims: Option<String>,
    /// Claim of the user ID, or its JSON Pointer [default: sub]
    #[arg(long, value_name = "CLAIM")]
    pub jwt_user_claim: Option<String>,
    /// Claim of the session ID [default: sid]
    #[arg(long, value_name = "CLAIM")]
    pub jwt_session_claim: Option<String>,
    /// Claim of the token ID, or `none` [default: jti]
    #[arg(long, value_name = "CLAIM")]
    pub jwt_token_id_claim: Option<String>,
    /// Claim of the scopes [default: scope]
    #[arg(long, value_name = "CLAIM")]
    pub jwt_scope_claim: Option<String>,
    /// Claim of the audience, or `none` [default: aud]
    #[arg(long, value_name = "CLAIM")]
    pub jwt_audience_claim: Option<String>,
    /// Claim of the time of authentication.
    #[arg(
        long,
        value_name = "CLAIM",
        help = "Claim of the time of authentication [default: auth_time]"
    )]
    pub jwt_auth_time_claim: Option<String>,
    /// Claim of the client.
    #[arg(
        long,
        value_name = "CLAIM",
        help = "Claim of the client [default: client_id]"
    )]
    pub jwt_client_claim: Option<String>,
    /// When the authorizer opens a session: never, or `on_first_use`, when a valid token first names it [default: never]
    #[arg(long, value_name = "WHEN")]
    pub open_sessions: Option<String>,
    /// Maximum lifetime of a session that the authorizer opens or extends, in hours
    #[arg(long, value_name = "HOURS")]
    pub session_max_hours: Option<String>,
    /// Idle time: minutes after its last request at which a session expires; 0 is off [default: 0]
    #[arg(long, value_name = "MINUTES")]
    pub session_idle_minutes: Option<String>,
    /// Tolerated clock skew for `nbf` and `iat`, 0 to 120 [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub jwt_leeway_seconds: Option<String>,
}

/// The tokens that the authorizer accepts, and their signer.
pub struct Trust {
    issuer: Issuer,
    variables: Vec<(&'static str, String)>,
    signer: Signer,
}

enum Signer {
    /// This stack, with a generated secret.
    OwnSecret(Tokens),
    /// This stack, with the secret of a file.
    GivenSecret(Tokens),
    /// Another program. The stack has only a public key.
    Elsewhere,
}

impl JwtOptions {
    /// Reads the files of the options, and checks all options as the authorizer checks its
    /// variables.
    ///
    /// # Errors
    ///
    /// An option is invalid. The message has one line per problem.
    pub fn trust(&self) -> Result<Trust, ServeError> {
        let read = |option, file: &Option<PathBuf>| {
            let text = file.as_deref().map(|file| text_of(option, file));
            text.transpose()
        };
        let secret = read("--jwt-secret", &self.jwt_secret)?;
        let public_key = read("--jwt-public-key", &self.jwt_public_key)?;
        let signs_elsewhere = public_key.is_some() || self.jwks_url.is_some();
        let own = (secret.is_none() && !signs_elsewhere).then(random_secret);
        let is_own = own.is_some();
        let secret = secret.or(own);

        let or = |given: &Option<String>, default: &str| {
            Some(given.clone().unwrap_or_else(|| default.to_owned()))
        };
        let usual = if signs_elsewhere { "RS256" } else { "HS256" };
        let variables: Vec<_> = [
            ("JWT_SECRET", secret.clone()),
            ("JWT_PUBLIC_KEY", public_key),
            ("JWKS_URL", self.jwks_url.clone()),
            ("JWT_ALGORITHM", or(&self.jwt_algorithm, usual)),
            ("JWT_ISSUER", or(&self.jwt_issuer, ISSUER)),
            ("JWT_AUDIENCE", or(&self.jwt_audience, AUDIENCE)),
            ("JWT_TYPE", self.jwt_type.clone()),
            ("JWT_REQUIRED_CLAIMS", self.jwt_required_claims.clone()),
            ("JWT_USER_CLAIM", self.jwt_user_claim.clone()),
            ("JWT_SESSION_CLAIM", self.jwt_session_claim.clone()),
            ("JWT_TOKEN_ID_CLAIM", self.jwt_token_id_claim.clone()),
            ("JWT_SCOPE_CLAIM", self.jwt_scope_claim.clone()),
            ("JWT_AUDIENCE_CLAIM", self.jwt_audience_claim.clone()),
            ("JWT_AUTH_TIME_CLAIM", self.jwt_auth_time_claim.clone()),
            ("JWT_CLIENT_CLAIM", self.jwt_client_claim.clone()),
            ("JWT_LEEWAY_SECONDS", self.jwt_leeway_seconds.clone()),
            ("OPEN_SESSIONS", self.open_sessions.clone()),
            ("SESSION_MAX_HOURS", self.session_max_hours.clone()),
            ("SESSION_IDLE_MINUTES", self.session_idle_minutes.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();

        let all = variables.iter().cloned();
        let all: Environment = all.chain([("TABLE_NAME", TABLE_NAME.to_owned())]).collect();
        let config = AuthorizerConfig::read(&all).map_err(|invalid| {
            let problems = invalid.problems().map(in_words_of_options);
            // The user has not set the generated secret.
            let made_up = "--jwt-secret is set, and ";
            let problems = problems.map(|it| match it.strip_prefix(made_up) {
                Some(needed) if is_own => needed.to_owned(),
                _ => it,
            });
            ServeError::new(problems.collect::<Vec<_>>().join("\n"))
        })?;
        let issuer = Issuer::new(config.tokens);
        let signer = match secret {
            Some(secret) if is_own => Signer::OwnSecret(Tokens::with(issuer.clone(), secret)),
            Some(secret) => Signer::GivenSecret(Tokens::with(issuer.clone(), secret)),
            None => Signer::Elsewhere,
        };
        Ok(Trust {
            issuer,
            variables,
            signer,
        })
    }
}

impl Trust {
    /// Replaces a generated secret by a stored one. Returns whether it did.
    pub fn keep_to(&mut self, kept: &str) -> bool {
        let Signer::OwnSecret(tokens) = &mut self.signer else {
            return false;
        };
        *tokens = Tokens::with(self.issuer.clone(), kept.to_owned());
        for (_, value) in self.variables.iter_mut().filter(|it| it.0 == "JWT_SECRET") {
            kept.clone_into(value);
        }
        true
    }

    /// The authorizer's environment variables.
    pub fn variables(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        self.variables.iter().cloned()
    }

    /// The issuer of the tokens.
    #[must_use]
    pub const fn issuer(&self) -> &Issuer {
        &self.issuer
    }

    /// The claims of a token.
    #[must_use]
    pub fn claims(&self, bearer: Bearer<'_>) -> Value {
        self.issuer.claims(bearer)
    }

    /// Algorithm, issuer and audience as text.
    #[must_use]
    pub fn summary(&self) -> String {
        let rules = self.issuer.rules();
        let signer = match self.signer {
            Signer::OwnSecret(_) => "",
            Signer::GivenSecret(_) => "your secret, ",
            Signer::Elsewhere => "signed elsewhere, ",
        };
        let (algorithm, issuer) = (rules.algorithm, &rules.issuer);
        let audience = self.issuer.audience();
        let claim = rules.claim_name(ClaimRole::Audience);
        let audience =
            audience.map_or_else(String::new, |audience| format!(", {claim} {audience}"));
        format!("{signer}{algorithm:?}, iss {issuer}{audience}")
    }

    /// Signs tokens, if the stack has a secret.
    #[must_use]
    pub const fn tokens(&self) -> Option<&Tokens> {
        match &self.signer {
            Signer::OwnSecret(tokens) | Signer::GivenSecret(tokens) => Some(tokens),
            Signer::Elsewhere => None,
        }
    }
}

/// The content of a file, as the value of an environment variable.
fn text_of(option: &str, file: &Path) -> Result<String, ServeError> {
    let what = format!("{option} {}", file.display());
    let bytes = fs::read(file).context(&what)?;
    let text = String::from_utf8(bytes).context(format!("{what}: the file must be UTF-8 text"))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    // An empty variable counts as missing.
    if text.is_empty() {
        return Err(ServeError::new(format!("{what}: the file is empty")));
    }
    Ok(text.to_owned())
}

/// Replaces the names of variables in a message by those of the options.
fn in_words_of_options(problem: &str) -> String {
    // No option sets a secret of Secrets Manager.
    let problem = problem.replace("JWT_SECRET or JWT_SECRET_ARN", "JWT_SECRET");
    let is_of_a_name = |it: char| it.is_ascii_uppercase() || it == '_';
    let mut words = String::new();
    let mut rest = problem.as_str();
    while let Some(start) = rest.find(is_of_a_name) {
        let (before, name) = rest.split_at(start);
        let end = name.find(|it| !is_of_a_name(it)).unwrap_or(name.len());
        let (name, after) = name.split_at(end);
        words.push_str(before);
        if name.starts_with("JWT_") || name.starts_with("JWKS_") || LIFETIME.contains(&name) {
            words.push_str("--");
            words.push_str(&name.replace('_', "-").to_ascii_lowercase());
        } else {
            words.push_str(name);
        }
        rest = after;
    }
    words + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_options_instead_of_variables() {
        for (problem, words) in [
            (
                "JWT_LEEWAY_SECONDS is \"x\" (a whole number from 0 to 120)",
                "--jwt-leeway-seconds is \"x\" (a whole number from 0 to 120)",
            ),
            (
                "JWKS_URL is set, and JWT_SECRET or JWT_SECRET_ARN is needed for HS256",
                "--jwks-url is set, and --jwt-secret is needed for HS256",
            ),
            (
                "JWT_SECRET must have 32 bytes or more for HS256",
                "--jwt-secret must have 32 bytes or more for HS256",
            ),
            (
                "SESSION_MAX_HOURS is missing (…, which OPEN_SESSIONS=on_first_use requires)",
                "--session-max-hours is missing (…, which --open-sessions=on_first_use requires)",
            ),
        ] {
            assert_eq!(in_words_of_options(problem), words);
        }
    }

    #[test]
    fn reads_secret_without_its_final_newline() {
        for (content, secret) in [
            ("s", Some("s")),
            ("s\n", Some("s")),
            ("s\r\n", Some("s")),
            (" s \n\n", Some(" s \n")),
            ("", None),
            ("\n", None),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), content).unwrap();
            let read = text_of("--jwt-secret", file.path());
            assert_eq!(read.ok().as_deref(), secret, "{content:?}");
        }
    }
}
