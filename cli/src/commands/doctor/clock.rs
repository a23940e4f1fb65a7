//! The clock: a bank takes an authorization for 10 minutes, and none that is a minute ahead.

use super::report::{Health, Report};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zbus::Connection;

/// 2026-01-01, in seconds since 1970: no clock of a machine that runs this program is before it.
const FIRST_RELEASE: u64 = 1_767_225_600;
/// How far this program's clock and the daemon's, which is the same, may be apart by the time it takes to ask.
const SAME_CLOCK: Duration = Duration::from_secs(5);

/// Is the time possible, and does the daemon see the same?
pub(super) fn clock(report: &mut Report, daemon_time: Option<&str>) {
    judge(report, SystemTime::now(), daemon_time);
}

fn judge(report: &mut Report, now: SystemTime, daemon_time: Option<&str>) {
    // A reproducible build says its date by this variable.
    let built = option_env!("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok()).unwrap_or(FIRST_RELEASE);
    let whole = OffsetDateTime::from(now).replace_nanosecond(0).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let shown = whole.format(&Rfc3339).unwrap_or_else(|_| "a time without a name".to_owned());
    if now.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()) < built {
        return report.add(
            "clock",
            Health::Bad,
            format!("{shown} is before this program was made: banks refuse such authorizations"),
            "set the clock (\"timedatectl set-ntp true\")",
        );
    }
    let apart = daemon_time.and_then(|time| OffsetDateTime::parse(time, &Rfc3339).ok()).map(|time| {
        let difference = OffsetDateTime::from(now) - time;
        difference.unsigned_abs()
    });
    match apart {
        Some(apart) if apart > SAME_CLOCK => report.add(
            "clock",
            Health::Bad,
            format!("{shown} here, {} s away from the daemon's", apart.as_secs()),
            "restart the daemon",
        ),
        _ => report.good("clock", shown),
    }
}

/// Whether something keeps the clock right, as the kernel sees it (adjtimex, which systemd's timedated reads for us).
pub(super) async fn synchronised(report: &mut Report) {
    let asked = async {
        let system = Connection::system().await?;
        let timedate = zbus::Proxy::new(
            &system,
            "org.freedesktop.timedate1",
            "/org/freedesktop/timedate1",
            "org.freedesktop.timedate1",
        );
        let timedate = timedate.await?;
        let is_synchronised = timedate.get_property::<bool>("NTPSynchronized").await?;
        zbus::Result::Ok((is_synchronised, timedate.get_property::<bool>("CanNTP").await?))
    };
    let asked = tokio::time::timeout(Duration::from_secs(5), asked).await;
    judge_service(report, asked.ok().and_then(Result::ok));
}

/// `found`: whether the clock is synchronised, and whether there is a service that could do it, as timedated knows.
fn judge_service(report: &mut Report, found: Option<(bool, bool)>) {
    const OFF: &str = "the clock is not synchronised, and banks refuse an authorization that is minutes off";
    match found {
        Some((true, _)) => report.good("time service", "the clock is synchronised"),
        Some((false, true)) => {
            report.add("time service", Health::Warning, OFF, "\"timedatectl set-ntp true\"");
        }
        // set-ntp would be refused.
        Some((false, false)) => {
            report.add("time service", Health::Warning, OFF, "\"sudo apt install systemd-timesyncd\"");
        }
        None => report.add(
            "time service",
            Health::Unknown,
            "systemd-timedated does not answer",
            "compare the clock above with another",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_nobody_keeps_has_the_remedy_that_works() {
        let says = |found: Option<(bool, bool)>| {
            let mut report = Report::default();
            judge_service(&mut report, found);
            report.text()
        };
        assert!(says(Some((true, false))).starts_with("ok"));
        assert!(says(Some((false, true))).contains("set-ntp true"));
        let none = says(Some((false, false)));
        assert!(none.starts_with("warning") && none.contains("apt install systemd-timesyncd"), "{none}");
        assert!(says(None).starts_with("unknown"));
    }

    #[test]
    fn a_wrong_clock_is_a_problem_with_a_remedy() {
        let says = |now: SystemTime, daemon: Option<&str>| {
            let mut report = Report::default();
            judge(&mut report, now, daemon);
            report.text()
        };
        let day = |days: u64| UNIX_EPOCH + Duration::from_secs(days * 86_400);
        assert!(says(day(100), None).contains("set the clock"));
        let now = day(30_000);
        assert_eq!(says(now, Some("2052-02-20T00:00:03Z")), "ok       clock          2052-02-20T00:00:00Z\n");
        let apart = says(now, Some("2052-02-20T00:01:00Z"));
        assert!(apart.contains("60 s away from the daemon's; restart the daemon"), "{apart}");
    }
}
