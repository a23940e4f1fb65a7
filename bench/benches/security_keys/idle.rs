//! How often the daemon wakes while nothing happens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fwp_tests::{Fwpd, PrivateBus, QUICK};
use tokio::runtime::Runtime;

const WINDOW: Duration = Duration::from_secs(10);

/// Prints the count of wake-ups of all its threads, with and without a connection that watches for keys.
pub(crate) fn print_wake_ups() {
    Runtime::new().unwrap().block_on(async {
        let bus = PrivateBus::session();
        let fwpd = Fwpd::start(&bus, program(), QUICK).await;
        let pid = fwpd.pid().as_raw_nonzero().get();
        let page = fwpd.client(&bus).await;
        page.wallet().await.unwrap().list_authenticators().await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let idle = wake_ups(pid).await;
        page.wallet().await.unwrap().watch_authenticators().await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let watching = wake_ups(pid).await;
        println!("\nWake-ups of fwpd in {} s while nothing happens\n\n| | |\n|---|---|", WINDOW.as_secs());
        println!(
            "| nobody watches | {idle} |\n| a connection watches for keys over USB and NFC | {watching} |"
        );
    });
}

/// Voluntary context switches of all threads over the window.
async fn wake_ups(pid: i32) -> u64 {
    let before = switches(pid);
    tokio::time::sleep(WINDOW).await;
    switches(pid).saturating_sub(before)
}

fn switches(pid: i32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |thread: &Path| -> u64 {
        let status = std::fs::read_to_string(thread.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    };
    threads.map(|thread| of(&thread.unwrap().path())).sum()
}

fn program() -> PathBuf {
    let program = fwp_tests::programs::target_dir().join("release/fwpd");
    assert!(program.is_file(), "no release build of fwpd; use `make bench`");
    program
}
