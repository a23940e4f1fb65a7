//! The guest's side: runs the cases, and reports each as a line of JSON.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;

use crate::cases::CASES;

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
    for (name, case) in CASES.iter().filter(|(name, _)| wanted.iter().any(|wanted| wanted == name)) {
        let started = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(case));
        let panic = std::mem::take(&mut *PANIC.lock().unwrap());
        let failed = result.err().map(|_| panic);
        println!("{}", json!({"case": name, "seconds": started.elapsed().as_secs_f64(), "failed": failed}));
    }
    ExitCode::SUCCESS
}
