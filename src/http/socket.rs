//! A caller's socket as the HTTP server sees it: it reads and writes no further than its [`ClientConnection`] allows.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::client_connections::{ClientConnection, MAX_REFUSED_BYTES, Next, Registered};
use super::refusals::{Instead, Refusal};

/// A caller's socket.
pub(super) struct Socket {
    stream: TcpStream,
    registered: Registered,
    /// What has been thrown away of a head that was too long.
    thrown_away: Option<usize>,
    /// What is sent in the place of an answer that would say nothing.
    instead: Option<Instead>,
}

impl Socket {
    /// A socket that has just been accepted.
    pub(super) fn new(stream: TcpStream, registered: Registered) -> Self {
        // The end of a stream is a short packet, and does not wait for the one before it to be acknowledged.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a caller's short packets are held back");
        }
        cut_off_when_stalled(&stream);
        Self { stream, registered, thrown_away: None, instead: None }
    }

    /// What its requests know it by.
    pub(super) fn connection(&self) -> &Arc<ClientConnection> {
        &self.registered.connection
    }

    /// Writes what is sent in the place of the library's own refusal; that counts as written once all of this is.
    fn poll_instead(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<Option<usize>>> {
        if self.instead.is_none() {
            self.instead = Refusal::of(bytes).map(Instead::from);
        }
        let Some(instead) = &mut self.instead else { return Poll::Ready(Ok(None)) };
        while !instead.rest().is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(context, instead.rest()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => instead.sent += sent,
            }
        }
        self.instead = None;
        Poll::Ready(Ok(Some(bytes.len())))
    }

    /// Answers a head that is too long, and reads on without keeping anything, so that its sender gets to see the answer.
    fn refuse(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.thrown_away.is_none() {
            // Nothing else is being sent; if this cannot be either, the connection just ends.
            let _ = self.stream.try_write(&Refusal::TooLong.answer());
            let _ = Pin::new(&mut self.stream).poll_shutdown(context);
        }
        let mut thrown_away = self.thrown_away.unwrap_or_default();
        while thrown_away < MAX_REFUSED_BYTES {
            let mut part = [0; 4_096];
            let mut part = ReadBuf::new(&mut part);
            self.thrown_away = Some(thrown_away);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
            if part.filled().is_empty() {
                break;
            }
            thrown_away += part.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.connection().next(context) {
            Next::Read => {}
            Next::Wait => return Poll::Pending,
            Next::Refuse => return this.refuse(context),
            Next::End => return Poll::Ready(Ok(())),
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        this.connection().note_received(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let (_, is_over) = this.connection().resets();
        if is_over {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let written = match this.poll_instead(context, bytes) {
            Poll::Ready(Ok(Some(written))) => Poll::Ready(Ok(written)),
            Poll::Ready(Ok(None)) => Pin::new(&mut this.stream).poll_write(context, bytes),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        match &written {
            Poll::Ready(Ok(bytes)) => this.connection().note_sent(*bytes),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => this.connection().note_stall(),
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let (resets, _) = self.connection().resets();
        #[cfg(target_os = "linux")]
        if resets {
            // One that is closed already shows nothing to anybody.
            let _ = rustix::net::sockopt::set_socket_linger(&self.stream, Some(std::time::Duration::ZERO));
        }
        #[cfg(not(target_os = "linux"))]
        let _ = resets;
    }
}

/// Has the system close a connection whose other side reads nothing of what it is sent: the server itself waits for it
/// once an answer is handed over. Only Linux can.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "only Linux can"))]
fn cut_off_when_stalled(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    {
        let timeout = u32::try_from(super::client_connections::READER_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, timeout) {
            tracing::warn!(%error, "slow readers of this connection are not cut off");
        }
    }
}
