//! The messages of a WebSocket, in limited memory.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::future::poll_fn;
use futures_util::{SinkExt, StreamExt};
use poem::Upgraded;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, Utf8Bytes};

use super::close_reason::CloseReason;
use crate::http::capacity::{Budget, FREE_BYTES, Reserved};

/// Each socket has a read buffer of this size for as long as it is open.
const BUFFER: usize = 4096;
/// A longer message is sent in fragments of this size, so that the write buffer needs no more.
const FRAGMENT: usize = 16 * 1024;
/// The largest write buffer: a fragment, and the answers to pings.
const MAX_WRITE_BUFFER: usize = 2 * FRAGMENT;
/// The header and the mask of a control frame.
const CONTROL_HEADER: usize = 6;

/// Reads and writes messages, of which the server holds at most one in each direction: nothing is read
/// while something written has not been sent.
pub(super) struct Messages {
    // One task uses it, and its parts never at once.
    stream: Mutex<WebSocketStream<Metered>>,
}

/// Input from the client.
pub(super) enum Incoming {
    Message(Bytes),
    /// A ping, or the answer to one.
    Control,
    /// The client has closed the socket.
    Closed,
}

impl Messages {
    pub(super) async fn of(upgraded: Upgraded, limit: usize, budget: Budget) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(BUFFER)
            .max_write_buffer_size(MAX_WRITE_BUFFER)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit));
        let metered = Metered {
            upgraded,
            budget,
            reserved: Reserved::default(),
            unfinished: 0,
            most: limit.saturating_add(FREE_BYTES),
        };
        let stream = WebSocketStream::from_raw_socket(metered, Role::Server, Some(config));
        Self {
            stream: Mutex::new(stream.await),
        }
    }

    /// Reads on, once everything written has been sent.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>) -> Poll<Result<Incoming, CloseReason>> {
        let mut stream = self.stream();
        if let Err(error) = ready!(stream.poll_flush_unpin(cx)) {
            return Poll::Ready(Err(CloseReason::from(&error)));
        }
        let message = ready!(stream.poll_next_unpin(cx));
        Poll::Ready(match message {
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                stream.get_mut().finished();
                Ok(Incoming::Message(message.into_data()))
            }
            Some(Ok(message)) => {
                stream.get_mut().forget(message.len() + CONTROL_HEADER);
                Ok(Incoming::Control)
            }
            Some(Err(error)) => Err(CloseReason::from(&error)),
            None => Ok(Incoming::Closed),
        })
    }

    /// Sends a text.
    pub(super) async fn send(&self, text: String) -> Result<(), Error> {
        let mut rest = Bytes::from(text);
        let mut opcode = Data::Text;
        loop {
            let fragment = rest.split_to(rest.len().min(FRAGMENT));
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

    /// Closes the socket, and reads until the client has closed it: what is not read would reset the
    /// connection, perhaps before the client has read the reason.
    pub(super) async fn close(&self, reason: CloseReason) -> Result<(), Error> {
        let close = CloseFrame {
            code: reason.code.into(),
            reason: Utf8Bytes::from_static(reason.reason),
        };
        self.send_frame(Message::Close(Some(close))).await?;
        while let Some(Ok(_)) = poll_fn(|cx| self.stream().poll_next_unpin(cx)).await {
            self.stream().get_mut().finished();
        }
        // The rest of a message that was refused.
        let mut dropped = [0; BUFFER];
        loop {
            let mut buffer = ReadBuf::new(&mut dropped);
            poll_fn(|cx| {
                let mut stream = self.stream();
                Pin::new(&mut stream.get_mut().upgraded).poll_read(cx, &mut buffer)
            })
            .await?;
            if buffer.filled().is_empty() {
                return Ok(());
            }
        }
    }

    async fn send_frame(&self, message: Message) -> Result<(), Error> {
        poll_fn(|cx| self.stream().poll_ready_unpin(cx)).await?;
        self.stream().start_send_unpin(message)?;
        poll_fn(|cx| self.stream().poll_flush_unpin(cx)).await
    }

    fn stream(&self) -> MutexGuard<'_, WebSocketStream<Metered>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<&Error> for CloseReason {
    fn from(error: &Error) -> Self {
        match error {
            Error::Capacity(_) => Self::TOO_LARGE,
            Error::Io(error) if error.kind() == io::ErrorKind::OutOfMemory => Self::BUSY,
            _ => Self::NOT_WEBSOCKET,
        }
    }
}

/// A connection whose messages take memory from a budget while they arrive.
struct Metered {
    upgraded: Upgraded,
    budget: Budget,
    reserved: Reserved,
    /// The bytes of a message that has not arrived completely.
    unfinished: usize,
    /// No message takes more memory.
    most: usize,
}

impl Metered {
    /// A message has arrived completely.
    fn finished(&mut self) {
        self.unfinished = 0;
        self.reserved = Reserved::default();
    }

    /// So many bytes were of something else than a message.
    fn forget(&mut self, bytes: usize) {
        self.unfinished = self.unfinished.saturating_sub(bytes);
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.upgraded).poll_read(cx, buffer))?;
        this.unfinished += buffer.filled().len() - before;
        let bytes = this.unfinished.min(this.most);
        if this.budget.reserve(&mut this.reserved, bytes) {
            Poll::Ready(Ok(()))
        } else {
            Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()))
        }
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().upgraded).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().upgraded).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().upgraded).poll_shutdown(cx)
    }
}
