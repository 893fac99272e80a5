//! Refuses usernames and e-mail addresses that other users have.

use crate::model::email::Email;
use crate::model::user::UserId;
use crate::model::username::Username;
use crate::model::validation::{FieldError, FieldErrorCode, MutationError};
use crate::service::throttle::Attempt;
use crate::store::{Store, TakenField};

/// Refuses values that users other than `own` have.
///
/// The refusal reveals that a user exists. Therefore the function requires an attempt that the throttle has
/// counted, and no other code calls [`Store::find_taken_fields`].
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
