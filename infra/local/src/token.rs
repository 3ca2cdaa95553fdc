//! `cargo local token`: requests a token from the running stack.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::http::Method;
use clap::Args;
use serde_json::json;
use tokio::time::timeout;

use crate::client::JsonClient;
use crate::error::{Context as _, ServeError};
use crate::issue::{Issued, MAX_HOURS, PATH, TokenRequest};
use crate::terminal::{err, out};

/// Options of `cargo local token`.
#[derive(Debug, Clone, Args)]
pub struct TokenOptions {
    /// User ID, the claim `sub`
    #[arg(long)]
    pub user: String,
    /// Scopes of the token, such as "sessions:read" or "sessions:admin orders:write"
    #[arg(long)]
    pub scope: String,
    /// Session ID; the session is created if it does not exist [default: a new session]
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Lifetime of the session and of the token, in hours
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_HOURS)))]
    pub hours: u32,
    /// Print a token that has already expired, to see how it is denied
    #[arg(long)]
    pub expired: bool,
    /// Print the claims instead of a token, for another program to sign
    #[arg(long)]
    pub claims: bool,
    /// Port of the running stack's API
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
}

/// A stack responds within this time. Otherwise another program listens on the port.
const RESPONSE_TIMEOUT: Duration = Duration::from_mins(1);

/// Prints only the token to standard output; everything else goes to standard error.
///
/// # Errors
///
/// No stack runs on the port, or it rejects the request.
pub async fn run(options: &TokenOptions) -> Result<(), ServeError> {
    let api = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    let asked = TokenRequest {
        user: options.user.clone(),
        scope: options.scope.clone(),
        session: options.session.clone(),
        hours: options.hours,
        expired: options.expired,
    };
    let http = JsonClient::default();
    let url = format!("http://{api}{PATH}");
    let answer = http.call(Method::POST, &url, None, json!(asked).to_string());
    let stranger = || {
        ServeError::new(format!(
            "the program on {api} is not `cargo local`; set the port of its API with --port"
        ))
    };
    let (status, answer) = match timeout(RESPONSE_TIMEOUT, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if is_refused(&*error) => {
            return Err(ServeError::new(format!(
                "no stack runs on {api}: start one with `cargo local`, or set its port with --port"
            )));
        }
        Ok(Err(_)) | Err(_) => return Err(stranger()),
    };
    if status != 200 {
        let message = answer["message"].as_str().ok_or_else(stranger)?;
        return Err(ServeError::new(message));
    }
    let issued: Issued = serde_json::from_value(answer).map_err(|_| stranger())?;
    if let Some(refused) = &issued.refused {
        let session = &issued.claims["sid"];
        err(format!(
            "note: session {session} already exists and {refused}: its tokens are denied"
        ));
    }
    if options.claims {
        out(&issued.claims)
    } else if let Some(token) = &issued.token {
        out(token)
    } else {
        err(&issued.claims);
        let Issued { algorithm, .. } = issued;
        return Err(ServeError::new(format!(
            "this stack has no key to sign with, but the session exists: sign the claims above with \
             {algorithm}, or use --claims to print only the claims to standard output"
        )));
    }
    .context("cannot print")
}

/// Whether the connection was refused.
fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}
