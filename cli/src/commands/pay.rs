//! `fwpctl pay`

use super::{Context, answers, blocking, read_text, until_interrupted};
use crate::agent::TerminalAgent;
use crate::args::PayArgs;
use crate::bus;
use crate::cards;
use crate::error::Error;
use crate::request::Request;
use fwp::payment_request::MAX_JSON_BYTES;
use fwp_dbus::proxy::PaymentProxy;
use fwp_dbus::types::PaymentOptions;
use fwp_dbus::{Client, ClientError, Event, Events};
use std::time::Duration;

/// Bytes of a request file: method data and details, and a little.
const MAX_REQUEST_BYTES: u64 = 2 * MAX_JSON_BYTES as u64 + 4096;
/// How long the daemon may take to end what was aborted.
const GOODBYE: Duration = Duration::from_secs(3);

pub(super) async fn run(context: &Context, args: PayArgs) -> Result<(), Error> {
    // 1. The request, before anyone is asked anything.
    let request = match args.request.clone() {
        Some(path) => {
            let read = blocking(move || read_text(&path, MAX_REQUEST_BYTES));
            Request::from_file(&until_interrupted(context, read).await?, args.host.as_deref())?
        }
        None => Request::from_options(&args)?,
    };

    // 2. The wallet, the card that was named, and someone to ask.
    let mut answers = answers(&args.ask)?;
    let found = until_interrupted(context, bus::find(&context.bus)).await?;
    let client = &found.client;
    if let Some(name) = &args.card {
        let cards = until_interrupted(context, bus::answered(context.out, cards::list(client))).await?;
        answers.card = Some(cards::find(&cards, name)?.id().to_owned());
    }
    let agent = TerminalAgent::new(answers, context.out, context.interrupt.clone());
    until_interrupted(context, bus::ensure_agent(client, &agent, context.out)).await?;

    // 3. The payment.
    let assertion =
        authorize(context, client, &request).await.map_err(|error| agent.take_trouble().unwrap_or(error))?;
    let assertion: serde_json::Value = serde_json::from_str(&assertion)
        .map_err(|error| Error::Internal(format!("the assertion is not JSON: {error}")))?;
    context.out.json(&assertion)
}

/// The FWP assertion for a request. Ctrl-C aborts it in the wallet, too.
async fn authorize(context: &Context, client: &Client, request: &Request) -> Result<String, Error> {
    let options = PaymentOptions {
        user_agent_name: Some(env!("CARGO_PKG_NAME").to_owned()),
        user_agent_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
    };
    let begin = async {
        let wallet = client.wallet().await?;
        let Request { payee_host, method_data, details } = request;
        let path = wallet.create_payment(payee_host, method_data, details, &options).await?;
        let events = client.events(&path);
        let payment = client.payment(&path).await?;
        payment.show().await?;
        Ok((payment, events))
    };
    // Whoever gives up here ends the payment with the connection.
    let (payment, mut events) = until_interrupted(context, bus::answered(context.out, begin)).await?;

    match until_interrupted(context, response(&mut events)).await {
        Ok(assertion) => {
            // What becomes of it isn't known here. The payment ends with the connection in any case.
            end(payment.complete("unknown"), &mut events).await;
            Ok(assertion)
        }
        Err(Error::Interrupted) => {
            abort(&payment, &mut events).await;
            Err(Error::Interrupted)
        }
        Err(error) => Err(error),
    }
}

async fn response(events: &mut Events) -> Result<String, Error> {
    loop {
        match events.next().await? {
            Event::Response(assertion) => return Ok(assertion),
            Event::Finished(Err(error)) => return Err(ClientError::from(error).into()),
            Event::Finished(Ok(())) => {
                return Err(Error::Internal("the payment ended without an answer".to_owned()));
            }
            _ => {}
        }
    }
}

async fn abort(payment: &PaymentProxy<'_>, events: &mut Events) {
    end(payment.abort(), events).await;
}

/// Tells the wallet that this is over, and waits a moment until it is: the prompt is gone then, the key is quiet.
async fn end(call: impl Future<Output = Result<(), ClientError>>, events: &mut Events) {
    let _ = tokio::time::timeout(GOODBYE, async {
        if call.await.is_ok() {
            while !matches!(events.next().await, Ok(Event::Finished(_)) | Err(_)) {}
        }
    })
    .await;
}
