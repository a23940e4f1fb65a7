//! Users of this computer, by name and by number, as the system's name service knows them.

use crate::error::Error;
use std::process::Stdio;
use tokio::process::Command;

/// Asks the name service (files, LDAP, whatever is set up), through the C library's own program.
const PROGRAM: &str = "getent";

/// The number of a user, by name or number.
///
/// # Errors
/// [`Error::NoSuchUser`].
pub async fn number(user: &str) -> Result<u32, Error> {
    if let Ok(uid) = user.parse() {
        return Ok(uid);
    }
    let entry = entry(user).await;
    let uid = entry.as_deref().and_then(|entry| entry.split(':').nth(2)).and_then(|uid| uid.parse().ok());
    uid.ok_or_else(|| Error::NoSuchUser(user.to_owned()))
}

/// The name of a user, if it has one; not safe to print.
pub async fn name(uid: u32) -> Option<String> {
    let entry = entry(&uid.to_string()).await?;
    entry.split(':').next().map(str::to_owned)
}

/// The line of `passwd` for a name or number.
async fn entry(key: &str) -> Option<String> {
    // A name never begins so, and getent would take it for an option.
    if key.is_empty() || key.starts_with('-') {
        return None;
    }
    let mut command = Command::new(PROGRAM);
    command.args(["passwd", key]).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().await.ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn users_are_found_by_name_and_by_number() {
        assert_eq!(number("root").await.unwrap(), 0);
        assert_eq!(number("4242").await.unwrap(), 4242);
        assert_eq!(name(0).await.as_deref(), Some("root"));
        assert_eq!(name(3_999_999_999).await, None);
        for nobody in ["", "-s", "no such user", "root:x"] {
            assert!(matches!(number(nobody).await, Err(Error::NoSuchUser(_))), "{nobody}");
        }
    }
}
