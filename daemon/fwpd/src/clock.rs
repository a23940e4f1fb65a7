//! The clocks, which nothing below this crate reads.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fwp::TimeStamp;
use fwp_wallet::Moment;
use fwp_wallet::limits::BootId;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since 1970, UTC.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Now by both clocks: the calendar's, and one that never steps and goes on while the machine sleeps.
pub(crate) fn moment() -> Moment {
    let boot = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(boot.tv_sec).unwrap_or_default();
    let nanoseconds = u64::try_from(boot.tv_nsec).unwrap_or_default();
    Moment {
        monotonic_ms: seconds.saturating_mul(1000).saturating_add(nanoseconds / 1_000_000),
        unix_ms: now_ms(),
    }
}

/// Which start of the machine this is: the clock that never steps begins anew with each. Zeros where nobody says.
pub(crate) fn boot_id() -> BootId {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits = text.trim().replace('-', "");
    let read = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).unwrap_or_default();
    read.try_into().unwrap_or_default()
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Waits until a moment of the clock that never steps; for ever if there is none. The timer stands still while the
/// machine sleeps, so it is looked at the clock again now and then.
pub(crate) async fn until(deadline_ms: Option<u64>) {
    const LONGEST: Duration = Duration::from_secs(60);
    let Some(deadline_ms) = deadline_ms else { return std::future::pending().await };
    loop {
        let now = moment().monotonic_ms;
        if now > deadline_ms {
            return;
        }
        let left = Duration::from_millis(deadline_ms.saturating_sub(now).saturating_add(1));
        tokio::time::sleep(left.min(LONGEST)).await;
    }
}

/// A point in time as FWP objects have it: with the local offset when the system knows one, else `Z`.
pub(crate) fn time_stamp(unix_ms: i64) -> Option<TimeStamp> {
    let offset = TimeZone::try_system().ok().zip(Timestamp::from_millisecond(unix_ms).ok());
    let minutes = offset.and_then(|(zone, time)| i16::try_from(zone.to_offset(time).seconds() / 60).ok());
    TimeStamp::from_unix_ms(unix_ms, minutes).ok()
}

/// For people and logs; empty for a time that no calendar has.
pub(crate) fn time_text(unix_ms: i64) -> String {
    time_stamp(unix_ms).map(|time| time.as_str().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_start_has_a_name_that_stays() {
        assert_ne!(boot_id(), BootId::default());
        assert_eq!(boot_id(), boot_id());
    }
}
