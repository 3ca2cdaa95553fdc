//! The caller of a request, as the authorizer identified it, and the scopes that a call requires.

use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt as _};
use serde_json::Value;

use super::ApiError;

/// Scope that a call requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Reading statistics, reports, and the sessions of users.
    Read,
    /// Everything, reading included.
    Admin,
}

/// Names of the scopes of the monitoring API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeNames {
    /// `MONITORING_READ_SCOPE`.
    pub read: String,
    /// `MONITORING_ADMIN_SCOPE`.
    pub admin: String,
}

/// The user whose request the authorizer allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// User ID.
    pub user_id: String,
    /// ID of the session of the caller's token. `None` if another authorizer than ours does not say it.
    pub session_id: Option<String>,
    /// Names of the token's scopes, separated by spaces.
    pub granted: String,
}

impl Caller {
    /// Whether the caller's token has a scope.
    #[must_use]
    pub fn has(&self, scopes: &ScopeNames, required: Scope) -> bool {
        self.granted.split(' ').any(|name| match required {
            Scope::Read => name == scopes.read || name == scopes.admin,
            Scope::Admin => name == scopes.admin,
        })
    }
}

/// Returns the caller.
///
/// # Errors
///
/// [`ApiError::Forbidden`] if the request did not pass an authorizer.
pub fn caller(request: &Request) -> Result<Caller, ApiError> {
    let context = request.request_context_ref().ok_or(ApiError::Forbidden)?;
    let fields = match context {
        RequestContext::ApiGatewayV1(rest) => Some(&rest.authorizer.fields),
        RequestContext::ApiGatewayV2(http) => http.authorizer.as_ref().map(|it| &it.fields),
        _ => None,
    };
    let text = |name: &str| {
        let value = fields.and_then(|fields| fields.get(name));
        value.and_then(Value::as_str).map(str::to_owned)
    };
    Ok(Caller {
        user_id: text("user_id").ok_or(ApiError::Forbidden)?,
        session_id: text("session_id"),
        granted: text("scope").unwrap_or_default(),
    })
}

/// Returns the caller if it has the scope.
///
/// # Errors
///
/// [`ApiError::Forbidden`] if the caller does not have the scope, or if the request did not pass an
/// authorizer.
pub fn authorize(
    request: &Request,
    scopes: &ScopeNames,
    required: Scope,
) -> Result<Caller, ApiError> {
    let caller = caller(request)?;
    if caller.has(scopes, required) {
        Ok(caller)
    } else {
        Err(ApiError::Forbidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_scope_includes_read_and_other_scopes_grant_nothing() {
        let scopes = ScopeNames {
            read: "sessions:read".to_owned(),
            admin: "sessions:admin".to_owned(),
        };
        for (granted, read, admin) in [
            ("sessions:read", true, false),
            ("sessions:admin", true, true),
            ("profile sessions:read email", true, false),
            ("sessions:administrator", false, false),
            ("sessions:read,sessions:admin", false, false),
            ("SESSIONS:ADMIN", false, false),
            ("", false, false),
        ] {
            let caller = Caller {
                user_id: "ann".to_owned(),
                session_id: None,
                granted: granted.to_owned(),
            };
            assert_eq!(caller.has(&scopes, Scope::Read), read, "{granted:?}");
            assert_eq!(caller.has(&scopes, Scope::Admin), admin, "{granted:?}");
        }
    }
}
