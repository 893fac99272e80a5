//! The configuration of the programs that embed Symbolon.

use std::env;

use symbolon::{Config, UserList};

/// Returns the default configuration with the settings of the environment that the benchmarks use. All requests of
/// a benchmark come from one address, so that it disables throttling.
pub fn config() -> Config {
    let mut config = Config::default();
    if let Ok(url) = env::var("DATABASE_URL") {
        config.database_url = url.into();
    }
    if env::var("SYMBOLON_USER_LIST").as_deref() == Ok("members") {
        config.user_list = UserList::Members;
    }
    config.throttle.enabled = env::var("SYMBOLON_THROTTLE").as_deref() != Ok("off");
    config
}
