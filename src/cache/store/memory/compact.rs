//! Copies that hold no more memory than they say: what comes from a connection is a part of its buffers.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use smallvec::SmallVec;

/// The bytes of a body, in as few pieces as there need be.
#[derive(Default)]
pub(super) struct Copied {
    whole: SmallVec<[Bytes; 1]>,
    last: BytesMut,
}

/// Bytes of a piece: a server writes it at once.
const PIECE: usize = 256 << 10;

impl Copied {
    /// For a body of so many bytes, if that is known.
    pub(super) fn with_length(length: Option<u64>) -> Self {
        let length = length.unwrap_or(0).min(PIECE as u64);
        Self {
            whole: SmallVec::new(),
            last: BytesMut::with_capacity(length as usize),
        }
    }

    pub(super) fn push(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            let (now, later) = chunk.split_at(chunk.len().min(PIECE - self.last.len()));
            self.last.extend_from_slice(now);
            chunk = later;
            if self.last.len() == PIECE {
                self.end_piece();
            }
        }
    }

    pub(super) fn finish(mut self) -> SmallVec<[Bytes; 1]> {
        if !self.last.is_empty() {
            self.end_piece();
        }
        self.whole
    }

    fn end_piece(&mut self) {
        let piece = std::mem::take(&mut self.last);
        // Without the room that was not needed.
        let exact = piece.len() == piece.capacity();
        self.whole.push(match exact {
            true => piece.freeze(),
            false => Bytes::copy_from_slice(&piece),
        });
    }
}

/// The same fields, with their values in one piece of memory.
pub(super) fn fields(headers: &HeaderMap) -> HeaderMap {
    let bytes = headers.values().map(HeaderValue::len).sum();
    let mut values = BytesMut::with_capacity(bytes);
    headers
        .values()
        .for_each(|value| values.extend_from_slice(value.as_bytes()));
    let mut values = values.freeze();
    let mut copy = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers {
        let bytes = values.split_to(value.len());
        // It was a value before.
        if let Ok(mut own) = HeaderValue::from_maybe_shared(bytes) {
            own.set_sensitive(value.is_sensitive());
            copy.append(name, own);
        }
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_are_there_in_few_pieces() {
        let bytes: Vec<u8> = (0..PIECE * 2 + 7).map(|at| at as u8).collect();
        for (length, each) in [
            (None, 1000),
            (Some(bytes.len() as u64), PIECE * 3),
            (Some(7), PIECE),
        ] {
            let mut copied = Copied::with_length(length);
            bytes.chunks(each).for_each(|chunk| copied.push(chunk));
            let pieces = copied.finish();
            assert_eq!(pieces.concat(), bytes);
            assert_eq!(pieces.len(), 3);
        }
        assert!(Copied::default().finish().is_empty());
    }

    #[test]
    fn fields_are_the_same() {
        let mut headers = HeaderMap::new();
        for (name, value) in [("a", "1"), ("b", ""), ("a", "two"), ("c", "\u{e4}")] {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers.get_mut("b").unwrap().set_sensitive(true);
        let copy = fields(&headers);
        assert_eq!(copy, headers);
        assert!(copy["b"].is_sensitive());
    }
}
