//! Connections that send without an end, and connections that read nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{MIB, Victim};

/// As many connections as can be had, which send this and no more; they stay for a while.
pub(super) async fn flood(url: &str, connections: usize, sent: Vec<u8>, stay: Duration) -> usize {
    let url = url.to_owned();
    let attack = tokio::task::spawn_blocking(move || {
        let mut streams: Vec<TcpStream> = Vec::new();
        for _ in 0..connections {
            let Some(mut stream) = Victim::connect(&url) else { continue };
            // One that the service has closed already takes nothing any more, and one that does not read is left.
            stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a timeout");
            let _ = stream.write_all(&sent);
            streams.push(stream);
        }
        std::thread::sleep(stay);
        streams.len()
    });
    attack.await.expect("an attack")
}

pub(super) fn asks_for_a_file() -> Vec<u8> {
    b"GET /swagger-ui/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()
}

/// A head that goes on, within what one connection may send.
pub(super) fn endless_head() -> Vec<u8> {
    format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-padding: {}", "x".repeat(30_000)).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_take_a_piece_each() {
    let victim = Victim::start(&[]);
    let attack = flood(&victim.service.url, 700, asks_for_a_file(), Duration::from_secs(2));
    let (_, growth, _) = victim.under("unread answers", attack).await;
    assert!(growth < 128 * MIB, "{} MiB", growth / MIB);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_without_an_end_are_bounded_together() {
    let victim = Victim::start(&[]);
    let attack = flood(&victim.service.url, 1_500, endless_head(), Duration::from_secs(2));
    let (_, growth, _) = victim.under("endless heads", attack).await;
    assert!(growth < 128 * MIB, "{} MiB", growth / MIB);

    let mut stream = Victim::connect(&victim.service.url).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let mut sent = endless_head();
    sent.extend(vec![b'x'; 100_000]);
    stream.write_all(&sent).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_all_of_its_answer_in_pieces() {
    let victim = Victim::start(&[]);
    let url = victim.service.url.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut stream = Victim::connect(&url).expect("a connection");
        stream
            .write_all(b"GET /swagger-ui/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .expect("sent");
        let (mut all, mut part) = (0, vec![0; 64 * 1_024]);
        loop {
            match stream.read(&mut part).expect("a part") {
                0 => return all,
                read => all += read,
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let whole = victim.get("", "/swagger-ui/swagger-ui-bundle.js").await;
    let length: usize = whole.header("content-length").expect("a length").parse().expect("a number");
    assert!(length > 256 * 1_024, "{length}");
    let read = read.await.expect("a reader");
    assert!(read > length && read < length + 2_048, "{read} of {length}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_on_one_connection_are_all_answered() {
    let victim = Victim::start(&[]);
    let url = victim.service.url.clone();
    let answered = tokio::task::spawn_blocking(move || {
        let mut stream = Victim::connect(&url).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let padding = "x".repeat(6_000);
        let one = format!("GET /healthz HTTP/1.1\r\nhost: x\r\nx-padding: {padding}\r\n\r\n");
        let mut writer = stream.try_clone().expect("the same connection");
        let writing = std::thread::spawn(move || {
            for _ in 0..200 {
                writer.write_all(one.as_bytes()).expect("sent");
            }
            let last = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
            writer.write_all(last.as_bytes()).expect("sent");
        });
        let mut answers = String::new();
        stream.read_to_string(&mut answers).expect("all answers");
        writing.join().expect("all requests");
        answers.matches("HTTP/1.1 200 OK").count()
    });
    assert_eq!(answered.await.expect("answers"), 201);
}
