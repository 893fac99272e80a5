//! Who may resolve a field.

use async_graphql::{Context, Guard, Result};

use crate::graphql::context::{ContextExt, authentication};
use crate::model::requirement::Requirement;
use crate::model::user::Role;

/// Lets whoever shows a valid Bearer token pass: `#[graphql(guard = "Authenticated")]`. Everybody else
/// gets UNAUTHENTICATED, with the reason.
#[derive(Clone, Copy, Debug, Default)]
pub struct Authenticated;

impl Guard for Authenticated {
    async fn check(&self, ctx: &Context<'_>) -> Result<()> {
        ctx.identity().await.map(drop)
    }
}

/// Lets whoever has this role, or one above it, pass: `#[graphql(guard = "RequireRole(Role::Admin)")]`.
/// Other users get FORBIDDEN with the reason `ROLE_REQUIRED`, and whom nobody knows UNAUTHENTICATED.
#[derive(Clone, Copy, Debug)]
pub struct RequireRole(pub Role);

impl Guard for RequireRole {
    async fn check(&self, ctx: &Context<'_>) -> Result<()> {
        let needed = Requirement::token(&[]).with_role(self.0);
        authentication(ctx)?.require(&needed).await?;
        Ok(())
    }
}

/// Lets tokens with this scope pass: `#[graphql(guard = "RequireScope(\"notes:read\")")]`. Session tokens
/// and access tokens with the scope `*` have every scope. Other access tokens get FORBIDDEN with the
/// reason `SCOPE_REQUIRED`, and whom nobody knows UNAUTHENTICATED.
#[derive(Clone, Copy, Debug)]
pub struct RequireScope(pub &'static str);

impl Guard for RequireScope {
    async fn check(&self, ctx: &Context<'_>) -> Result<()> {
        let scopes = [self.0];
        let needed = Requirement::token(&scopes);
        authentication(ctx)?.require(&needed).await?;
        Ok(())
    }
}
