//! Who is calling, for plain poem routes.

use poem::{FromRequest, Request, RequestBody};

use crate::http::request_context::RequestContext;
use crate::model::identity::Identity;

/// Refuses with 401 and a Bearer challenge unless a valid Bearer token came with the request. Take
/// `Option<Identity>` where anybody may call.
impl<'a> FromRequest<'a> for Identity {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let context = RequestContext::from_request(request, body).await?;
        let identity = context.authentication.identity().await?;
        Ok((*identity).clone())
    }
}
