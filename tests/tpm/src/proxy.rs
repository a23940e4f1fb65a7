//! The wires between a program and the TPM: a sniffer that records everything, and may cut them.

use crate::{Swtpm, address, free_ports};
use ctap_tpm::{Tpm, TpmAddress};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// Is told the number of each command (from 0) and its command code before it goes on to the TPM; `false` cuts the wires
/// instead.
pub type OnPass = Box<dyn FnMut(usize, u32) -> bool + Send>;

/// "Send it again": swtpm says so when it has first written down that wrong authorization values are to be counted; libtss2
/// does by itself.
const RETRY: [u8; 4] = 0x922_u32.to_be_bytes();

#[derive(Default)]
struct Record {
    commands: Vec<u32>,
    bytes: Vec<u8>,
}

/// Wires to an swtpm. They record what passes.
pub struct Proxy {
    port: u16,
    record: Arc<Mutex<Record>>,
}

impl Proxy {
    /// Wires to the swtpm at `port`.
    pub fn new(port: u16, on_pass: OnPass) -> Self {
        let (listeners, own) = loop {
            let own = free_ports();
            let bound = (TcpListener::bind(("127.0.0.1", own)), TcpListener::bind(("127.0.0.1", own + 1)));
            if let (Ok(commands), Ok(control)) = bound {
                break ((commands, control), own);
            }
        };
        let record = Arc::new(Mutex::new(Record::default()));
        let (recorded, on_pass) = (record.clone(), Arc::new(Mutex::new(on_pass)));
        thread::spawn(move || {
            for program in listeners.0.incoming().flatten() {
                let (recorded, on_pass) = (recorded.clone(), on_pass.clone());
                // swtpm serves one at a time.
                let Ok(tpm) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                serve(&program, &tpm, &recorded, &on_pass);
                let _gone = (program.shutdown(Shutdown::Both), tpm.shutdown(Shutdown::Both));
            }
        });
        thread::spawn(move || {
            for program in listeners.1.incoming().flatten() {
                let Ok(tpm) = TcpStream::connect(("127.0.0.1", port + 1)) else { continue };
                copy_both(program, tpm);
            }
        });
        Self { port: own, record }
    }

    /// Wires that are never cut.
    pub fn sniffer(port: u16) -> Self {
        Self::new(port, Box::new(|_, _| true))
    }

    /// Where a program finds the TPM at their other end.
    pub fn address(&self) -> TpmAddress {
        address(self.port)
    }

    /// The codes of the commands that passed.
    pub fn commands(&self) -> Vec<u32> {
        self.record.lock().unwrap().commands.clone()
    }

    /// Forgets what passed.
    pub fn forget(&self) {
        *self.record.lock().unwrap() = Record::default();
    }

    /// Whether these bytes passed, in either direction.
    pub fn saw(&self, needle: &[u8]) -> bool {
        self.record.lock().unwrap().bytes.windows(needle.len()).any(|window| window == needle)
    }
}

fn serve(program: &TcpStream, tpm: &TcpStream, record: &Mutex<Record>, on_pass: &Mutex<OnPass>) {
    while let Some(command) = message(program) {
        let code = u32::from_be_bytes(command[6..10].try_into().unwrap());
        let number = {
            let mut record = record.lock().unwrap();
            record.commands.push(code);
            record.bytes.extend_from_slice(&command);
            record.commands.len() - 1
        };
        if !(on_pass.lock().unwrap())(number, code) {
            return;
        }
        let mut to_tpm = tpm;
        if to_tpm.write_all(&command).is_err() {
            return;
        }
        let Some(response) = message(tpm) else { return };
        {
            let mut record = record.lock().unwrap();
            record.bytes.extend_from_slice(&response);
            if response[6..10] == RETRY {
                record.commands.pop();
            }
        }
        let mut to_program = program;
        if to_program.write_all(&response).is_err() {
            return;
        }
    }
}

/// One command or response: tag (2), size (4), code (4), and the rest.
fn message(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut message = vec![0; 10];
    stream.read_exact(&mut message).ok()?;
    let size = u32::from_be_bytes(message[2..6].try_into().unwrap()) as usize;
    message.resize(size.clamp(10, 1 << 16), 0);
    stream.read_exact(&mut message[10..]).ok()?;
    Some(message)
}

fn copy_both(program: TcpStream, tpm: TcpStream) {
    let (from_program, to_tpm) = (program.try_clone().unwrap(), tpm.try_clone().unwrap());
    for (mut from, mut to) in [(from_program, to_tpm), (tpm, program)] {
        thread::spawn(move || {
            let _gone = std::io::copy(&mut from, &mut to);
            let _gone = to.shutdown(Shutdown::Both);
        });
    }
}

/// Does `work` again and again, and cuts the power (kill -9) at its first, second, ... command until it gets through. Each time
/// the power is back, `afterwards` gets what came of it, and whether it got through.
pub fn power_cut_at_every_command<T>(
    swtpm: Swtpm,
    mut work: impl FnMut(&Arc<Tpm>) -> T,
    mut afterwards: impl FnMut(T, bool, &Swtpm),
) {
    let port = swtpm.port;
    let swtpm = Arc::new(Mutex::new(swtpm));
    for n in 0.. {
        assert!(n < 60, "it never gets through");
        // The proxy's threads live on, the TPM must not.
        let killed = Arc::downgrade(&swtpm);
        let proxy = Proxy::new(
            port,
            Box::new(move |number, _| {
                if let Some(killed) = killed.upgrade().filter(|_| number == n) {
                    killed.lock().unwrap().kill();
                }
                number < n
            }),
        );
        let result = work(&Arc::new(Tpm::new(proxy.address())));
        let through = proxy.commands().len() <= n;
        let mut swtpm = swtpm.lock().unwrap();
        swtpm.restart();
        // Failures that it counts after power failures would add up.
        swtpm.tool("tpm2_dictionarylockout", &["-c"]);
        assert_eq!(swtpm.left(), Vec::<String>::new());
        afterwards(result, through, &swtpm);
        assert_eq!(swtpm.left(), Vec::<String>::new(), "command {n}");
        if through {
            return;
        }
    }
}
