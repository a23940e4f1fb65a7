//! Lays a [`Card`] on the virtual reader of vsmartcard's vpcd: a TCP client, each message with its length in two bytes.

use crate::applet::{Card, Power, Reply};
use rustix::net::sockopt;
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The port of the first reader.
pub const PORT: u16 = 35_963;

/// How long is waited for a reader that is about to be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// pcscd looks every 400 ms whether there is a card. One that is lifted and another one that is laid there in less time confuse
/// it: where a program has found the first one missing meanwhile, it never sees the second. A hand takes longer.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// When the last card left each reader.
static LEFT: Mutex<BTreeMap<u16, Instant>> = Mutex::new(BTreeMap::new());

fn has_left(port: u16) {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).insert(port, Instant::now());
}

/// Waits as long as a hand takes to lay another card on the reader.
fn wait_as_a_hand(port: u16) {
    let left = LEFT.lock().unwrap_or_else(PoisonError::into_inner).get(&port).copied();
    let wait = left.map(|left| BETWEEN_LOOKS.saturating_sub(left.elapsed()));
    std::thread::sleep(wait.unwrap_or_default());
}

/// A card on a reader, on a thread of its own. Dropping it lifts the card.
pub struct Laid {
    port: u16,
    stream: TcpStream,
    thread: Option<JoinHandle<Box<dyn Card>>>,
}

/// Lays `card` on the reader at `port` of this machine.
///
/// # Errors
/// If there is no such reader.
pub fn lay(card: impl Card + 'static, port: u16) -> Result<Laid> {
    lay_boxed(Box::new(card), port)
}

/// Lays `card` on the reader at `port` of this machine.
///
/// # Errors
/// If there is no such reader.
pub fn lay_boxed(mut card: Box<dyn Card>, port: u16) -> Result<Laid> {
    wait_as_a_hand(port);
    let stream = connect(port)?;
    stream.set_nodelay(true)?;
    let mut reader = stream.try_clone()?;
    let thread = std::thread::Builder::new().name("card".to_owned()).spawn(move || {
        // It ends when either side closes the connection, with whatever error that is.
        let _ = serve(card.as_mut(), &mut reader);
        let _ = reader.shutdown(Shutdown::Both);
        has_left(port);
        card
    })?;
    Ok(Laid { port, stream, thread: Some(thread) })
}

impl Laid {
    /// Lifts the card off the reader.
    pub fn lift(mut self) -> Box<dyn Card> {
        let _ = self.stream.shutdown(Shutdown::Both);
        has_left(self.port);
        self.card()
    }

    /// Waits until the card has left the reader, or the reader the card.
    pub fn wait(mut self) -> Box<dyn Card> {
        self.card()
    }

    fn card(&mut self) -> Box<dyn Card> {
        self.thread.take().and_then(|thread| thread.join().ok()).expect("the card's thread")
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        has_left(self.port);
    }
}

fn connect(port: u16) -> Result<TcpStream> {
    let until = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

fn serve(card: &mut dyn Card, stream: &mut TcpStream) -> Result<()> {
    loop {
        let mut len = [0; 2];
        stream.read_exact(&mut len)?;
        // vpcd writes length and message apart and waits for an acknowledgement between them, which else takes 40 ms.
        sockopt::set_tcp_quickack(&*stream, true)?;
        let mut message = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut message)?;
        let answer = match message.as_slice() {
            [0] => {
                card.power(Power::Off);
                continue;
            }
            [1] => {
                card.power(Power::On);
                continue;
            }
            [2] => {
                card.power(Power::Reset);
                continue;
            }
            [4] => card.atr(),
            apdu => match card.apdu(apdu) {
                Reply::Apdu(answer) => answer,
                Reply::Silence => continue,
                Reply::Leave => return Ok(()),
            },
        };
        let len = u16::try_from(answer.len()).expect("an answer of at most 65,535 bytes");
        stream.write_all(&[&len.to_be_bytes(), answer.as_slice()].concat())?;
    }
}
