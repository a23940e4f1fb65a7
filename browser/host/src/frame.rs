//! The framing of native messaging: 4 bytes of length, native-endian, then that many bytes of UTF-8 JSON. No I/O here.

/// The longest message that is taken from the browser, in bytes.
pub const MAX_MESSAGE: usize = 2 << 20;
/// The longest message that browsers take from a host, in bytes.
pub const MAX_ANSWER: usize = 1 << 20;
/// Bytes of the length before each message.
pub const HEADER: usize = 4;

/// What came from the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message, not looked into yet.
    Message(Vec<u8>),
    /// A message of more than [`MAX_MESSAGE`] bytes, of this length. Its bytes were not kept.
    TooLarge(u32),
}

/// Cuts a stream of bytes into messages.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
}

#[derive(Debug)]
enum State {
    /// So many bytes of the length are here.
    Length([u8; HEADER], usize),
    /// So many bytes of the message are missing.
    Message(Vec<u8>, usize),
    /// So many bytes are passed over.
    Skipping(usize),
}

impl Default for State {
    fn default() -> Self {
        Self::Length([0; HEADER], 0)
    }
}

impl Decoder {
    /// Takes bytes from the front of `input` until a frame is whole or `input` is empty. What is left of `input` belongs
    /// to the next frame.
    pub fn read(&mut self, input: &mut &[u8]) -> Option<Frame> {
        while !input.is_empty() {
            let (state, frame) = std::mem::take(&mut self.state).read(input);
            self.state = state;
            if frame.is_some() {
                return frame;
            }
        }
        None
    }

    /// Whether the stream may end here: no frame has begun.
    pub fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Length(_, 0))
    }
}

impl State {
    /// One step; takes at least one byte of `input`, which has some.
    fn read(self, input: &mut &[u8]) -> (Self, Option<Frame>) {
        match self {
            Self::Length(mut header, mut have) => {
                for (to, byte) in header.iter_mut().skip(have).zip(take(input, HEADER - have)) {
                    *to = *byte;
                    have += 1;
                }
                if have < HEADER {
                    return (Self::Length(header, have), None);
                }
                let announced = u32::from_ne_bytes(header);
                match usize::try_from(announced) {
                    Ok(0) => (Self::default(), Some(Frame::Message(Vec::new()))),
                    // Room grows with what comes, not with what is announced.
                    Ok(length) if length <= MAX_MESSAGE => (Self::Message(Vec::new(), length), None),
                    Ok(length) => (Self::Skipping(length), Some(Frame::TooLarge(announced))),
                    Err(_) => (Self::Skipping(usize::MAX), Some(Frame::TooLarge(announced))),
                }
            }
            Self::Message(mut message, missing) => {
                let here = take(input, missing);
                message.extend_from_slice(here);
                match missing - here.len() {
                    0 => (Self::default(), Some(Frame::Message(message))),
                    missing => (Self::Message(message, missing), None),
                }
            }
            Self::Skipping(left) => match left - take(input, left).len() {
                0 => (Self::default(), None),
                left => (Self::Skipping(left), None),
            },
        }
    }
}

/// Takes up to `most` bytes from the front.
fn take<'a>(input: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(most.min(input.len()));
    *input = rest;
    taken
}

/// A message of more than [`MAX_ANSWER`] bytes: the browser would end the host for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer has {0} bytes, more than a browser takes")]
pub struct AnswerTooLarge(pub usize);

/// Puts the length before a message.
///
/// # Errors
/// [`AnswerTooLarge`].
pub fn encode(message: &[u8]) -> Result<Vec<u8>, AnswerTooLarge> {
    let too_large = AnswerTooLarge(message.len());
    let length = u32::try_from(message.len()).map_err(|_| too_large)?;
    if message.len() > MAX_ANSWER {
        return Err(too_large);
    }
    let mut frame = Vec::with_capacity(HEADER + message.len());
    frame.extend_from_slice(&length.to_ne_bytes());
    frame.extend_from_slice(message);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(decoder: &mut Decoder, mut input: &[u8]) -> Vec<Frame> {
        std::iter::from_fn(|| decoder.read(&mut input)).collect()
    }

    #[test]
    fn an_empty_message_is_a_message() {
        let mut decoder = Decoder::default();
        assert_eq!(frames(&mut decoder, &[0; 8]), [Frame::Message(vec![]), Frame::Message(vec![])]);
        assert!(decoder.is_between_frames());
    }

    #[test]
    fn the_largest_message_is_taken_and_one_byte_more_is_told_at_once_and_skipped() {
        let mut decoder = Decoder::default();
        let mut input = u32::try_from(MAX_MESSAGE).unwrap().to_ne_bytes().to_vec();
        input.extend(vec![b'x'; MAX_MESSAGE]);
        assert_eq!(frames(&mut decoder, &input), [Frame::Message(vec![b'x'; MAX_MESSAGE])]);

        let length = u32::try_from(MAX_MESSAGE + 1).unwrap();
        assert_eq!(frames(&mut decoder, &length.to_ne_bytes()), [Frame::TooLarge(length)]);
        assert_eq!(frames(&mut decoder, &vec![0; MAX_MESSAGE]), []);
        assert!(!decoder.is_between_frames());
        let next = [&[7][..], &1_u32.to_ne_bytes(), b"y"].concat();
        assert_eq!(frames(&mut decoder, &next), [Frame::Message(b"y".to_vec())]);
    }

    #[test]
    fn a_length_that_announces_much_takes_no_room_before_it_comes() {
        let mut decoder = Decoder::default();
        let header = u32::try_from(MAX_MESSAGE).unwrap().to_ne_bytes();
        assert_eq!(frames(&mut decoder, &header), []);
        let State::Message(message, missing) = &decoder.state else { panic!("{decoder:?}") };
        assert_eq!((message.capacity(), *missing), (0, MAX_MESSAGE));
    }

    #[test]
    fn what_a_browser_would_not_take_is_not_encoded() {
        assert_eq!(encode(&vec![0; MAX_ANSWER]).unwrap().len(), HEADER + MAX_ANSWER);
        assert_eq!(encode(&vec![0; MAX_ANSWER + 1]), Err(AnswerTooLarge(MAX_ANSWER + 1)));
    }

    proptest! {
        #[test]
        fn messages_come_out_as_they_went_in_however_the_stream_is_cut(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..8),
            cuts in proptest::collection::vec(1..64_usize, 1..32),
        ) {
            let stream: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
            let (mut decoder, mut rest, mut got) = (Decoder::default(), &stream[..], Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                got.extend(frames(&mut decoder, piece));
                rest = after;
            }
            prop_assert_eq!(got, messages.into_iter().map(Frame::Message).collect::<Vec<_>>());
            prop_assert!(decoder.is_between_frames());
        }
    }
}
