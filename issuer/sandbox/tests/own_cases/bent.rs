//! CBOR that says the right thing in a way that is not deterministic: the encoding of a value with one place bent.

use fwp_cose::cbor::Value;

/// How the one place is bent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bend {
    /// The head is one size longer than needed.
    LongHead,
    /// The string, array or map has indefinite length.
    Indefinite,
    /// The first two entries of the map stand in the other order.
    Swapped,
    /// The first entry of the map stands there twice.
    Doubled,
}

/// Every encoding of `value` with exactly one place bent.
pub fn all(value: &Value, bend: Bend) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for place in 0.. {
        let mut encoder = Encoder { out: Vec::new(), bend, place, seen: 0 };
        encoder.value(value);
        if encoder.seen <= place {
            break;
        }
        out.push(encoder.out);
    }
    out
}

struct Encoder {
    out: Vec<u8>,
    bend: Bend,
    /// Which of the places that could be bent is.
    place: usize,
    seen: usize,
}

impl Encoder {
    /// Whether this place, where `bend` is possible, is the one.
    fn here(&mut self, bend: Bend) -> bool {
        if bend != self.bend {
            return false;
        }
        self.seen += 1;
        self.seen == self.place + 1
    }

    fn head(&mut self, major: u8, n: u64) {
        let shortest = match n {
            0..=23 => 0,
            24..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        };
        let size = if shortest < 8 && self.here(Bend::LongHead) { (shortest * 2).max(1) } else { shortest };
        let info = match size {
            0 => n as u8,
            1 => 24,
            2 => 25,
            4 => 26,
            _ => 27,
        };
        self.out.push(major << 5 | info);
        self.out.extend_from_slice(&n.to_be_bytes()[8 - size..]);
    }

    fn string(&mut self, major: u8, bytes: &[u8]) {
        if self.here(Bend::Indefinite) {
            self.out.push(major << 5 | 31);
            self.head(major, bytes.len() as u64);
            self.out.extend_from_slice(bytes);
            self.out.push(0xff);
        } else {
            self.head(major, bytes.len() as u64);
            self.out.extend_from_slice(bytes);
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Unsigned(n) => self.head(0, *n),
            Value::Negative(n) => self.head(1, *n),
            Value::Bytes(bytes) => self.string(2, bytes),
            Value::Text(text) => self.string(3, text.as_bytes()),
            Value::Array(items) => {
                let indefinite = self.here(Bend::Indefinite);
                if indefinite {
                    self.out.push(0x9f)
                } else {
                    self.head(4, items.len() as u64)
                }
                items.iter().for_each(|item| self.value(item));
                if indefinite {
                    self.out.push(0xff);
                }
            }
            Value::Map(map) => {
                let indefinite = self.here(Bend::Indefinite);
                let doubled = self.here(Bend::Doubled);
                let mut entries: Vec<_> = map.iter().collect();
                if entries.len() > 1 && self.here(Bend::Swapped) {
                    entries.swap(0, 1);
                }
                if doubled {
                    entries.insert(0, entries[0]);
                }
                if indefinite {
                    self.out.push(0xbf)
                } else {
                    self.head(5, entries.len() as u64)
                }
                for (key, value) in entries {
                    self.value(key);
                    self.value(value);
                }
                if indefinite {
                    self.out.push(0xff);
                }
            }
            Value::Cotx(id, object) => {
                self.head(6, 1010);
                self.head(4, 2);
                self.string(3, id.as_bytes());
                self.value(object);
            }
            Value::Bool(_) | Value::Null | Value::Float(_) => value.encode_to(&mut self.out),
        }
    }
}
