//! Who may resolve a field.

use async_graphql::{Context, Guard, Result};

use crate::graphql::context::ContextExt;

/// Lets whoever shows a valid Bearer token pass: `#[graphql(guard = "Authenticated")]`. Everybody else
/// gets UNAUTHENTICATED, with the reason.
#[derive(Clone, Copy, Debug, Default)]
pub struct Authenticated;

impl Guard for Authenticated {
    async fn check(&self, ctx: &Context<'_>) -> Result<()> {
        ctx.identity().await.map(drop)
    }
}
