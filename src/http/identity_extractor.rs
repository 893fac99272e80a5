//! The `Identity` extractor for poem routes of an embedding application.

use poem::{FromRequest, Request, RequestBody};

use crate::http::middleware::RequestContext;
use crate::model::identity::Identity;

/// Extracts the identity of a valid Bearer token. A request without a valid Bearer token is refused
/// with 401 and a Bearer challenge. A route that also accepts requests without a token can extract
/// `Option<Identity>`.
impl<'a> FromRequest<'a> for Identity {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let context = RequestContext::from_request(request, body).await?;
        let identity = context.authentication.identity().await?;
        Ok((*identity).clone())
    }
}
