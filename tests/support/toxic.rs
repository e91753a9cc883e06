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
    /// The answer up to here, and the end.
    Cut(At),
    /// The answer up to here, and then nothing more on an open connection.
    Stall(At),
    /// The answer up to here, and from there one byte a second.
    Drip(At),
    /// A gibibyte of blanks in place of the answer.
    Flood,
    /// A few mebibytes of gzip that stand for a gibibyte of blanks.
    Bomb,
}

/// Where in an answer it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Before its first byte.
    Start,
    /// In the middle of its head.
    Head,
    /// In the middle of its body.
    Body,
}

impl At {
    pub const ALL: [Self; 3] = [Self::Start, Self::Head, Self::Body];

    fn of(self, answer: &[u8]) -> usize {
        let head = answer.windows(4).position(|end| end == b"\r\n\r\n").map_or(answer.len(), |end| end + 4);
        match self {
            Self::Start => 0,
            Self::Head => head / 2,
            Self::Body => (head + answer.len()) / 2,
        }
    }
}

/// A running proxy; it stops when dropped.
pub struct Proxy {
    /// `http://127.0.0.1:<port>`
    pub url: String,
    mood: Arc<Mutex<Mood>>,
    sent: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// What happens to the next answers.
struct Mood {
    toxic: Toxic,
    /// How many come through before.
    spared: usize,
}

impl Mood {
    fn next(&mut self) -> Toxic {
        match self.spared.checked_sub(1) {
            Some(left) => {
                self.spared = left;
                Toxic::Pass
            }
            None => self.toxic,
        }
    }
}

const GIBIBYTE: u64 = 1 << 30;

impl Proxy {
    /// Stands before the server at `target` (`http://host:port`).
    pub async fn before(target: &str) -> Self {
        let target = target.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mood = Arc::new(Mutex::new(Mood { toxic: Toxic::Pass, spared: 0 }));
        let sent = Arc::new(AtomicU64::new(0));
        let (shared, counter) = (Arc::clone(&mood), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, mood, counter) = (target.clone(), Arc::clone(&shared), Arc::clone(&counter));
                tokio::spawn(async move {
                    // The service hanging up is what most of the tests are about.
                    let _ = carry(client, &target, &mood, &counter).await;
                });
            }
        });
        Self { url, mood, sent, task }
    }

    /// Changes what happens to the answers from now on.
    pub fn turn(&self, toxic: Toxic) {
        self.turn_after(0, toxic);
    }

    /// Lets so many answers through, and then changes what happens to the others.
    pub fn turn_after(&self, spared: usize, toxic: Toxic) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = Mood { toxic, spared };
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

async fn carry(mut client: TcpStream, target: &str, mood: &Mutex<Mood>, sent: &AtomicU64) -> io::Result<()> {
    let request = head(&mut client).await?;
    let toxic = mood.lock().unwrap_or_else(PoisonError::into_inner).next();
    match toxic {
        Toxic::Flood => {
            client.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n").await?;
            let blanks = vec![b' '; 65_536];
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
        Toxic::Cut(at) => {
            let answer = ask(target, &request).await?;
            client.write_all(&answer[..at.of(&answer)]).await
        }
        Toxic::Stall(at) => {
            let answer = ask(target, &request).await?;
            client.write_all(&answer[..at.of(&answer)]).await?;
            client.read_u8().await.map(drop)
        }
        Toxic::Drip(at) => {
            let answer = ask(target, &request).await?;
            let (sound, dripping) = answer.split_at(at.of(&answer));
            client.write_all(sound).await?;
            for byte in dripping {
                client.write_u8(*byte).await?;
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

/// What stands where a TLS server is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stranger {
    /// Says this and hangs up.
    Says(&'static [u8]),
    /// Takes everything and says nothing.
    IsSilent,
    /// Begins to speak TLS, one byte a second.
    Drips,
}

/// `https://127.0.0.1:<port>`, where nobody completes a handshake. It stands there as long as the test runs.
pub async fn stranger(stranger: Stranger) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = greet(client, stranger).await;
            });
        }
    });
    url
}

async fn greet(mut client: TcpStream, stranger: Stranger) -> io::Result<()> {
    let mut hello = [0; 1_024];
    let _ = client.read(&mut hello).await?;
    match stranger {
        Stranger::Says(words) => client.write_all(words).await,
        Stranger::IsSilent => {
            while client.read(&mut hello).await? > 0 {}
            Ok(())
        }
        Stranger::Drips => {
            // The head of a server's hello of 122 bytes, and zeros that would be its body.
            for byte in [0x16, 3, 3, 0, 122].into_iter().chain(std::iter::repeat_n(0, 122)) {
                client.write_u8(byte).await?;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Ok(())
        }
    }
}
