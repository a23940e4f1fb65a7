//! Cases of our own, thousands of them, for every sentence of the protocol that a bank's verifier has to keep: each a test
//! of its own, named by what is bent.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bent;
mod builder;
mod esad;
mod json;
mod lines;
mod sad;
mod signature;

use builder::{Case, Want};
use libtest_mimic::{Arguments, Trial};

fn main() {
    let groups: [(&str, Vec<Case>); 5] = [
        ("sad", sad::cases()),
        ("esad", esad::cases()),
        ("signature", signature::cases()),
        ("json", json::cases()),
        ("line", lines::cases()),
    ];
    let trials = groups.into_iter().flat_map(|(group, cases)| {
        cases
            .into_iter()
            .map(move |case| Trial::test(format!("{group}: {}", case.name), move || check(&case)))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

fn check(case: &Case) -> Result<(), libtest_mimic::Failed> {
    let verdict = fwp_sandbox::cases::verify_line(&case.line, &[]);
    let holds = match &case.want {
        Want::Accept => verdict.ok,
        Want::Reject(codes) => verdict.error.is_some_and(|code| codes.contains(&code)),
    };
    if holds { Ok(()) } else { Err(format!("wanted {:?}, got {verdict:?}", case.want).into()) }
}
