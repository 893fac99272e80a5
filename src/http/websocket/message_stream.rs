//! Reads and writes the messages of a WebSocket with a limited amount of memory.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::future::poll_fn;
use futures_util::{SinkExt, StreamExt};
use poem::Upgraded;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy, sink};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};

use super::close_reason::CloseReason;
use crate::http::memory_budget::{MemoryBudget, Reservation, UNCOUNTED_BYTES};

/// The size of the read buffer of each open WebSocket, in bytes.
const BUFFER_BYTES: usize = 4096;
/// The maximum size of a fragment, in bytes. A longer message is sent in several fragments, to limit
/// the write buffer.
const FRAGMENT_BYTES: usize = 16 * 1024;
/// The maximum size of the write buffer, in bytes. The buffer contains a fragment and pong frames.
const MAX_WRITE_BUFFER: usize = 2 * FRAGMENT_BYTES;
/// The size of the header and the mask of a control frame, in bytes.
const CONTROL_HEADER_BYTES: usize = 6;

/// The messages of a WebSocket. At most one message in each direction is in memory, because the stream
/// reads only after all written data has been sent.
pub(super) struct MessageStream {
    // The reader and the writer share the stream. They run in the same task, so the mutex is never
    // contended.
    stream: Mutex<WebSocketStream<MeteredIo>>,
    has_received: AtomicBool,
    read_error: OnceLock<CloseReason>,
}

impl MessageStream {
    pub(super) async fn new(upgraded: Upgraded, limit: usize, budget: &MemoryBudget) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        let io = MeteredIo {
            upgraded,
            reservation: budget.reservation(),
            incomplete_bytes: 0,
            max_bytes: limit.saturating_add(UNCOUNTED_BYTES),
        };
        let stream = WebSocketStream::from_raw_socket(io, Role::Server, Some(config));
        Self {
            stream: Mutex::new(stream.await),
            has_received: AtomicBool::new(true),
            read_error: OnceLock::new(),
        }
    }

    /// Reads the next message. Returns `None` after the client has closed the WebSocket, and after a
    /// [read error](Self::read_error).
    pub(super) fn poll_message(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut stream = self.stream();
        loop {
            let sent = ready!(stream.poll_flush_unpin(cx));
            let message = match sent {
                Ok(()) => ready!(stream.poll_next_unpin(cx)),
                Err(error) => Some(Err(error)),
            };
            self.has_received.store(true, Ordering::Relaxed);
            match message {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                    stream.get_mut().end_message();
                    return Poll::Ready(Some(message.into_data()));
                }
                Some(Ok(control)) => {
                    let bytes = control.len() + CONTROL_HEADER_BYTES;
                    stream.get_mut().subtract_control_frame(bytes);
                }
                Some(Err(error)) => {
                    // Nothing is read after an error, so at most one error is stored.
                    let _ = self.read_error.set(CloseReason::from(&error));
                    return Poll::Ready(None);
                }
                None => return Poll::Ready(None),
            }
        }
    }

    /// Returns the close reason for the error that ended reading, if any.
    pub(super) fn read_error(&self) -> Option<CloseReason> {
        self.read_error.get().cloned()
    }

    /// Returns whether a frame has been received since the last call. The first call returns `true`.
    pub(super) fn take_has_received(&self) -> bool {
        self.has_received.swap(false, Ordering::Relaxed)
    }

    /// Sends a text message.
    pub(super) async fn send(&self, text: String) -> Result<(), Error> {
        let mut rest = Bytes::from(text);
        let mut opcode = Data::Text;
        loop {
            let fragment = rest.split_to(rest.len().min(FRAGMENT_BYTES));
            let frame = Frame::message(fragment, OpCode::Data(opcode), rest.is_empty());
            self.send_frame(Message::Frame(frame)).await?;
            if rest.is_empty() {
                return Ok(());
            }
            opcode = Data::Continue;
        }
    }

    pub(super) async fn ping(&self) -> Result<(), Error> {
        self.send_frame(Message::Ping(Bytes::new())).await
    }

    /// Sends a close frame, and reads until the client answers with a close frame, or closes the
    /// connection. If the server closed a connection with unread input, the connection would be reset,
    /// possibly before the client has read the close frame.
    pub(super) async fn close(self, reason: CloseReason) -> Result<(), Error> {
        let has_read_error = self.read_error.get().is_some();
        let stream = self.stream.into_inner();
        let mut stream = stream.unwrap_or_else(PoisonError::into_inner);
        let frame = CloseFrame {
            code: reason.code.into(),
            reason: Utf8Bytes::from(reason.text.into_owned()),
        };
        stream.send(Message::Close(Some(frame))).await?;
        while let Some(Ok(message)) = stream.next().await {
            stream.get_mut().end_message();
            // The server closes the connection first (RFC 6455, section 7.1.1). Clients wait for this.
            if message.is_close() && !has_read_error {
                return Ok(());
            }
        }
        // After a read error, the rest of the message has not been read.
        copy(&mut stream.get_mut().upgraded, &mut sink()).await?;
        Ok(())
    }

    async fn send_frame(&self, message: Message) -> Result<(), Error> {
        poll_fn(|cx| self.stream().poll_ready_unpin(cx)).await?;
        self.stream().start_send_unpin(message)?;
        poll_fn(|cx| self.stream().poll_flush_unpin(cx)).await
    }

    fn stream(&self) -> MutexGuard<'_, WebSocketStream<MeteredIo>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&Error> for CloseReason {
    fn from(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::TOO_LARGE,
            Error::Utf8(_) => Self::INVALID_TEXT,
            Error::Io(error) if error.kind() == io::ErrorKind::OutOfMemory => Self::UNAVAILABLE,
            _ => Self::PROTOCOL_ERROR,
        }
    }
}

/// A connection that reserves memory for the message that is being received.
struct MeteredIo {
    upgraded: Upgraded,
    reservation: Reservation,
    /// The number of bytes of the incomplete message that have been received.
    incomplete_bytes: usize,
    /// The maximum number of bytes that a message can occupy.
    max_bytes: usize,
}

impl MeteredIo {
    fn end_message(&mut self) {
        self.incomplete_bytes = 0;
        self.reservation.release();
    }

    /// Subtracts the bytes of a control frame from the bytes of the message. Control frames can be received
    /// between the fragments of a message.
    fn subtract_control_frame(&mut self, bytes: usize) {
        self.incomplete_bytes = self.incomplete_bytes.saturating_sub(bytes);
    }
}

impl AsyncRead for MeteredIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = buffer.filled().len();
        ready!(Pin::new(&mut self.upgraded).poll_read(cx, buffer))?;
        self.incomplete_bytes += buffer.filled().len() - length;
        let bytes = self.incomplete_bytes.min(self.max_bytes);
        if self.reservation.try_grow(bytes) {
            Poll::Ready(Ok(()))
        } else {
            Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()))
        }
    }
}

impl AsyncWrite for MeteredIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.upgraded).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.upgraded).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.upgraded).poll_shutdown(cx)
    }
}
