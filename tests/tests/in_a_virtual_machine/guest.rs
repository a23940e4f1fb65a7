//! The guest's side: runs the cases, and reports each as a line of JSON.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;

use crate::cases::{CASES, Case};

/// What tells this program that it runs in the guest; the names of the cases follow.
pub(crate) const ARGUMENT: &str = "--guest";

pub(crate) fn main() -> ExitCode {
    static PANIC: Mutex<String> = Mutex::new(String::new());
    std::panic::set_hook(Box::new(|panic| {
        let mut text = PANIC.lock().unwrap();
        text.push_str(&panic.to_string());
        text.push('\n');
    }));
    let wanted: Vec<String> = std::env::args().skip(2).collect();
    for case in CASES.iter().filter(|case| wanted.iter().any(|wanted| wanted == case.name)) {
        if case.user != "root" && rustix::process::getuid().is_root() {
            as_another(case);
            continue;
        }
        let started = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(case.run));
        let panic = std::mem::take(&mut *PANIC.lock().unwrap());
        let failed = result.err().map(|_| panic);
        println!(
            "{}",
            json!({"case": case.name, "seconds": started.elapsed().as_secs_f64(), "failed": failed})
        );
    }
    ExitCode::SUCCESS
}

/// Has this very program run the case and report it, as its user with that user's groups.
fn as_another(case: &Case) {
    let this = std::env::current_exe().unwrap();
    let user =
        [format!("--reuid={}", case.user), format!("--regid={}", case.user), "--init-groups".to_owned()];
    let ended = Command::new("setpriv").args(user).arg(this).args([ARGUMENT, case.name]).status().unwrap();
    assert!(ended.success(), "{}: {ended}", case.name);
}
