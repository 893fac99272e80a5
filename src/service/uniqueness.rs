//! Refuses usernames and e-mail addresses that other users have.

use crate::model::email::Email;
use crate::model::field_errors::{FieldError, FieldErrorCode, MutationError};
use crate::model::user::UserId;
use crate::model::username::Username;
use crate::service::throttle::Attempt;
use crate::store::{Store, TakenField};

/// Refuses a username or an e-mail address that a user other than `own` has.
///
/// The refusal reveals that a user exists. Therefore, this function requires an [`Attempt`], which the throttle
/// has counted. No other code may call [`Store::find_taken_fields`].
pub(super) async fn refuse_taken(
    store: &Store,
    _attempt: &Attempt,
    username: Option<&Username>,
    email: Option<&Email>,
    own: Option<UserId>,
) -> Result<(), MutationError> {
    let taken = store.find_taken_fields(username, email, own).await?;
    if taken.is_empty() {
        return Ok(());
    }
    let errors = taken.into_iter().map(|taken| {
        let (field, message) = match taken {
            TakenField::Username => ("username", "This username is taken."),
            TakenField::Email => ("email", "This e-mail address is taken."),
        };
        FieldError::new(field, FieldErrorCode::Taken, message)
    });
    Err(MutationError::Fields(errors.collect()))
}
