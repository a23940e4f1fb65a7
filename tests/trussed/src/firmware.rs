//! The programs of the key and the loop around them.

use crate::board::Board;
use crate::cable::Cable;
use ctap_core::transport::KeepaliveStatus;
use ctaphid_dispatch::app::{App, Command, Error};
use ctaphid_dispatch::{Channel, DEFAULT_MESSAGE_SIZE, Dispatch, Requester};
use fido_authenticator::{Authenticator, Config, Conforming};
use heapless_bytes::BytesView;
use ref_swap::OptionRefSwap;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use trussed::ClientImplementation;
use trussed::backend::BackendId;
use trussed::pipe::{ServiceEndpoint, TrussedChannel};
use trussed::platform::Syscall;
use trussed::service::Service;
use trussed::types::{CoreContext, PathBuf};
use trussed::virt::{StorageConfig, Store, StoreConfig};
use trussed_core::InterruptFlag;
use trussed_staging::virt::{BackendIds, Dispatcher};
use usb_device::bus::UsbBusAllocator;
use usb_device::class::UsbClass;
use usb_device::device::{UsbDeviceBuilder, UsbVidPid};
use usbd_ctaphid::CtapHid;
use virtual_keys::{Answers, Body, Button, Packet, ToKey};

/// How often the loop looks whether the authenticator has answered: a USB frame or so.
const FRAME: Duration = Duration::from_millis(1);
/// Between two keepalives (CTAP 2.1 section 11.2.9.2.1: at least every 100 ms).
const KEEPALIVE: Duration = Duration::from_millis(80);

const BACKENDS: &[BackendId<BackendIds>] = &[BackendId::Custom(BackendIds::StagingBackend), BackendId::Core];

type Interrupt = OptionRefSwap<'static, InterruptFlag>;

/// Why a time under power has ended.
enum End {
    /// Nobody holds the key any more.
    Lost,
    PowerCycle {
        usb: Option<Sender<Packet>>,
        on: Option<Sender<()>>,
    },
}

/// The attestation key of a batch of keys.
pub struct Batch {
    /// Its certificate in DER, at most 1024 bytes. The model that it names is what the authenticator says it is.
    pub certificate: Vec<u8>,
    /// The private key, P-256, big-endian.
    pub secret: [u8; 32],
}

impl Batch {
    /// What the factory does: fido-authenticator looks for the two under their fixed names.
    fn burn(&self, store: Store<'_>) {
        // Trussed's form of a key: flags (secret), kind (P-256), the scalar.
        let secret = [&[0, 2, 0, 5][..], &self.secret].concat();
        for (directory, file, content) in
            [("fido/x5c", "fido/x5c/00", &self.certificate), ("fido/sec", "fido/sec/00", &secret)]
        {
            let path = |path: &str| PathBuf::try_from(path).expect("a short path");
            store.internal.create_dir_all(&path(directory)).expect("a new flash");
            store.internal.write(&path(file), content).expect("room in a new flash");
        }
    }
}

pub(crate) fn run(mut body: Body, mut batch: Option<Batch>) {
    // One of each for a key, and a test has few keys: that they stay is no matter.
    let flag: &'static InterruptFlag = Box::leak(Box::new(InterruptFlag::new()));
    let interrupt: &'static Interrupt = Box::leak(Box::new(OptionRefSwap::new(None)));
    let mut flash = StoreConfig::ram();
    let mut usb = None;
    let mut on: Option<Sender<()>> = None;
    loop {
        if let Some(on) = on.take() {
            let _ = on.send(());
        }
        let batch = batch.take();
        let end = flash.with_store(|store| {
            if let Some(batch) = batch {
                batch.burn(store);
            }
            under_power(store, &mut body, flag, interrupt, usb.take())
        });
        match end {
            End::Lost => return,
            End::PowerCycle { usb: next, on: waiting } => {
                usb = next;
                on = waiting;
            }
        }
        body.powered();
        flash.internal.format = false;
        flash.external.format = false;
        flash.volatile = StorageConfig::ram();
    }
}

/// The call from an application into Trussed: returns when Trussed has answered, as the interrupt on a microcontroller does.
struct ToService {
    call: Sender<()>,
    answered: Receiver<()>,
}

impl Syscall for ToService {
    fn syscall(&mut self) {
        self.call.send(()).expect("the service runs as long as the application");
        self.answered.recv().expect("the service answers");
    }
}

/// Answers CTAPHID_WINK: what the makers' firmware does in another application.
struct Wink(Button);

impl App<'static> for Wink {
    fn commands(&self) -> &'static [Command] {
        &[Command::Wink]
    }

    fn call(&mut self, _: Command, _: &[u8], _: &mut BytesView) -> Result<(), Error> {
        self.0.wink();
        Ok(())
    }
}

fn under_power(
    store: Store<'_>,
    body: &mut Body,
    flag: &'static InterruptFlag,
    interrupt: &'static Interrupt,
    usb: Option<Sender<Packet>>,
) -> End {
    let trussed = TrussedChannel::new();
    let (to_service, from_application) = trussed.split().expect("a new channel");
    let (direct, hid) = (Channel::new(), Channel::new());
    let (to_direct, from_direct) = direct.split().expect("a new channel");
    let (to_hid, from_hid) = hid.split().expect("a new channel");
    let (call, calls) = channel();
    let (answer, answered) = channel();
    let (go, work) = channel::<()>();
    let board = Board::new(store, body.button());
    std::thread::scope(|scope| {
        // Trussed: keys, storage, the button.
        scope.spawn(move || {
            let mut service = Service::with_dispatch(board, Dispatcher::default());
            let context = CoreContext::with_interrupt("fido".try_into().expect("a short name"), Some(flag));
            let mut endpoints = [ServiceEndpoint::new(from_application, context, BACKENDS)];
            while calls.recv().is_ok() {
                service.process(&mut endpoints);
                if answer.send(()).is_err() {
                    return;
                }
            }
        });
        // The authenticator.
        let button = body.button();
        scope.spawn(move || {
            let client = ClientImplementation::<_, Dispatcher>::new(
                to_service,
                ToService { call, answered },
                Some(flag),
            );
            let mut config = Config::new(DEFAULT_MESSAGE_SIZE);
            config.long_touch_for_reset = true;
            let mut authenticator = Authenticator::new(client, Conforming {}, config);
            let mut wink = Wink(button);
            let mut direct = Dispatch::with_interrupt(from_direct, Some(interrupt));
            let mut hid = Dispatch::with_interrupt(from_hid, Some(interrupt));
            while work.recv().is_ok() {
                direct.poll(&mut [&mut authenticator]);
                hid.poll(&mut [&mut authenticator, &mut wink]);
            }
        });
        Outside { body, interrupt, go, direct: to_direct, command: None }.run(to_hid, usb)
    })
}

/// What would be interrupts and USB on a microcontroller.
struct Outside<'a> {
    body: &'a mut Body,
    interrupt: &'static Interrupt,
    go: Sender<()>,
    direct: Requester<'a, DEFAULT_MESSAGE_SIZE>,
    command: Option<(u64, Sender<Answers>)>,
}

impl Outside<'_> {
    fn run(mut self, to_hid: Requester<'_, DEFAULT_MESSAGE_SIZE>, usb: Option<Sender<Packet>>) -> End {
        let plugged_in = usb.is_some();
        let bus = UsbBusAllocator::new(Cable::new(usb));
        let mut hid = CtapHid::with_interrupt(&bus, to_hid, Some(self.interrupt), 0)
            .implements_ctap1()
            .implements_ctap2()
            .implements_wink();
        // Building the device allots the endpoints; nobody enumerates it.
        let device = UsbDeviceBuilder::new(&bus, UsbVidPid(0x20a0, 0x42b2)).build();
        let cable = device.bus();
        let (read, write) = (hid.pipe().read_address(), hid.pipe().write_address());
        let powered = Instant::now();
        let mut keepalive = Instant::now();
        loop {
            let message = match self.body.receive_within(FRAME) {
                Ok(message) => message,
                Err(_) => return End::Lost,
            };
            hid.check_timeout(u32::try_from(powered.elapsed().as_millis()).unwrap_or(u32::MAX));
            match message {
                None | Some(ToKey::Look) => {}
                Some(ToKey::Packet(packet)) if plugged_in => {
                    cable.push(packet);
                    hid.endpoint_out(read);
                    let _ = self.go.send(());
                }
                Some(ToKey::Packet(_)) => {}
                Some(ToKey::Command { number, bytes, answers }) => self.command(number, &bytes, answers),
                Some(ToKey::Cancel { number }) => {
                    if self.command.as_ref().is_some_and(|(under_way, _)| *under_way == number) {
                        self.cancel();
                    }
                }
                Some(ToKey::PowerCycle(on)) => return self.power_off(None, Some(on)),
                Some(ToKey::PlugIn(usb)) => return self.power_off(Some(usb), None),
                Some(ToKey::Unplug) => return self.power_off(None, None),
            }
            self.answer();
            if keepalive.elapsed() >= KEEPALIVE {
                keepalive = Instant::now();
                let blinking = self.body.button().is_blinking();
                hid.send_keepalive(blinking);
                if let (true, Some((_, answers))) = (blinking, &self.command) {
                    let _ = answers.send(Answers::Keepalive(KeepaliveStatus::UserPresenceNeeded));
                }
            }
            hid.poll();
            loop {
                let written = cable.written();
                hid.endpoint_in_complete(write);
                if cable.written() == written {
                    break;
                }
            }
        }
    }

    fn command(&mut self, number: u64, bytes: &[u8], answers: Sender<Answers>) {
        self.body.command(bytes);
        let _ = self.direct.take_response();
        let Ok(message) = bytes.try_into() else { return };
        if self.direct.request((Command::Cbor, message)).is_ok() {
            self.command = Some((number, answers));
            let _ = self.go.send(());
        }
    }

    fn answer(&mut self) {
        let Some((_, answers)) = &self.command else { return };
        if let Some(response) = self.direct.take_response() {
            let answers = answers.clone();
            self.command = None;
            if let Ok(response) = response.0 {
                let _ = answers.send(Answers::Response(response.to_vec()));
            }
        }
    }

    fn cancel(&mut self) {
        let blinking = self.body.button().is_blinking();
        let interrupted = self.interrupt.load(Ordering::Relaxed).is_some_and(InterruptFlag::interrupt);
        if blinking && interrupted {
            self.body.cancelled();
        }
    }

    /// The power goes. Programs can't be killed here: what waits is interrupted, and its answer goes nowhere.
    fn power_off(mut self, usb: Option<Sender<Packet>>, on: Option<Sender<()>>) -> End {
        self.command = None;
        if let Some(flag) = self.interrupt.load(Ordering::Relaxed) {
            flag.interrupt();
        }
        End::PowerCycle { usb, on }
    }
}
