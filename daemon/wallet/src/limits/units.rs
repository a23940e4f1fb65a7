//! Currencies whose unit is worth little: what a limit for others is multiplied by, so that it is about the same money.

use fwp::Currency;

/// About how many units one euro is worth (2026), rounded to 1, 2 or 5 and zeros, where that is 7 or more. For limits only:
/// no exchange rate, and none is ever looked up.
const UNITS: [(u32, &str); 13] = [
    (10, "BOB BWP CNY DKK GHS GTQ HKD MAD MOP NOK SBD SEK SVC TJS TTD ZMW"),
    (20, "CUP CZK ERN LSL MDL MVR MXN NAD SCR SLE STN SZL ZAR"),
    (50, "DOP EGP HNL MKD MRU MUR MZN NIO PHP SRD THB TRY TWD UAH UYU ZWG"),
    (100, "AFN ALL BDT BTN CVE DZD ETB GMD INR ISK KES KGS RSD RUB VUV"),
    (200, "DJF GYD HTG JMD JPY LKR LRD NPR PKR VES XPF YER"),
    (500, "AMD CRC HUF KMF KZT SDG SOS XAF XOF"),
    (1_000, "AOA ARS CLP IQD KRW MWK NGN RWF"),
    (2_000, "BIF CDF MMK TZS"),
    (5_000, "COP KHR MGA MNT PYG SSP UGX"),
    (10_000, "GNF SYP UZS"),
    (20_000, "IDR LAK VND"),
    (50_000, "IRR"),
    (100_000, "LBP"),
];

/// What a limit that is not set for this currency alone is multiplied by.
pub(super) fn units(currency: &Currency) -> u32 {
    let found = UNITS.iter().find(|(_, names)| names.split(' ').any(|name| name == currency.as_str()));
    found.map_or(1, |(units, _)| *units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_currency_stands_there_once_and_the_others_count_one_to_one() {
        let mut names: Vec<_> = UNITS.iter().flat_map(|(_, names)| names.split(' ')).collect();
        assert!(names.iter().all(|name| Currency::parse(name).is_ok()));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        let of = |name| units(&Currency::parse(name).unwrap());
        assert_eq!((of("EUR"), of("USD"), of("KWD"), of("XXX")), (1, 1, 1, 1));
        assert_eq!((of("JPY"), of("HUF"), of("KRW")), (200, 500, 1_000));
        assert_eq!((of("NPR"), of("HTG"), of("CDF")), (200, 200, 2_000), "nobody is stuck at a thousandth");
    }
}
