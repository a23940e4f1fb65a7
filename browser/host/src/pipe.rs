//! The browser's pipe: standard input and output, each with a thread of its own, since neither can be waited for otherwise
//! whatever kind of file it is.

use crate::answer::Encoded;
use crate::frame::{Decoder, Frame};
use std::io::{Read, Write};
use tokio::sync::mpsc;

/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;
/// Frames that wait between a thread and the session.
const WAITING: usize = 1;

/// Reads frames until the end of `input`, waiting while nobody takes them.
///
/// # Errors
/// If there is no thread to be had.
pub fn read_frames(mut input: impl Read + Send + 'static) -> std::io::Result<mpsc::Receiver<Frame>> {
    let (sender, frames) = mpsc::channel(WAITING);
    std::thread::Builder::new().name("read".to_owned()).spawn(move || {
        let (mut decoder, mut chunk) = (Decoder::default(), [0; CHUNK]);
        loop {
            let read = match input.read(&mut chunk) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                // The browser is gone, in whatever way.
                Ok(0) | Err(_) => return,
                Ok(read) => read,
            };
            let mut bytes = chunk.get(..read).unwrap_or_default();
            while let Some(frame) = decoder.read(&mut bytes) {
                if sender.blocking_send(frame).is_err() {
                    return;
                }
            }
        }
    })?;
    Ok(frames)
}

/// Writes frames as they come, each at once, until `output` fails.
///
/// # Errors
/// If there is no thread to be had.
pub fn write_frames(mut output: impl Write + Send + 'static) -> std::io::Result<mpsc::Sender<Encoded>> {
    let (sender, mut frames) = mpsc::channel::<Encoded>(WAITING);
    std::thread::Builder::new().name("write".to_owned()).spawn(move || {
        while let Some(frame) = frames.blocking_recv() {
            if output.write_all(frame.as_bytes()).and_then(|()| output.flush()).is_err() {
                return;
            }
        }
    })?;
    Ok(sender)
}
