//! Who started this program: the browser says which extension asked for it.

use crate::manifest::Family;
use std::ffi::OsString;
use std::path::Path;

/// Why the caller is refused. `Display` has nothing of the arguments in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallerError {
    /// Not by a browser.
    #[error(
        "browsers start this program for the wallet's extension; \"fwpctl browser install\" tells them where it is"
    )]
    NoBrowser,
    /// By a browser, for another extension.
    #[error("another extension than the wallet's asked for this program; it is not served")]
    Stranger,
    /// The templates are broken.
    #[error("this program was built with templates of manifests that can't be read")]
    Template,
}

/// Finds out by the command line (without the program's name) for whom the program was started. Chromium gives the
/// extension's origin; Firefox gives the manifest's path and the add-on's ID. What follows is the browser's own affair.
///
/// # Errors
/// [`CallerError`].
pub fn parse(arguments: &[OsString]) -> Result<Family, CallerError> {
    let mut texts = arguments.iter().map(|argument| argument.to_str());
    let (family, name) = match (texts.next().flatten(), texts.next().flatten()) {
        (Some(origin), _) if origin.starts_with("chrome-extension://") => (Family::Chromium, origin),
        (Some(manifest), Some(add_on)) if Path::new(manifest).is_absolute() => (Family::Firefox, add_on),
        _ => return Err(CallerError::NoBrowser),
    };
    let ours = family.packaged().map_err(|_| CallerError::Template)?;
    if ours.allowed().any(|allowed| allowed == name) { Ok(family) } else { Err(CallerError::Stranger) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(arguments: &[&str]) -> Result<Family, CallerError> {
        parse(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_wallets_extension_is_served_in_both_families() {
        let origin = "chrome-extension://fbbcjgngepnkomgepnccbeccbiocnebc/";
        assert_eq!(called(&[origin]), Ok(Family::Chromium));
        assert_eq!(called(&[origin, "--a-later-chromium=1"]), Ok(Family::Chromium));
        let manifest = "/home/me/.mozilla/native-messaging-hosts/io.github.fwpd.json";
        assert_eq!(called(&[manifest, "wallet@fwpd.github.io"]), Ok(Family::Firefox));
    }

    #[test]
    fn others_are_not() {
        for arguments in [
            &["chrome-extension://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/"][..],
            &["chrome-extension://fbbcjgngepnkomgepnccbeccbiocnebc"],
            &["chrome-extension://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/", "wallet@fwpd.github.io"],
            &["/x.json", "other@example.org"],
            &["/x.json", "wallet@fwpd.github.io.evil"],
            &["/x.json", "chrome-extension://fbbcjgngepnkomgepnccbeccbiocnebc/"],
        ] {
            assert_eq!(called(arguments), Err(CallerError::Stranger), "{arguments:?}");
        }
        for arguments in
            [&[][..], &["x.json", "wallet@fwpd.github.io"], &["/x.json"], &["wallet@fwpd.github.io"]]
        {
            assert_eq!(called(arguments), Err(CallerError::NoBrowser), "{arguments:?}");
        }
    }
}
