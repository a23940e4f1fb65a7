//! The project's programs, as the tests of other packages need them: built, and not older than what they are made of.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// The folder that cargo builds in, of this very program.
///
/// # Panics
/// If this program is not where cargo puts it.
pub fn target_dir() -> PathBuf {
    let this = std::env::current_exe().expect("this program's path");
    // Cargo's note of its compiler; CACHEDIR.TAG is missing where somebody made the folder before cargo.
    let target = this.ancestors().find(|folder| folder.join(".rustc_info.json").exists());
    target.expect("this program in cargo's target folder").to_owned()
}

/// The program `name` of the package `package`, of the same profile as this one. `cargo test` of the workspace has built it; of
/// one package alone, it is built here if it is missing or older than its sources.
///
/// # Panics
/// If it can't be built.
pub fn program(package: &str, name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("this program's path");
    let beside = this.parent().expect("its folder");
    let folder =
        if beside.ends_with("deps") { beside.parent().expect("the profile's folder") } else { beside };
    let program = folder.join(name);
    if !is_fresh(&program) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--locked", "--package", package, "--bin", name]);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        let built = cargo.env("CARGO_TARGET_DIR", target_dir()).status().expect("cargo");
        assert!(built.success() && program.exists(), "{} is not built", program.display());
    }
    program
}

/// Whether `program` is there and newer than every source that cargo notes beside it.
fn is_fresh(program: &Path) -> bool {
    let changed = |path: &Path| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
    let (Some(built), Ok(notes)) = (changed(program), std::fs::read_to_string(program.with_extension("d")))
    else {
        return false;
    };
    let sources = notes.split_once(": ").map_or("", |(_, sources)| sources).trim_end();
    // Spaces in names are escaped, and then a name is not found, which only costs a call of cargo.
    sources.split(' ').all(|source| changed(Path::new(source)).is_some_and(|changed| changed <= built))
}
