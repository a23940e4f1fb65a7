//! Every corpus replays: what a fuzzer or a published case has shown once stays shown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

#[test]
fn every_target_has_a_corpus_and_takes_all_of_it() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, target) in fwp_fuzz::TARGETS {
        let folder = corpora.join(name);
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("{name} has no corpus"));
        let mut count = 0;
        for entry in entries {
            target(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "the corpus of {name} is empty");
        println!("{name}: {count} inputs");
    }
}

#[test]
fn every_corpus_has_a_target() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in std::fs::read_dir(corpora).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(fwp_fuzz::TARGETS.iter().any(|(target, _)| *target == name), "no target {name}");
    }
}

#[test]
fn every_target_has_its_program() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("harness/fuzz_targets");
    for (name, _) in fwp_fuzz::TARGETS {
        assert!(programs.join(format!("{name}.rs")).is_file(), "no program {name}");
    }
}
