//! Lambda function for the sessions of users: list them, close one, close all.
//!
//! Every user may list and close the own sessions. The sessions of other users need the scopes of the
//! monitoring API.

mod route;

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use chrono::{DateTime, Utc};
use lambda_http::{Body, Request, Response};
use serde::Serialize;
use session_domain::{InvalidId, SessionId, Timestamp, UserId, error_chain};
use session_functions::config::SessionsConfig;
use session_functions::http::{
    AllowedOrigin, ApiError, Caller, Scope, ScopeNames, caller, is_empty_body, query, respond,
};
use session_functions::metrics::{InitiatingEntity, Metrics};
use session_functions::user_sessions::{
    self, SessionCursor, SessionPage, SessionQuery, SessionView,
};
use session_lifecycle::dynamodb::Table;
use session_lifecycle::{Sessions, SessionsError};

use self::route::{Action, Owner, Route};

/// Number of sessions per page if the request has no `limit`.
const DEFAULT_LIMIT: usize = 20;

/// The Lambda function.
#[derive(Debug)]
pub struct UserSessions {
    sessions: Sessions,
    scopes: ScopeNames,
    cors_origin: Option<AllowedOrigin>,
    metrics: Metrics,
}

/// The `data` of a response.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data {
    Page(SessionPage),
    Closed(Box<SessionView>),
    Revoked { revoked: usize },
}

/// The owner of the sessions in a request, and who asks.
struct Subject {
    user: UserId,
    /// The session of the caller's token, if the caller is the owner.
    current: Option<SessionId>,
    caller: Caller,
    by: InitiatingEntity,
}

impl UserSessions {
    /// Creates the function.
    #[must_use]
    pub fn new(config: SessionsConfig, client: Client, metrics: Metrics) -> Self {
        let SessionsConfig {
            table,
            shards,
            retention,
            scopes,
            cors_origin,
            ..
        } = config;
        Self {
            sessions: Sessions::new(Table::new(client, table.name, shards), retention),
            scopes,
            cors_origin,
            metrics,
        }
    }

    /// Handles a request.
    pub async fn handle(&self, request: &Request, now: DateTime<Utc>) -> Response<Body> {
        self.metrics.record_invocation(now);
        let data = self.route(request, now).await;
        respond(data, self.cors_origin.as_ref())
    }

    async fn route(&self, request: &Request, now: DateTime<Utc>) -> Result<Data, ApiError> {
        let Route { owner, action } = Route::of(request)?;
        let scope = match action {
            Action::List => Scope::Read,
            Action::Close(_) | Action::Revoke => Scope::Admin,
        };
        let caller = self.caller(request, &owner, scope)?;
        match action {
            Action::List => self.list(request, owner, caller, now).await,
            Action::Close(session) => {
                query(request, &[])?;
                require_empty_body(request)?;
                // An ID that is not valid is the ID of no session.
                let unknown = |_| ApiError::SessionNotFound;
                let session = SessionId::parse(session).map_err(unknown)?;
                let subject = Subject::of(owner, caller).map_err(|_| ApiError::SessionNotFound)?;
                self.close(subject, &session, now).await
            }
            Action::Revoke => {
                query(request, &[])?;
                let is_own = owner == Owner::Caller;
                let subject = Subject::of(owner, caller)?;
                let mut kept = None;
                if !is_own {
                    require_empty_body(request)?;
                } else if except_current(request.body())? {
                    kept.clone_from(&subject.current);
                }
                self.revoke(&subject, kept.as_ref(), now).await
            }
        }
    }

    /// The caller, who may ask for these sessions.
    fn caller(
        &self,
        request: &Request,
        owner: &Owner<'_>,
        required: Scope,
    ) -> Result<Caller, ApiError> {
        let caller = caller(request)?;
        match owner {
            Owner::User(_) if !caller.has(&self.scopes, required) => Err(ApiError::Forbidden),
            // Without the session, it is not known which of the sessions is the current one.
            Owner::Caller if caller.session_id.is_none() => Err(ApiError::Forbidden),
            Owner::User(_) | Owner::Caller => Ok(caller),
        }
    }

    async fn list(
        &self,
        request: &Request,
        owner: Owner<'_>,
        caller: Caller,
        now: DateTime<Utc>,
    ) -> Result<Data, ApiError> {
        let parameters = query(request, &["include", "limit", "cursor"])?;
        let listed = session_query(&parameters)?;
        let Subject { user, current, .. } = Subject::of(owner, caller)?;
        let now = Timestamp::from(now);
        let page = user_sessions::list(&self.sessions, &user, &listed, current.as_ref(), now).await;
        page.map(Data::Page).map_err(|error| failed(&error))
    }

    async fn close(
        &self,
        subject: Subject,
        session: &SessionId,
        now: DateTime<Utc>,
    ) -> Result<Data, ApiError> {
        let Subject { user, current, .. } = &subject;
        let current = current.as_ref();
        let closed = user_sessions::close(&self.sessions, user, session, current, now.into()).await;
        let closed = closed.map_err(|error| failed(&error))?;
        let closed = closed.ok_or(ApiError::SessionNotFound)?;
        if closed.by_this_call {
            let requested_by = &subject.caller.user_id;
            tracing::info!(%user, %session, requested_by, "a session was closed over the API");
            self.metrics.record_revocation(subject.by, 1, now);
        }
        Ok(Data::Closed(Box::new(closed.session)))
    }

    async fn revoke(
        &self,
        subject: &Subject,
        kept: Option<&SessionId>,
        now: DateTime<Utc>,
    ) -> Result<Data, ApiError> {
        let (user, at) = (&subject.user, Timestamp::from(now));
        let sessions = &self.sessions;
        let revoked = match kept {
            Some(kept) => sessions.revoke_others(user, kept, at).await,
            None => sessions.revoke_all(user, at).await,
        };
        let revoked = revoked.map_err(|error| failed(&error))?;
        if revoked > 0 {
            let requested_by = &subject.caller.user_id;
            tracing::info!(%user, revoked, requested_by, "sessions were closed over the API");
            self.metrics.record_revocation(subject.by, revoked, now);
        }
        Ok(Data::Revoked { revoked })
    }
}

impl Subject {
    fn of(owner: Owner<'_>, caller: Caller) -> Result<Self, ApiError> {
        let invalid = |error: InvalidId| ApiError::BadRequest(error.to_string());
        let (user, current, by) = match owner {
            Owner::User(user) => {
                let user = UserId::parse(user).map_err(invalid)?;
                (user, None, InitiatingEntity::Admin)
            }
            Owner::Caller => {
                let user = UserId::parse(&*caller.user_id).map_err(invalid)?;
                let current = caller.session_id.as_deref().map(SessionId::parse);
                let current = current.transpose().map_err(invalid)?;
                (user, current, InitiatingEntity::User)
            }
        };
        Ok(Self {
            user,
            current,
            caller,
            by,
        })
    }
}

/// Reads the parameters of a list.
fn session_query(parameters: &HashMap<String, String>) -> Result<SessionQuery, ApiError> {
    let bad = |text: &str| ApiError::BadRequest(text.to_owned());
    let include_inactive = match parameters.get("include").map(String::as_str) {
        None => false,
        Some("inactive") => true,
        Some(_) => return Err(bad("include must be inactive")),
    };
    let limit = match parameters.get("limit") {
        None => DEFAULT_LIMIT,
        Some(text) => text
            .parse()
            .ok()
            .filter(|it| (1..=100).contains(it))
            .ok_or_else(|| bad("limit must be a whole number from 1 to 100"))?,
    };
    let after = parameters.get("cursor").map(|text| {
        SessionCursor::decode(text)
            .ok_or_else(|| bad("cursor must be the next of an earlier answer"))
    });
    Ok(SessionQuery {
        include_inactive,
        limit,
        after: after.transpose()?,
    })
}

/// Reads the body of a revocation: whether the session of the caller's token is kept.
fn except_current(body: &[u8]) -> Result<bool, ApiError> {
    let expected = r#"The body must be {"except_current": true} or {"except_current": false}"#;
    let invalid = || ApiError::BadRequest(expected.to_owned());
    if is_empty_body(body) {
        return Ok(true);
    }
    let members: HashMap<String, bool> = serde_json::from_slice(body).map_err(|_| invalid())?;
    match members.get("except_current") {
        Some(except_current) if members.len() == 1 => Ok(*except_current),
        _ => Err(invalid()),
    }
}

/// Rejects a body, so that an option in it is not ignored.
fn require_empty_body(request: &Request) -> Result<(), ApiError> {
    if is_empty_body(request.body()) {
        Ok(())
    } else {
        Err(ApiError::BadRequest("There must be no body".to_owned()))
    }
}

/// Logs an error. The response does not contain it.
fn failed(error: &SessionsError) -> ApiError {
    tracing::error!(error = error_chain(error), "the request failed");
    ApiError::Internal
}
