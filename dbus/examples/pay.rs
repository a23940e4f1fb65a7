//! An app that asks for 435.00 EUR and prints the FWP assertion: `cargo run -p fwp-dbus --example pay`.
//! The user's agent has to run (`fwpctl agent`); docs/dbus.md tells what happens step by step.

use fwp_dbus::types::PaymentOptions;
use fwp_dbus::{Client, ClientError, Event};
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

const METHOD_DATA: &str = r#"[{"supportedMethods": "fido-web-pay/v1",
    "data": {"payeeName": "Space Shop", "networks": [{"id": "https://banknet2.org"}]}}]"#;
const DETAILS: &str = r#"{"id": "7040566321",
    "total": {"label": null, "amount": {"currency": "EUR", "value": "435.00"}}}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match pay().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn pay() -> Result<(), Box<dyn Error>> {
    let connection = zbus::connection::Builder::session().build().await?;
    let client = Client::connect(&connection).await?;
    let options = PaymentOptions {
        user_agent_name: Some("Example App".to_owned()),
        user_agent_version: Some("1.0".to_owned()),
    };
    let wallet = client.wallet().await?;
    let path = wallet.create_payment("spaceshop.com", METHOD_DATA, DETAILS, &options).await?;

    // Before Show, so that nothing is missed.
    let mut events = client.events(&path);
    let payment = client.payment(&path).await?;
    payment.show().await?;
    loop {
        match events.next().await? {
            Event::Response(assertion) => {
                writeln!(std::io::stdout(), "{assertion}")?;
                // Here the shop is asked; its answer decides between "success" and "fail".
                payment.complete("success").await?;
            }
            Event::Finished(Ok(())) => return Ok(()),
            Event::Finished(Err(error)) => return Err(ClientError::from(error).into()),
            _ => {} // of other objects
        }
    }
}
