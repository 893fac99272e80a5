//! A PostgreSQL server of the test process.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Database};
use tempfile::TempDir;

use super::succeed;

/// The password in the database URLs of the tests. The servers do not ask for it.
pub const DATABASE_PASSWORD: &str = "a-secret-of-the-database";

/// A PostgreSQL server on loopback, in a folder of its own. It ends when it is dropped or when this
/// process ends.
pub struct Postgres {
    bin: PathBuf,
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
    /// The process that ends the server when its standard input is closed.
    keeper: Mutex<Option<Child>>,
    databases: Mutex<u32>,
}

impl Postgres {
    pub fn start(settings: &[&str]) -> Self {
        Self::with_files(settings, &[])
    }

    /// Starts a server with settings that are files, of which it gets copies.
    pub fn with_files(settings: &[&str], files: &[(&str, &Path)]) -> Self {
        let mut server = Self::in_new_folder(settings);
        let mut initdb = server.as_its_user(&server.bin.join("initdb"));
        initdb
            .args([
                "--auth=trust",
                "--username=symbolon",
                "--no-sync",
                "--no-locale",
            ])
            .args(["--encoding=UTF8", "--pgdata"])
            .arg(server.data());
        succeed(&mut initdb);
        for (setting, file) in files {
            let copy = server.data().join(setting);
            fs::copy(file, &copy).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
            if is_root() {
                succeed(Command::new("chown").arg("postgres:").arg(&copy));
            }
            let setting = format!("{setting}={}", copy.display());
            server.settings.push(setting);
        }
        server.restart();
        server
    }

    /// Starts a copy of this server, which is stopped, as a standby, and promotes the standby.
    pub fn promote_a_copy(&self) -> Self {
        let copy = Self::in_new_folder(&[]);
        succeed(
            Command::new("cp")
                .arg("-a")
                .arg(self.data())
                .arg(copy.data()),
        );
        fs::write(copy.data().join("standby.signal"), "").unwrap();
        copy.restart();
        copy.run(&["SELECT pg_promote()".to_owned()]);
        copy
    }

    /// Returns a server without data.
    fn in_new_folder(settings: &[&str]) -> Self {
        let bin = installed();
        let folder = tempfile::tempdir().unwrap();
        // PostgreSQL refuses to run as root.
        if is_root() {
            succeed(Command::new("chown").arg("postgres:").arg(folder.path()));
        }
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        Self {
            bin,
            folder,
            port,
            settings: settings.iter().map(|&setting| setting.to_owned()).collect(),
            keeper: Mutex::default(),
            databases: Mutex::default(),
        }
    }

    /// Starts the server again on its data.
    pub fn restart(&self) {
        // The keeper of the last start would delete the data.
        if let Some(mut last) = self.keeper.lock().unwrap().take() {
            last.kill().unwrap();
            last.wait().unwrap();
        }
        // The remaining processes of a killed server end once they notice the end of the postmaster.
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let mut keeper = self.spawn_keeper();
            if self.is_ready(&mut keeper, deadline) {
                *self.keeper.lock().unwrap() = Some(keeper);
                return;
            }
            assert!(Instant::now() < deadline, "{}", self.log());
            let _ = keeper.kill();
            keeper.wait().unwrap();
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn spawn_keeper(&self) -> Child {
        let mut script = self.as_its_user(Path::new("/bin/sh"));
        let server = r#"log=$1 data=$2; shift 2; "$@" >> "$log" 2>&1 & server=$!
            cat > /dev/null; kill -QUIT $server; wait $server; rm -rf "$data""#;
        let log = self.folder.path().join("log");
        script.args(["-c", server, "sh"]).arg(log).arg(self.data());
        script
            .arg(self.bin.join("postgres"))
            .arg("-D")
            .arg(self.data());
        let port = format!("port={}", self.port);
        let sockets = format!("unix_socket_directories={}", self.folder.path().display());
        for setting in [
            "listen_addresses=127.0.0.1",
            &port,
            &sockets,
            "max_connections=400",
            "shared_buffers=64MB",
        ] {
            script.args(["-c", setting]);
        }
        for setting in &self.settings {
            script.args(["-c", setting]);
        }
        script.stdin(Stdio::piped()).spawn().unwrap()
    }

    fn is_ready(&self, keeper: &mut Child, deadline: Instant) -> bool {
        let refused = || {
            self.log()
                .contains("lock file \"postmaster.pid\" already exists")
        };
        while Instant::now() < deadline && keeper.try_wait().unwrap().is_none() && !refused() {
            let mut psql = self.psql();
            let probe = psql.args(["--command", "SELECT 1"]).output().unwrap();
            if probe.status.success() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Creates a database and returns its URL.
    pub fn create(&self) -> String {
        let name = self.new_name();
        self.run(&[format!("CREATE DATABASE {name}")]);
        self.url(&name)
    }

    pub fn url(&self, database: &str) -> String {
        let port = self.port;
        format!("postgres://symbolon:{DATABASE_PASSWORD}@127.0.0.1:{port}/{database}")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs each statement in a transaction of its own.
    pub fn run(&self, statements: &[String]) {
        self.run_on(&self.url("postgres"), statements);
    }

    /// Runs each statement in a transaction of its own, on the database with this URL.
    pub fn run_on(&self, url: &str, statements: &[String]) {
        let mut psql = self.psql_on(url);
        for statement in statements {
            psql.args(["--command", statement]);
        }
        succeed(&mut psql);
    }

    /// Runs a file of `pg_dump` on the database with this URL.
    pub fn load(&self, url: &str, file: &Path) {
        let mut psql = self.psql_on(url);
        succeed(psql.arg("--output=/dev/null").arg("--file").arg(file));
    }

    /// Sends a signal to the postmaster and waits for its end.
    pub fn end(&self, signal: &str) {
        let id = fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let id = id.lines().next().unwrap().to_owned();
        succeed(Command::new("kill").args(["-s", signal, &id]));
        let state = || fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let deadline = Instant::now() + Duration::from_mins(1);
        // The keeper reaps the process later.
        while !(state().is_empty() || state().contains(") Z ")) {
            assert!(Instant::now() < deadline, "{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn new_name(&self) -> String {
        let mut databases = self.databases.lock().unwrap();
        *databases += 1;
        format!("test{databases}")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn psql(&self) -> Command {
        self.psql_on(&self.url("postgres"))
    }

    fn psql_on(&self, url: &str) -> Command {
        let mut psql = Command::new(self.bin.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"])
            .arg(url);
        psql
    }

    fn as_its_user(&self, program: &Path) -> Command {
        let mut command = if is_root() {
            let mut setpriv = Command::new("setpriv");
            setpriv.args([
                "--reuid=postgres",
                "--regid=postgres",
                "--init-groups",
                "--",
            ]);
            setpriv.arg(program);
            setpriv
        } else {
            Command::new(program)
        };
        command.current_dir(self.folder.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut keeper) = self.keeper.lock().unwrap().take() {
            // Dropping the standard input ends the keeper.
            let _ = keeper.stdin.take().map(|mut input| input.flush());
            let _ = keeper.wait();
        }
    }
}

/// Returns the folder of the PostgreSQL programs on Debian, which is not in `PATH`.
fn installed() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let bin = versions.map(|version| version.unwrap().path().join("bin"));
    let newest = bin.filter(|bin| bin.join("initdb").exists()).max();
    newest.unwrap_or_else(|| panic!("needs PostgreSQL, which scripts/test installs"))
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Returns statements that create the trigger `end_at_commit`, which ends the connection during the commit of each change,
/// for example of `INSERT ON hook_call`.
pub fn end_at_commit(change: &str) -> String {
    format!(
        "CREATE FUNCTION end_backend() RETURNS trigger LANGUAGE plpgsql AS \
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$; \
        CREATE CONSTRAINT TRIGGER end_at_commit AFTER {change} \
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION end_backend()"
    )
}

/// Ends every other connection to the database.
pub async fn end_connections(url: &str) {
    // The second argument is the time to wait until the connection has ended, in milliseconds.
    let others = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let operator = Database::connect(url).await.unwrap();
    operator.execute_unprepared(others).await.unwrap();
    operator.close().await.unwrap();
}
