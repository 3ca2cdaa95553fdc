//! The steps of the demo.

use aws_sdk_dynamodb::types::AttributeValue;
use axum::http::Method;
use serde_json::{Value, json};
use session_domain::RecordKey;
use session_lifecycle::clock;

use super::output::{heading, show_report, statistics};
use super::{Demo, Failure};
use crate::dynamodb::TABLE_NAME;
use crate::sample::{self, Sample, UserSession};
use crate::stack::scheduled_event;
use crate::template::FunctionName;
use crate::terminal::{DIM, Progress, out, styled, table};

const STATS: &str = "/api/v1/monitoring/sessions/stats";
const CLEANUP: &str = "/api/v1/monitoring/sessions/cleanup";
const CLEANUPS: &str = "/api/v1/monitoring/sessions/cleanups";

impl Demo {
    pub(super) async fn fill(&self) -> Result<Sample, Failure> {
        heading(
            1,
            "Sample data: a service that never cleans up its sessions",
        )?;
        let progress = Progress::new(sample::RECORDS, "filling the table");
        let filled =
            sample::fill(&self.stack.sessions(), self.now.into(), || progress.step()).await?;
        progress.finish();
        let row = |what: &str, count: u64| [what.to_owned(), count.to_string()];
        table(&[
            row("expired sessions, still active", sample::EXPIRED_SESSIONS),
            row("live sessions", sample::LIVE_SESSIONS),
            row(
                "sessions inactive for more than 30 days",
                sample::OLD_INACTIVE_SESSIONS,
            ),
            row(
                "sessions inactive for less than 30 days",
                sample::YOUNG_INACTIVE_SESSIONS,
            ),
            row("refresh tokens, expired", sample::EXPIRED_REFRESH_TOKENS),
            row("refresh tokens, live", sample::LIVE_REFRESH_TOKENS),
            row(
                "blacklisted tokens, expired",
                sample::EXPIRED_BLACKLISTED_TOKENS,
            ),
            row("blacklisted tokens, live", sample::LIVE_BLACKLISTED_TOKENS),
        ])?;
        Ok(filled)
    }

    pub(super) async fn statistics_before(&mut self, sample: &Sample) -> Result<(), Failure> {
        heading(2, &format!("GET {STATS}, with a reader's token"))?;
        let (status, body) = self
            .call(Method::GET, STATS, Some(&self.reader(sample)))
            .await?;
        let sessions = sample::EXPIRED_SESSIONS + sample::LIVE_SESSIONS;
        let inactive = sample::OLD_INACTIVE_SESSIONS + sample::YOUNG_INACTIVE_SESSIONS;
        self.checks
            .equal("the status of the statistics", &json!(status), 200);
        self.checks.members(
            "the statistics before",
            &body["data"],
            &json!({
                "total_sessions": sessions + inactive,
                "active_sessions": sessions,
                "expired_sessions": sample::EXPIRED_SESSIONS,
                "cleanup_needed": true,
                "inactive_sessions": inactive,
                "last_cleanup": null,
            }),
        );
        let age = body["data"]["oldest_expired_age_seconds"]
            .as_i64()
            .unwrap_or_default();
        self.checks.equal(
            "whether the oldest expired session has an age",
            &json!(age > 0),
            true,
        );
        Ok(statistics(&body["data"])?)
    }

    pub(super) async fn deny_expired_session(
        &mut self,
        expired: &UserSession,
    ) -> Result<(), Failure> {
        heading(
            3,
            "An expired session reaches the authorizer, with a token that is still valid",
        )?;
        let (status, body) = self
            .call(Method::GET, STATS, Some(&self.token(expired, "")))
            .await?;
        out(format!("    {status} {body}"))?;
        self.checks
            .equal("the status for an expired session", &json!(status), 401);
        self.checks
            .equal("the response", &body, json!({ "error": "Session expired" }));

        let key = RecordKey::session(&expired.user, &expired.session);
        let row = self
            .stack
            .dynamodb
            .client()
            .get_item()
            .table_name(TABLE_NAME)
            .key("pk", text(key.partition()))
            .key("sk", text(key.sort()))
            .send()
            .await?
            .item
            .unwrap_or_default();
        let is_active = row.get("is_active").and_then(|it| it.as_bool().ok());
        let reason = row.get("deactivation_reason").and_then(|it| it.as_s().ok());
        let number = |name: &str| row.get(name)?.as_n().ok()?.parse::<i64>().ok();
        self.checks
            .equal("is_active of its record", &json!(is_active), false);
        self.checks.equal(
            "deactivation_reason",
            &json!(reason),
            "expired_on_validation",
        );
        let kept = number("due_at")
            .zip(number("deactivated_at"))
            .map(|(due, at)| due - at);
        self.checks.equal(
            "the retention of its record in seconds",
            &json!(kept),
            30 * 86_400,
        );
        out(format!(
            "    its record: is_active {}, {}",
            json!(is_active),
            json!(reason)
        ))?;
        Ok(())
    }

    pub(super) async fn scheduled_cleanup(&mut self) -> Result<(), Failure> {
        heading(4, "The scheduled event of EventBridge")?;
        let event = scheduled_event(self.now);
        let report = self
            .stack
            .functions
            .invoke(FunctionName::Cleanup, &event, clock::now())
            .await?;
        self.checks.members(
            "the scheduled report",
            &report,
            &json!({
                "trigger": "schedule",
                "requested_by": null,
                "dry_run": false,
                "complete": true,
                // One less, because the authorizer has deactivated it.
                "sessions_deactivated": sample::EXPIRED_SESSIONS - 1,
                "sessions_deleted":
                    sample::OLD_INACTIVE_SESSIONS - sample::OLD_INACTIVE_SESSIONS_IN_GRACE,
                "refresh_tokens_deleted":
                    sample::EXPIRED_REFRESH_TOKENS - sample::REFRESH_TOKENS_IN_GRACE,
                "blacklisted_tokens_deleted":
                    sample::EXPIRED_BLACKLISTED_TOKENS - sample::BLACKLISTED_TOKENS_IN_GRACE,
                "changed_elsewhere": 0,
                "reindexed": 0,
                "adopted": 0,
                "malformed": 0,
                "failed": 0,
            }),
        );
        show_report(&report)?;
        out(styled(
            DIM,
            "    Records that have been due for less than 48 hours are left to native TTL, which deletes for free.",
        ))?;
        Ok(())
    }

    pub(super) async fn statistics_after(&mut self, sample: &Sample) -> Result<(), Failure> {
        heading(5, "The statistics after the cleanup")?;
        let (_, body) = self
            .call(Method::GET, STATS, Some(&self.reader(sample)))
            .await?;
        let inactive = sample::OLD_INACTIVE_SESSIONS
            + sample::YOUNG_INACTIVE_SESSIONS
            + sample::EXPIRED_SESSIONS
            - (sample::OLD_INACTIVE_SESSIONS - sample::OLD_INACTIVE_SESSIONS_IN_GRACE);
        self.checks.members(
            "the statistics after",
            &body["data"],
            &json!({
                "total_sessions": inactive + sample::LIVE_SESSIONS,
                "active_sessions": sample::LIVE_SESSIONS,
                "expired_sessions": 0,
                "cleanup_needed": false,
                "inactive_sessions": inactive,
                "oldest_expired_age_seconds": null,
            }),
        );
        let trigger = &body["data"]["last_cleanup"]["trigger"];
        self.checks
            .equal("the trigger of the last cleanup", trigger, "schedule");
        Ok(statistics(&body["data"])?)
    }

    pub(super) async fn forced_cleanup(&mut self, sample: &Sample) -> Result<(), Failure> {
        heading(6, &format!("POST {CLEANUP}"))?;
        let (reader, admin) = (
            self.reader(sample),
            self.token(&sample.admin, "sessions:admin"),
        );
        for (who, token, status, answer) in [
            (
                "without a token",
                None,
                401,
                json!({ "error": "Missing bearer token" }),
            ),
            (
                "as a reader",
                Some(&reader),
                403,
                json!({ "error": "Forbidden" }),
            ),
        ] {
            let (found, body) = self.call(Method::POST, CLEANUP, token).await?;
            out(format!("    {who:<16} {found} {body}"))?;
            self.checks
                .equal(&format!("the status {who}"), &json!(found), status);
            self.checks
                .equal(&format!("the response {who}"), &body, answer);
        }
        let (status, body) = self.call(Method::POST, CLEANUP, Some(&admin)).await?;
        out(format!("    {:<16} {status}", "as administrator"))?;
        self.checks
            .equal("the status as administrator", &json!(status), 200);
        self.checks.members(
            "the administrator's report",
            &body["data"],
            &json!({
                "trigger": "api",
                "requested_by": sample::ADMIN,
                "complete": true,
                "sessions_deactivated": 0,
                "sessions_deleted": sample::OLD_INACTIVE_SESSIONS_IN_GRACE,
                "refresh_tokens_deleted": sample::REFRESH_TOKENS_IN_GRACE,
                "blacklisted_tokens_deleted": sample::BLACKLISTED_TOKENS_IN_GRACE,
                "changed_elsewhere": 0,
                "failed": 0,
            }),
        );
        show_report(&body["data"])?;

        let (_, body) = self.call(Method::GET, CLEANUPS, Some(&reader)).await?;
        let triggers: Vec<&Value> = body["data"]["reports"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|report| &report["trigger"])
            .collect();
        self.checks.equal(
            "the reports, newest first",
            &json!(triggers),
            json!(["api", "schedule"]),
        );
        Ok(())
    }

    /// Counts the remaining records, with a client that the functions do not use.
    pub(super) async fn remaining_records(&mut self) -> Result<(), Failure> {
        heading(7, "The records that remain in the table")?;
        let items = self
            .stack
            .dynamodb
            .client()
            .scan()
            .table_name(TABLE_NAME)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await?;
        let mut rows = Vec::new();
        let sessions =
            sample::EXPIRED_SESSIONS + sample::LIVE_SESSIONS + sample::YOUNG_INACTIVE_SESSIONS;
        for (what, prefix, expected) in [
            ("sessions", "SESSION#", sessions),
            ("refresh tokens", "REFRESH#", sample::LIVE_REFRESH_TOKENS),
            (
                "blacklisted tokens",
                "BLACKLIST#",
                sample::LIVE_BLACKLISTED_TOKENS,
            ),
            ("reports", "RUN#", 2),
        ] {
            let found = items
                .iter()
                .filter_map(|item| item.get("sk")?.as_s().ok())
                .filter(|sort| sort.starts_with(prefix))
                .count();
            self.checks.equal(
                &format!("the number of remaining {what}"),
                &json!(found),
                expected,
            );
            rows.push([what.to_owned(), found.to_string()]);
        }
        Ok(table(&rows)?)
    }
}

fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}
