//! Field guards for the types of an application.

use async_graphql::{Context, Guard, Result};

use crate::graphql::context::{ContextExt, authentication};
use crate::model::requirement::Requirement;
use crate::model::user::Role;

/// A guard that requires a valid Bearer token: `#[graphql(guard = "Authenticated")]`.
///
/// Requests without a valid token get the error `UNAUTHENTICATED`, with the reason.
#[derive(Clone, Copy, Debug, Default)]
pub struct Authenticated;

impl Guard for Authenticated {
    async fn check(&self, ctx: &Context<'_>) -> Result<()> {
        ctx.identity().await.map(drop)
    }
}

/// A guard that requires a valid Bearer token of a user with this role or a higher one:
/// `#[graphql(guard = "RequireRole(Role::Admin)")]`.
///
/// Users with a lower role get the error `FORBIDDEN` with the reason `ROLE_REQUIRED`. Requests without
/// a valid token get the error `UNAUTHENTICATED`.
#[derive(Clone, Copy, Debug)]
pub struct RequireRole(pub Role);

impl Guard for RequireRole {
    async fn check(&self, ctx: &Context<'_>) -> Result<()> {
        let requirement = Requirement::token(&[]).with_role(self.0);
        authentication(ctx)?.require(&requirement).await?;
        Ok(())
    }
}

/// A guard that requires a valid Bearer token with this scope:
/// `#[graphql(guard = "RequireScope(\"notes:read\")")]`.
///
/// Session tokens, and access tokens with the scope `*`, include every scope. Requests with any other
/// access token get the error `FORBIDDEN` with the reason `SCOPE_REQUIRED`. Requests without a valid
/// token get the error `UNAUTHENTICATED`.
#[derive(Clone, Copy, Debug)]
pub struct RequireScope(pub &'static str);

impl Guard for RequireScope {
    async fn check(&self, ctx: &Context<'_>) -> Result<()> {
        let scopes = [self.0];
        authentication(ctx)?
            .require(&Requirement::token(&scopes))
            .await?;
        Ok(())
    }
}
