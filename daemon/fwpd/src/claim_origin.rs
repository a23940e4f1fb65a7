//! Who may name a host: the payee of a payment, the origin of an enrollment's offer. The user trusts that name, and within one
//! UID nothing tells a browser from another program; so on the system's bus polkit decides.

use fwp_dbus::{Error, ErrorName};

use crate::call::Caller;
use crate::config::ClaimOrigin;
use crate::context::{Bus, Context};
use crate::polkit::{self, Action};

/// Checks that the caller may name a host. Nobody types a password so that a page may ask for money.
///
/// # Errors
/// `AccessDenied`, saying why and what to do; `Aborted` if its connection ended meanwhile.
pub(crate) async fn check(context: &Context, caller: &Caller) -> Result<(), Error> {
    match (context.config.claim_origin, context.bus) {
        (ClaimOrigin::Any, _) | (ClaimOrigin::Default, Bus::Session) => Ok(()),
        (ClaimOrigin::None, _) => Err(Error::new(
            ErrorName::AccessDenied,
            "the wallet's settings let no program name a host: claim-origin = \"none\" in fwpd's configuration",
        )),
        (ClaimOrigin::Polkit, _) | (ClaimOrigin::Default, Bus::System) => {
            polkit::check_silently(context, caller, Action::ClaimOrigin).await
        }
    }
}
