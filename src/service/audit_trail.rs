//! Reads the audit trail.

use std::sync::Arc;

use crate::error::Error;
use crate::model::audit_event::{AuditEvent, AuditEventFilter};
use crate::model::pagination::{Page, PageRequest};
use crate::model::requirement::Requirement;
use crate::model::scopes::AUDIT_READ;
use crate::model::user::Role;
use crate::service::authorization::Caller;
use crate::store::Store;

/// The recorded audit events.
#[derive(Debug)]
pub(crate) struct AuditTrail {
    pub(crate) store: Arc<Store>,
}

impl AuditTrail {
    /// Returns a page of the events that match `filter`, newest first. Requires the role `Admin`.
    pub(crate) async fn page(
        &self,
        caller: Caller<'_>,
        filter: AuditEventFilter,
        request: PageRequest,
    ) -> Result<Page<AuditEvent>, Error> {
        let requirement = Requirement::token(&[AUDIT_READ]).with_role(Role::Admin);
        caller.require(&requirement).await?;
        self.store.audit_events(filter, request).await
    }
}
