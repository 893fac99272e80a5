//! What resolvers ask of the context.

use std::sync::{Arc, OnceLock};

use async_graphql::dataloader::DataLoader;
use async_graphql::{Context, Result};

use crate::error::Error;
use crate::graphql::data_loader::Rows;
use crate::graphql::document_cache::Document;
use crate::model::identity::Identity;
use crate::model::user::User;
use crate::service::Services;
use crate::service::authentication::Authentication;

/// Who is asking, for resolvers.
///
/// Behind the guard [`Authenticated`](crate::Authenticated) the answer is known and costs nothing;
/// elsewhere the first question of a request looks it up, and errs with UNAUTHENTICATED if nobody is
/// known to be asking.
pub trait ContextExt {
    /// Who the request speaks for.
    fn identity(&self) -> impl Future<Output = Result<Arc<Identity>>> + Send;

    /// The user that the request speaks for.
    fn current_user(&self) -> impl Future<Output = Result<User>> + Send;
}

impl ContextExt for Context<'_> {
    async fn identity(&self) -> Result<Arc<Identity>> {
        Ok(authentication(self)?.identity().await?)
    }

    async fn current_user(&self) -> Result<User> {
        Ok(self.identity().await?.user().clone())
    }
}

/// What a request has for its resolvers and hooks.
pub(super) struct Call {
    services: Arc<Services>,
    pub(super) authentication: Authentication,
    pub(super) document: Arc<Document>,
    loader: OnceLock<DataLoader<Rows>>,
}

impl Call {
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

/// The credentials of the request.
pub(super) fn authentication<'a>(ctx: &Context<'a>) -> Result<&'a Authentication, Error> {
    Ok(&call(ctx)?.authentication)
}

/// Loads rows for the fields of the request. It caches nothing: a field that is resolved after a
/// mutation of the same request sees what the mutation changed.
pub(super) fn loader<'a>(ctx: &Context<'a>) -> Result<&'a DataLoader<Rows>, Error> {
    let call = call(ctx)?;
    let new = || DataLoader::new(Rows(Arc::clone(&call.services)), tokio::spawn);
    Ok(call.loader.get_or_init(new))
}

fn call<'a>(ctx: &Context<'a>) -> Result<&'a Call, Error> {
    ctx.data().map_err(|error| Error::internal(error.message))
}

/// The services of the instance that the request came to, whichever instance the schema was built for: the
/// identity and what it acts on are always of one instance.
pub(super) fn services<'a>(ctx: &Context<'a>) -> Result<&'a Services, Error> {
    Ok(call(ctx)?.services.as_ref())
}
