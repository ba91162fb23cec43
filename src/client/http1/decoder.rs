//! Where an answer's body ends (RFC 9112, section 7), as a pure machine over the bytes that were read.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The longest line in front of a chunk, extensions included.
const LONGEST_LINE: usize = 4 * 1024;
/// The longest trailer section, and the most fields in one.
const LONGEST_TRAILERS: usize = 32 * 1024;
const MOST_TRAILERS: usize = 100;

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// How the rest of a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoder {
    /// This many bytes are still to come.
    Length(u64),
    Chunked(Chunk),
    UntilClose,
}

/// Where in a chunked body the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

/// What came of a look at the bytes.
#[derive(Debug)]
pub(super) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    /// The body has ended.
    End,
    /// Nothing, before there are more bytes.
    More,
}

impl Decoder {
    pub(super) const fn chunked() -> Self {
        Self::Chunked(Chunk::Size)
    }

    /// Whether nothing more comes.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunk::Done))
    }

    /// How many bytes are still to come, if that is known.
    pub(super) fn remaining(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(Chunk::Done) => Some(0),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// How many bytes the next read can bring at most that belong together, for the size of the buffer.
    pub(super) fn wanted(&self) -> u64 {
        match self {
            Self::Length(left) | Self::Chunked(Chunk::Data(left)) => *left,
            Self::Chunked(_) | Self::UntilClose => 0,
        }
    }

    /// Whether a body may end here because the connection does.
    pub(super) fn may_close(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// Takes the next part of the body from the front of `input`.
    pub(super) fn step(&mut self, input: &mut BytesMut) -> Result<Step, Malformed> {
        match self {
            Self::Length(0) | Self::Chunked(Chunk::Done) => Ok(Step::End),
            Self::Length(left) => Ok(take(input, left)),
            Self::UntilClose if input.is_empty() => Ok(Step::More),
            Self::UntilClose => Ok(Step::Data(input.split().freeze())),
            Self::Chunked(chunk) => chunk.step(input),
        }
    }

    /// Reads over the end of a chunked body that has no trailers, if it is there already: so that whoever gets the last
    /// data learns that it is the last.
    pub(super) fn look_ahead(&mut self, input: &mut BytesMut) {
        const LAST: &[u8] = b"\r\n0\r\n\r\n";
        if *self == Self::Chunked(Chunk::DataEnd) && input.starts_with(LAST) {
            input.advance(LAST.len());
            *self = Self::Chunked(Chunk::Done);
        }
    }
}

fn take(input: &mut BytesMut, left: &mut u64) -> Step {
    if input.is_empty() {
        return Step::More;
    }
    let length = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(input.len());
    *left -= length as u64;
    Step::Data(input.split_to(length).freeze())
}

impl Chunk {
    fn step(&mut self, input: &mut BytesMut) -> Result<Step, Malformed> {
        loop {
            *self = match self {
                Self::Size => match size(input)? {
                    None => return Ok(Step::More),
                    Some(0) => Self::Trailers,
                    Some(length) => Self::Data(length),
                },
                Self::Data(left) => {
                    let step = take(input, left);
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(step);
                }
                Self::DataEnd => match input.get(..2) {
                    None if input.first().is_some_and(|byte| *byte != b'\r') => {
                        return Err(Malformed("a chunk is longer than it says"));
                    }
                    None => return Ok(Step::More),
                    Some(b"\r\n") => {
                        input.advance(2);
                        Self::Size
                    }
                    Some(_) => return Err(Malformed("a chunk is longer than it says")),
                },
                Self::Trailers => {
                    let Some(trailers) = trailers(input)? else {
                        return Ok(Step::More);
                    };
                    *self = Self::Done;
                    if trailers.is_empty() {
                        return Ok(Step::End);
                    }
                    return Ok(Step::Trailers(trailers));
                }
                Self::Done => return Ok(Step::End),
            };
        }
    }
}

/// The size of the next chunk; its line is taken from `input`. Extensions are read over (RFC 9112, section 7.1.1).
fn size(input: &mut BytesMut) -> Result<Option<u64>, Malformed> {
    const BAD: Malformed = Malformed("a chunk's size is not a hexadecimal number");
    let Some(end) = memchr::memchr(b'\n', input) else {
        if input.len() > LONGEST_LINE {
            return Err(Malformed("a chunk's line is longer than 4 KiB"));
        }
        return Ok(None);
    };
    if end > LONGEST_LINE {
        return Err(Malformed("a chunk's line is longer than 4 KiB"));
    }
    let Some(line) = input[..end].strip_suffix(b"\r") else {
        return Err(Malformed("a chunk's line does not end in CRLF"));
    };
    let count = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (digits, rest) = line.split_at(count);
    if digits.is_empty() || digits.len() > 15 {
        return Err(BAD);
    }
    let extension = rest.trim_ascii_start();
    if !(rest.is_empty() || extension.first() == Some(&b';'))
        || memchr::memchr(b'\r', rest).is_some()
    {
        return Err(BAD);
    }
    let size = digits.iter().fold(0, |sum, digit| {
        sum << 4 | u64::from(char::from(*digit).to_digit(16).unwrap_or(0))
    });
    input.advance(end + 1);
    Ok(Some(size))
}

/// The trailer fields up to the empty line.
fn trailers(input: &mut BytesMut) -> Result<Option<HeaderMap>, Malformed> {
    const BAD: Malformed = Malformed("a trailer section is no list of fields");
    if input.starts_with(b"\r\n") {
        input.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let mut fields = [httparse::EMPTY_HEADER; MOST_TRAILERS];
    match httparse::parse_headers(input, &mut fields) {
        Ok(httparse::Status::Complete((length, found))) if length <= LONGEST_TRAILERS => {
            let mut trailers = HeaderMap::with_capacity(found.len());
            for field in found {
                let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BAD)?;
                if is_for_the_head(&name) {
                    continue;
                }
                let value = HeaderValue::from_bytes(field.value).map_err(|_| BAD)?;
                trailers.try_append(name, value).map_err(|_| BAD)?;
            }
            input.advance(length);
            Ok(Some(trailers))
        }
        Ok(httparse::Status::Partial) if input.len() <= LONGEST_TRAILERS => Ok(None),
        Ok(_) => Err(Malformed("a trailer section is longer than 32 KiB")),
        Err(_) => Err(BAD),
    }
}

/// Fields that decide about framing, routing or the connection, and so come too late in a trailer section (RFC 9110,
/// section 6.5.1).
pub(super) fn is_for_the_head(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONTENT_LENGTH
            | header::TRANSFER_ENCODING
            | header::HOST
            | header::CONNECTION
            | header::UPGRADE
            | header::TE
            | header::TRAILER
            | header::CONTENT_ENCODING
            | header::CONTENT_RANGE
            | header::CONTENT_TYPE
    ) || name == "keep-alive"
}
