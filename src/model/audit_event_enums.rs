//! The kinds of events, actors and credentials, and their names.

/// Defines an enum and the names of its variants in the API and in the database.
macro_rules! named_enum {
    ($(#[$attribute:meta])* $type:ident { $($(#[$doc:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $type {
            $($(#[$doc])* $variant,)*
        }

        impl $type {
            /// Returns all variants.
            ///
            /// ```
            #[doc = concat!("use symbolon::", stringify!($type), ";\n")]
            #[doc = concat!("for item in ", stringify!($type), "::all() {")]
            ///     println!("<option>{}</option>", item.name());
            /// }
            /// ```
            pub fn all() -> impl Iterator<Item = Self> {
                [$(Self::$variant),*].into_iter()
            }

            /// Returns the name in the API and in the database.
            ///
            /// ```
            #[doc = concat!("use symbolon::", stringify!($type), ";\n")]
            #[doc = concat!("let names = ", stringify!($type), "::all().map(", stringify!($type), "::name);")]
            #[doc = concat!("assert!(names.eq(", stringify!([$($name),*]), "));")]
            /// ```
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Returns the variant with this name, or `None` if no variant has this name.
            ///
            /// ```
            #[doc = concat!("use symbolon::", stringify!($type), ";\n")]
            #[doc = concat!("for item in ", stringify!($type), "::all() {")]
            #[doc = concat!("    assert_eq!(", stringify!($type), "::from_name(item.name()), Some(item));")]
            /// }
            #[doc = concat!("assert_eq!(", stringify!($type), "::from_name(\"MISSPELLED\"), None);")]
            /// ```
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::all().find(|variant| variant.name() == name)
            }
        }
    };
}

named_enum! {
    /// The kind of an event.
    ///
    /// ```
    /// use symbolon::{AuditEventFilter, AuditEventKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// let events = operator.audit_events(AuditEventFilter::default(), None).await?;
    /// assert_eq!(events[0].kind, AuditEventKind::Registered);
    /// # Ok(())
    /// # }
    /// ```
    AuditEventKind {
        /// A user was created.
        Registered = "REGISTERED",
        /// A link was created with which an invited user chooses the first password.
        Invited = "INVITED",
        /// A password was accepted, or an application signed the user in with a method of its own.
        SignedIn = "SIGNED_IN",
        /// A password was refused, or an application tried to sign in a user who does not exist or is disabled. Occurrences are counted per user and hour.
        SignInFailed = "SIGN_IN_FAILED",
        /// An attempt was refused before its password was verified. Occurrences are counted per user and hour.
        Throttled = "THROTTLED",
        /// A new session token or access token was issued.
        TokenIssued = "TOKEN_ISSUED",
        /// The expiration of a session token was extended.
        TokenRenewed = "TOKEN_RENEWED",
        /// A token was revoked.
        TokenRevoked = "TOKEN_REVOKED",
        /// A link was created with which a user can replace a forgotten password.
        ResetLinkCreated = "RESET_LINK_CREATED",
        /// The password of a user was changed.
        PasswordChanged = "PASSWORD_CHANGED",
        /// The username or the e-mail address of a user was changed.
        ProfileChanged = "PROFILE_CHANGED",
        /// The role of a user was changed.
        RoleChanged = "ROLE_CHANGED",
        /// A user was disabled.
        Disabled = "DISABLED",
        /// A disabled user was enabled.
        Enabled = "ENABLED",
        /// A user was deleted.
        Deleted = "DELETED",
    }
}

named_enum! {
    /// The type of an actor.
    ///
    /// ```
    /// use symbolon::{ActorType, AuditEventFilter};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let operator = symbolon::Symbolon::open(config).await?.operator();
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # let ada = operator.add_user(&ada, symbolon::Role::User).await?;
    /// let events = operator.audit_events(AuditEventFilter::default(), None).await?;
    /// assert_eq!(events[0].actor_type, Some(ActorType::Operator));
    /// # Ok(())
    /// # }
    /// ```
    ActorType {
        /// An unauthenticated client.
        Anonymous = "ANONYMOUS",
        /// A user.
        User = "USER",
        /// The operator, who acts through the command line or the library.
        Operator = "OPERATOR",
    }
}

named_enum! {
    /// The type of the credential that authenticated a request.
    ///
    /// ```
    /// use symbolon::{AuditEventFilter, AuditEventKind, CredentialType};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}/app.db", folder.path().display());
    /// # let mut config = symbolon::Config::new(url);
    /// # config.argon2_memory = 8;
    /// # let symbolon = symbolon::Symbolon::open(config).await?;
    /// # use poem::{Endpoint, Request, http::Method};
    /// # let ada = symbolon::Registration {
    /// #     username: "ada".to_owned(),
    /// #     email: Some("ada@example.org".to_owned()),
    /// #     password: "correct horse".to_owned(),
    /// # };
    /// # symbolon.operator().add_user(&ada, symbolon::Role::User).await?;
    /// # let credentials = "Basic YWRhOmNvcnJlY3QgaG9yc2U=";
    /// # let sign_in = Request::builder().method(Method::POST).uri_str("/tokens");
    /// # let sign_in = sign_in.header("Host", "localhost").header("Authorization", credentials);
    /// # let response = symbolon.own_routes().get_response(sign_in.finish()).await;
    /// # let body: serde_json::Value = response.into_body().into_json().await?;
    /// # let authorization = format!("Bearer {}", body["token"].as_str().unwrap_or_default());
    /// let operator = symbolon.operator();
    /// let filter = AuditEventFilter { kind: Some(AuditEventKind::TokenIssued), ..Default::default() };
    /// let issued = operator.audit_events(filter, None).await?;
    /// assert_eq!(issued[0].credential_type, Some(CredentialType::Password));
    /// # Ok(())
    /// # }
    /// ```
    CredentialType {
        /// The username and the password.
        Password = "PASSWORD",
        /// A session token.
        SessionToken = "SESSION_TOKEN",
        /// An access token.
        AccessToken = "ACCESS_TOKEN",
        /// A one-time token.
        OneTimeToken = "ONE_TIME_TOKEN",
        /// A method of the embedding application, with which the application has authenticated the user.
        Application = "APPLICATION",
    }
}
