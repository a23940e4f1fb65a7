//! The clocks, which nothing below this crate reads.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fwp::TimeStamp;
use fwp_wallet::Moment;
use fwp_wallet::limits::BootId;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::io::{Errno, read};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::sync::Notify;

use crate::journal::{self, Notice};

/// Told when the calendar's clock was set, or the machine woke.
static STEPPED: Notify = Notify::const_new();

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

/// Which start of the machine this is: the clock that never steps begins anew with each. Zeros where nobody says. A service that
/// sees processes only in /proc (systemd.exec(5), ProcSubset=pid) is told by its unit, in the credential `fwpd.boot-id`.
pub(crate) fn boot_id() -> BootId {
    let told =
        || std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| Path::new(&folder).join("fwpd.boot-id"));
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let text = text.ok().or_else(|| std::fs::read_to_string(told()?).ok()).unwrap_or_default();
    let digits = text.trim().replace('-', "");
    let read = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).unwrap_or_default();
    read.try_into().unwrap_or_default()
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Waits until a moment of the clock that never steps; for ever if there is none. A timer of its own stands still while the
/// machine sleeps, so it is looked at the clock again when it wakes ([`watch_steps`]), and now and then.
pub(crate) async fn until(deadline_ms: Option<u64>) {
    const LONGEST: Duration = Duration::from_secs(60);
    let Some(deadline_ms) = deadline_ms else { return std::future::pending().await };
    loop {
        let stepped = STEPPED.notified();
        let now = moment().monotonic_ms;
        if now > deadline_ms {
            return;
        }
        let left = Duration::from_millis(deadline_ms.saturating_sub(now).saturating_add(1));
        tokio::select! {
            () = tokio::time::sleep(left.min(LONGEST)) => {}
            () = stepped => {}
        }
    }
}

/// Waits for a time in which the machine may sleep.
pub(crate) async fn sleep(time: Duration) {
    until(Some(moment().monotonic_ms.saturating_add(millis(time)))).await;
}

/// Sees the calendar's clock being set and the machine waking, on a thread of its own, for as long as the process runs: whoever
/// waits ([`until`]) looks at the clock again.
///
/// # Errors
/// What the system says.
pub(crate) fn watch_steps() -> std::io::Result<()> {
    let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)?;
    arm(&timer)?;
    std::thread::Builder::new().name("clock".to_owned()).spawn(move || {
        let mut before = Offsets::now();
        loop {
            match read(&timer, &mut [0; 8]) {
                Err(Errno::CANCELED) => {
                    let now = Offsets::now();
                    STEPPED.notify_waiters();
                    journal::tell(Notice::ClockChanged, &now.since(&before));
                    before = now;
                }
                Err(Errno::INTR) | Ok(_) => {}
                Err(error) => return tracing::warn!(%error, "the clock is not watched any more"),
            }
            if let Err(error) = arm(&timer) {
                return tracing::warn!(%error, "the clock is not watched any more");
            }
        }
    })?;
    Ok(())
}

/// A timer that never ends by itself; it is cancelled when the calendar's clock steps, and when the machine wakes
/// (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET).
fn arm(timer: &OwnedFd) -> rustix::io::Result<()> {
    /// 1 January 2200.
    const NEVER: Timespec = Timespec { tv_sec: 7_258_118_400, tv_nsec: 0 };
    const NONE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    let when = Itimerspec { it_interval: NONE, it_value: NEVER };
    timerfd_settime(timer, TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET, &when)?;
    Ok(())
}

/// How the clocks stand to each other, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offsets {
    /// Of the calendar's clock from the one that never steps.
    calendar: i64,
    /// What the machine slept in all.
    slept: i64,
}

impl Offsets {
    fn now() -> Self {
        let boot = clock_gettime(ClockId::Boottime).tv_sec;
        let awake = clock_gettime(ClockId::Monotonic).tv_sec;
        Self { calendar: (now_ms() / 1000).saturating_sub(boot), slept: boot.saturating_sub(awake) }
    }

    /// What happened since then, for the log.
    fn since(&self, before: &Self) -> String {
        let slept = self.slept.saturating_sub(before.slept);
        // Seconds are rounded on both sides.
        if slept > 1 {
            return format!("the machine slept for {slept} s");
        }
        format!("the clock was set by {:+} s", self.calendar.saturating_sub(before.calendar))
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
    fn sleep_and_a_clock_that_was_set_are_told_apart() {
        let before = Offsets { calendar: 1_700_000_000, slept: 10 };
        let since = |calendar, slept| Offsets { calendar, slept }.since(&before);
        assert_eq!(since(1_700_000_000, 3610), "the machine slept for 3600 s");
        assert_eq!(since(1_700_086_400, 10), "the clock was set by +86400 s");
        assert_eq!(since(1_699_996_400, 11), "the clock was set by -3600 s");
    }

    #[test]
    fn what_waits_looks_at_the_clock_again_when_it_steps() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let begun = std::time::Instant::now();
            let waiting = sleep(Duration::from_millis(200));
            let stepping = async {
                for _ in 0..5 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    STEPPED.notify_waiters();
                }
            };
            tokio::join!(waiting, stepping);
            // Looking again ends nothing early.
            assert!(begun.elapsed() >= Duration::from_millis(200));
            // The kernel takes the timer.
            watch_steps().unwrap();
        });
    }

    #[test]
    fn the_machines_start_has_a_name_that_stays() {
        assert_ne!(boot_id(), BootId::default());
        assert_eq!(boot_id(), boot_id());
    }
}
