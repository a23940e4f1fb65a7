//! The command line of `fwp-sandbox`.

use clap::{Args, Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// A shop, a PSP and a bank on this machine, to try a FIDO Web Pay wallet against.
///
/// Test keys, test money, loopback only. A first round, with `fwpctl` as the wallet:
///
///   fwp-sandbox serve --listen 127.0.0.1:8080 --dir sandbox &
///   fwpctl enroll http://localhost:8080/bank/offer
///   fwp-sandbox order > request.json
///   fwpctl pay request.json > assertion.json
///   fwp-sandbox checkout --order 7040566321 < assertion.json
///   fwp-sandbox redeliver --order 7040566321
///
/// The last one is refused by the bank as a replay. What the bank sees is at http://localhost:8080/bank.
#[derive(Debug, Parser)]
#[command(
    name = "fwp-sandbox",
    version,
    verbatim_doc_comment,
    after_help = "Exit codes: 0 done or booked, 1 something failed (the message says what), 2 wrong usage, \
                  3 refused by the PSP or the bank, 4 refused by the bank as a replay, 5 declined by the bank."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `fwp-sandbox` does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run shop, PSP and bank until Ctrl-C.
    ///
    /// Prints one line with the URL when it is ready. The directory keeps the books (SQLite) and the bank's test keys.
    Serve {
        /// Address to listen on, loopback only; port 0 takes a free port.
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
        listen: SocketAddr,
        /// Listen on this address with HTTPS as well, loopback only; a certificate for the names that are used must be given.
        #[arg(long, value_name = "ADDRESS", requires = "tls_cert", requires = "tls_key")]
        https: Option<SocketAddr>,
        /// Certificate for --https, with those between it and its root (PEM).
        #[arg(long, value_name = "FILE", requires = "https")]
        tls_cert: Option<PathBuf>,
        /// Private key of that certificate (PEM).
        #[arg(long, value_name = "FILE", requires = "https")]
        tls_key: Option<PathBuf>,
        /// Directory for books and keys; made if it is not there.
        #[arg(long)]
        dir: PathBuf,
        /// Append every IssuerRequest with its verdict to this file, a JSON line each.
        #[arg(long, value_name = "FILE")]
        record: Option<PathBuf>,
        /// Take only FIDO keys that a maker vouches for with certificates leading to one of these roots (PEM), and keys in TPMs that
        /// the bank has certified. Without it every key is taken, whoever vouches for it; the bank's page says who.
        #[arg(long, value_name = "FILE")]
        attestation_roots: Option<PathBuf>,
        /// Certify the attestation keys of TPMs by makers with these roots (PEM), at URL/bank/tpm-ca:
        /// `fwpctl authenticators certify tpm URL/bank/tpm-ca`.
        #[arg(long, value_name = "FILE")]
        tpm_roots: Option<PathBuf>,
        /// Milliseconds until a notice to a shop (mozPay) that is not confirmed is sent again; doubled for each try after.
        #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        notice_retry: u32,
        /// Have the Space Shop fail the first N notices, to see them come again.
        #[arg(long, value_name = "N", default_value_t = 0)]
        shop_fails_notices: u32,
        /// Print the ready line as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put an order in at the Space Shop and print the request file for `fwpctl pay`.
    Order {
        /// Where the sandbox is.
        #[command(flatten)]
        at: At,
        /// What it costs, in EUR.
        #[arg(long, default_value = "435.00")]
        amount: String,
    },
    /// Pay an order with the FWP assertion on standard input.
    Checkout {
        /// Where the sandbox is.
        #[command(flatten)]
        at: At,
        /// Number of the order.
        #[arg(long)]
        order: String,
        /// Print the answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have the shop deliver an order's authorization once more, in another envelope: the bank refuses it as a replay.
    Redeliver {
        /// Where the sandbox is.
        #[command(flatten)]
        at: At,
        /// Number of the order.
        #[arg(long)]
        order: String,
        /// Print the answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have the shop give the money of an order back that was paid by mozPay; it is marked refunded when the PSP's notice has come.
    Refund {
        /// Where the sandbox is.
        #[command(flatten)]
        at: At,
        /// Which payment.
        #[command(flatten)]
        what: OnePayment,
        /// Print the answer as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Verify payments: a JSON line in, a JSON line out, no memory.
    ///
    /// A line has `id`, `issuerRequest` (JSON) or `issuerRequestText`, `issuerKeys` (keyId, publicKey and cosePrivate, CBOR
    /// in hexadecimal), and may have `now` (milliseconds since 1970; without it the authorization's own time), `account`
    /// (serialNumber, accountId, publicKeySha256) and `bank` (rpId, issuerIds, networks). What is not given is not checked,
    /// and the verdict's `notChecked` says so. A verdict has `id`, `ok`, and `error` and `message`, or `sad`.
    Verify {
        /// Keys for lines that have none: a file as `export-keys` prints it.
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
    },
    /// Print the sandbox bank's test keys, private ones included, as the `issuerKeys` of `verify`.
    ///
    /// With a file that `serve --record` made, others can check our authorizations with their own implementation.
    ExportKeys {
        /// Directory of the sandbox.
        #[arg(long)]
        dir: PathBuf,
    },
}

/// Which payment is to be given back.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct OnePayment {
    /// Number of the order.
    #[arg(long)]
    pub order: Option<String>,
    /// The provider's transaction ID.
    #[arg(long)]
    pub transaction: Option<String>,
}

/// Where the sandbox is.
#[derive(Args, Debug)]
pub struct At {
    /// URL of a running `fwp-sandbox serve`.
    #[arg(long, default_value = "http://localhost:8080")]
    pub url: String,
}
