//! HTTP/1.1 as text on a TCP connection.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use super::Server;

pub const HEAD: &str =
    "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
pub const TYPENAME: &str = r#"{"query":"{ __typename }"}"#;

/// Opens a connection with a read timeout of 30 s.
pub fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    let limit = Some(Duration::from_secs(30));
    stream.set_read_timeout(limit).unwrap();
    stream.set_write_timeout(limit).unwrap();
    stream
}

/// Reads until the server closes the connection.
pub fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// Reads up to and including the first `last`.
pub fn read_until(stream: &mut TcpStream, last: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(last.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

pub fn with_length(body: &str) -> String {
    format!("{HEAD}Content-Length: {}\r\n\r\n{body}", body.len())
}
/// Raises the limit of open files, which is 1,024 on some systems.
pub fn allow_open_files(required: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < required) {
        let maximum = limit.maximum;
        let current = Some(maximum.map_or(required, |maximum| maximum.min(required)));
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    }
    let current = getrlimit(Resource::Nofile).current;
    assert!(
        current.is_none_or(|current| current >= required),
        "{limit:?}"
    );
}
