//! Find out whether other accounts have a username or an e-mail address already.

use crate::model::email::Email;
use crate::model::user::UserId;
use crate::model::username::Username;
use crate::model::validation::{FieldError, FieldErrorCode, MutationError};
use crate::service::throttle::Counted;
use crate::store::{Store, TakenField};

/// Refuses values that accounts other than `own` have.
///
/// The refusal reveals that an account exists. So this takes the counted attempt, which only the
/// throttle makes, and no other code calls `Store::taken`.
pub(super) async fn refuse_taken(
    store: &Store,
    _counted: &Counted,
    username: Option<&Username>,
    email: Option<&Email>,
    own: Option<UserId>,
) -> Result<(), MutationError> {
    let taken = store.find_taken_fields(username, email, own).await?;
    if taken.is_empty() {
        return Ok(());
    }
    Err(MutationError::Fields(
        taken.into_iter().map(error).collect(),
    ))
}

fn error(taken: TakenField) -> FieldError {
    match taken {
        TakenField::Username => {
            FieldError::new("username", FieldErrorCode::Taken, "This username is taken.")
        }
        TakenField::Email => FieldError::new(
            "email",
            FieldErrorCode::Taken,
            "This e-mail address is taken.",
        ),
    }
}
