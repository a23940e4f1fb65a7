//! Whether an authenticator may have signed, though nobody got to see the signature.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ctap_core::messages::{CommandCode, GetAssertionRequest, Request};
use ctap_core::transport::{CancelToken, Device, KeepaliveStatus, TransportError};

/// Knows whether there may be a signature. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Signature(Arc<AtomicBool>);

impl Signature {
    /// Whether one was asked for, and the authenticator didn't say that it made none.
    pub(super) fn may_exist(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// The same device, of which this knows then whether it signed.
    pub(super) fn seen_by<'a>(&self, device: &'a mut dyn Device) -> Witnessed<'a> {
        Witnessed { device, signature: self.clone() }
    }
}

/// A device whose answers are noted.
pub(super) struct Witnessed<'a> {
    device: &'a mut dyn Device,
    signature: Signature,
}

/// Whether a command asks for a signature that is worth something: not the silent question for a key.
fn asks_for_signature(command: &[u8]) -> bool {
    command.first() == Some(&CommandCode::GetAssertion.byte())
        && !matches!(
            Request::decode(command),
            Ok(Request::GetAssertion(GetAssertionRequest { user_presence: Some(false), .. }))
        )
}

impl Device for Witnessed<'_> {
    fn begin(&mut self) -> Result<(), TransportError> {
        self.device.begin()
    }

    fn transact(
        &mut self,
        command: &[u8],
        on_keepalive: &mut dyn FnMut(KeepaliveStatus),
        cancel: &CancelToken,
    ) -> Result<Vec<u8>, TransportError> {
        if !asks_for_signature(command) {
            return self.device.transact(command, on_keepalive, cancel);
        }
        let before = self.signature.0.swap(true, Ordering::SeqCst);
        let answer = self.device.transact(command, on_keepalive, cancel);
        // CTAP 2.1 section 8.2: a status that isn't success comes without anything else. Whatever else is or isn't said (the
        // key was pulled out, the answer is malformed) leaves it open.
        if matches!(answer.as_deref(), Ok([1..=u8::MAX, ..])) {
            self.signature.0.store(before, Ordering::SeqCst);
        }
        answer
    }

    fn end(&mut self) {
        self.device.end();
    }

    fn wink(&mut self) -> Result<(), TransportError> {
        self.device.wink()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Answers(Answer);

    impl Device for Answers {
        fn transact(
            &mut self,
            _: &[u8],
            _: &mut dyn FnMut(KeepaliveStatus),
            _: &CancelToken,
        ) -> Result<Vec<u8>, TransportError> {
            self.0.clone()
        }
    }

    fn assertion(user_presence: Option<bool>) -> Vec<u8> {
        let (rp_id, client_data_hash) = ("mybank.fr".to_owned(), [7; 32]);
        Request::GetAssertion(GetAssertionRequest {
            rp_id,
            client_data_hash,
            allow: Vec::new(),
            user_presence,
            user_verification: None,
            pin_uv_auth: None,
        })
        .encode()
    }

    type Answer = Result<Vec<u8>, TransportError>;

    fn may_exist(commands: &[(Vec<u8>, Answer)]) -> bool {
        let signature = Signature::default();
        for (command, answer) in commands {
            let mut device = Answers(answer.clone());
            let told = signature.seen_by(&mut device).transact(command, &mut |_| {}, &CancelToken::new());
            assert_eq!(&told, answer);
        }
        signature.may_exist()
    }

    #[test]
    fn only_what_the_authenticator_denies_was_not_signed() {
        let asked = || assertion(None);
        for open in [
            Ok(vec![0, 0xa0]),
            Ok(vec![]),
            Ok(vec![0]),
            Err(TransportError::Gone),
            Err(TransportError::Timeout),
            Err(TransportError::Cancelled),
        ] {
            assert!(may_exist(&[(asked(), open.clone())]), "{open:?}");
            // And no later no undoes it.
            assert!(may_exist(&[(asked(), open.clone()), (asked(), Ok(vec![0x27]))]), "{open:?}");
        }
        for status in [0x27, 0x2d, 0x2f, 0x31, 0x36] {
            assert!(!may_exist(&[(asked(), Ok(vec![status]))]), "0x{status:02x}");
        }
    }

    #[test]
    fn what_asks_for_nothing_that_is_worth_something_makes_none() {
        assert!(!may_exist(&[(assertion(Some(false)), Err(TransportError::Gone))]));
        assert!(!may_exist(&[(Request::GetInfo.encode(), Err(TransportError::Gone))]));
        // What can't be read might ask for one.
        assert!(may_exist(&[(vec![2, 0xff], Err(TransportError::Gone))]));
    }
}
