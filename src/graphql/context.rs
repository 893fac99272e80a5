//! The per-request data that resolvers, guards and extensions use.

use std::sync::{Arc, OnceLock};

use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, Result};

use crate::error::Error;
use crate::graphql::data_loader::Rows;
use crate::graphql::document::Document;
use crate::model::identity::Identity;
use crate::model::user::User;
use crate::service::Services;
use crate::service::authorization::Caller;
use crate::service::request_authentication::Authentication;
use crate::service::requester::Requester;

/// Gives resolvers access to the caller of the request.
///
/// The first call in a request authenticates the request, and later calls return the same identity. In
/// a field with the guard [`Authenticated`](crate::Authenticated), the identity is already known.
pub trait ContextExt {
    /// Returns the identity with which the request is authenticated.
    ///
    /// # Errors
    ///
    /// Returns `UNAUTHENTICATED`, with the reason, if the request has no valid Bearer token. Returns
    /// `SERVICE_UNAVAILABLE` or `INTERNAL_SERVER_ERROR` if the token cannot be looked up.
    fn identity(&self) -> impl Future<Output = Result<Arc<Identity>>> + Send;

    /// Returns the user of the [identity](Self::identity).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`identity`](Self::identity).
    fn current_user(&self) -> impl Future<Output = Result<User>> + Send;

    /// Returns the client of the request with its credentials, for operations such as
    /// [`Requester::create_token`](crate::Requester::create_token). Verifies no credentials.
    ///
    /// # Errors
    ///
    /// Returns `INTERNAL_SERVER_ERROR` if the request is not executed by Symbolon.
    fn requester(&self) -> Result<Requester>;
}

impl ContextExt for Context<'_> {
    async fn identity(&self) -> Result<Arc<Identity>> {
        Ok(authentication(self)?.identity().await?)
    }

    async fn current_user(&self) -> Result<User> {
        Ok(self.identity().await?.user().clone())
    }

    fn requester(&self) -> Result<Requester> {
        let ResolverContext {
            services,
            authentication,
            ..
        } = request(self)?;
        Ok(Requester::new(Arc::clone(services), authentication.clone()))
    }
}

/// The data of one GraphQL request.
pub(super) struct ResolverContext {
    pub(super) services: Arc<Services>,
    pub(super) authentication: Authentication,
    pub(super) document: Arc<Document>,
    loader: OnceLock<DataLoader<Rows>>,
}

impl ResolverContext {
    pub(super) fn new(
        services: Arc<Services>,
        authentication: Authentication,
        document: Arc<Document>,
    ) -> Self {
        Self {
            services,
            authentication,
            document,
            loader: OnceLock::new(),
        }
    }
}

/// Returns the authentication of the request.
pub(super) fn authentication<'a>(ctx: &Context<'a>) -> Result<&'a Authentication, Error> {
    Ok(&request(ctx)?.authentication)
}

/// Returns the caller, and the services of the instance that received the request. The services are
/// stored in the request, because the schema may have been built for another instance.
pub(super) fn caller<'a>(ctx: &Context<'a>) -> Result<(Caller<'a>, &'a Services), Error> {
    let request = request(ctx)?;
    Ok(((&request.authentication).into(), &request.services))
}

/// Returns the data loader of the request. The loader does not cache rows, so a field that is resolved
/// after a mutation in the same request returns the changed rows.
pub(super) fn loader<'a>(ctx: &Context<'a>) -> Result<&'a DataLoader<Rows>, Error> {
    let request = request(ctx)?;
    let new = || DataLoader::new(Rows(Arc::clone(&request.services)), tokio::spawn);
    Ok(request.loader.get_or_init(new))
}

/// Returns the data of the request.
pub(super) fn request<'a>(ctx: &Context<'a>) -> Result<&'a ResolverContext, Error> {
    ctx.data().map_err(|error| Error::internal(error.message))
}
