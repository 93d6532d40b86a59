//! A connection whose first bytes must come in time.
//!
//! hyper has no bound on the preface of HTTP/2: a peer that connects and stays silent, or sends a byte
//! a minute, would be held for ever and a graceful drain would never end.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// The preface of HTTP/2 (RFC 9113 section 3.4), bytes.
const PREFACE: usize = 24;

/// A connection that fails unless the preface has come in time.
#[derive(Debug)]
pub(crate) struct FirstBytes<IO> {
    io: IO,
    read: usize,
    until: Option<Pin<Box<Sleep>>>,
}

impl<IO> FirstBytes<IO> {
    pub(crate) fn within(io: IO, time: Duration) -> Self {
        Self {
            io,
            read: 0,
            until: Some(Box::pin(tokio::time::sleep(time))),
        }
    }

    /// Without a bound: something else sees to it.
    pub(crate) const fn unbounded(io: IO) -> Self {
        Self {
            io,
            read: 0,
            until: None,
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for FirstBytes<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(until) = &mut this.until
            && until.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the preface of HTTP/2 did not come in time",
            )));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(context, buffer);
        this.read = this.read.saturating_add(buffer.filled().len() - before);
        if this.read >= PREFACE {
            this.until = None;
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for FirstBytes<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
