//! Where log lines go: to standard error, by a thread of their own.
//!
//! The threads that answer only put their lines down. So a line costs no system call there, and a terminal, file or pipe
//! that takes nothing holds nobody up; lines that find no room then are counted, and the log says how many.

use std::io::{self, Write};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// What may wait to be written.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// How long lines are gathered while there are many.
const GATHER: Duration = Duration::from_millis(4);

/// Writes lines that are on their way to `out`.
pub(super) struct LogWriter<W> {
    waiting: Mutex<Waiting>,
    some: Condvar,
    out: Mutex<W>,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Lines that found no room.
    lost: u64,
    /// Whether the writer looks by itself, and needs no call.
    is_awake: bool,
}

impl<W: Write> LogWriter<W> {
    pub(super) fn to(out: W) -> Self {
        Self { waiting: Mutex::default(), some: Condvar::new(), out: Mutex::new(out) }
    }

    /// Writes until the process ends.
    pub(super) fn write_always(&self) {
        loop {
            let mut waiting = self.waiting.lock();
            while waiting.lines.is_empty() {
                waiting.is_awake = false;
                self.some.wait(&mut waiting);
            }
            drop(waiting);
            self.flush();
            std::thread::sleep(GATHER);
        }
    }

    /// Writes what waits, behind what is being written.
    pub(super) fn flush(&self) {
        let mut out = self.out.lock();
        let (lines, lost) = {
            let mut waiting = self.waiting.lock();
            (std::mem::take(&mut waiting.lines), std::mem::take(&mut waiting.lost))
        };
        // Nobody is left to report to where standard error is gone.
        let _ = out.write_all(&lines);
        if lost > 0 {
            let _ = writeln!(out, "{{\"level\":\"WARN\",\"message\":\"lines were lost\",\"lost\":{lost}}}");
        }
        let _ = out.flush();
    }

    fn put(&self, line: &[u8]) {
        let mut waiting = self.waiting.lock();
        if waiting.lines.len() + line.len() > MOST_BYTES {
            waiting.lost += 1;
            return;
        }
        waiting.lines.extend_from_slice(line);
        if !std::mem::replace(&mut waiting.is_awake, true) {
            drop(waiting);
            self.some.notify_one();
        }
    }
}

/// The formatter writes each line whole.
impl<W: Write> Write for &LogWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Instant;

    use super::*;

    struct ChannelWriter(Sender<Vec<u8>>);

    impl Write for ChannelWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn writer() -> (Arc<LogWriter<ChannelWriter>>, Receiver<Vec<u8>>) {
        let (send, receive) = channel();
        (Arc::new(LogWriter::to(ChannelWriter(send))), receive)
    }

    fn text(received: impl Iterator<Item = Vec<u8>>) -> String {
        String::from_utf8(received.flatten().collect()).expect("text")
    }

    #[test]
    fn every_line_arrives_whole_and_each_threads_in_order() {
        let (log, receive) = writer();
        let writer = Arc::clone(&log);
        std::thread::spawn(move || writer.write_always());
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let log = &log;
                scope.spawn(move || {
                    for number in 0..500 {
                        log.as_ref().put(format!("{thread} {number}\n").as_bytes());
                        if number % 100 == 0 {
                            std::thread::sleep(Duration::from_millis(7));
                        }
                    }
                });
            }
        });
        log.flush();
        let written = text(receive.try_iter());
        for thread in 0..4 {
            let own: Vec<usize> = written
                .lines()
                .filter_map(|line| line.strip_prefix(&format!("{thread} ")))
                .map(|number| number.parse().expect("a number"))
                .collect();
            assert_eq!(own, (0..500).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_line_after_a_while_of_nothing_is_written_by_itself() {
        let (log, receive) = writer();
        let writer = Arc::clone(&log);
        std::thread::spawn(move || writer.write_always());
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(30));
            log.put(b"line\n");
            assert_eq!(receive.recv_timeout(Duration::from_secs(10)).expect("the line"), b"line\n");
        }
    }

    #[test]
    fn who_writes_waits_for_nobody_and_what_finds_no_room_is_counted() {
        let (log, receive) = writer();
        let line = vec![b'x'; 1024 * 1024];
        let started = Instant::now();
        for _ in 0..20 {
            log.put(&line);
        }
        assert!(started.elapsed() < Duration::from_secs(5));
        log.flush();
        let written = text(receive.try_iter());
        assert!(written.len() < MOST_BYTES + 200 && written.ends_with("\"lost\":12}\n"), "{}", written.len());
        log.flush();
        assert_eq!(text(receive.try_iter()), "", "it is said once");
    }
}
