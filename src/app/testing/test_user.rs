//! Users of tests.

use std::fmt;

use crate::app::Symbolon;
use crate::model::client::Client;
use crate::model::user::User;
use crate::service::requester::Requester;

/// A user who has signed in. Created by [`TestSymbolon::as_user`](super::TestSymbolon::as_user) and
/// [`TestSymbolon::as_admin`](super::TestSymbolon::as_admin).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let symbolon = symbolon::testing::TestSymbolon::open().await;
/// let ada = symbolon.as_user("ada").await;
/// let identity = ada.requester().identity().await.unwrap();
/// assert_eq!(identity.user().id, ada.user().id);
/// # }
/// ```
#[derive(Clone)]
pub struct TestUser {
    pub(super) symbolon: Symbolon,
    pub(super) user: User,
    pub(super) authorization: String,
}

impl TestUser {
    /// Returns the user at the time of the sign-in.
    ///
    /// ```
    /// fn id(ada: &symbolon::testing::TestUser) -> symbolon::UserId {
    ///     ada.user().id
    /// }
    /// ```
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// Returns the session token.
    ///
    /// ```
    /// fn length(ada: &symbolon::testing::TestUser) -> usize {
    ///     ada.token().len()
    /// }
    /// ```
    #[must_use]
    pub fn token(&self) -> &str {
        self.authorization.trim_start_matches("Bearer ")
    }

    /// Returns the value of the header `Authorization`, for a request over HTTP.
    ///
    /// ```
    /// # fn header(ada: &symbolon::testing::TestUser) -> (&str, &str) {
    /// ("Authorization", ada.authorization())
    /// # }
    /// ```
    #[must_use]
    pub fn authorization(&self) -> &str {
        &self.authorization
    }

    /// Returns the requester of a new request with the session token.
    ///
    /// ```
    /// use symbolon::async_graphql::Request;
    ///
    /// fn request(ada: &symbolon::testing::TestUser) -> Request {
    ///     Request::new("{ me { username } }").data(ada.requester())
    /// }
    /// ```
    #[must_use]
    pub fn requester(&self) -> Requester {
        let symbolon = &self.symbolon;
        symbolon.requester(Some(&self.authorization), Client::default())
    }
}

/// The output does not contain the token.
impl fmt::Debug for TestUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestUser")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
