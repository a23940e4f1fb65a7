//! A native-messaging manifest on disk: what it says, writing it, deleting it.

use super::is_executable;
use fwp_native_host::manifest::{Family, Manifest, NAME, PROGRAM};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Bytes of a manifest, at most.
const MAX_BYTES: u64 = 64 << 10;

/// What a browser finds in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// No file.
    Missing,
    /// It starts this program, for the wallet's extension and no other.
    Good(PathBuf),
    /// It is this wallet's, and something in it is wrong.
    Broken(Broken),
    /// It is not this wallet's, or can't be read.
    Foreign(&'static str),
}

/// What is wrong with a manifest of this wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The program isn't there.
    NoProgram(PathBuf),
    /// It is there and can't be executed.
    NotExecutable(PathBuf),
    /// The path isn't absolute.
    NotAbsolute(PathBuf),
    /// It lets in others than the wallet's extension, or not that one.
    Extensions,
}

/// For people; not safe to print.
impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoProgram(path) => write!(f, "it names {}, which is not there", path.display()),
            Self::NotExecutable(path) => write!(f, "it names {}, which can't be executed", path.display()),
            Self::NotAbsolute(path) => write!(f, "it names {}, which is no absolute path", path.display()),
            Self::Extensions => f.write_str("it doesn't let in the wallet's extension alone"),
        }
    }
}

/// Why a registration could not be changed. `Display` is not safe to print.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// Another program's file is there.
    #[error("{} is another program's ({why}); --replace overwrites it", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What shows it.
        why: &'static str,
    },
    /// The file system.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A path that JSON can't say.
    #[error("the path of {PROGRAM} is not UTF-8; put it elsewhere")]
    Path,
}

/// What came of [`install`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Installed {
    /// It said this already.
    Already,
    /// A new file.
    New,
    /// One of this wallet that said something else.
    Updated,
    /// Another program's, which is overwritten.
    Replaced,
}

/// What stands in `file`.
pub fn state(file: &Path, family: Family) -> State {
    match file.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return State::Missing,
        Err(_) => return State::Foreign("it can't be looked at"),
        Ok(found) if found.is_symlink() && !file.is_file() => {
            return State::Foreign("a link that leads to no file");
        }
        Ok(found) if !found.is_symlink() && !found.is_file() => return State::Foreign("it is no file"),
        Ok(_) => {}
    }
    let mut text = String::new();
    if File::open(file).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)).is_err() {
        return State::Foreign("it can't be read");
    }
    let (Ok(manifest), Ok(ours)) = (serde_json::from_str::<Manifest>(&text), family.packaged()) else {
        return State::Foreign("it is no manifest of this kind of browser");
    };
    if manifest.name != NAME || !manifest.allowed().any(|one| ours.allowed().any(|other| one == other)) {
        return State::Foreign("it lets in another extension");
    }
    if !manifest.allows_the_same(&ours) {
        State::Broken(Broken::Extensions)
    } else if !manifest.path.is_absolute() {
        State::Broken(Broken::NotAbsolute(manifest.path))
    } else if !manifest.path.is_file() {
        State::Broken(Broken::NoProgram(manifest.path))
    } else if !is_executable(&manifest.path) {
        State::Broken(Broken::NotExecutable(manifest.path))
    } else {
        State::Good(manifest.path)
    }
}

/// Registers `host` in `file`, whole or not at all.
///
/// # Errors
/// [`RegistrationError`].
pub fn install(
    file: &Path,
    family: Family,
    host: &Path,
    replace: bool,
) -> Result<Installed, RegistrationError> {
    let manifest = family.manifest(host).and_then(|manifest| manifest.to_text());
    let text = manifest.map_err(|_| RegistrationError::Path)?;
    let installed = match state(file, family) {
        State::Foreign(why) if !replace => {
            return Err(RegistrationError::Foreign { path: file.to_owned(), why });
        }
        State::Foreign(_) => Installed::Replaced,
        State::Missing => Installed::New,
        State::Good(_) if fs::read_to_string(file).is_ok_and(|there| there == text) => {
            return Ok(Installed::Already);
        }
        State::Good(_) | State::Broken(_) => Installed::Updated,
    };
    let folder = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(at(folder))?;
    // The browser sees the old file or the new one.
    let new = folder.join(format!(".{NAME}.{}", std::process::id()));
    let written = File::create_new(&new).and_then(|mut new| {
        new.write_all(text.as_bytes())?;
        new.sync_all()
    });
    if let Err(source) = written.and_then(|()| fs::rename(&new, file)) {
        // It may not be there.
        let _ = fs::remove_file(&new);
        return Err(RegistrationError::File { path: file.to_owned(), source });
    }
    Ok(installed)
}

/// What came of [`uninstall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uninstalled {
    /// The file is gone.
    Removed,
    /// There was none.
    NotThere,
    /// It is not this wallet's, and stays.
    Foreign(&'static str),
}

/// Deletes `file` if it registers this wallet.
///
/// # Errors
/// [`RegistrationError`].
pub fn uninstall(file: &Path, family: Family) -> Result<Uninstalled, RegistrationError> {
    match state(file, family) {
        State::Missing => Ok(Uninstalled::NotThere),
        State::Foreign(why) => Ok(Uninstalled::Foreign(why)),
        State::Good(_) | State::Broken(_) => {
            fs::remove_file(file).map(|()| Uninstalled::Removed).map_err(at(file))
        }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RegistrationError + use<'_> {
    |source| RegistrationError::File { path: path.to_owned(), source }
}
