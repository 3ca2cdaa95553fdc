//! Conditional writes in batches.

use std::num::NonZeroU32;

use aws_sdk_dynamodb::types::{
    BatchStatementErrorCodeEnum, BatchStatementResponse, ReturnConsumedCapacity,
};

use super::statement::statement;
use super::{Table, metered};
use crate::ports::{ApplyWrites, Metered, Outcome, StoreError, StoreErrorKind};
use session_domain::{ConditionalWrite, WriteOp};

const WRITING: &str = "writing";

impl ApplyWrites for Table {
    const MAX_BATCH: NonZeroU32 = NonZeroU32::new(25).unwrap();

    async fn apply(
        &self,
        changes: &[ConditionalWrite],
    ) -> Result<Metered<Vec<Outcome>>, StoreError> {
        let statements = changes
            .iter()
            .map(|change| statement(&self.name, change))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| StoreError::new(StoreErrorKind::Rejected, WRITING, error))?;
        let response = self
            .client
            .batch_execute_statement()
            .set_statements(Some(statements))
            .return_consumed_capacity(ReturnConsumedCapacity::Indexes)
            .send()
            .await
            .map_err(|error| StoreError::from_call(WRITING, error))?;
        let mut responses = response.responses.unwrap_or_default().into_iter();
        let outcomes = changes
            .iter()
            .map(|change| outcome(change, responses.next()))
            .collect();
        let consumed = response.consumed_capacity.unwrap_or_default();
        Ok(metered(outcomes, &consumed))
    }
}

fn outcome(change: &ConditionalWrite, response: Option<BatchStatementResponse>) -> Outcome {
    let Some(response) = response else {
        return Outcome::Failed(StoreError::new(
            StoreErrorKind::Unavailable,
            WRITING,
            "the response is shorter than the request",
        ));
    };
    let deletes = matches!(change.op, WriteOp::Delete { .. });
    match (response.error, response.item) {
        (None, None) if deletes => Outcome::Gone,
        (None, _) => Outcome::Applied,
        (Some(error), _)
            if error.code == Some(BatchStatementErrorCodeEnum::ConditionalCheckFailed) =>
        {
            // Do not rely on the record in the response: documentation, regions and emulators
            // differ in whether it is sent, and it may be large. A caller that needs it reads it.
            Outcome::ConditionFailed
        }
        (Some(error), _) => {
            let code = error.code.as_ref().map(BatchStatementErrorCodeEnum::as_str);
            let message = format!(
                "{}: {}",
                code.unwrap_or("no code"),
                error.message.as_deref().unwrap_or("no message")
            );
            Outcome::Failed(StoreError::from_statement(WRITING, code, message.into()))
        }
    }
}
