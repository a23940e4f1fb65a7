//! Who may name a host: the payee of a payment, the origin of an enrollment's offer. The user trusts that name, and within one
//! UID nothing tells a browser from another program; so on the system's bus polkit decides.

use std::collections::HashMap;
use std::time::Duration;

use fwp_dbus::{Error, ErrorName};
use zbus::{Connection, Variant};

use crate::call::Caller;
use crate::config::ClaimOrigin;
use crate::context::{Bus, Context};

/// The action that polkit is asked for.
const ACTION: &str = "io.github.fwpd.claim-origin";
const POLKIT: &str = "org.freedesktop.PolicyKit1";
const AUTHORITY_PATH: &str = "/org/freedesktop/PolicyKit1/Authority";
const AUTHORITY: &str = "org.freedesktop.PolicyKit1.Authority";
/// CheckAuthorizationFlags: without AllowUserInteraction.
const NO_INTERACTION: u32 = 0;
/// How long polkit may take. It is on the same machine, and asks nobody.
const DEADLINE: Duration = Duration::from_secs(5);

/// Checks that the caller may name a host.
///
/// # Errors
/// `AccessDenied`, saying why and what to do; `Aborted` if its connection ended meanwhile.
pub(crate) async fn check(context: &Context, caller: &Caller) -> Result<(), Error> {
    match (context.config.claim_origin, context.bus) {
        (ClaimOrigin::Any, _) | (ClaimOrigin::Default, Bus::Session) => return Ok(()),
        (ClaimOrigin::None, _) => {
            return Err(denied(
                "the wallet's settings let no program name a host: claim-origin = \"none\" in fwpd's configuration".to_owned(),
            ));
        }
        (ClaimOrigin::Polkit, _) | (ClaimOrigin::Default, Bus::System) => {}
    }
    let answer = tokio::time::timeout(DEADLINE, ask_polkit(&context.connection, caller)).await;
    // What is made for a connection that ended meanwhile would have no end.
    if !context.callers.is_there(&caller.name) {
        return Err(Error::new(ErrorName::Aborted, "its connection ended"));
    }
    match answer {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(denied(format!(
            "polkit lets this program name no host (action {ACTION}): as shipped, programs of whoever is logged in at this computer and active may; the administrator allows others by a rule"
        ))),
        Ok(Err(error)) => Err(denied(unanswered(&error))),
        Err(_) => Err(denied("polkit does not answer: try again".to_owned())),
    }
}

fn denied(text: String) -> Error {
    Error::new(ErrorName::AccessDenied, text)
}

/// Why polkit has no answer, and what to do.
fn unanswered(error: &zbus::Error) -> String {
    const REMEDY: &str = "the administrator installs polkit and the wallet's policy, or sets `claim-origin` in fwpd's configuration";
    let error = error.to_string();
    if error.contains("not registered") {
        format!(
            "polkit does not know the action {ACTION}: io.github.fwpd.policy is missing in /usr/share/polkit-1/actions; {REMEDY}"
        )
    } else {
        format!("polkit decides who may name a host, and does not ({error}); {REMEDY}")
    }
}

/// `CheckAuthorization` for the caller's connection.
async fn ask_polkit(connection: &Connection, caller: &Caller) -> zbus::Result<bool> {
    let subject = ("system-bus-name", HashMap::from([("name", Variant::from(caller.name.as_str()))]));
    let details: HashMap<&str, &str> = HashMap::new();
    let question = (subject, ACTION, details, NO_INTERACTION, "");
    let reply = connection
        .call_method(Some(POLKIT), AUTHORITY_PATH, Some(AUTHORITY), "CheckAuthorization", &question)
        .await?;
    // Whether a password would help makes no difference: nobody is asked for one.
    let ((is_authorized, _is_challenge, _details),): ((bool, bool, HashMap<String, String>),) =
        reply.body().deserialize()?;
    Ok(is_authorized)
}
