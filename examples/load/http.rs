//! As much of an HTTP client as is needed here: one connection that is kept, and many of them at once.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::rivals::runs;

/// A request: a method, a path and some headers, written once and sent often.
#[derive(Clone)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    pub(crate) fn new(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            text.push_str(&format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body);
        Self(text.into_bytes())
    }

    pub(crate) fn get(path: &str, headers: &[(&str, &str)]) -> Self {
        Self::new("GET", path, headers, "")
    }
}

/// An answer with its whole body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A connection that is kept.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    #[expect(clippy::disallowed_methods, reason = "this calls the service, and only on this machine")]
    pub(crate) fn open(to: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Self(BufReader::with_capacity(256 * 1024, stream)))
    }

    /// Sends a request and reads its answer whole.
    pub(crate) fn send(&mut self, request: &Request) -> std::io::Result<Answer> {
        let mut body = Vec::new();
        let (status, head) = self.stream(request, |part| body.extend_from_slice(part))?;
        Ok(Answer { status, head, body })
    }

    /// Sends a request and hands the body on as it comes.
    pub(crate) fn stream(&mut self, request: &Request, mut take: impl FnMut(&[u8])) -> std::io::Result<(u16, String)> {
        self.0.get_mut().write_all(&request.0)?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        let head = head.to_ascii_lowercase();
        let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
        if header(&head, "transfer-encoding").is_some() {
            while let length @ 1.. = self.chunk_length()? {
                self.pass_on(length, &mut take)?;
                self.0.read_line(&mut String::new())?;
            }
            self.0.read_line(&mut String::new())?;
        } else {
            let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or_default();
            self.pass_on(length, &mut take)?;
        }
        Ok((status, head))
    }

    fn chunk_length(&mut self) -> std::io::Result<usize> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)
    }

    fn pass_on(&mut self, mut left: usize, take: &mut impl FnMut(&[u8])) -> std::io::Result<()> {
        while left > 0 {
            let part = self.0.fill_buf()?;
            let length = part.len().min(left);
            if length == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            take(&part[..length]);
            self.0.consume(length);
            left -= length;
        }
        Ok(())
    }

    /// How long a request takes, answer included.
    pub(crate) fn time(&mut self, request: &Request) -> Duration {
        let started = Instant::now();
        let answer = self.send(request).expect("an answer");
        let time = started.elapsed();
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        time
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Kept connections that [`rate`] asks over, and the threads that ask.
const CONNECTIONS: usize = 64;
const THREADS: usize = 2;

/// Requests a second: as wrk counts them for so many seconds, or, where it is not installed, for `count` requests sent
/// from here. All answers must be successes.
pub(crate) fn rate(to: SocketAddr, request: &Request, seconds: usize, count: usize) -> f64 {
    if runs("wrk") { rate_of_wrk(to, request, seconds) } else { rate_of_own(to, request, count) }
}

fn rate_of_wrk(to: SocketAddr, request: &Request, seconds: usize) -> f64 {
    let text = String::from_utf8_lossy(&request.0).into_owned();
    let mut lines = text.split("\r\n");
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a path");
    // wrk knows `Host` in that spelling only, and would send its own also.
    let headers = lines.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("host:"));
    let headers = headers.flat_map(|line| ["-H", line]);
    let outcome = Command::new("wrk")
        .args([&format!("-t{THREADS}"), &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s")])
        .args(headers)
        .arg(format!("http://{to}{path}"))
        .output()
        .expect("wrk runs");
    let said = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success() && !said.contains("Non-2xx") && !said.contains("Socket errors"), "wrk: {said}");
    let rate = said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:")?.trim().parse().ok());
    rate.unwrap_or_else(|| panic!("wrk: {said}"))
}

fn rate_of_own(to: SocketAddr, request: &Request, count: usize) -> f64 {
    let each = count.div_ceil(CONNECTIONS);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                let turns = (0..CONNECTIONS / THREADS).map(|_| hammer(to, request.0.clone(), each));
                runtime.block_on(futures_util::future::join_all(turns));
            });
        }
    });
    (each * CONNECTIONS) as f64 / started.elapsed().as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "this calls the service, and only on this machine")]
async fn hammer(to: SocketAddr, request: Vec<u8>, count: usize) {
    let mut stream = tokio::net::TcpStream::connect(to).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let mut buffer = vec![0; 64 * 1024];
    for _ in 0..count {
        stream.write_all(&request).await.expect("a request is sent");
        let mut filled = 0;
        let mut expected = None;
        while expected.is_none_or(|expected| filled < expected) {
            let length = stream.read(&mut buffer[filled..]).await.expect("an answer");
            assert!(length > 0, "the connection was closed");
            filled += length;
            expected = expected.or_else(|| whole_length(&buffer[..filled]));
        }
    }
}

/// How long an answer is with its head, once that is there.
fn whole_length(answer: &[u8]) -> Option<usize> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let length: usize = header(&head, "content-length").and_then(|length| length.parse().ok()).expect("a length");
    Some(end + length)
}
