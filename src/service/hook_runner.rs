//! Runs hooks, and converts their errors.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout};

use crate::error::Error;
use crate::model::field_errors::MutationError;
use crate::model::user::User;
use crate::service::hooks::{HookError, HookErrorKind, Hooks, Registrant};
use crate::store::{HookTransaction, NewUser, Transaction};

/// The time limit of a hook. With SQLite, all other changes wait for the hook, and fail after the same time.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// The hooks of an instance. After an error, the transaction must be rolled back.
#[derive(Clone)]
pub(crate) struct HookRunner(Arc<dyn Hooks>);

impl fmt::Debug for HookRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookRunner").finish_non_exhaustive()
    }
}

impl HookRunner {
    pub(crate) fn new(hooks: Arc<dyn Hooks>) -> Self {
        Self(hooks)
    }

    /// Returns a runner without hooks.
    pub(crate) fn none() -> Self {
        Self(Arc::new(()))
    }

    pub(super) async fn before_register(
        &self,
        transaction: &Transaction,
        new: &NewUser,
    ) -> Result<(), MutationError> {
        let transaction = transaction.for_hook();
        let registrant = Registrant {
            username: new.username.display.clone(),
            email: new.email.as_ref().map(|email| email.display.clone()),
            role: new.role,
        };
        let hook = self.0.before_register(&transaction, &registrant);
        let result = run("before_register", hook).await;
        check(transaction, result)
    }

    pub(super) async fn after_register(
        &self,
        transaction: &Transaction,
        user: &User,
    ) -> Result<(), MutationError> {
        let transaction = transaction.for_hook();
        let result = run("after_register", self.0.after_register(&transaction, user)).await;
        check(transaction, result)
    }

    pub(super) async fn before_sign_in(
        &self,
        transaction: &Transaction,
        user: &User,
    ) -> Result<(), Error> {
        let transaction = transaction.for_hook();
        let result = run("before_sign_in", self.0.before_sign_in(&transaction, user)).await;
        check(transaction, result).map_err(|error| match error {
            MutationError::Fields(_) => Error::SignInRefused(error.to_string()),
            MutationError::Error(error) => error,
        })
    }

    pub(super) async fn before_delete(
        &self,
        transaction: &Transaction,
        user: &User,
    ) -> Result<(), MutationError> {
        let transaction = transaction.for_hook();
        let result = run("before_delete", self.0.before_delete(&transaction, user)).await;
        check(transaction, result)
    }

    pub(super) async fn after_delete(
        &self,
        transaction: &Transaction,
        user: &User,
    ) -> Result<(), MutationError> {
        let transaction = transaction.for_hook();
        let result = run("after_delete", self.0.after_delete(&transaction, user)).await;
        check(transaction, result)
    }
}

/// The cause of an internal error.
#[derive(Debug, thiserror::Error)]
#[error("the hook {hook} failed: {cause}")]
struct HookFailed {
    hook: &'static str,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

/// Waits for a hook for at most [`TIME_LIMIT`].
async fn run(
    hook: &'static str,
    work: BoxFuture<'_, Result<(), HookError>>,
) -> Result<(), MutationError> {
    let start = Instant::now();
    let work = timeout(TIME_LIMIT, AssertUnwindSafe(work).catch_unwind());
    let result = match work.await {
        // A hook that blocks its thread cannot be interrupted.
        Ok(Ok(result)) if start.elapsed() <= TIME_LIMIT => result,
        Ok(Err(_)) => Err(HookError::fail("it panicked")),
        _ => Err(HookError::fail(
            "it exceeded the time limit of 5 s; with SQLite, a change through another connection waits for the hook",
        )),
    };
    result.map_err(|HookError(kind)| match kind {
        HookErrorKind::Refusal(error) => error.into(),
        HookErrorKind::Failure(cause) => Error::internal(HookFailed { hook, cause }).into(),
    })
}

/// Returns an error also if the hook ignored the failure of a statement.
fn check(
    transaction: HookTransaction<'_>,
    result: Result<(), MutationError>,
) -> Result<(), MutationError> {
    match (result, transaction.into_failure()) {
        (Err(error @ MutationError::Fields(_)), _) => Err(error),
        (_, Some(unavailable @ Error::ServiceUnavailable { .. })) => Err(unavailable.into()),
        (Err(error), _) => Err(error),
        (Ok(()), Some(failure)) => Err(failure.into()),
        (Ok(()), None) => Ok(()),
    }
}
