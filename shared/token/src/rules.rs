//! Rules about tokens, whatever their keys.

use jsonwebtoken::Algorithm;
use serde_json::Value;
use session_domain::Timestamp;

use crate::claims::{AudienceRule, ClaimMapping, ClaimRole, Claims, numeric_date};
use crate::json::read_value;
use crate::kind::{RequiredClaim, is_other_kind};
use crate::{InvalidToken, RequiredClaimIndex};

/// Types of JWT that are never access tokens: logout tokens (OIDC Back-Channel Logout 1.0 §2.4),
/// security event tokens (RFC 8417 §2.3) and `DPoP` proofs (RFC 9449 §4.2).
const OTHER_TYPES: [&str; 3] = ["logout+jwt", "secevent+jwt", "dpop+jwt"];

/// Which tokens are accepted, whatever their keys.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenRules {
    /// The accepted signature algorithm.
    pub algorithm: Algorithm,
    /// The required `iss`.
    pub issuer: String,
    /// The audience that a token must name. `None` accepts any audience: then only [`TokenRules::required`] tells
    /// the tokens of this API from those of another API of the same issuer.
    pub audience: Option<AudienceRule>,
    /// Which claim means what.
    pub claims: ClaimMapping,
    /// Accepted values of the header `typ`, as [`media_type`] normalizes them. Empty accepts every
    /// type but those of other kinds of JWT.
    pub types: Vec<String>,
    /// Claims that a token must have.
    pub required: Vec<RequiredClaim>,
    /// Allowed clock skew for `nbf` and `iat`, never for `exp`.
    pub leeway_seconds: u32,
}

impl TokenRules {
    /// Rules with the standard claims, for one issuer and one audience.
    #[must_use]
    pub fn new(
        algorithm: Algorithm,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Self {
        Self {
            algorithm,
            issuer: issuer.into(),
            audience: Some(AudienceRule::new([audience])),
            claims: ClaimMapping::default(),
            types: Vec::new(),
            required: Vec::new(),
            leeway_seconds: 0,
        }
    }

    /// The name of the claim with this role.
    #[must_use]
    pub fn claim_name(&self, role: ClaimRole) -> &str {
        match role {
            ClaimRole::Issuer => "iss",
            ClaimRole::Audience => self.audience.as_ref().map_or("aud", |it| it.claim.as_str()),
            ClaimRole::User => self.claims.user.as_str(),
            ClaimRole::Session => self.claims.session.as_str(),
            ClaimRole::TokenId => self
                .claims
                .token_id
                .as_ref()
                .map_or("jti", |it| it.as_str()),
            ClaimRole::Expiry => "exp",
            ClaimRole::NotBefore => "nbf",
            ClaimRole::IssuedAt => "iat",
        }
    }

    /// The name of the claim that failed this check, if it is about a claim.
    #[must_use]
    pub fn failed_claim(&self, why: InvalidToken) -> Option<&str> {
        match why {
            InvalidToken::MissingClaim(role)
            | InvalidToken::MalformedClaim(role)
            | InvalidToken::NotYetValid(role) => Some(self.claim_name(role)),
            InvalidToken::Issuer => Some(self.claim_name(ClaimRole::Issuer)),
            InvalidToken::Audience => Some(self.claim_name(ClaimRole::Audience)),
            InvalidToken::RequiredClaim(RequiredClaimIndex(index)) => {
                self.required.get(index).map(|it| it.claim.as_str())
            }
            InvalidToken::TooLong
            | InvalidToken::Encoding
            | InvalidToken::Header
            | InvalidToken::Algorithm
            | InvalidToken::Critical
            | InvalidToken::Type
            | InvalidToken::UnknownKey
            | InvalidToken::Signature
            | InvalidToken::Payload
            | InvalidToken::OtherKind => None,
        }
    }

    /// Checks and reads the payload of a token with a valid signature.
    pub(crate) fn read_claims(
        &self,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<Claims, InvalidToken> {
        let payload = read_value(payload).ok_or(InvalidToken::Payload)?;
        match payload.get("iss") {
            None => return Err(InvalidToken::MissingClaim(ClaimRole::Issuer)),
            Some(Value::String(issuer)) if *issuer == self.issuer => {}
            Some(Value::String(_)) => return Err(InvalidToken::Issuer),
            Some(_) => return Err(InvalidToken::MalformedClaim(ClaimRole::Issuer)),
        }
        if let Some(rule) = &self.audience {
            rule.check(&payload)?;
        }
        if let Some(index) = self.required.iter().position(|it| !it.holds(&payload)) {
            return Err(InvalidToken::RequiredClaim(RequiredClaimIndex(index)));
        }
        if is_other_kind(&payload, &self.required) {
            return Err(InvalidToken::OtherKind);
        }
        for (name, role) in [("nbf", ClaimRole::NotBefore), ("iat", ClaimRole::IssuedAt)] {
            let Some(date) = numeric_date(&payload, name, role)? else {
                continue;
            };
            let valid_from = Timestamp::start_from_numeric_date(date)
                .ok_or(InvalidToken::MalformedClaim(role))?;
            if valid_from.minus(self.leeway_seconds.into()) > now {
                return Err(InvalidToken::NotYetValid(role));
            }
        }
        self.claims.read(&payload)
    }

    pub(crate) fn check_type(&self, typ: Option<&str>) -> Result<(), InvalidToken> {
        let typ = typ.map(media_type);
        let is_other = |typ: &String| OTHER_TYPES.contains(&typ.as_str());
        let is_accepted =
            self.types.is_empty() || typ.as_ref().is_some_and(|typ| self.types.contains(typ));
        if typ.as_ref().is_some_and(is_other) || !is_accepted {
            return Err(InvalidToken::Type);
        }
        Ok(())
    }
}

/// A value of the header `typ` in the form in which types are compared (RFC 7515 §4.1.9): lower case,
/// and without `application/`, which may be omitted.
#[must_use]
pub fn media_type(typ: &str) -> String {
    let typ = typ.trim().to_ascii_lowercase();
    match typ.strip_prefix("application/") {
        Some(name) if !name.contains('/') => name.to_owned(),
        _ => typ,
    }
}
