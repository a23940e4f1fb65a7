//! `fwp-sandbox`, see `fwp-sandbox --help`.
#![forbid(unsafe_code)]

use clap::Parser;
use fwp_sandbox::bank::keys::KeyFile;
use fwp_sandbox::cases::verify_lines;
use fwp_sandbox::cli::{Cli, Command};
use fwp_sandbox::client::{self, Checkout, Outcome};
use fwp_sandbox::error::SandboxError;
use fwp_sandbox::serve::{Server, Settings};
use fwp_sandbox::tls::HttpsSettings;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Most bytes of an FWP assertion on standard input.
const MAX_ASSERTION_BYTES: u64 = 4 << 20;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        // Whoever reads our output may stop reading.
        Err(SandboxError::Stream(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to be done if standard error is closed.
            let _ = writeln!(io::stderr(), "fwp-sandbox: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<ExitCode, SandboxError> {
    match command {
        Command::Serve {
            listen,
            https,
            tls_cert,
            tls_key,
            dir,
            record,
            attestation_roots,
            tpm_roots,
            notice_retry: notice_retry_ms,
            shop_fails_notices,
            json,
        } => {
            // One without the others is wrong usage, which clap has told.
            let https = https.zip(tls_cert.zip(tls_key));
            let https = https.map(|(listen, (certificate, key))| HttpsSettings { listen, certificate, key });
            let settings = Settings {
                https,
                record,
                attestation_roots,
                tpm_roots,
                notice_retry_ms,
                shop_fails_notices,
                ..Settings::new(listen, dir)
            };
            serve(&settings, json)
        }
        Command::Order { at, amount } => {
            let ordered = client::order(&at.url, Some(&amount))?;
            writeln!(io::stdout(), "{:#}", ordered.request)?;
            writeln!(io::stderr(), "shop: order {}, {amount} EUR", ordered.order)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Checkout { at, order, json } => {
            let mut assertion = String::new();
            io::stdin().lock().take(MAX_ASSERTION_BYTES).read_to_string(&mut assertion)?;
            if assertion.trim().is_empty() {
                return Err(SandboxError::NoAssertion);
            }
            report(&client::checkout(&at.url, &order, &assertion)?, json)
        }
        Command::Redeliver { at, order, json } => report(&client::redeliver(&at.url, &order)?, json),
        Command::Refund { at, what, json } => {
            let answer = match (&what.order, &what.transaction) {
                (Some(order), _) => client::refund_order(&at.url, order)?,
                (None, transaction) => {
                    client::refund_transaction(&at.url, transaction.as_deref().unwrap_or_default())?
                }
            };
            let text = if json { answer.body.to_string() } else { client::refund_line(&answer) };
            writeln!(io::stdout(), "{text}")?;
            Ok(if answer.status == 200 { ExitCode::SUCCESS } else { ExitCode::from(3) })
        }
        Command::Verify { keys } => {
            let keys = keys.as_deref().map(KeyFile::read_file).transpose()?;
            let keys = keys.map(|keys| keys.issuer_keys).unwrap_or_default();
            verify_lines(io::stdin().lock(), io::stdout().lock(), &keys)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::ExportKeys { dir } => {
            let keys = match KeyFile::read(&dir) {
                Err(SandboxError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                    return Err(SandboxError::NoKeys(dir));
                }
                keys => keys?,
            };
            serde_json::to_writer(io::stdout(), &keys).map_err(io::Error::from)?;
            writeln!(io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn report(checkout: &Checkout, json: bool) -> Result<ExitCode, SandboxError> {
    if json {
        writeln!(io::stdout(), "{}", checkout.answer)?;
    } else {
        writeln!(io::stdout(), "{}", checkout.line())?;
    }
    Ok(match checkout.outcome {
        Outcome::Booked => ExitCode::SUCCESS,
        Outcome::Refused => ExitCode::from(3),
        Outcome::Replay => ExitCode::from(4),
        Outcome::Declined => ExitCode::from(5),
    })
}

fn serve(settings: &Settings, json: bool) -> Result<ExitCode, SandboxError> {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::start(settings).await?;
        let url = server.base_url();
        if json {
            let ready = serde_json::json!({
                "url": url,
                "httpsUrl": server.https_url(),
                "offer": format!("{url}/bank/offer"),
            });
            writeln!(io::stdout(), "{ready}")?;
        } else {
            writeln!(
                io::stdout(),
                "The sandbox is ready at {url} (cards: {url}/bank/offer). Ctrl-C ends it."
            )?;
        }
        io::stdout().flush()?;
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let stop = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        server.run(stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}
