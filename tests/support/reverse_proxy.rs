//! Reverse proxies with the configurations in the documentation, and a service behind them.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use poem::listener::TcpAcceptor;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

use super::{Client, Process, eventually};

/// The address of the client that sends requests through a proxy. The proxies send from 127.0.0.1.
pub const CLIENT_ADDRESS: &str = "127.0.0.9";
/// The address at which proxies listen. Other tests do not use it, so the free port of a proxy stays free.
const PROXY_ADDRESS: &str = "127.77.0.1";

/// A reverse proxy that `scripts/test` installs.
#[derive(Clone, Copy, Debug)]
pub enum ProxyKind {
    Nginx,
    Caddy,
    Haproxy,
}

/// Answers with the received method, target, headers and length of the body.
#[poem::handler]
async fn echo(request: &poem::Request, body: poem::Body) -> String {
    let headers: Vec<_> = (request.headers().iter())
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let (method, target) = (request.method().as_str(), request.uri().to_string());
    let length = body.into_vec().await.unwrap().len();
    json!({ "method": method, "target": target, "headers": headers, "length": length }).to_string()
}

/// Starts a service that answers with what it has received. Returns its address.
pub async fn start_echo_service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let listener = TcpAcceptor::from_tokio(listener).unwrap();
    tokio::spawn(poem::Server::new_with_acceptor(listener).run(echo));
    address
}

/// A running reverse proxy. It is killed when the test ends.
pub struct ReverseProxy {
    _process: Process,
    _folder: TempDir,
    /// Sends requests from [`CLIENT_ADDRESS`].
    pub client: Client,
}

impl ReverseProxy {
    /// Starts a proxy with the configuration under a heading of docs/proxies.md, after an edit.
    pub async fn start(kind: ProxyKind, topic: &str, edit: impl FnOnce(String) -> String) -> Self {
        let free = TcpListener::bind((PROXY_ADDRESS, 0)).await.unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let configuration = kind.configuration(topic, &address, folder.path());
        let mut command = kind.command(edit(configuration), folder.path());
        let process = Process::start(command.current_dir(folder.path()).stdout(Stdio::null()));
        eventually("the proxy listens", async || {
            TcpStream::connect(&address).await.ok()
        })
        .await;
        let local: IpAddr = CLIENT_ADDRESS.parse().unwrap();
        let http = reqwest::Client::builder().local_address(local).build();
        Self {
            _process: process,
            _folder: folder,
            client: Client::with(http.unwrap(), format!("http://{address}")),
        }
    }
}

/// Replaces a text that the documentation must contain.
pub fn replace(text: &str, old: &str, new: &str) -> String {
    assert!(text.contains(old), "{old} is not in {text}");
    text.replace(old, new)
}

impl ProxyKind {
    /// Returns the configuration in docs/proxies.md that listens on `address`, without TLS.
    fn configuration(self, topic: &str, address: &str, folder: &Path) -> String {
        let (name, language) = match self {
            Self::Nginx => ("nginx", "nginx"),
            Self::Caddy => ("Caddy", "caddyfile"),
            Self::Haproxy => ("HAProxy", "haproxy"),
        };
        let page = include_str!("../../docs/proxies.md");
        let heading = format!("### {name}: {topic}\n");
        let (_, section) = page.split_once(&heading).unwrap();
        let (_, block) = section.split_once(&format!("```{language}\n")).unwrap();
        let (block, _) = block.split_once("```").unwrap();
        match self {
            Self::Nginx => {
                let lines = block.lines().filter(|line| !line.contains("ssl_cert"));
                let block: String = lines.map(|line| format!("{line}\n")).collect();
                let listen = format!("listen {address};");
                wrapped_for_nginx(&replace(&block, "listen 443 ssl;", &listen), folder)
            }
            Self::Caddy => {
                let (site, rest) = block.split_once(" {").unwrap();
                assert!(site.ends_with("example.org"), "{site}");
                // Without `default_bind`, Caddy listens on all addresses, where another test can use the port.
                format!(
                    "{{\nadmin off\nauto_https off\ndefault_bind {PROXY_ADDRESS}\n}}\nhttp://{address} {{{rest}"
                )
            }
            Self::Haproxy => {
                let lines = block.lines().map(|line| match line.trim() {
                    bind if bind.starts_with("bind :443 ssl crt ") => format!("bind {address}\n"),
                    _ => format!("{line}\n"),
                });
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/symbolon-auth.lua");
                let block: String = lines.collect();
                block.replace(
                    "/etc/haproxy/symbolon-auth.lua",
                    &script.display().to_string(),
                )
            }
        }
    }

    fn command(self, configuration: String, folder: &Path) -> Command {
        let file = folder.join("configuration");
        fs::write(&file, configuration).unwrap();
        let mut command;
        match self {
            Self::Nginx => {
                command = Command::new("nginx");
                command.args(["-e", "stderr", "-g", "daemon off;", "-p"]);
                command.arg(folder).arg("-c").arg(file);
            }
            Self::Caddy => {
                command = Command::new("caddy");
                command.args(["run", "--adapter", "caddyfile", "--config"]);
                command.arg(file).env("HOME", folder);
                command.env("XDG_DATA_HOME", folder).stderr(Stdio::null());
            }
            Self::Haproxy => {
                command = Command::new("haproxy");
                command.args(["-db", "-q", "-f"]).arg(file);
            }
        }
        command
    }
}

/// Returns an nginx configuration with these lines, with one process that keeps the user of the test.
pub fn wrapped_for_nginx(lines: &str, folder: &Path) -> String {
    let temporary: PathBuf = folder.join("temporary");
    let temporary = temporary.display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {temporary}-{kind};\n"))
        .concat();
    format!(
        "master_process off;\npid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{lines}}}\n"
    )
}
