//! The command `symbolon healthcheck`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

use crate::support::{Server, finish, symbolon};

/// Runs the check in an empty folder, which must stay empty. Returns the exit code and the output.
fn check(environment: &[(&str, &str)], flags: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = symbolon(folder.path());
    command.arg("healthcheck").args(flags);
    let (code, output, error) = finish(command.envs(environment.iter().copied()));
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    (code, output + &error)
}

/// Returns the line that explains why the server on this port is unhealthy.
fn unhealthy_reason(port: &str) -> String {
    let (code, output) = check(&[], &["--port", port]);
    assert_eq!((code, output.lines().count()), (Some(1), 1), "{output}");
    let start = format!("symbolon: http://127.0.0.1:{port}/readyz");
    output.strip_prefix(&start).unwrap().to_owned()
}

fn port(listener: &TcpListener) -> String {
    listener.local_addr().unwrap().port().to_string()
}

#[test]
fn healthcheck_succeeds_while_the_server_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::configured(folder.path(), |command| {
        command.env("HOST", "0.0.0.0");
    });
    let port = server.address().rsplit(':').next().unwrap().to_owned();
    let ready = (Some(0), "ready\n".to_owned());
    assert_eq!(check(&[("PORT", &port)], &[]), ready);
    assert_eq!(check(&[("HOST", "0.0.0.0"), ("PORT", &port)], &[]), ready);
    assert_eq!(check(&[], &["--host", "0.0.0.0", "--port", &port]), ready);
    server.process.signal("TERM");
    assert!(server.process.wait(Duration::from_secs(25)).success());
    let reason = unhealthy_reason(&port);
    assert!(reason.contains("refused"), "{reason}");
}

#[test]
fn healthcheck_prints_why_a_server_is_unhealthy() {
    for (answer, expected_text) in [
        (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            "answers 503",
        ),
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "answers 404",
        ),
        ("SSH-2.0-nonsense\r\n", "invalid HTTP"),
        ("", "connection closed"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port(&listener);
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = head.next().unwrap().unwrap();
            // An empty line ends the head.
            while !head.next().unwrap().unwrap().is_empty() {}
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        let reason = unhealthy_reason(&port);
        assert!(reason.contains(expected_text), "{reason}");
        assert_eq!(answering.join().unwrap(), "GET /readyz HTTP/1.1");
    }
}

#[test]
fn healthcheck_does_not_wait_for_a_silent_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let reason = unhealthy_reason(&port(&listener));
    assert_eq!(reason, " does not answer within 5 s\n");
}
