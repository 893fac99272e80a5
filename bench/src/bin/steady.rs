//! Sends requests at a constant rate, independent of the responses. Prints the response times as JSON, in
//! microseconds. Each time is measured from the scheduled time of the request, so that it includes the wait behind
//! a slow response.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Maximum number of requests that wait for responses. The program uses threads because the timers of an
/// asynchronous runtime have a resolution of a millisecond.
const CONNECTIONS: u32 = 32;

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn ask(&mut self, request: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.get_mut().write_all(request)?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head)? == 0 {
                return Err("the server hung up".into());
            }
        }
        let head = head.to_ascii_lowercase();
        let length = head
            .split_once("content-length: ")
            .and_then(|(_, rest)| rest.split_once("\r\n"))
            .ok_or_else(|| format!("no length: {head}"))?
            .0;
        let mut body = vec![0; length.parse()?];
        self.0.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body);
        if !head.starts_with("http/1.1 200") || body.contains("\"errors\"") {
            return Err(format!("{head}{body}").into());
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, file, rate, seconds] = arguments.as_slice() else {
        return Err("usage: steady ADDRESS FILE RATE SECONDS".into());
    };
    let requests: Vec<Vec<u8>> = std::fs::read(file)?
        .split(|&byte| byte == 0)
        .map(<[u8]>::to_vec)
        .collect();
    let requests = Arc::new(requests);
    let rate: u32 = rate.parse()?;
    let count = rate * seconds.parse::<u32>()?;
    let start = Instant::now() + Duration::from_millis(100);
    let mut sending = Vec::new();
    for first in 0..CONNECTIONS {
        let mut connection = Connection::open(address)?;
        let requests = Arc::clone(&requests);
        sending.push(thread::spawn(move || {
            let mut times = Vec::new();
            for number in (first..count).step_by(CONNECTIONS as usize) {
                let due = start + Duration::from_secs(number.into()) / rate;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                connection.ask(&requests[number as usize % requests.len()])?;
                times.push(due.elapsed());
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(times)
        }));
    }
    let mut times = Vec::new();
    for one in sending {
        times.extend(one.join().map_err(|_| "a thread panicked")??);
    }
    times.sort_unstable();
    // The nearest-rank percentile.
    let percentile = |hundredths: usize| {
        let rank = (times.len() * hundredths).div_ceil(100).max(1);
        times[rank - 1].as_micros()
    };
    println!(
        r#"{{"requests": {}, "p50": {}, "p99": {}, "max": {}}}"#,
        times.len(),
        percentile(50),
        percentile(99),
        percentile(100)
    );
    Ok(())
}
