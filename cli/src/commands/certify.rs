//! `fwpctl authenticators certify`: carries messages between the wallet and a certification authority.

use super::{Context, answers, authenticators, blocking, until_interrupted};
use crate::agent::TerminalAgent;
use crate::args::{AskArgs, CertifyArgs};
use crate::bus;
use crate::cards::id_of;
use crate::error::Error;
use crate::http;
use crate::origin::OfferUrl;
use crate::polkit::Polkit;
use fwp::certification::{
    ActivatedCredential, CertificationRequest, CredentialChallenge, IssuedCertificates, MAX_MESSAGE_BYTES,
};
use zeroize::Zeroizing;

/// The only kind that can be certified.
const TPM: &str = "tpm";

pub(super) async fn run(context: &Context, args: CertifyArgs) -> Result<(), Error> {
    let out = context.out;
    let authority = OfferUrl::parse(&args.url)?;
    let ask = AskArgs { yes: args.yes, pin_fd: None };
    let agent = TerminalAgent::new(answers(&ask)?, out, context.interrupt.clone());
    let found = until_interrupted(context, bus::find(&context.bus)).await?;
    let client = &found.client;
    let mut polkit = Polkit::ready(&found).await;
    let work = async {
        let pick = authenticators::pick(client, Some(args.which.as_deref().unwrap_or(TPM)));
        let path = bus::answered(out, pick).await?;
        bus::ensure_agent(client, &agent, out).await?;
        let authenticator = client.authenticator(&path).await?;
        // The user is asked meanwhile.
        let begun = authenticator.begin_certification(authority.host()).await;
        let begun = polkit.explained(out, begun.map_err(Error::Wallet)).await?;
        let request = CertificationRequest {
            endorsement_certificate: begun.endorsement_certificate,
            attestation_key: begun.attestation_key,
        };
        out.note(&format!("Asking {} for a certificate ...", authority.origin()));
        let challenge = post(&authority, request.to_json().to_string()).await?;
        let challenge = CredentialChallenge::parse(&challenge).map_err(Error::Certification)?;
        out.note("The TPM opens what only it can open; that may take half a minute ...");
        let opened = authenticator
            .activate_credential(&challenge.credential_blob, &challenge.encrypted_secret)
            .await?;
        let activated =
            ActivatedCredential { challenge: challenge.challenge, secret: Zeroizing::new(opened) };
        let issued = post(&authority, activated.to_json().to_string()).await?;
        let issued = IssuedCertificates::parse(&issued).map_err(Error::Certification)?;
        let finish = async { Ok(authenticator.finish_certification(&issued.certificates).await?) };
        bus::answered(out, finish).await?;
        Ok((path, issued.certificates.len()))
    };
    let done = until_interrupted(context, work).await;
    let (path, certificates) = done.map_err(|error: Error| agent.take_trouble().unwrap_or(error))?;
    let json = serde_json::json!({"id": id_of(&path), "certified": true, "certificates": certificates});
    out.result(&json, || {
        format!(
            "Certified by {}. Banks can verify that the keys you enroll from now on are in this TPM.\n",
            authority.origin()
        )
    })
}

async fn post(authority: &OfferUrl, json: String) -> Result<String, Error> {
    let authority = authority.clone();
    blocking(move || Ok(http::post(&authority, &json, MAX_MESSAGE_BYTES as u64)?)).await
}
