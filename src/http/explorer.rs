//! `/`: a page to explore the API with.

use poem::handler;
use poem::web::Html;

use crate::graphql::graphiql;

/// GraphiQL.
#[handler]
pub(super) fn page() -> Html<String> {
    Html(graphiql("/graphql"))
}
