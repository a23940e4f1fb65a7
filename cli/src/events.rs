//! What the daemon's objects tell, where only the end matters.

use crate::error::Error;
use fwp_dbus::{ClientError, Event, Events};

/// Waits until an object says how its work ended.
///
/// # Errors
/// The daemon's, and its disappearance.
pub async fn finished(events: &mut Events) -> Result<(), Error> {
    loop {
        if let Event::Finished(result) = events.next().await? {
            return result.map_err(|error| ClientError::from(error).into());
        }
    }
}
