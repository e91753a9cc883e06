//! The binary itself, started in a folder of its own with no variable of the caller's.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::app::{Answer, client};

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A command of the binary in `folder`, with these variables and no others.
pub(crate) fn command(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_affzero-connections"));
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    command.envs(variables.iter().copied());
    command
}

/// Runs a command to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(folder, arguments, variables).output().expect("the binary runs")
}

/// What a command said on standard error.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a process has written so far.
#[derive(Default)]
struct Written {
    text: Mutex<String>,
    more: Condvar,
}

/// A running service.
pub(crate) struct Service {
    child: Child,
    written: Arc<Written>,
    readers: Vec<std::thread::JoinHandle<()>>,
    /// `http://127.0.0.1:<port>`
    pub(crate) url: String,
}

impl Service {
    /// Starts the service on a free port and waits until it serves.
    pub(crate) fn start(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let mut all = vec![("BIND_ADDR", "127.0.0.1:0")];
        all.extend_from_slice(variables);
        let mut command = command(folder, &[], &all);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let written = Arc::new(Written::default());
        let readers = vec![
            collect(child.stdout.take().expect("standard output"), Arc::clone(&written)),
            collect(child.stderr.take().expect("standard error"), Arc::clone(&written)),
        ];
        let mut service = Self { child, written, readers, url: String::new() };
        service.url = service.wait_for("serving on ");
        service
    }

    /// The word after `prefix`, as soon as it has been written whole.
    #[track_caller]
    pub(crate) fn wait_for(&self, prefix: &str) -> String {
        let found = |text: &str| {
            let (_, rest) = text.split_once(prefix)?;
            let end = rest.find(|letter: char| letter.is_whitespace() || letter == '"')?;
            Some(rest[..end].to_owned())
        };
        let patience = Instant::now() + PATIENCE;
        let mut text = self.written.text.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(word) = found(&text) {
                return word;
            }
            let left = patience.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "`{prefix}` was never written: {text}");
            (text, _) = self.written.more.wait_timeout(text, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Everything written so far, on both outputs.
    pub(crate) fn written(&self) -> String {
        self.written.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A request with a token, or without any if it is empty.
    pub(crate) async fn send(&self, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let mut request = client().request(method.parse().expect("a method"), format!("{}{path}", self.url));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.expect("a whole body") }
    }

    /// Asks the process to stop, as an operator does.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(sent.expect("a shell").success());
    }

    /// Waits for the process to end; also returns all it ever wrote.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let patience = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                for reader in self.readers.drain(..) {
                    reader.join().expect("the output is read");
                }
                return (status, self.written());
            }
            assert!(Instant::now() < patience, "the process does not end: {}", self.written());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops the service the way an operator does.
    #[track_caller]
    pub(crate) fn stop(self) -> (ExitStatus, String) {
        self.terminate();
        self.wait()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut pipe: impl std::io::Read + Send + 'static, written: Arc<Written>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 4_096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            let mut text = written.text.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&String::from_utf8_lossy(&buffer[..length]));
            written.more.notify_all();
        }
    })
}
