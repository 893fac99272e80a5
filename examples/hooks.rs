//! An application that stores a profile for each user and sends a welcome mail.
//!
//! ```sh
//! cargo run --example hooks
//! ```
//!
//! The first argument sets the address to listen on (`-- 127.0.0.1:9000`). The default is `127.0.0.1:8000`. A migration
//! creates the table of profiles in Symbolon's database. The hook `after_register` writes the profile in the transaction of
//! the registration, and `before_delete` deletes the profile. Therefore, each user has a profile, even after a crash. The
//! field `profile` returns the profile of the caller. A task reads `Symbolon::events` and sends a mail to each new user.

#![allow(clippy::print_stdout, clippy::print_stderr, unreachable_pub)]

use std::env;

use async_graphql::{Context, EmptySubscription, MergedObject, Object, SimpleObject};
use futures_util::StreamExt;
use symbolon::sea_orm::ActiveValue::Set;
use symbolon::sea_orm::{DatabaseConnection, EntityTrait};
use symbolon::sea_orm_migration::prelude::*;
use symbolon::{
    AuditEventKind, Authenticated, Config, ContextExt, HookError, HookTransaction, Hooks, Mutation,
    Registrant, Symbolon, User, async_trait,
};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The table of profiles.
mod profile {
    use symbolon::sea_orm;
    use symbolon::sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
    #[sea_orm(table_name = "profile")]
    pub struct Model {
        /// The id of the user.
        #[sea_orm(primary_key, auto_increment = false)]
        pub user_id: i64,
        pub display_name: String,
    }

    #[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

/// The migrations of this application. Symbolon applies them at the start.
struct Migrations;

#[async_trait]
impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(CreateProfile)]
    }
}

struct CreateProfile;

impl MigrationName for CreateProfile {
    fn name(&self) -> &'static str {
        "m1_create_profile"
    }
}

#[async_trait]
impl MigrationTrait for CreateProfile {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut user = ForeignKey::create();
        user.from("profile", "user_id").to("symbolon_user", "id");
        let create = Table::create()
            .table("profile")
            .col(ColumnDef::new("user_id").big_integer().primary_key())
            .col(ColumnDef::new("display_name").text().not_null())
            .foreign_key(&mut user)
            .take();
        manager.create_table(create).await
    }
}

/// The hooks of this application.
struct Profiles;

#[async_trait]
impl Hooks for Profiles {
    async fn before_register(
        &self,
        _transaction: &HookTransaction<'_>,
        registrant: &Registrant,
    ) -> Result<(), HookError> {
        if registrant.email.is_none() {
            return Err(HookError::refuse("email", "An e-mail address is required."));
        }
        Ok(())
    }

    async fn after_register(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        let profile = profile::ActiveModel {
            user_id: Set(user.id.into()),
            display_name: Set(user.username.clone()),
        };
        let insert = profile::Entity::insert(profile);
        insert.exec_without_returning(transaction).await?;
        Ok(())
    }

    async fn before_delete(
        &self,
        transaction: &HookTransaction<'_>,
        user: &User,
    ) -> Result<(), HookError> {
        let delete = profile::Entity::delete_by_id(i64::from(user.id));
        delete.exec(transaction).await?;
        Ok(())
    }
}

/// The profile of a user.
#[derive(SimpleObject)]
struct Profile {
    display_name: String,
}

#[derive(Default)]
struct ProfileQuery;

#[Object]
impl ProfileQuery {
    /// The profile of the caller.
    #[graphql(guard = "Authenticated")]
    async fn profile(&self, ctx: &Context<'_>) -> async_graphql::Result<Option<Profile>> {
        let user = ctx.current_user().await?;
        let find = profile::Entity::find_by_id(i64::from(user.id));
        let found = find.one(ctx.data::<DatabaseConnection>()?).await?;
        Ok(found.map(|profile| Profile {
            display_name: profile.display_name,
        }))
    }
}

#[derive(MergedObject, Default)]
struct Query(symbolon::Query, ProfileQuery);

/// Sends a mail to each new user, until the database is closed.
async fn send_welcome_mails(symbolon: Symbolon) {
    let mut events = symbolon.events();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) if event.kind == AuditEventKind::Registered => {
                let Some(id) = event.user else { continue };
                match symbolon.operator().user_by_id(id).await {
                    Ok(Some(user)) if user.has_password => send_welcome_mail(&user),
                    // An admin has invited the user, or the user has been deleted again.
                    Ok(_) => {}
                    Err(error) => eprintln!("no welcome mail for user {id}: {error}"),
                }
            }
            Ok(_) => {}
            Err(missed) => eprintln!("welcome mails may be missing: {missed}"),
        }
    }
}

/// Prints the mail. A real application passes the mail to an SMTP client.
fn send_welcome_mail(user: &User) {
    let Some(address) = &user.email else { return };
    eprintln!(
        "To: {address}\nSubject: Welcome, {name}\n\nHello {name},\nthank you for your registration.",
        name = user.username
    );
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = env::var("DATABASE_URL").unwrap_or_else(|_| "sqlite://symbolon.db".to_owned());
    let mut config = Config::new(url);
    config.secret_key_file = env::var_os("SYMBOLON_SECRET_KEY_FILE").map(Into::into);
    let builder = Symbolon::builder(config).hooks(Profiles);
    let symbolon = builder.migrations::<Migrations>().open().await?;
    let mails = tokio::spawn(send_welcome_mails(symbolon.clone()));
    let schema = symbolon
        .schema(Query::default(), Mutation, EmptySubscription)
        .data(symbolon.connection())
        .finish();
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8000")).await?;
    println!(
        "The app with profiles listens on http://{}",
        listener.local_addr()?
    );
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
    };
    symbolon
        .serve(symbolon.routes(schema), listener, shutdown)
        .await?;
    mails.await?;
    Ok(())
}
