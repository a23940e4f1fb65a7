//! Enrolling and paying with OpenSK as a smart card, through a real pcscd.

use crate::common::{
    Holder, PIN, System, card, credential_request, enroll, open_only, pay, set_pin, transport, wait_for,
};
use ctap_core::ceremony::{Event, MakeCredential, PinRequest, User, get_info, run};
use ctap_core::transport::{CancelToken, Transport, TransportError};
use ctap_core::{Error, Pin, Status};
use std::time::{Duration, Instant};
use virtual_keys::applet::{ApduLog, Card, FnDevice, Manners, Reply, Scripted, contactless_atr, t0_atr};
use virtual_keys::dispatched::DispatchedCard;
use virtual_keys::key::Touch;
use virtual_keys::{Key, applet::Applet, opensk, pcscd, vpcd};

fn instructions(log: &ApduLog) -> Vec<(u8, u8)> {
    log.apdus().iter().map(|apdu| (apdu[0], apdu[1])).collect()
}

const CHAIN_LINK: (u8, u8) = (0x90, 0x10);
const MESSAGE: (u8, u8) = (0x80, 0x10);
const MORE: (u8, u8) = (0x80, 0xc0);

fn has_extended(log: &ApduLog) -> bool {
    log.apdus().iter().any(|apdu| apdu.len() > 5 && apdu[4] == 0)
}

/// Enrolls and pays with a card of these manners; its APDUs.
fn enroll_and_pay(name: &str, manners: &Manners) -> Option<ApduLog> {
    enroll_and_pay_with(name, |key| {
        let card = card(key, manners.clone());
        (card.log(), card)
    })
}

fn enroll_and_pay_with<C: Card + 'static>(
    name: &str,
    card: impl FnOnce(&Key) -> (ApduLog, C),
) -> Option<ApduLog> {
    let mut result = None;
    pcscd::run(name, |pcscd| {
        let key = opensk::key(Touch::AtOnce);
        let (log, card) = card(&key);
        let _laid = vpcd::lay(card, pcscd.port(0)).unwrap();
        let mut device = open_only(&transport());
        set_pin(device.as_mut()).unwrap();
        let credential = enroll(device.as_mut(), &mut Holder::new(), &CancelToken::new()).unwrap();
        pay(device.as_mut(), &credential).unwrap();
        assert!(key.seen().commands.iter().any(|command| command.len() > 255), "a request over 255 bytes");
        result = Some(log);
    });
    result
}

#[test]
fn enrolls_and_pays_in_chains_behind_the_apdu_layer_of_another_maker() {
    let name = "ceremonies::enrolls_and_pays_in_chains_behind_the_apdu_layer_of_another_maker";
    let card = |key: &Key| {
        let card = DispatchedCard::new(key.device(), false);
        (card.log(), card)
    };
    let Some(log) = enroll_and_pay_with(name, card) else { return };
    let sent = instructions(&log);
    assert!(sent.contains(&CHAIN_LINK) && sent.contains(&MORE) && !has_extended(&log));
}

#[test]
fn enrolls_and_pays_in_extended_apdus_behind_the_apdu_layer_of_another_maker() {
    let name = "ceremonies::enrolls_and_pays_in_extended_apdus_behind_the_apdu_layer_of_another_maker";
    let card = |key: &Key| {
        let card = DispatchedCard::new(key.device(), true);
        (card.log(), card)
    };
    let Some(log) = enroll_and_pay_with(name, card) else { return };
    assert!(has_extended(&log) && !instructions(&log).contains(&CHAIN_LINK));
}

#[test]
fn enrolls_and_pays_with_short_apdus_in_chains() {
    let manners = Manners { atr: contactless_atr(false), ..Manners::default() };
    let Some(log) = enroll_and_pay("ceremonies::enrolls_and_pays_with_short_apdus_in_chains", &manners)
    else {
        return;
    };
    let sent = instructions(&log);
    assert!(sent.contains(&CHAIN_LINK), "the request over 255 bytes goes out in a chain");
    assert!(sent.contains(&MORE), "the answer over 256 bytes comes by GET RESPONSE");
    assert!(!has_extended(&log));
}

#[test]
fn enrolls_and_pays_with_extended_apdus() {
    let Some(log) = enroll_and_pay("ceremonies::enrolls_and_pays_with_extended_apdus", &Manners::default())
    else {
        return;
    };
    assert!(has_extended(&log));
    assert!(!instructions(&log).contains(&CHAIN_LINK));
}

#[test]
fn enrolls_and_pays_with_a_card_that_promises_extended_apdus_and_refuses_them() {
    let manners = Manners { extended: false, ..Manners::default() };
    let name = "ceremonies::enrolls_and_pays_with_a_card_that_promises_extended_apdus_and_refuses_them";
    let Some(log) = enroll_and_pay(name, &manners) else { return };
    assert!(instructions(&log).contains(&CHAIN_LINK));
    let extended = log.apdus().iter().filter(|apdu| apdu.len() > 5 && apdu[4] == 0).count();
    assert_eq!(extended, 1, "refused once, not tried again");
}

#[test]
fn enrolls_and_pays_over_t0() {
    let manners = Manners { atr: t0_atr(), ..Manners::default() };
    let Some(log) = enroll_and_pay("ceremonies::enrolls_and_pays_over_t0", &manners) else { return };
    assert!(!has_extended(&log));
    for apdu in log.apdus().iter().filter(|apdu| (apdu[0], apdu[1]) == MESSAGE) {
        assert_eq!(apdu.len(), 5 + usize::from(apdu[4]), "no Le after data");
    }
}

#[test]
fn enrolls_and_pays_with_a_card_that_keeps_the_reader_waiting() {
    let manners = Manners { keepalives: false, ..Manners::default() };
    enroll_and_pay("ceremonies::enrolls_and_pays_with_a_card_that_keeps_the_reader_waiting", &manners);
}

#[test]
fn enrolls_with_a_card_that_says_u2f_first() {
    let manners = Manners { version: b"U2F_V2", ..Manners::default() };
    enroll_and_pay("ceremonies::enrolls_with_a_card_that_says_u2f_first", &manners);
}

#[test]
fn a_card_that_wants_a_touch_is_asked_until_it_has_it() {
    pcscd::run("ceremonies::a_card_that_wants_a_touch_is_asked_until_it_has_it", |pcscd| {
        let key = opensk::key(Touch::AtOnce);
        let card = card(&key, Manners::default());
        let log = card.log();
        let _laid = vpcd::lay(card, pcscd.port(0)).unwrap();
        let mut device = open_only(&transport());
        set_pin(device.as_mut()).unwrap();
        key.set_touch(Touch::Waits);
        let mut user = Holder::who(|| {
            key.touch();
        });
        enroll(device.as_mut(), &mut user, &CancelToken::new()).unwrap();
        assert!(user.events.contains(&Event::TouchWanted));
        assert!(instructions(&log).contains(&(0x80, 0x11)), "NFCCTAP_GETRESPONSE");
    });
}

#[test]
fn cancel_reaches_the_card_and_the_card_is_fit_afterwards() {
    pcscd::run("ceremonies::cancel_reaches_the_card_and_the_card_is_fit_afterwards", |pcscd| {
        let key = opensk::key(Touch::AtOnce);
        let card = card(&key, Manners::default());
        let log = card.log();
        let _laid = vpcd::lay(card, pcscd.port(0)).unwrap();
        let mut device = open_only(&transport());
        set_pin(device.as_mut()).unwrap();
        key.set_touch(Touch::Waits);
        let cancel = CancelToken::new();
        let mut user = Holder::who(|| cancel.cancel());
        let error = enroll(device.as_mut(), &mut user, &cancel).unwrap_err();
        assert_eq!(error, Error::Cancelled);
        assert!(key.wait_until(Duration::from_secs(5), |seen| seen.cancelled == 1 && !seen.blinking));
        assert!(log.apdus().iter().any(|apdu| apdu[..3] == [0x80, 0x11, 0x11]), "it was told");
        key.set_touch(Touch::AtOnce);
        enroll(device.as_mut(), &mut Holder::new(), &CancelToken::new()).unwrap();
    });
}

#[test]
fn cancel_ends_a_command_that_the_card_keeps_to_itself() {
    pcscd::run("ceremonies::cancel_ends_a_command_that_the_card_keeps_to_itself", |pcscd| {
        let key = opensk::key(Touch::AtOnce);
        let manners = Manners { keepalives: false, ..Manners::default() };
        let _laid = vpcd::lay(card(&key, manners), pcscd.port(0)).unwrap();
        let mut device = open_only(&transport());
        set_pin(device.as_mut()).unwrap();
        key.set_touch(Touch::Waits);
        let cancel = CancelToken::new();
        let begin = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(key.wait_until_blinking());
                cancel.cancel();
            });
            let error = enroll(device.as_mut(), &mut Holder::new(), &cancel).unwrap_err();
            assert_eq!(error, Error::Cancelled);
        });
        assert!(begin.elapsed() < Duration::from_secs(15));
        // The card is in the middle of its command until then.
        key.touch();
        key.set_touch(Touch::AtOnce);
        enroll(device.as_mut(), &mut Holder::new(), &CancelToken::new()).unwrap();
    });
}

#[test]
fn a_card_that_is_lifted_in_mid_ceremony_is_gone_and_another_one_when_it_is_back() {
    pcscd::run(
        "ceremonies::a_card_that_is_lifted_in_mid_ceremony_is_gone_and_another_one_when_it_is_back",
        |pcscd| {
            let key = opensk::key(Touch::AtOnce);
            let transport = transport();
            let mut laid = Some(vpcd::lay(card(&key, Manners::default()), pcscd.port(0)).unwrap());
            let before = wait_for(&transport, 1).remove(0);
            let mut device = transport.open(&before.id).unwrap();
            set_pin(device.as_mut()).unwrap();
            let credential = enroll(device.as_mut(), &mut Holder::new(), &CancelToken::new()).unwrap();
            key.set_touch(Touch::Waits);
            let mut lifted = None;
            let mut user = Holder::who(|| lifted = laid.take().map(vpcd::Laid::lift).or(lifted.take()));
            let error = enroll(device.as_mut(), &mut user, &CancelToken::new()).unwrap_err();
            drop(user);
            assert_eq!(error, Error::Transport(TransportError::Gone));
            wait_for(&transport, 0);
            assert_eq!(transport.open(&before.id).err(), Some(TransportError::Gone));

            key.set_touch(Touch::AtOnce);
            let _laid = vpcd::lay_boxed(lifted.unwrap(), pcscd.port(0)).unwrap();
            let after = wait_for(&transport, 1).remove(0);
            assert_ne!(before.id, after.id);
            assert_eq!(transport.open(&before.id).err(), Some(TransportError::Gone));
            assert_eq!(
                get_info(device.as_mut(), &CancelToken::new()).err(),
                Some(Error::Transport(TransportError::Gone))
            );
            pay(transport.open(&after.id).unwrap().as_mut(), &credential).unwrap();
        },
    );
}

/// A user who lays another card on the reader before the PIN is typed.
struct Swaps<F>(Option<F>);

impl<F: FnOnce()> User for Swaps<F> {
    fn pin(&mut self, _: &PinRequest) -> Option<Pin> {
        self.0.take().expect("the PIN is asked for once")();
        Some(Pin::new(PIN).unwrap())
    }

    fn status(&mut self, _: Event) {}
}

#[test]
fn a_card_that_is_laid_in_the_others_place_while_the_pin_is_typed_hears_nothing_of_it() {
    let name =
        "ceremonies::a_card_that_is_laid_in_the_others_place_while_the_pin_is_typed_hears_nothing_of_it";
    pcscd::run(name, |pcscd| {
        let (ours, other) = (opensk::key(Touch::AtOnce), opensk::key(Touch::AtOnce));
        let mut laid = Some(vpcd::lay(card(&ours, Manners::default()), pcscd.port(0)).unwrap());
        let mut device = open_only(&transport());
        set_pin(device.as_mut()).unwrap();
        let mut laid_then = None;
        let before = cards_seen();
        let mut user = Swaps(Some(|| {
            drop(laid.take().unwrap().lift());
            laid_then = Some(vpcd::lay(card(&other, Manners::default()), pcscd.port(0)).unwrap());
            pcscd::wait_until("pcscd to see both", || cards_seen() >= before + 2);
        }));
        let (mut ceremony, cancel) = (MakeCredential::new(credential_request()), CancelToken::new());
        let error = run(&mut ceremony, device.as_mut(), &mut user, &mut System, &cancel).unwrap_err();
        assert_eq!(error, Error::Transport(TransportError::Gone));
        assert_eq!(other.seen().commands, Vec::<Vec<u8>>::new());
        assert_eq!(get_info(device.as_mut(), &cancel).unwrap_err(), Error::Transport(TransportError::Gone));
    });
}

/// How many cards came to and went from the first reader.
fn cards_seen() -> u32 {
    let context = pcsc::Context::establish(pcsc::Scope::System).unwrap();
    let name = context.list_readers_owned().unwrap().remove(0);
    let mut states = [pcsc::ReaderState::new(name, pcsc::State::UNAWARE)];
    context.get_status_change(Duration::ZERO, &mut states).unwrap();
    states[0].event_count()
}

#[test]
fn a_card_that_is_lifted_while_the_pin_is_asked_for_is_found_when_it_is_back() {
    let name = "ceremonies::a_card_that_is_lifted_while_the_pin_is_asked_for_is_found_when_it_is_back";
    pcscd::run(name, |pcscd| {
        for laid_before_the_end in [true, false] {
            let key = opensk::key(Touch::AtOnce);
            let card_again = vpcd::lay(card(&key, Manners::default()), pcscd.port(0)).unwrap();
            let transport = transport();
            let mut device = open_only(&transport);
            device.begin().unwrap();
            set_pin(device.as_mut()).unwrap();
            device.begin().unwrap();
            get_info(device.as_mut(), &CancelToken::new()).unwrap();
            let before = cards_seen();
            let lifted = card_again.lift();
            pcscd::wait_until("pcscd to see it gone", || cards_seen() > before);
            let laid = if laid_before_the_end {
                let laid = vpcd::lay_boxed(lifted, pcscd.port(0)).unwrap();
                pcscd::wait_until("pcscd to see it back", || cards_seen() > before + 1);
                device.end();
                laid
            } else {
                device.end();
                vpcd::lay_boxed(lifted, pcscd.port(0)).unwrap()
            };
            drop(device);
            get_info(open_only(&transport).as_mut(), &CancelToken::new()).unwrap();
            drop(laid.lift());
            wait_for(&transport, 0);
        }
    });
}

#[test]
fn of_two_readers_the_card_that_is_meant_is_used() {
    pcscd::run("ceremonies::of_two_readers_the_card_that_is_meant_is_used", |pcscd| {
        let keys = [opensk::key(Touch::AtOnce), opensk::key(Touch::AtOnce)];
        let _first = vpcd::lay(card(&keys[0], Manners::default()), pcscd.port(0)).unwrap();
        let _second = vpcd::lay(card(&keys[1], Manners::default()), pcscd.port(1)).unwrap();
        let transport = transport();
        let devices = wait_for(&transport, 2);
        assert_ne!(devices[0].id, devices[1].id);
        assert_ne!(devices[0].name, devices[1].name);
        assert!(devices.iter().all(|device| device.seat == "seat0"));
        let second = devices.iter().find(|device| device.name.ends_with('1')).unwrap();
        let mut device = transport.open(&second.id).unwrap();
        let known = keys[0].seen().commands.len();
        set_pin(device.as_mut()).unwrap();
        enroll(device.as_mut(), &mut Holder::new(), &CancelToken::new()).unwrap();
        assert_eq!(keys[0].seen().commands.len(), known, "the other one saw nothing of it");
        assert!(keys[1].seen().commands.len() > 3);
    });
}

#[test]
fn a_card_without_the_fido_applet_is_not_listed_and_asked_once() {
    pcscd::run("ceremonies::a_card_without_the_fido_applet_is_not_listed_and_asked_once", |pcscd| {
        let bank_card = Scripted::new(|_| Reply::Apdu(vec![0x6a, 0x82]));
        let log = bank_card.log();
        let key = opensk::key(Touch::AtOnce);
        let _bank_card = vpcd::lay(bank_card, pcscd.port(0)).unwrap();
        let transport = transport();
        pcscd::wait_until("the card to be asked", || {
            transport.devices().unwrap();
            !log.apdus().is_empty()
        });
        let _key = vpcd::lay(card(&key, Manners::default()), pcscd.port(1)).unwrap();
        wait_for(&transport, 1);
        wait_for(&transport, 1);
        assert_eq!(log.apdus().len(), 1);
    });
}

#[test]
fn a_card_that_knows_u2f_only_is_listed_and_said_to_be_too_old() {
    pcscd::run("ceremonies::a_card_that_knows_u2f_only_is_listed_and_said_to_be_too_old", |pcscd| {
        let manners = Manners { version: b"U2F_V2", ctap2: false, ..Manners::default() };
        let card = Applet::new(FnDevice(|_: &[u8]| vec![Status::INVALID_COMMAND.0]), manners);
        let _laid = vpcd::lay(card, pcscd.port(0)).unwrap();
        let mut device = open_only(&transport());
        let error = get_info(device.as_mut(), &CancelToken::new()).unwrap_err();
        assert_eq!(error, Error::Transport(TransportError::TooOld));
    });
}

#[test]
fn listing_does_not_disturb_a_ceremony() {
    pcscd::run("ceremonies::listing_does_not_disturb_a_ceremony", |pcscd| {
        let key = opensk::key(Touch::AtOnce);
        let _laid = vpcd::lay(card(&key, Manners::default()), pcscd.port(0)).unwrap();
        let transport = transport();
        let mut device = open_only(&transport);
        set_pin(device.as_mut()).unwrap();
        key.set_touch(Touch::Waits);
        let mut user = Holder::who(|| {
            assert_eq!(transport.devices().unwrap().len(), 1);
            key.touch();
        });
        enroll(device.as_mut(), &mut user, &CancelToken::new()).unwrap();
    });
}

#[test]
fn a_card_that_another_program_has_is_busy_and_asked_once_it_is_free() {
    pcscd::run("ceremonies::a_card_that_another_program_has_is_busy_and_asked_once_it_is_free", |pcscd| {
        let key = opensk::key(Touch::AtOnce);
        let transport = transport();
        let _laid = vpcd::lay(card(&key, Manners::default()), pcscd.port(0)).unwrap();
        let device = wait_for(&transport, 1).remove(0);
        let context = pcsc::Context::establish(pcsc::Scope::System).unwrap();
        let reader = context.list_readers_owned().unwrap().remove(0);
        let connect = || context.connect(&reader, pcsc::ShareMode::Shared, pcsc::Protocols::ANY).unwrap();

        let held = connect();
        let mut opened = transport.open(&device.id).unwrap();
        assert_eq!(opened.begin(), Err(TransportError::Busy));
        let fresh = crate::common::transport();
        assert!(fresh.devices().unwrap().is_empty(), "nobody knows what it is");
        let mut watcher = fresh.watch().unwrap();
        drop(held);
        watcher.wait(&CancelToken::new()).unwrap();
        wait_for(&fresh, 1);
        assert_eq!(opened.begin(), Ok(()));
        assert_eq!(
            context.connect(&reader, pcsc::ShareMode::Shared, pcsc::Protocols::ANY).err(),
            Some(pcsc::Error::SharingViolation),
            "for the ceremony the card is ours alone"
        );
        opened.end();
    });
}

#[test]
fn without_pcscd_the_remedy_is_said() {
    pcscd::run("ceremonies::without_pcscd_the_remedy_is_said", |pcscd| {
        pcscd.stop();
        let transport = transport();
        let errors = [transport.devices().err(), transport.watch().err(), transport.open("x").err()];
        for error in errors {
            let Some(TransportError::Unavailable(text)) = error else { panic!("{error:?}") };
            assert!(text.contains("install and start pcscd"), "{text}");
        }
        pcscd.start();
        assert!(transport.devices().unwrap().is_empty());
    });
}
