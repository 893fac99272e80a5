//! The extractors `Identity` and `Requester` for poem routes of an embedding application.

use std::sync::Arc;

use poem::{FromRequest, Request, RequestBody};

use crate::http::middleware::RequestContext;
use crate::model::identity::Identity;
use crate::model::request_credentials::Credentials;
use crate::service::requester::Requester;

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

/// Extracts the client of the request with its credentials, which are not verified yet. A request with Basic credentials
/// from a page of another origin is refused with 403, because browsers add Basic credentials to such requests without
/// the knowledge of the user.
impl<'a> FromRequest<'a> for Requester {
    async fn from_request(request: &'a Request, body: &mut RequestBody) -> poem::Result<Self> {
        let context = RequestContext::from_request(request, body).await?;
        if let Credentials::Basic(_) = context.authentication.credentials() {
            context.refuse_cross_origin()?;
        }
        Ok(Self::new(
            Arc::clone(&context.services),
            context.authentication.clone(),
        ))
    }
}
