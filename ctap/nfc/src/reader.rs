//! PC/SC readers: which there are, what lies on them, and what PC/SC's errors mean.

use ctap_core::transport::TransportError;
use pcsc::{Context, Error, PNP_NOTIFICATION, ReaderState, Scope, State};
use std::ffi::{CStr, CString};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// Where pcscd leaves its process ID.
const PID_FILE: &str = "/run/pcscd/pcscd.pid";
/// The most states that pcsc-lite takes at once, which is the most readers that it knows.
const MAX_STATES: usize = 16;
/// How often readers that change while they are looked at are looked at again.
const MAX_LOOKS: u32 = 8;
/// The longest reader's name that is shown, in characters.
const MAX_NAME: usize = 64;

/// A connection to pcscd.
///
/// # Errors
/// [`TransportError::Unavailable`] with the remedy, where there is no pcscd or it lets nobody in.
pub(crate) fn connect() -> Result<Context, TransportError> {
    Context::establish(Scope::System).map_err(of_service)
}

/// One reader at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reader {
    pub(crate) name: CString,
    /// A card that answers lies on it.
    pub(crate) has_card: bool,
    /// Some program has the card.
    pub(crate) in_use: bool,
    /// PC/SC's count of cards that came and went.
    count: u32,
    /// The state as PC/SC wants it back, count included.
    raw: State,
}

impl Reader {
    /// Who lies there: another value for every laying-on, `None` where nothing does. PC/SC counts cards that come and
    /// go per reader, from the start of pcscd: so it is the reader's name, that start and that count.
    pub(crate) fn card_id(&self) -> Option<String> {
        let name = self.name.as_bytes().escape_ascii();
        self.has_card.then(|| format!("{name}#{}-{}", start_of_pcscd(), self.count))
    }

    /// The reader's name for people.
    pub(crate) fn shown_name(&self) -> String {
        sanitised(&self.name.to_string_lossy())
    }
}

/// The readers that there are, with their states now.
pub(crate) fn readers(context: &Context) -> Result<Vec<Reader>, Error> {
    let mut looks = 1;
    loop {
        match look(context) {
            // One of them left between being listed and being looked at.
            Err(Error::UnknownReader) if looks < MAX_LOOKS => looks += 1,
            result => return result,
        }
    }
}

fn look(context: &Context) -> Result<Vec<Reader>, Error> {
    let mut states: Vec<_> = context
        .list_readers_owned()?
        .into_iter()
        .map(|name| ReaderState::new(name, State::UNAWARE))
        .collect();
    if states.is_empty() {
        return Ok(Vec::new());
    }
    match context.get_status_change(Duration::ZERO, &mut states) {
        Ok(()) | Err(Error::Timeout) => Ok(states.iter().map(reader).collect()),
        Err(error) => Err(error),
    }
}

fn reader(state: &ReaderState) -> Reader {
    let event = state.event_state();
    let silent = State::MUTE | State::UNAVAILABLE | State::UNKNOWN;
    Reader {
        name: state.name().to_owned(),
        has_card: event.contains(State::PRESENT) && !event.intersects(silent),
        in_use: event.intersects(State::INUSE | State::EXCLUSIVE),
        count: state.event_count(),
        raw: counted(event, state.event_count()),
    }
}

/// PC/SC's count of readers that came and went: what changed since the last wait is not missed. pcsc-lite 1.9, say, has none
/// yet, and a reader that is plugged in during the fraction of a millisecond between two waits is seen with the next event only.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ReaderCount(u32);

impl ReaderCount {
    /// The count now.
    pub(crate) fn now(context: &Context) -> Result<Self, Error> {
        let mut states = [ReaderState::new(PNP_NOTIFICATION(), State::UNAWARE)];
        match context.get_status_change(Duration::ZERO, &mut states) {
            Ok(()) | Err(Error::Timeout) => Ok(Self(states.first().map_or(0, ReaderState::event_count))),
            Err(error) => Err(error),
        }
    }
}

/// Blocks until something differs from `readers`, or readers come or go, or [`Context::cancel`].
pub(crate) fn wait_for_change(
    context: &Context,
    readers: &[Reader],
    count: &mut ReaderCount,
) -> Result<(), Error> {
    let seen = readers.iter().map(|reader| ReaderState::new(reader.name.clone(), reader.raw));
    let come_or_go = ReaderState::new(PNP_NOTIFICATION(), counted(State::UNAWARE, count.0));
    // Where there are as many readers as there can be, no other one comes.
    let mut states: Vec<_> = seen.chain([come_or_go]).take(MAX_STATES).collect();
    context.get_status_change(None, &mut states)?;
    count.0 = states.get(readers.len()).map_or(0, ReaderState::event_count);
    Ok(())
}

/// A state with its count, as PC/SC wants it back.
fn counted(state: State, count: u32) -> State {
    State::from_bits_retain(state.bits() | pcsc::ffi::DWORD::from(count) << 16)
}

/// The reader called `name`, if it is there.
pub(crate) fn find(context: &Context, name: &CStr) -> Result<Option<Reader>, Error> {
    Ok(readers(context)?.into_iter().find(|reader| reader.name.as_c_str() == name))
}

/// Tells one pcscd from the next: its counts begin anew. Empty if it leaves no file, as on some systems.
fn start_of_pcscd() -> String {
    let Ok(metadata) = std::fs::metadata(PID_FILE) else { return String::new() };
    format!("{:x}.{:x}", metadata.mtime(), metadata.mtime_nsec())
}

/// Printable ASCII; everything else could lie about what surrounds it.
fn sanitised(name: &str) -> String {
    let harmless = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    name.chars().take(MAX_NAME).map(harmless).collect()
}

/// What an error of PC/SC means that came of no reader in particular: where the line is broken, it is the one to pcscd.
pub(crate) fn of_service(error: Error) -> TransportError {
    match error {
        Error::CommError | Error::InvalidHandle | Error::NotTransacted => of_pcsc(Error::NoService),
        error => of_pcsc(error),
    }
}

/// What an error of PC/SC means that came of a card or its reader.
pub(crate) fn of_pcsc(error: Error) -> TransportError {
    let unavailable = |text: &str| TransportError::Unavailable(text.to_owned());
    match error {
        Error::NoService | Error::ServiceStopped | Error::Shutdown => unavailable(
            "NFC readers can't be used, the smart card service does not run: install and start pcscd \
             (apt install pcscd; systemctl enable --now pcscd.socket)",
        ),
        Error::SecurityViolation => unavailable(
            "NFC readers can't be used, the smart card service refuses access: log in at this machine's own screen, \
             or have polkit allow org.debian.pcsc-lite.access_pcsc and org.debian.pcsc-lite.access_card",
        ),
        // A card that leaves the field in the middle of an exchange shows as a failed transmission first.
        Error::RemovedCard
        | Error::NoSmartcard
        | Error::ReaderUnavailable
        | Error::UnknownReader
        | Error::UnpoweredCard
        | Error::UnresponsiveCard
        | Error::NotTransacted
        | Error::CommError
        | Error::ResetCard => TransportError::Gone,
        Error::SharingViolation => TransportError::Busy,
        Error::Cancelled | Error::SystemCancelled => TransportError::Cancelled,
        Error::Timeout => TransportError::Timeout,
        error => TransportError::Io(format!("the smart card service says: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_lie_about_what_surrounds_it() {
        assert_eq!(sanitised("ACS ACR122U 00 00"), "ACS ACR122U 00 00");
        assert_eq!(sanitised("\u{1b}[2Jred\u{202e}der\n"), "?[2Jred?der?");
        assert_eq!(sanitised(&"x".repeat(1_000)).len(), MAX_NAME);
    }
}
