//! The ids of users in arguments.

use async_graphql::ID;

use crate::error::Error;
use crate::model::user::UserId;

/// Parses the id of a user. The user may not exist.
impl TryFrom<&ID> for UserId {
    type Error = Error;

    /// Returns [`Error::BadUserInput`] for a text that is not the id of any user.
    fn try_from(id: &ID) -> Result<Self, Error> {
        let problem = |_| Error::BadUserInput("The ID of a user must be a number.".to_owned());
        id.parse().map_err(problem)
    }
}

/// Parses the id of a user. The user may not exist.
impl TryFrom<ID> for UserId {
    type Error = Error;

    fn try_from(id: ID) -> Result<Self, Error> {
        Self::try_from(&id)
    }
}
