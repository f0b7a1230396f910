//! Lines of a file or of standard input, one at a time and never more of a line than may be sent.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// A line that is not blank, with its number from 1.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::commands) enum Line {
    Text {
        number: u64,
        text: Vec<u8>,
    },
    /// Longer than the limit; only its length was kept.
    TooLong {
        number: u64,
        bytes: u64,
    },
}

/// Reads lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: R,
    limit: usize,
    number: u64,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// Keeps lines of up to `limit` bytes.
    pub(super) fn new(reader: R, limit: usize) -> Self {
        Self { reader, limit, number: 0 }
    }

    /// The next line that is not blank, without its end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let mut text = Vec::new();
            let mut bytes: u64 = 0;
            let mut started = false;
            loop {
                let available = self.reader.fill_buf().await?;
                if available.is_empty() {
                    break;
                }
                started = true;
                let end = available.iter().position(|byte| *byte == b'\n');
                let part = &available[..end.unwrap_or(available.len())];
                bytes += u64::try_from(part.len()).unwrap_or(u64::MAX);
                // One more than the limit, for the `\r` of a line that just fits.
                let room = (self.limit + 1).saturating_sub(text.len());
                text.extend_from_slice(&part[..part.len().min(room)]);
                let consumed = end.map_or(available.len(), |end| end + 1);
                self.reader.consume(consumed);
                if end.is_some() {
                    break;
                }
            }
            if !started {
                return Ok(None);
            }
            self.number += 1;
            let number = self.number;
            if text.ends_with(b"\r") && bytes == u64::try_from(text.len()).unwrap_or(u64::MAX) {
                text.pop();
                bytes -= 1;
            }
            if text.len() > self.limit || bytes > u64::try_from(self.limit).unwrap_or(u64::MAX) {
                return Ok(Some(Line::TooLong { number, bytes }));
            }
            if !text.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(Line::Text { number, text }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::BufReader;

    use super::*;

    async fn read(text: &[u8], limit: usize) -> Vec<Line> {
        // A small buffer, so that lines come in pieces.
        let mut lines = Lines::new(BufReader::with_capacity(3, text), limit);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    fn text(number: u64, text: &str) -> Line {
        Line::Text { number, text: text.as_bytes().to_vec() }
    }

    #[tokio::test]
    async fn lines_skip_blank_ones_and_keep_their_numbers() {
        assert_eq!(read(b"one\n\n  \t\r\nfour\r\nlast", 100).await, [text(1, "one"), text(4, "four"), text(5, "last")]);
        assert_eq!(read(b"", 100).await, []);
        assert_eq!(read(b"\n\n", 100).await, []);
    }

    #[tokio::test]
    async fn lines_that_are_too_long_are_measured_and_left_out() {
        let lines = read(b"12345\r\n123456\n1234567890\r\nend\n", 5).await;
        let long = |number, bytes| Line::TooLong { number, bytes };
        assert_eq!(lines, [text(1, "12345"), long(2, 6), long(3, 11), text(4, "end")]);
    }

    #[tokio::test]
    async fn lines_may_hold_any_bytes() {
        assert_eq!(read(b"\xff\xfe\n", 5).await, [Line::Text { number: 1, text: vec![0xff, 0xfe] }]);
    }
}
