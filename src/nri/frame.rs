//! Framing of NRI: a stream of multiplexed frames in, whole ttrpc messages out, and the reverse.
//!
//! Each frame has a header of 8 bytes: connection and length, both big-endian (containerd/nri,
//! pkg/net/multiplex/mux.go). The payloads of one connection, joined, are ttrpc messages with a header
//! of 10 bytes: length, stream, type and flags (containerd/ttrpc, PROTOCOL.md).

use std::collections::BTreeMap;

/// Connection on which the runtime calls the plugin.
pub const PLUGIN: u32 = 1;
/// Connection on which the plugin calls the runtime.
pub const RUNTIME: u32 = 2;

/// Length of a frame's header.
const FRAME_HEADER: usize = 8;
/// Length of a message's header.
const MESSAGE_HEADER: usize = 10;
/// Longest message (containerd/ttrpc, channel.go, `messageLengthMax`).
pub const LONGEST: usize = 4 << 20;
/// Longest frame that is written. The peer reads through a buffer of 4096 bytes and refuses frames that
/// do not fit into what it asks for.
const LONGEST_FRAME: usize = 4096;

/// Type of a ttrpc message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A call.
    Request,
    /// The answer to a call.
    Response,
}

/// A ttrpc message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The multiplexed connection.
    pub connection: u32,
    /// The call that it belongs to.
    pub stream: u32,
    /// Its type.
    pub kind: Kind,
    /// An encoded `Request` or `Response`.
    pub payload: Vec<u8>,
}

/// Why a stream of bytes is not NRI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// A frame or a message of that many bytes.
    TooLong(usize),
    /// A frame of a connection that NRI does not have.
    Connection(u32),
    /// A message of a type that unary calls do not have.
    Kind(u8),
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(bytes) => write!(f, "a frame of {bytes} bytes, more than {LONGEST}"),
            Self::Connection(id) => write!(f, "a frame of the unknown connection {id}"),
            Self::Kind(kind) => write!(f, "a ttrpc message of the unknown type {kind}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Encodes a message as frames.
///
/// # Errors
///
/// [`FrameError::TooLong`] if the payload exceeds [`LONGEST`].
pub fn encode(message: &Message) -> Result<Vec<u8>, FrameError> {
    let length = message.payload.len();
    let short = |length: usize| u32::try_from(length).map_err(|_| FrameError::TooLong(length));
    if length > LONGEST {
        return Err(FrameError::TooLong(length));
    }
    let mut whole = Vec::with_capacity(MESSAGE_HEADER + length);
    whole.extend(short(length)?.to_be_bytes());
    whole.extend(message.stream.to_be_bytes());
    whole.extend([if message.kind == Kind::Request { 1 } else { 2 }, 0]);
    whole.extend(&message.payload);
    let mut frames = Vec::with_capacity(whole.len() + FRAME_HEADER);
    for part in whole.chunks(LONGEST_FRAME) {
        frames.extend(message.connection.to_be_bytes());
        frames.extend(short(part.len())?.to_be_bytes());
        frames.extend(part);
    }
    Ok(frames)
}

/// Decoder of a stream of frames.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Bytes that are not yet a whole frame.
    pending: Vec<u8>,
    /// Per connection, bytes that are not yet a whole message.
    connections: BTreeMap<u32, Vec<u8>>,
}

impl Decoder {
    /// Takes bytes as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend(bytes);
    }

    /// True while a frame or a message has begun and is not complete.
    pub fn is_partial(&self) -> bool {
        !self.pending.is_empty() || self.connections.values().any(|bytes| !bytes.is_empty())
    }

    /// Returns the next whole message; `None` until more bytes come.
    ///
    /// # Errors
    ///
    /// A [`FrameError`], after which the stream is of no more use.
    pub fn message(&mut self) -> Result<Option<Message>, FrameError> {
        loop {
            for (&connection, bytes) in &mut self.connections {
                if let Some(message) = take_message(connection, bytes)? {
                    return Ok(Some(message));
                }
            }
            let Some((connection, length)) = two_numbers(&self.pending) else { return Ok(None) };
            if connection != PLUGIN && connection != RUNTIME {
                return Err(FrameError::Connection(connection));
            }
            let length = bounded(length, LONGEST + MESSAGE_HEADER)?;
            if self.pending.len() < FRAME_HEADER + length {
                return Ok(None);
            }
            let payload = self.pending.drain(..FRAME_HEADER + length).skip(FRAME_HEADER);
            self.connections.entry(connection).or_default().extend(payload);
        }
    }
}

fn take_message(connection: u32, bytes: &mut Vec<u8>) -> Result<Option<Message>, FrameError> {
    let (Some((length, stream)), Some(&kind)) = (two_numbers(bytes), bytes.get(8)) else { return Ok(None) };
    let length = bounded(length, LONGEST)?;
    let kind = match kind {
        1 => Kind::Request,
        2 => Kind::Response,
        kind => return Err(FrameError::Kind(kind)),
    };
    if bytes.len() < MESSAGE_HEADER + length {
        return Ok(None);
    }
    let payload = bytes.drain(..MESSAGE_HEADER + length).skip(MESSAGE_HEADER).collect();
    Ok(Some(Message { connection, stream, kind, payload }))
}

fn bounded(length: u32, most: usize) -> Result<usize, FrameError> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > most { Err(FrameError::TooLong(length)) } else { Ok(length) }
}

/// The two big-endian numbers that `bytes` begin with.
fn two_numbers(bytes: &[u8]) -> Option<(u32, u32)> {
    let (first, rest) = bytes.split_first_chunk::<4>()?;
    let second = rest.first_chunk::<4>()?;
    Some((u32::from_be_bytes(*first), u32::from_be_bytes(*second)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(connection: u32, stream: u32, kind: Kind, payload: Vec<u8>) -> Message {
        Message { connection, stream, kind, payload }
    }

    fn decode(parts: &[&[u8]]) -> Result<Vec<Message>, FrameError> {
        let mut decoder = Decoder::default();
        let mut messages = Vec::new();
        for part in parts {
            decoder.push(part);
            while let Some(message) = decoder.message()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    #[test]
    fn bytes_are_those_of_the_protocol() {
        let bytes = encode(&message(2, 1, Kind::Request, b"ab".to_vec())).unwrap();
        assert_eq!(bytes, b"\0\0\0\x02\0\0\0\x0c\0\0\0\x02\0\0\0\x01\x01\0ab");
    }

    #[test]
    fn what_is_no_nri_ends_the_stream() {
        for (bytes, error) in [
            (&b"\0\0\0\x03\0\0\0\0"[..], FrameError::Connection(3)),
            (b"\0\0\0\x01\xff\0\0\0", FrameError::TooLong(0xff00_0000)),
            (b"\0\0\0\x01\0\0\0\x0a\xff\0\0\0\0\0\0\x01\x01\0", FrameError::TooLong(0xff00_0000)),
            (b"\0\0\0\x01\0\0\0\x0a\0\0\0\0\0\0\0\x01\x09\0", FrameError::Kind(9)),
        ] {
            assert_eq!(decode(&[bytes]), Err(error));
        }
        assert!(encode(&message(1, 1, Kind::Response, vec![0; LONGEST + 1])).is_err());
    }

    proptest! {
        #[test]
        fn messages_survive_any_cut(
            given in prop::collection::vec(
                (1u32..=2, any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..9000)), 0..5),
            cuts in prop::collection::vec(1usize..5000, 1..40),
        ) {
            let messages: Vec<Message> = given
                .into_iter()
                .map(|(connection, stream, request, payload)| {
                    message(connection, stream, if request { Kind::Request } else { Kind::Response }, payload)
                })
                .collect();
            let bytes: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
            let (mut parts, mut rest, mut cuts) = (Vec::new(), bytes.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (part, left) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                parts.push(part);
                rest = left;
            }
            prop_assert_eq!(decode(&parts).unwrap(), messages);
        }

        #[test]
        fn garbage_is_an_error_or_waited_for(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&[&bytes]);
        }
    }
}
