//! The state of a PostgreSQL server.

/// The state of the server at the last heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Available,
    /// The server does not answer.
    Unreachable,
    /// The server is a standby or read-only, or the role lacks privileges.
    ReadOnly,
    /// The server is an old primary.
    Outdated,
    /// A connection pooler assigns its connections to transactions.
    TransactionPooling,
}

impl State {
    /// Logs the beginning of this state.
    pub(super) fn log(self) {
        match self {
            Self::Available => tracing::info!("the database is available again"),
            Self::Unreachable => {
                tracing::warn!(
                    "the database does not answer: requests that need the database are refused"
                );
            }
            Self::ReadOnly => tracing::warn!(
                "the database cannot be written to, because the server is a standby or read-only, or \
                 because the role lacks privileges: requests that need the database are refused"
            ),
            Self::Outdated => tracing::error!(
                "the database server is an old primary, which lacks the changes since a promotion: requests that need \
                 the database are refused. Stop the old primary. If an older state was restored on purpose, restart \
                 this instance"
            ),
            Self::TransactionPooling => tracing::error!(
                "a connection pooler uses transaction pooling: requests that need the database are refused. Use \
                 session pooling"
            ),
        }
    }
}
