//! Opens an instance: builds its services from the configuration.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use chrono::TimeDelta;

use crate::clock::Clock;
use crate::config::{Config, PostgresConfig, ThrottleConfig};
use crate::error::{Error, StartError};
use crate::http::AppState;
use crate::model::password::PasswordRules;
use crate::model::server_key::ServerKey;
use crate::model::session_lifetime::Lifetime;
use crate::service::Services;
use crate::service::access_token_verifier::AccessTokenVerifier;
use crate::service::access_tokens::AccessTokens;
use crate::service::audit_trail::AuditTrail;
use crate::service::authenticator::Authenticator;
use crate::service::hook_runner::HookRunner;
use crate::service::identity_cache::IdentityCache;
#[cfg(feature = "server")]
use crate::service::import::Import;
use crate::service::passwords::Passwords;
use crate::service::refused_attempts::RefusedAttempts;
use crate::service::server_key::{KeyError, KeySource};
use crate::service::sessions::Sessions;
use crate::service::sign_in::SignIn;
use crate::service::sign_in_metrics::SignInMetrics;
use crate::service::throttle::{Rates, Throttle};
use crate::service::throttle_metrics::ThrottleMetrics;
use crate::service::token_look_ups::TokenLookUps;
use crate::service::token_uses::TokenUses;
use crate::service::token_watch::TokenWatches;
use crate::service::users::Users;
use crate::store::{ApplicationMigrations, Connections, Location, OpenError, Store};
use crate::supervised_tasks::repeat;

const SECOND: Duration = Duration::from_secs(1);

/// The interval between two runs of [`Services::purge`].
const PURGE_INTERVAL: Duration = Duration::from_mins(10);

/// The handling of a database that does not exist or lacks migrations.
#[derive(Clone, Copy, Debug)]
pub(super) enum Migrations {
    /// Create and migrate the database, and apply the migrations of the application.
    Apply(Option<ApplicationMigrations>),
    /// Fail to open the database. The server key is neither read nor created.
    Require,
}

/// Checks the configuration, opens the database, and starts the background tasks.
pub(super) async fn open(
    config: Config,
    clock: Clock,
    hooks: HookRunner,
    migrations: Migrations,
) -> Result<AppState, StartError> {
    config.check()?;
    let lifetime = Lifetime::from_seconds(config.token_lifetime.into())
        .map_err(|error| StartError::Configuration(error.into()))?;
    let links = config.link_settings()?;
    let passwords = start_hashing(&config)?;
    let rules = PasswordRules {
        min_characters: config.password_min as usize,
    };
    let (store, key) = open_database(&config, migrations).await?;
    let clock = match (clock, store.clock()) {
        (Clock::System, Some(database)) => Clock::Database(database.clone()),
        (clock, _) => clock,
    };
    let refused_attempts = Arc::new(RefusedAttempts::new(
        Arc::clone(&store),
        TimeDelta::days(config.audit_days.into()),
    ));
    let throttle = Arc::new(Throttle {
        store: Arc::clone(&store),
        clock: clock.clone(),
        refused_attempts: Arc::clone(&refused_attempts),
        passwords: Arc::clone(&passwords),
        rates: rates(&config.throttle),
        metrics: ThrottleMetrics::new(),
    });
    let token_uses = Arc::new(TokenUses::new(Arc::clone(&store)));
    let sessions = Arc::new(Sessions {
        store: Arc::clone(&store),
        clock: clock.clone(),
        key,
        lifetime,
        reuse: config.reuse,
        max_age: TimeDelta::days(config.session_max_age.into()),
        uses: Arc::clone(&token_uses),
        shared: TokenLookUps::new(Arc::clone(&store), |store, digests| {
            Box::pin(async move { store.find_shared_sessions(&digests).await })
        }),
        on_devices: TokenLookUps::new(Arc::clone(&store), |store, digests| {
            Box::pin(async move { store.find_device_sessions(&digests).await })
        }),
    });
    let sign_in = SignIn {
        store: Arc::clone(&store),
        clock: clock.clone(),
        throttle: Arc::clone(&throttle),
        refused_attempts: Arc::clone(&refused_attempts),
        sessions: Arc::clone(&sessions),
        hooks: hooks.clone(),
        metrics: SignInMetrics::new(),
    };
    let authenticator = Arc::new(Authenticator::new(
        AccessTokenVerifier::new(Arc::clone(&store), clock.clone(), Arc::clone(&token_uses)),
        sign_in,
        IdentityCache::new(mebibytes(config.identity_cache), Arc::clone(&store)),
    ));
    let services = Arc::new(Services {
        access_tokens: AccessTokens {
            store: Arc::clone(&store),
            clock: clock.clone(),
        },
        refused_attempts,
        audit_trail: AuditTrail {
            store: Arc::clone(&store),
        },
        #[cfg(feature = "server")]
        import: Import {
            store: Arc::clone(&store),
            clock: clock.clone(),
            passwords,
            hooks: hooks.clone(),
        },
        sessions,
        throttle: Arc::clone(&throttle),
        token_uses,
        token_watches: TokenWatches::new(Arc::clone(&authenticator)),
        authenticator,
        users: Users {
            store: Arc::clone(&store),
            clock,
            throttle,
            hooks,
            rules,
            registration_open: config.registration,
            listed_for: config.user_list.role(),
            links,
        },
        store,
    });
    start_background_tasks(&services);
    let document_cache = mebibytes(config.document_cache);
    Ok(AppState::new(
        services,
        config.http,
        config.limits,
        document_cache,
    ))
}

/// Opens the database, and reads or creates the server key.
async fn open_database(
    config: &Config,
    migrations: Migrations,
) -> Result<(Arc<Store>, ServerKey), StartError> {
    let location = Location::parse(&config.database_url.0)
        .map_err(|error| StartError::Configuration(error.into()))?;
    let key_source = match migrations {
        Migrations::Apply(_) => key_source(config, &location)?,
        Migrations::Require => KeySource::Unused,
    };
    // The key is read first, so that no database is created if the key is unusable. A new key is created only
    // after the database has been opened.
    let server_key = |error: KeyError| StartError::ServerKey(error.into());
    let key = key_source.find().map_err(server_key)?;
    if let Some(warning) = key_source.warning() {
        tracing::warn!("{warning}");
    }
    let connections = connections(&config.postgres);
    let store = match migrations {
        Migrations::Apply(application) => Store::open(location, connections, application).await,
        Migrations::Require => Store::open_existing(location, connections).await,
    };
    let store = Arc::new(store.map_err(open_error)?);
    let key = key.map_or_else(|| key_source.create(), Ok);
    let key = key.map_err(server_key)?;
    Ok((store, key))
}

/// Starts the background tasks, which run until `services` is dropped.
fn start_background_tasks(services: &Arc<Services>) {
    repeat("cache check", SECOND, services, |services| async move {
        services.authenticator.check_cache().await;
    });
    repeat("flush", SECOND, services, |services| async move {
        log_failure("flush", services.flush().await);
    });
    repeat("purge", PURGE_INTERVAL, services, |services| async move {
        log_failure("purge", services.purge().await);
    });
}

/// Logs the error of a background task. The store logs that the database is unavailable and that the outcome of a
/// commit is unknown, so these errors are not logged here. The task writes the same changes again the next time.
fn log_failure(task: &str, result: Result<(), Error>) {
    if let Err(error) = result
        && !matches!(
            error,
            Error::ServiceUnavailable { .. } | Error::OutcomeUnknown
        )
    {
        tracing::error!(task, ?error, "a background task failed");
    }
}

/// Starts the threads that hash passwords.
fn start_hashing(config: &Config) -> Result<Arc<Passwords>, StartError> {
    let cores = || available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let passwords = Passwords::start(
        config.argon2_memory,
        config.argon2_iterations,
        config.argon2_parallelism,
        config.max_hash_memory,
        config.hash_threads.unwrap_or_else(cores),
        config.hash_queue,
    );
    let passwords = passwords.map_err(|error| StartError::Hashing(error.into()))?;
    Ok(Arc::new(passwords))
}

fn mebibytes(count: u32) -> u64 {
    u64::from(count) * 1024 * 1024
}

fn rates(config: &ThrottleConfig) -> Option<Rates> {
    if !config.enabled {
        tracing::warn!("throttling is off: the number of password guesses is not limited");
        return None;
    }
    Some(Rates {
        account: config.account,
        address: config.address,
        registration: config.registrations,
    })
}

fn connections(config: &PostgresConfig) -> Connections {
    let millis = |millis: u32| Duration::from_millis(millis.into());
    Connections {
        readers: config.readers,
        writers: config.writers,
        acquire_timeout: millis(config.acquire_timeout),
        statement_timeout: millis(config.statement_timeout),
    }
}

/// Returns the source of the server key: the configuration, or a file beside the SQLite database.
pub(super) fn key_source(config: &Config, database: &Location) -> Result<KeySource, StartError> {
    if let Some(key) = &config.secret_key {
        return Ok(KeySource::Given(key.0.clone()));
    }
    if let Some(file) = &config.secret_key_file {
        return Ok(KeySource::GivenFile(file.clone()));
    }
    let file = database.file().ok_or(StartError::MissingServerKey)?;
    let mut key_file = file.as_os_str().to_owned();
    key_file.push(".key");
    Ok(KeySource::OwnFile(PathBuf::from(key_file)))
}

pub(super) fn open_error(error: OpenError) -> StartError {
    match error {
        OpenError::Newer(..)
        | OpenError::Older(_)
        | OpenError::Migrate(..)
        | OpenError::MigrateApplication(..) => StartError::Migration(error.into()),
        _ => StartError::Database(error.into()),
    }
}
