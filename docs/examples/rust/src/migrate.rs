//! Copies the sessions of another table into the table of the stack. The other table stays as it is.
//!
//! `cargo run -p session-example --bin migrate_sessions -- OLD_TABLE NEW_TABLE LAYOUT`, with the name
//! or the file of a layout. Region and credentials come from the environment. Existing sessions stay
//! unchanged, so it is safe to run it again within the retention. The sessions must fit into memory.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::env::args;
use std::error::Error;
use std::fs::read_to_string;
use std::io::{Write as _, stderr, stdout};
use std::process::ExitCode;

use futures_util::{StreamExt as _, stream};
use session_lifecycle::migrate::{Conversion, Layout};
use session_lifecycle::session_domain::error_chain;
use session_lifecycle::{
    CallPolicy, CreateOutcome, Days, Sessions, SessionsError, Shards, StoreErrorKind, Table, clock,
    connect,
};

/// Number of concurrent writes.
const CONCURRENT: usize = 32;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // If stderr is closed, the exit code remains.
            let _ = writeln!(stderr(), "error: {}", error_chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the new table accepted all sessions.
async fn run() -> Result<bool, Box<dyn Error>> {
    let arguments: Vec<_> = args().skip(1).collect();
    let [old, new, layout] = arguments.as_slice() else {
        return Err("usage: migrate_sessions OLD_TABLE NEW_TABLE LAYOUT".into());
    };
    let layout = &if let Some(preset) = Layout::preset(layout) {
        preset
    } else {
        let file = read_to_string(layout);
        let text = file.map_err(|error| format!("the layout {layout}: {error}"))?;
        Layout::parse(&text)?
    };
    let client = connect(CallPolicy::MONITORING).await;
    // Use the stack's values of DUE_SHARDS and SESSION_RETENTION_DAYS.
    let table = Table::new(client.clone(), new, Shards::default());
    let sessions = &Sessions::new(table, Days(30));
    let now = clock::now().into();

    let mut counts = BTreeMap::new();
    let mut count = |outcome: String| *counts.entry(outcome).or_insert(0) += 1;
    let mut absent = layout.attributes();
    // All items first: two of them may be the same session.
    let mut found = HashMap::new();
    let mut pages = client.scan().table_name(old).into_paginator().send();
    while let Some(page) = pages.next().await {
        for item in page?.items.unwrap_or_default() {
            absent.retain(|named| !named.is_in(&item));
            match layout.convert(&item, now) {
                Ok(Conversion::Session(session)) => match found.entry(session.key()) {
                    Entry::Vacant(entry) => {
                        entry.insert(session);
                    }
                    Entry::Occupied(mut first) => {
                        count("left out: another item is the same session".to_owned());
                        // A session that ended in one item stays ended.
                        if first.get().is_active() && !session.is_active() {
                            first.insert(session);
                        }
                    }
                },
                Ok(Conversion::NotASession) => count("not a session".to_owned()),
                // What is wrong, not the item: a session ID may be a secret.
                Err(error) => count(format!("left out: {error}")),
            }
        }
    }
    let writes = stream::iter(found.into_values())
        .map(|session| async move { sessions.import(&session).await });
    let mut writes = writes.buffer_unordered(CONCURRENT);
    let (mut accepted_all, mut failure) = (true, None);
    while let Some(written) = writes.next().await {
        match written {
            Ok(CreateOutcome::Created) => count("created".to_owned()),
            Ok(CreateOutcome::AlreadyExists) => count("exists already".to_owned()),
            // For example, the item is too large. The others are not affected.
            Err(SessionsError::Store(error)) if error.kind() == StoreErrorKind::RecordRejected => {
                accepted_all = false;
                count(format!("left out: {}", error.error_chain()));
            }
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    for (outcome, count) in counts {
        writeln!(stdout(), "{count:>9}  {outcome}")?;
    }
    for named in absent {
        writeln!(stderr(), "note: no item has the attribute {named}")?;
    }
    failure.map_or(Ok(accepted_all), |error| Err(error.into()))
}
