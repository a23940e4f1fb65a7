//! The guest's side: installs the package, runs the cases, and reports each as a line of JSON.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;

use crate::cases::{CASES, Case};
use crate::system;

/// What tells this program that it runs in the guest; the place and the names of the cases follow.
pub(crate) const ARGUMENT: &str = "--guest";

/// What panics said.
static PANIC: Mutex<String> = Mutex::new(String::new());

pub(crate) fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let mut text = PANIC.lock().unwrap();
        text.push_str(&panic.to_string());
        text.push('\n');
    }));
    let mut arguments = std::env::args().skip(2);
    let place = arguments.next().unwrap();
    let wanted: Vec<String> = arguments.collect();
    // What all cases of the place stand on. Where it fails, so do they, each with its reason.
    let prepared = match place.as_str() {
        "upgrade" => attempt(|| system::install(&["before.deb", "fwpd-sandbox.deb"])),
        // The emulated processor has enough to do.
        "machine" => attempt(|| system::install(&["fwpd.deb"])),
        _ => attempt(|| system::install(&["fwpd.deb", "fwpd-sandbox.deb"])),
    };
    for case in CASES.iter().filter(|case| wanted.iter().any(|wanted| wanted == case.name)) {
        let started = Instant::now();
        let failed = match &prepared {
            Some(failed) => Some(failed.clone()),
            None => run(case),
        };
        let seconds = started.elapsed().as_secs_f64();
        println!("{}", json!({"case": case.name, "seconds": seconds, "failed": failed}));
    }
    ExitCode::SUCCESS
}

fn run(case: &Case) -> Option<String> {
    let since = system::journal_now();
    let failed = attempt(|| {
        system::fresh();
        (case.run)();
    })?;
    Some(format!("{failed}\nthe service's journal of this case:\n{}", system::journal_since(&since)))
}

/// How it failed, if it did.
fn attempt(work: impl FnOnce()) -> Option<String> {
    let failed = catch_unwind(AssertUnwindSafe(work)).is_err();
    let panic = std::mem::take(&mut *PANIC.lock().unwrap());
    failed.then_some(panic)
}
