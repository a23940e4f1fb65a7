//! `virtual-key usb [--hand]`, `virtual-key nfc`: OpenSK in software, plugged into this machine's kernel (vhci-hcd, as root) or laid on the first
//! reader of vsmartcard's vpcd. For demonstrations and for trying things out by hand; not a place for real keys.
//!
//! Lines on standard input are what a person does: `touch`, `unplug`, `plug`. What the key does is told on standard output, a
//! line each. With `--hand` it is touched by itself, a moment after it began to blink. It stays until it is ended.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program that prints")]

use std::io::stdin;
use std::process::ExitCode;
use std::time::Duration;
use virtual_keys::applet::{Applet, Manners};
use virtual_keys::vhci::{Identity, Plugged};
use virtual_keys::vpcd::{self, Laid};
use virtual_keys::{Key, Touch, opensk};

/// How long a person looks at the blinking key.
const MOMENT: Duration = Duration::from_millis(400);
/// How long nothing happens at most, as far as this program is concerned.
const LONG: Duration = Duration::from_secs(3600);

/// Where the key is.
#[derive(Clone, Copy)]
enum Place {
    Usb,
    Nfc,
}

/// Its being there; dropping it takes the key away.
#[expect(dead_code, reason = "they are held, not looked at")]
enum There {
    Plugged(Plugged),
    Laid(Laid),
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (place, hand) = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["usb"] => (Place::Usb, false),
        ["usb", "--hand"] => (Place::Usb, true),
        ["nfc"] => (Place::Nfc, false),
        _ => return wrong("usage: virtual-key usb [--hand] | virtual-key nfc"),
    };
    // A card on a reader has no button: laying it there is the user's presence.
    let key = opensk::key(if matches!(place, Place::Nfc) { Touch::AtOnce } else { Touch::Waits });
    let mut there = match plug(&key, place) {
        Ok(there) => Some(there),
        Err(error) => return wrong(&error),
    };
    println!("ready");
    if matches!(place, Place::Usb) {
        let watched = key.clone();
        std::thread::spawn(move || watch(&watched, hand));
    }
    for line in stdin().lines().map_while(Result::ok) {
        match line.trim() {
            "touch" => println!("{}", if key.touch() { "touched" } else { "touched while it did not blink" }),
            "unplug" => {
                there = None;
                println!("unplugged");
            }
            "plug" if there.is_none() => match plug(&key, place) {
                Ok(again) => {
                    there = Some(again);
                    println!("plugged in");
                }
                Err(error) => return wrong(&error),
            },
            "" | "plug" => {}
            line => eprintln!("virtual-key: touch, unplug or plug, not {line:?}"),
        }
    }
    loop {
        std::thread::park();
    }
}

fn wrong(text: &str) -> ExitCode {
    eprintln!("virtual-key: {text}");
    ExitCode::FAILURE
}

fn plug(key: &Key, place: Place) -> Result<There, String> {
    match place {
        Place::Usb => {
            let plugged = Plugged::new(key, Identity::opensk("1")).map_err(|error| error.to_string())?;
            Ok(There::Plugged(plugged))
        }
        Place::Nfc => {
            let card = Applet::new(key.device(), Manners::default());
            let laid = vpcd::lay(card, vpcd::PORT).map_err(|error| format!("no reader of vpcd: {error}"))?;
            Ok(There::Laid(laid))
        }
    }
}

/// Tells when it blinks, and touches it.
fn watch(key: &Key, hand: bool) {
    let mut blinked = 0;
    loop {
        if !key.wait_until(LONG, |seen| seen.blinked > blinked) {
            continue;
        }
        blinked = key.seen().blinked;
        println!("it blinks");
        if hand {
            std::thread::sleep(MOMENT);
            if key.touch() {
                println!("touched, by this program");
            }
        }
    }
}
