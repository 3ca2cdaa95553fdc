//! Copies the sessions of another table into the table of the stack. The other table stays as it is.
//!
//! `cargo run -p session-example --bin migrate_sessions -- OLD_TABLE NEW_TABLE LAYOUT`, with the name
//! or the file of a layout. Region and credentials come from the environment. Existing sessions stay
//! unchanged, so it is safe to run it again within the retention.

use std::collections::BTreeMap;
use std::env::args;
use std::error::Error;
use std::fs::read_to_string;
use std::io::{Write as _, stdout};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use session_lifecycle::migrate::{Conversion, Layout};
use session_lifecycle::{
    CallPolicy, CreateOutcome, Days, Sessions, SessionsError, Shards, Table, clock, connect,
};

/// Number of concurrent writes.
const CONCURRENT: usize = 32;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = args().skip(1).collect();
    let [old, new, layout] = arguments.as_slice() else {
        return Err("usage: migrate_sessions OLD_TABLE NEW_TABLE LAYOUT".into());
    };
    let layout = &match Layout::preset(layout) {
        Some(preset) => preset,
        None => Layout::parse(&read_to_string(layout)?)?,
    };
    let client = connect(CallPolicy::MONITORING).await;
    // Use the stack's values of DUE_SHARDS and SESSION_RETENTION_DAYS.
    let table = Table::new(client.clone(), new, Shards::default());
    let sessions = &Sessions::new(table, Days(30));
    let now = clock::now().into();

    let mut counts = BTreeMap::new();
    let mut pages = client.scan().table_name(old).into_paginator().send();
    while let Some(page) = pages.next().await {
        let writes = stream::iter(page?.items.unwrap_or_default()).map(|item| async move {
            Ok::<_, SessionsError>(match layout.convert(&item, now) {
                Ok(Conversion::Session(session)) => match sessions.import(&session).await? {
                    CreateOutcome::Created => "created".to_owned(),
                    CreateOutcome::AlreadyExists => "exists already".to_owned(),
                },
                Ok(Conversion::NotASession) => "not a session".to_owned(),
                // What is wrong, not the item: a session ID may be a secret.
                Err(error) => format!("left out: {error}"),
            })
        });
        let outcomes: Vec<_> = writes.buffer_unordered(CONCURRENT).try_collect().await?;
        for outcome in outcomes {
            *counts.entry(outcome).or_insert(0) += 1;
        }
    }
    for (outcome, count) in counts {
        writeln!(stdout(), "{count:>9}  {outcome}")?;
    }
    Ok(())
}
