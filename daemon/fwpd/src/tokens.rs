//! Names of objects that nobody can guess.

use fwp_dbus::{Error, ErrorName};
use zbus::OwnedObjectPath;

/// 128 random bits, and the path below `prefix` that ends with them.
///
/// # Errors
/// `Internal`, if the operating system gives no random numbers.
pub(crate) fn new_object(prefix: &str) -> Result<(String, OwnedObjectPath), Error> {
    let mut bytes = [0; 16];
    let failed = |error: String| Error::new(ErrorName::Internal, error);
    getrandom::fill(&mut bytes).map_err(|error| failed(error.to_string()))?;
    let token = data_encoding::HEXLOWER.encode(&bytes);
    let path =
        OwnedObjectPath::try_from(format!("{prefix}/{token}")).map_err(|error| failed(error.to_string()))?;
    Ok((token, path))
}
