//! A container with a real systemd, bus, logind and polkit, for what belongs to an installed system: the package, the service's unit,
//! the policies. `scripts/container.sh` makes the image, once; each start gets a fresh copy of it in memory and no network.
//!
//! systemd-nspawn needs root, and a cgroup (version 2) that the container's systemd may divide: both are looked after here.

mod run;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

pub use crate::guest::Outcome;
use crate::programs::target_dir;

/// Where the guest finds what the host brings.
pub const SHARE: &str = "/mnt/fwpd";

/// Where the container's systemd looks for a TPM, to open credentials with it: the TCP port of one in software, on its own loopback
/// interface. Nothing is there until a case starts it.
pub const TPM_PORT: u16 = 2321;

/// Why the container did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody but root can start it.
    #[error(
        "not shown here: a container with systemd needs root; run the tests as root (`make setup-test` says how)"
    )]
    NotRoot,
    /// Its image was not made.
    #[error("the container's image is missing ({0}): run scripts/container.sh")]
    NotMade(String),
    /// A file of this machine, or a program of it.
    #[error("the container can't be put together: {0}")]
    Io(#[from] io::Error),
    /// It ended before the work did.
    #[error("the container ended before its work; the end of its console:\n{console}")]
    Ended {
        /// The end of its console.
        console: String,
    },
    /// The work took too long.
    #[error("the container did not end within {} s; the end of its console:\n{console}", limit.as_secs())]
    Timeout {
        /// How long it could take.
        limit: Duration,
        /// The end of its console.
        console: String,
    },
}

/// A guest to be started.
#[derive(Debug)]
pub struct Container {
    root: PathBuf,
    folder: TempDir,
}

impl Container {
    /// A guest of the image alone.
    ///
    /// # Errors
    /// [`Error::NotRoot`], [`Error::NotMade`], [`Error::Io`].
    pub fn new() -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::NotRoot);
        }
        let image = image()?;
        // On the image's own disk, so that large programs are linked there instead of copied.
        let folder = tempfile::Builder::new().prefix("start-").tempdir_in(&image)?;
        // Ordinary users of the guest use what is in it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        for part in ["share", "out"] {
            fs::create_dir(folder.path().join(part))?;
        }
        Ok(Self { root: image.join("root"), folder })
    }

    /// Brings a file or program of this machine to [`SHARE`], under this name.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn file(&mut self, name: &str, from: &Path) -> Result<(), Error> {
        let to = self.path(name)?;
        if fs::hard_link(from, &to).is_err() {
            fs::copy(from, &to).map_err(|error| io::Error::other(format!("{}: {error}", from.display())))?;
        }
        Ok(())
    }

    /// Brings a file with this content to [`SHARE`]; `mode` is its permissions.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn text(&mut self, name: &str, mode: u32, content: &str) -> Result<(), Error> {
        let to = self.path(name)?;
        fs::write(&to, content)?;
        Ok(fs::set_permissions(&to, fs::Permissions::from_mode(mode))?)
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        let to = self.folder.path().join("share").join(name);
        if let Some(above) = to.parent() {
            fs::create_dir_all(above)?;
        }
        Ok(to)
    }
}

/// The folder of the image and its disk.
///
/// # Errors
/// [`Error::NotMade`].
pub fn image() -> Result<PathBuf, Error> {
    let folder = target_dir().join("container");
    if folder.join("made").exists() { Ok(folder) } else { Err(Error::NotMade(folder.display().to_string())) }
}

/// The variable that names the folder of packages that are there already, such as those of a release.
pub const PACKAGES: &str = "FWPD_PACKAGES";

/// The project's packages, `fwpd` and `fwpd-sandbox`: those of [`PACKAGES`]; without it they are packed into the folder `to`, from the programs
/// as they are built.
///
/// # Errors
/// [`Error::Io`]: what `scripts/deb.sh` says.
pub fn packages(to: &Path) -> Result<[PathBuf; 2], Error> {
    let given = std::env::var_os(PACKAGES).map(PathBuf::from);
    if given.is_none() {
        let mut deb = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/deb.sh"));
        run(deb.args(["--profile", "dev", "--out"]).arg(to).env("CARGO_TARGET_DIR", target_dir()))?;
    }
    let to = given.as_deref().unwrap_or(to);
    let mut found: Vec<PathBuf> = Vec::new();
    let named = |error| io::Error::other(format!("{}: {error}", to.display()));
    for entry in fs::read_dir(to).map_err(named)? {
        found.push(entry?.path());
    }
    let of = |start: &str| {
        let has = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(start) && name.ends_with(".deb")
        };
        found
            .iter()
            .find(has)
            .cloned()
            .ok_or_else(|| io::Error::other(format!("{} has no {start}*.deb", to.display())))
    };
    Ok([of("fwpd_")?, of("fwpd-sandbox_")?])
}

/// The same package with another version, as a file at `to`.
///
/// # Errors
/// [`Error::Io`]: what `dpkg-deb` says.
pub fn with_version(package: &Path, version: &str, to: &Path) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let content = folder.path().join("content");
    run(Command::new("dpkg-deb").arg("--raw-extract").args([package, &content]))?;
    let control = content.join("DEBIAN/control");
    let text = fs::read_to_string(&control)?;
    let lines = text.lines().map(|line| match line.strip_prefix("Version: ") {
        Some(_) => format!("Version: {version}\n"),
        None => format!("{line}\n"),
    });
    fs::write(&control, lines.collect::<String>())?;
    // Debian package dpkg. Fast instead of small.
    let build = ["-Zgzip", "-z1", "--root-owner-group", "--build"];
    run(Command::new("dpkg-deb").args(build).args([&content, to]))
}

/// Runs a program, which must succeed.
fn run(command: &mut Command) -> Result<(), Error> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))).into())
}
