//! A bad network between the service and a simulator: it cuts, stalls, drips, truncates and floods.
//!
//! One request a connection, so that a change of mood takes effect with the next request.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the network does to an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toxic {
    /// Nothing.
    Pass,
    /// The connection is closed before anything is answered.
    HangUp,
    /// Half of the answer, and then nothing more on an open connection.
    Stall,
    /// One byte a second.
    Drip,
    /// Half of the answer, and an orderly end.
    Truncate,
    /// A gibibyte of blanks in place of the answer.
    Flood,
    /// A few mebibytes of gzip that stand for a gibibyte of blanks.
    Bomb,
}

/// A running proxy; it stops when dropped.
pub struct Proxy {
    /// `http://127.0.0.1:<port>`
    pub url: String,
    toxic: Arc<Mutex<Toxic>>,
    sent: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

const GIBIBYTE: u64 = 1 << 30;

impl Proxy {
    /// Stands before the server at `target` (`http://host:port`).
    pub async fn before(target: &str) -> Self {
        let target = target.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let toxic = Arc::new(Mutex::new(Toxic::Pass));
        let sent = Arc::new(AtomicU64::new(0));
        let (mood, counter) = (Arc::clone(&toxic), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, mood, counter) = (target.clone(), Arc::clone(&mood), Arc::clone(&counter));
                tokio::spawn(async move {
                    // The service hanging up is what most of the tests are about.
                    let _ = carry(client, &target, &mood, &counter).await;
                });
            }
        });
        Self { url, toxic, sent, task }
    }

    /// Changes what happens to the answers from now on.
    pub fn turn(&self, toxic: Toxic) {
        *self.toxic.lock().unwrap_or_else(PoisonError::into_inner) = toxic;
    }

    /// How many bytes of floods and bombs the service took before it hung up.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, target: &str, mood: &Mutex<Toxic>, sent: &AtomicU64) -> io::Result<()> {
    let request = head(&mut client).await?;
    let toxic = *mood.lock().unwrap_or_else(PoisonError::into_inner);
    match toxic {
        Toxic::HangUp => Ok(()),
        Toxic::Flood => {
            client.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n").await?;
            let blanks = [b' '; 65_536];
            while sent.load(Ordering::Relaxed) < GIBIBYTE {
                client.write_all(&blanks).await?;
                sent.fetch_add(blanks.len() as u64, Ordering::Relaxed);
            }
            Ok(())
        }
        Toxic::Bomb => {
            client
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\n\r\n")
                .await?;
            let mut bomb = bomb();
            loop {
                let piece: Vec<u8> = bomb.by_ref().take(65_536).collect();
                if piece.is_empty() {
                    return Ok(());
                }
                client.write_all(&piece).await?;
                sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
        }
        Toxic::Pass => client.write_all(&ask(target, &request).await?).await,
        Toxic::Stall => {
            let answer = ask(target, &request).await?;
            client.write_all(&answer[..answer.len() / 2]).await?;
            client.read_u8().await.map(drop)
        }
        Toxic::Truncate => {
            let answer = ask(target, &request).await?;
            client.write_all(&answer[..answer.len() / 2]).await
        }
        Toxic::Drip => {
            for byte in ask(target, &request).await? {
                client.write_u8(byte).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Ok(())
        }
    }
}

/// A request without a body, up to its empty line.
async fn head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    Ok(head)
}

/// The whole answer of the server behind.
async fn ask(target: &str, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut server = TcpStream::connect(target).await?;
    server.write_all(&request[..request.len() - 2]).await?;
    server.write_all(b"connection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// A gzip stream of one blank and the instruction to repeat it 258 times, over and over.
fn bomb() -> impl Iterator<Item = u8> {
    const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    // The last block, with the fixed codes; a blank.
    const START: [bool; 11] = bits("11001010000");
    // Length 258 at distance 1.
    const AGAIN: [bool; 13] = bits("1100010100000");
    let times = (GIBIBYTE / 258) as usize;
    let mut stream = START.into_iter().chain(AGAIN.into_iter().cycle().take(AGAIN.len() * times));
    HEADER.into_iter().chain(std::iter::from_fn(move || {
        let mut byte = 0;
        for place in 0..8 {
            match stream.next() {
                Some(bit) => byte |= u8::from(bit) << place,
                None if place == 0 => return None,
                None => break,
            }
        }
        Some(byte)
    }))
}

const fn bits<const N: usize>(text: &str) -> [bool; N] {
    let mut all = [false; N];
    let mut place = 0;
    while place < N {
        all[place] = text.as_bytes()[place] == b'1';
        place += 1;
    }
    all
}
