//! One of several instances on one PostgreSQL database.

use std::process::Command;

use reqwest::Method;
use tempfile::TempDir;

use super::{Answer, PASSWORD, Server, common_key, unthrottled};

/// An instance on this database.
pub struct Instance {
    pub server: Server,
    _folder: TempDir,
}

impl std::ops::Deref for Instance {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Instance {
    pub fn start(url: &str) -> Self {
        Self::configured(url, |_| {})
    }

    /// With the patience that there is unless configured, which a busy machine can try.
    pub fn impatient(url: &str) -> Self {
        Self::configured(url, |command| {
            command.env_remove("SYMBOLON_POSTGRES_ACQUIRE_TIMEOUT");
        })
    }

    pub fn configured(url: &str, configure: impl FnOnce(&mut Command)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::configured(folder.path(), |command| {
            unthrottled(command);
            command
                .env("DATABASE_URL", url)
                .env("SYMBOLON_SECRET_KEY_FILE", common_key());
            configure(command);
        });
        Self {
            server,
            _folder: folder,
        }
    }

    pub async fn user(&self, name: &str) -> String {
        let answer = self.registration(name).send().await;
        let id = answer.at("/data/createUser/user/id").as_str();
        id.unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    }

    pub async fn token(&self, name: &str) -> String {
        let answer = Answer::of(self.sign_in(name)).await;
        let token = answer.at("/token").as_str();
        token.unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    }

    pub async fn me(&self, token: &str) -> Answer {
        let me = self.operation("{ me { username email } }");
        me.bearer(token).send().await
    }

    pub async fn lets_in(&self, token: &str) -> bool {
        self.me(token).await.at("/data/me/username").is_string()
    }

    pub async fn mutate(&self, token: &str, call: &str) -> Answer {
        let mutation = self.operation(&format!("mutation {{ {call} }}"));
        mutation.bearer(token).send().await
    }

    /// The same with the password.
    pub async fn mutate_as(&self, name: &str, call: &str) -> Answer {
        let mutation = self.operation(&format!("mutation {{ {call} }}"));
        mutation.basic(name, PASSWORD).send().await
    }

    pub async fn is_ready(&self) -> bool {
        Answer::of(self.request(Method::GET, "/readyz"))
            .await
            .status
            == 200
    }
}
