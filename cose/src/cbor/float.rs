//! Floating point numbers: shortest of f16, f32, f64 that keeps the value.

use std::hash::{Hash, Hasher};

/// A floating point number. NaN has one form only, so that equal values have equal encodings; `0.0` and `-0.0` differ.
#[derive(Clone, Copy, Debug)]
pub struct Float(f64);

impl Float {
    /// Wraps `value`; every NaN becomes the canonical one (`f97e00`).
    pub fn new(value: f64) -> Self {
        Self(if value.is_nan() { f64::NAN } else { value })
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }

    /// The initial byte and the big-endian bytes that follow it, shortest form.
    pub(super) fn shortest(self) -> Shortest {
        if self.0.is_nan() {
            return Shortest::Half(0x7e00);
        }
        let single = self.0 as f32;
        if f64::from(single).to_bits() != self.0.to_bits() {
            return Shortest::Double(self.0.to_bits());
        }
        match half_from_single(single.to_bits()) {
            Some(half) => Shortest::Half(half),
            None => Shortest::Single(single.to_bits()),
        }
    }

    pub(super) fn from_half(bits: u16) -> Self {
        let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
        let exponent = i32::from((bits >> 10) & 0x1f);
        let fraction = f64::from(bits & 0x03ff);
        let magnitude = match exponent {
            0 => fraction * 2f64.powi(-24),
            31 if fraction == 0.0 => f64::INFINITY,
            31 => return Self(f64::NAN),
            _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
        };
        Self::new(sign * magnitude)
    }
}

/// A float's shortest encoding, by width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shortest {
    Half(u16),
    Single(u32),
    Double(u64),
}

/// The half-precision bits with exactly the value of the single-precision `bits`, if there are any. Not for NaN.
fn half_from_single(bits: u32) -> Option<u16> {
    let sign = ((bits >> 16) & 0x8000) as u16;
    let exponent = ((bits >> 23) & 0xff) as i32;
    let fraction = bits & 0x007f_ffff;
    match exponent {
        0xff => (fraction == 0).then_some(sign | 0x7c00),
        0 if fraction == 0 => Some(sign),
        0 => None, // a subnormal single is below the smallest half
        _ => {
            let unbiased = exponent - 127;
            if (-14..=15).contains(&unbiased) {
                (fraction & 0x1fff == 0)
                    .then_some(sign | (((unbiased + 15) as u16) << 10) | (fraction >> 13) as u16)
            } else if (-24..=-15).contains(&unbiased) {
                // A subnormal half: the implicit one comes down with the fraction.
                let significand = fraction | 0x0080_0000;
                let shift = (-14 - unbiased + 13) as u32;
                (significand & ((1 << shift) - 1) == 0).then_some(sign | (significand >> shift) as u16)
            } else {
                None
            }
        }
    }
}

impl PartialEq for Float {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Float {}

impl Hash for Float {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}
