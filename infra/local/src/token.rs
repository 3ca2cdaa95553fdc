//! `cargo local token`: asks the running stack for a token.

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

/// The options.
#[derive(Debug, Clone, Args)]
pub struct TokenOptions {
    /// The user, in the claim `sub`
    #[arg(long)]
    pub user: String,
    /// What the token allows, such as "sessions:read" or "sessions:admin orders:write"
    #[arg(long)]
    pub scope: String,
    /// A session of this user, opened if there is none [default: a new session]
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Life of the session and of the token
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_HOURS)))]
    pub hours: u32,
    /// Let the token have expired already, to see how it is refused
    #[arg(long)]
    pub expired: bool,
    /// Print the claims instead, for another program to sign
    #[arg(long)]
    pub claims: bool,
    /// Port of the running stack's API
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
}

/// No stack answers for so long: something else listens there.
const RESPONSE_TIMEOUT: Duration = Duration::from_mins(1);

/// Prints the token alone on standard output; all else goes to standard error.
///
/// # Errors
///
/// A sentence.
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
            "what listens on {api} is no `cargo local`; name the port of its API with --port"
        ))
    };
    let (status, answer) = match timeout(RESPONSE_TIMEOUT, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) if is_refused(&*error) => {
            return Err(ServeError::new(format!(
                "no stack runs at {api}: start one with `cargo local`, or name its port with --port"
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
            "note: session {session} was there already and {refused}: its tokens are refused"
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
            "this stack has no key to sign with; its session is open: sign the claims above with \
             {algorithm}, or have them alone on standard output with --claims"
        )));
    }
    .context("cannot print")
}

/// Whether nobody listens there.
fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}
