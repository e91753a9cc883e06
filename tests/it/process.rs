//! The binary itself, started in a folder of its own with no variable of the caller's.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::app::{Answer, client};
use crate::watch;

/// The longest that anything here may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A command of the binary in `folder`, with these variables and no others.
pub(crate) fn command(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    command_of(Path::new(env!("CARGO_BIN_EXE_affzero-connections")), folder, arguments, variables)
}

/// The same of another build of the binary.
fn command_of(program: &Path, folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    // As loud as can be: what it writes is searched for secrets.
    command.envs([("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")]).envs(variables.iter().copied());
    command
}

/// Runs a command to its end.
pub(crate) fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let output = command(folder, arguments, variables).output().expect("the binary runs");
    watch::search("the output of a command", &[output.stdout.as_slice(), &output.stderr].concat());
    output
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
        Self::of(command(folder, &[], &all))
    }

    /// The same with another build of the binary.
    pub(crate) fn start_build(program: &Path, folder: &Path, variables: &[(&str, &str)]) -> Self {
        let mut all = vec![("BIND_ADDR", "127.0.0.1:0")];
        all.extend_from_slice(variables);
        Self::of(command_of(program, folder, &[], &all))
    }

    /// The same, where the system lets a process have no more than so many descriptors.
    pub(crate) fn start_with_descriptors(folder: &Path, descriptors: u32) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {descriptors}; exec \"$1\"");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_affzero-connections")]);
        command.current_dir(folder).env_clear().stdin(Stdio::null()).env("BIND_ADDR", "127.0.0.1:0");
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
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
        let deadline = Instant::now() + TIMEOUT;
        let mut text = self.written.text.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(word) = found(&text) {
                return word;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "`{prefix}` was never written: {text}");
            (text, _) = self.written.more.wait_timeout(text, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
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
        Answer::read(request.send().await.expect("an answer")).await
    }

    /// A line of what Linux says about the process's memory, in bytes.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a process on Linux");
        let text = status.lines().find_map(|text| text.strip_prefix(line)).expect("a line of that name");
        let kibibytes = text.trim_start_matches(':').trim().trim_end_matches(" kB");
        kibibytes.parse::<u64>().expect("a number") * 1_024
    }

    /// Asks the process to stop, as an operator does.
    pub(crate) fn terminate(&self) {
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(sent.expect("a shell").success());
    }

    /// Waits for the process to end; also returns all it ever wrote.
    #[track_caller]
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                for reader in self.readers.drain(..) {
                    reader.join().expect("the output is read");
                }
                return (status, self.written());
            }
            assert!(Instant::now() < deadline, "the process does not end: {}", self.written());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops the service the way an operator does.
    #[track_caller]
    pub(crate) fn stop(self) -> (ExitStatus, String) {
        self.terminate();
        self.wait()
    }

    /// SIGKILL: no warning, no last words.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

fn collect(pipe: impl std::io::Read + Send + 'static, written: Arc<Written>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(pipe);
        let mut line = Vec::new();
        while let Ok(1..) = lines.read_until(b'\n', &mut line) {
            watch::guard("a line of the service", &line);
            let mut text = written.text.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(&String::from_utf8_lossy(&line));
            written.more.notify_all();
            line.clear();
        }
    })
}
