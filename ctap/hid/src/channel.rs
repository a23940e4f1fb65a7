//! A channel to a device: its allocation, one command at a time, and what can go wrong (CTAP 2.1 sections 11.2.3 to 11.2.9).
//!
//! No I/O and no clock: [`Channel::begin`] and [`Exchange::step`] say what to send, and the caller says what came and what
//! time it is. Whatever the device does, an exchange ends: silence ends it after [`SILENCE`], keepalives without end after
//! [`TOTAL`], and packets for other channels prolong nothing. After an exchange that did not end in its response the
//! channel counts as out of step, and the next one begins with an INIT on it, which makes the device drop what it did.

use crate::error::{DeviceError, HidError};
use crate::frame::{ChannelId, Command, Frame, MAX_MESSAGE_LEN, Message, Reassembly};
use ctap_core::transport::KeepaliveStatus;
use std::fmt;
use std::time::{Duration, Instant};

/// How long a device may say nothing; keepalives come every 100 ms.
pub const SILENCE: Duration = Duration::from_secs(3);
/// How long a command may take, whatever keepalives say. Devices stop waiting for their user after 30 seconds or so.
pub const TOTAL: Duration = Duration::from_secs(180);
/// How long a command is tried again while another channel's is under way.
pub const BUSY: Duration = Duration::from_secs(2);
/// The pause between two such tries.
pub const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// How long a device that was told to stop has for its answer.
pub const CANCEL_GRACE: Duration = Duration::from_secs(1);

/// The version of CTAPHID.
const PROTOCOL_VERSION: u8 = 2;
const CAPABILITY_WINK: u8 = 0x01;
const CAPABILITY_CBOR: u8 = 0x04;
const CAPABILITY_NMSG: u8 = 0x08;

/// What a device says of itself in answer to INIT (CTAP 2.1 section 11.2.9.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeviceInfo {
    /// Major, minor and build version, as the maker counts.
    pub version: [u8; 3],
    /// The capability flags.
    pub capabilities: u8,
}

impl DeviceInfo {
    /// It has CTAPHID_WINK.
    pub fn can_wink(self) -> bool {
        self.capabilities & CAPABILITY_WINK != 0
    }

    /// It has CTAPHID_CBOR: CTAP2.
    pub fn has_cbor(self) -> bool {
        self.capabilities & CAPABILITY_CBOR != 0
    }

    /// It has CTAPHID_MSG: U2F.
    pub fn has_msg(self) -> bool {
        self.capabilities & CAPABILITY_NMSG == 0
    }
}

/// What the caller has for an exchange.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A report came.
    Report(&'a [u8]),
    /// The caller gives up. The device is told, and has [`CANCEL_GRACE`] to answer.
    Cancel,
    /// [`Exchange::deadline`] has passed.
    Deadline,
}

/// What an exchange wants next. After all but `Done`, it waits for a report until its deadline.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this message's reports, all of them, nothing in between.
    Send(Message),
    /// The device works, or waits for its user.
    Keepalive(KeepaliveStatus),
    /// Nothing but to wait.
    Wait,
    /// The response's payload.
    Done(Vec<u8>),
}

/// A channel to one device, or none yet.
#[derive(Debug, Default)]
pub struct Channel {
    id: Option<ChannelId>,
    info: Option<DeviceInfo>,
    in_step: bool,
}

impl Channel {
    /// A channel that is still to be allocated.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its ID, once it was allocated.
    pub fn id(&self) -> Option<ChannelId> {
        self.id
    }

    /// What the device said of itself, once it was asked.
    pub fn info(&self) -> Option<DeviceInfo> {
        self.info
    }

    /// Begins to send `command`, by an INIT if the channel is not allocated yet or out of step. `nonce` is random.
    ///
    /// # Errors
    /// [`HidError::MessageLength`], and what the device is known not to have ([`HidError::TooOld`], [`HidError::NoWink`]).
    pub fn begin(
        &mut self,
        command: Command,
        payload: &[u8],
        nonce: [u8; 8],
        now: Instant,
    ) -> Result<(Exchange<'_>, Output), HidError> {
        if payload.len() > MAX_MESSAGE_LEN {
            return Err(HidError::MessageLength(payload.len()));
        }
        let in_step = std::mem::replace(&mut self.in_step, false);
        let mut exchange = Exchange {
            channel: self,
            command,
            payload: payload.to_vec(),
            nonce,
            stage: Stage::Answer,
            reassembly: Reassembly::default(),
            deadline: now,
            give_up: now + TOTAL,
            busy_until: None,
            sent_again: false,
            at_work: false,
        };
        let output = match exchange.channel.id {
            Some(id) if in_step => exchange.send_command(id, now)?,
            Some(id) => exchange.send_init(id, now)?,
            None => exchange.send_init(ChannelId::BROADCAST, now)?,
        };
        Ok((exchange, output))
    }
}

/// A command under way.
pub struct Exchange<'a> {
    channel: &'a mut Channel,
    command: Command,
    payload: Vec<u8>,
    nonce: [u8; 8],
    stage: Stage,
    reassembly: Reassembly,
    deadline: Instant,
    give_up: Instant,
    /// Until when CHANNEL_BUSY is no error yet.
    busy_until: Option<Instant>,
    /// The command was sent a second time, after sync was lost.
    sent_again: bool,
    /// The device has begun to work on the command: it is not sent again.
    at_work: bool,
}

impl fmt::Debug for Exchange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The payload can be a PIN's ciphertext.
        f.debug_struct("Exchange")
            .field("command", &self.command)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// An INIT was sent on this channel.
    Init(ChannelId),
    /// The command was sent.
    Answer,
    /// The device was told to stop, or its response had begun already.
    Cancelled,
    /// The device is busy; the INIT on this channel, or the command, goes again after a pause.
    Pause(Option<ChannelId>),
}

impl Exchange<'_> {
    /// Until when the caller waits for a report.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Takes one input and says what is next.
    ///
    /// # Errors
    /// [`HidError`]; the exchange is over then.
    pub fn step(&mut self, input: Input<'_>, now: Instant) -> Result<Output, HidError> {
        match input {
            Input::Cancel => self.cancel(now),
            Input::Deadline if now < self.deadline => Ok(Output::Wait),
            Input::Deadline => self.deadline_passed(now),
            Input::Report(report) => {
                let frame = Frame::parse(report)?;
                match self.stage {
                    Stage::Init(on) if frame.channel() == on => self.init_answered(on, frame, now),
                    Stage::Answer | Stage::Cancelled if Some(frame.channel()) == self.channel.id => {
                        self.answered(frame, now)
                    }
                    // Another program's, or late: it prolongs nothing.
                    _ => self.ignored(now),
                }
            }
        }
    }

    fn ignored(&mut self, now: Instant) -> Result<Output, HidError> {
        if now < self.deadline { Ok(Output::Wait) } else { self.deadline_passed(now) }
    }

    fn cancel(&mut self, now: Instant) -> Result<Output, HidError> {
        match (self.stage, self.channel.id) {
            (Stage::Answer, Some(id)) if self.command == Command::CBOR => {
                self.stage = Stage::Cancelled;
                self.deadline = self.give_up.min(now + CANCEL_GRACE);
                if self.reassembly.is_under_way() {
                    return Ok(Output::Wait);
                }
                Message::new(id, Command::CANCEL, Vec::new()).map(Output::Send)
            }
            (Stage::Cancelled, _) => Ok(Output::Wait),
            _ => Err(HidError::Cancelled),
        }
    }

    fn deadline_passed(&mut self, now: Instant) -> Result<Output, HidError> {
        match (self.stage, self.channel.id) {
            (Stage::Cancelled, _) => Err(HidError::Cancelled),
            (Stage::Pause(Some(on)), _) => self.send_init(on, now),
            (Stage::Pause(None), Some(id)) => self.send_command(id, now),
            (Stage::Init(_), _) => {
                // It may have forgotten the channel: the next exchange asks for a new one.
                self.channel.id = None;
                Err(HidError::Silent)
            }
            _ => Err(HidError::Silent),
        }
    }

    fn send_init(&mut self, on: ChannelId, now: Instant) -> Result<Output, HidError> {
        if let Some(last) = self.nonce.last_mut() {
            // A late answer to an earlier INIT is not one to this.
            *last = last.wrapping_add(1);
        }
        self.stage = Stage::Init(on);
        self.listen(now);
        Message::new(on, Command::INIT, self.nonce.to_vec()).map(Output::Send)
    }

    fn send_command(&mut self, id: ChannelId, now: Instant) -> Result<Output, HidError> {
        let lacks = match self.channel.info {
            Some(info) if self.command == Command::CBOR && !info.has_cbor() => Some(HidError::TooOld),
            Some(info) if self.command == Command::WINK && !info.can_wink() => Some(HidError::NoWink),
            _ => None,
        };
        if let Some(error) = lacks {
            self.channel.in_step = true;
            return Err(error);
        }
        self.stage = Stage::Answer;
        self.reassembly = Reassembly::default();
        self.listen(now);
        Message::new(id, self.command, self.payload.clone()).map(Output::Send)
    }

    /// Waits for [`SILENCE`] from now on, but never past the end.
    fn listen(&mut self, now: Instant) {
        self.deadline = self.give_up.min(now + SILENCE);
    }

    /// A packet on the channel on which INIT was sent: the answer, another program's, or what was on its way before.
    fn init_answered(&mut self, on: ChannelId, frame: Frame<'_>, now: Instant) -> Result<Output, HidError> {
        let Frame::Init { command, len, data, .. } = frame else { return self.ignored(now) };
        match command {
            Command::ERROR => match (device_error(len, data)?, on) {
                (DeviceError::ChannelBusy, _) => self.pause(Some(on), now),
                (error, ChannelId::BROADCAST) => Err(HidError::Device(error)),
                (DeviceError::InvalidChannel, _) => self.send_init(ChannelId::BROADCAST, now),
                // Meant for the command that this INIT ends.
                _ => self.ignored(now),
            },
            Command::INIT if data.starts_with(&self.nonce) => {
                let [_, _, _, _, _, _, _, _, a, b, c, d, protocol, major, minor, build, capabilities, ..] =
                    *data;
                if len < 17 {
                    return Err(HidError::Length(Command::INIT));
                }
                if protocol != PROTOCOL_VERSION {
                    return Err(HidError::Version(protocol));
                }
                let id = ChannelId([a, b, c, d]);
                if !id.is_ordinary() || (on != ChannelId::BROADCAST && on != id) {
                    return Err(HidError::Channel);
                }
                self.channel.id = Some(id);
                self.channel.info = Some(DeviceInfo { version: [major, minor, build], capabilities });
                self.send_command(id, now)
            }
            _ => self.ignored(now),
        }
    }

    /// A packet on the channel on which the command was sent.
    fn answered(&mut self, frame: Frame<'_>, now: Instant) -> Result<Output, HidError> {
        let is_cancelled = matches!(self.stage, Stage::Cancelled);
        if now >= self.give_up {
            return self.deadline_passed(now);
        }
        if let (Frame::Init { command, len, data, .. }, false) = (frame, self.reassembly.is_under_way()) {
            match command {
                Command::KEEPALIVE => {
                    let &[status, ..] = data;
                    if len != 1 {
                        return Err(HidError::Length(Command::KEEPALIVE));
                    }
                    let status = KeepaliveStatus::from_byte(status).ok_or(HidError::Keepalive(status))?;
                    if is_cancelled || self.command != Command::CBOR {
                        return self.ignored(now);
                    }
                    self.at_work = true;
                    self.listen(now);
                    return Ok(Output::Keepalive(status));
                }
                Command::ERROR => return self.refused(device_error(len, data)?, is_cancelled, now),
                got if got != self.command => return Err(HidError::Unexpected { sent: self.command, got }),
                _ => {}
            }
        }
        match self.reassembly.push(frame)? {
            Some(message) => {
                self.channel.in_step = true;
                Ok(Output::Done(message.into_payload()))
            }
            // Once it is cancelled, a packet prolongs nothing.
            None if is_cancelled => self.ignored(now),
            None => {
                self.listen(now);
                Ok(Output::Wait)
            }
        }
    }

    fn refused(&mut self, error: DeviceError, is_cancelled: bool, now: Instant) -> Result<Output, HidError> {
        match error {
            _ if is_cancelled => Err(HidError::Cancelled),
            DeviceError::ChannelBusy if self.at_work => Err(HidError::Busy),
            DeviceError::ChannelBusy => self.pause(None, now),
            DeviceError::InvalidCommand if self.command == Command::WINK => Err(HidError::NoWink),
            error if error.is_lost_sync() && !self.sent_again && !self.at_work => {
                self.sent_again = true;
                let known = self.channel.id.filter(|_| error != DeviceError::InvalidChannel);
                self.send_init(known.unwrap_or(ChannelId::BROADCAST), now)
            }
            error => Err(HidError::Device(error)),
        }
    }

    fn pause(&mut self, init: Option<ChannelId>, now: Instant) -> Result<Output, HidError> {
        let until = *self.busy_until.get_or_insert(now + BUSY);
        if now >= until {
            return Err(HidError::Busy);
        }
        self.stage = Stage::Pause(init);
        self.deadline = now + BUSY_PAUSE;
        Ok(Output::Wait)
    }
}

fn device_error(len: u16, data: &[u8; 57]) -> Result<DeviceError, HidError> {
    let &[code, ..] = data;
    if len == 1 { Ok(DeviceError::from_byte(code)) } else { Err(HidError::Length(Command::ERROR)) }
}
