//! What the answer to reset says of a card (ISO 7816-3 section 8.2, ISO 7816-4 section 12.1.1): extended length.

/// The tag of card capabilities in compact TLV.
const CARD_CAPABILITIES: u8 = 0x7;
/// In their third byte: extended Lc and Le.
const EXTENDED_LENGTH: u8 = 0x40;

/// Whether the historical bytes of `atr` say that the card takes extended APDUs. A contactless card's are those of its
/// answer to select (PC/SC part 3), where it has any.
pub fn takes_extended(atr: &[u8]) -> bool {
    historical_bytes(atr).and_then(card_capabilities).is_some_and(|third| third & EXTENDED_LENGTH != 0)
}

fn historical_bytes(atr: &[u8]) -> Option<&[u8]> {
    let (_ts, rest) = atr.split_first()?;
    let (t0, mut rest) = rest.split_first()?;
    let mut indicator = t0 >> 4;
    // TA, TB, TC and TD of each round are there if the indicator of the round before says so.
    while indicator != 0 {
        let td = indicator & 0x8 != 0;
        let before_td = (indicator & 0x7).count_ones();
        rest = rest.get(usize::try_from(before_td).ok()?..)?;
        indicator = 0;
        if td {
            let (next, after) = rest.split_first()?;
            indicator = next >> 4;
            rest = after;
        }
    }
    rest.get(..usize::from(t0 & 0x0f))
}

/// The third byte of the card capabilities, of historical bytes in compact TLV (category 0x80, or 0x00 with three bytes
/// of status at the end).
fn card_capabilities(historical: &[u8]) -> Option<u8> {
    let (category, mut rest) = historical.split_first()?;
    match category {
        0x80 => {}
        0x00 => rest = rest.get(..rest.len().checked_sub(3)?)?,
        _ => return None,
    }
    while let Some((head, after)) = rest.split_first() {
        let (value, next) = after.split_at_checked(usize::from(head & 0x0f))?;
        if head >> 4 == CARD_CAPABILITIES {
            return value.get(2).copied();
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_card_that_says_so_takes_extended_apdus() {
        // A contact card: T=1 by TD1, TA3 and TB3, "80 73 C8 21 40" and category.
        let contact =
            [0x3b, 0xd5, 0x18, 0xff, 0x81, 0x91, 0xfe, 0x1f, 0xc3, 0x80, 0x73, 0xc8, 0x21, 0x40, 0x00];
        assert!(takes_extended(&contact));
        let contactless = [0x3b, 0x85, 0x80, 0x01, 0x80, 0x73, 0xc0, 0x21, 0xc0, 0x57];
        assert!(takes_extended(&contactless));
    }

    #[test]
    fn a_card_that_denies_it_or_says_nothing_does_not() {
        assert!(!takes_extended(&[0x3b, 0x85, 0x80, 0x01, 0x80, 0x73, 0xc0, 0x21, 0x00, 0x57]));
        assert!(!takes_extended(&[0x3b, 0x80, 0x80, 0x01, 0x01]));
        assert!(!takes_extended(b"\x3b\x87\x80\x01YubiKey"));
        assert!(!takes_extended(&[]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(atr in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = takes_extended(&atr);
        }
    }
}
