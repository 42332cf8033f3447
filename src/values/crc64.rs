//! CRC-64/XZ, the checksum that OSS keeps of every object, and how checksums of parts combine.

use crc_fast::CrcAlgorithm::Crc64Xz;

/// The CRC-64/XZ of `bytes`, as OSS reports it in `x-oss-hash-crc64ecma`. Of no bytes it is 0.
///
/// ```
/// assert_eq!(oss_append::crc64::checksum(b"abc"), 3231342946509354535);
/// ```
pub fn checksum(bytes: &[u8]) -> u64 {
    crc_fast::checksum(Crc64Xz, bytes)
}

/// The CRC-64 of `a` followed by `b`, from the checksum of each and the length of `b` in bytes.
///
/// ```
/// use oss_append::crc64::{checksum, combine};
///
/// assert_eq!(combine(checksum(b"hello "), checksum(b"world"), 5), checksum(b"hello world"));
/// ```
pub fn combine(a: u64, b: u64, b_len: u64) -> u64 {
    // The library squares a matrix for each bit of the length, a hundred times slower than this.
    // That `a` is followed by `b_len` zero bytes multiplies it by x^(8 b_len).
    let mut shifted = a;
    let mut left = b_len;
    while left > 0 {
        let bit = left.trailing_zeros();
        shifted = multiply(shifted, BYTES[bit as usize]);
        left &= left - 1;
    }
    shifted ^ b
}

/// The polynomial of CRC-64/XZ without its highest term. The lowest bit is that of x^63.
const POLYNOMIAL: u64 = 0xc96c_5795_d787_0f42;

/// x^(8 * 2^n), by n.
const BYTES: [u64; 64] = {
    let mut powers = [0; 64];
    // x^8.
    powers[0] = 1 << (63 - 8);
    let mut n = 1;
    while n < 64 {
        powers[n] = multiply(powers[n - 1], powers[n - 1]);
        n += 1;
    }
    powers
};

/// The product of two polynomials modulo that of CRC-64/XZ.
const fn multiply(a: u64, mut b: u64) -> u64 {
    let (mut product, mut left) = (0, a);
    while left != 0 {
        // Bit by bit from that of x^0 on, without a branch that cannot be foreseen.
        product ^= b & (((left as i64) >> 63) as u64);
        b = (b >> 1) ^ (POLYNOMIAL & (b & 1).wrapping_neg());
        left <<= 1;
    }
    product
}

/// A CRC-64 that is fed piece by piece.
#[derive(Clone, Debug)]
pub struct Crc64 {
    digest: crc_fast::Digest,
}

impl Crc64 {
    /// The checksum of nothing yet.
    pub fn new() -> Self {
        Self {
            digest: crc_fast::Digest::new(Crc64Xz),
        }
    }

    /// Goes on after bytes whose checksum is known.
    pub(crate) fn behind(crc64: u64) -> Self {
        // The algorithm inverts its state at the end.
        let state = !crc64;
        Self {
            digest: crc_fast::Digest::new_with_init_state(Crc64Xz, state),
        }
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
    }

    /// The checksum of everything added so far.
    pub fn finish(&self) -> u64 {
        self.digest.finalize()
    }
}

impl Default for Crc64 {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_checksum_can_be_gone_on_with() {
        for (before, after) in [("", "abc"), ("abc", ""), ("hello ", "world")] {
            let mut crc = Crc64::behind(checksum(before.as_bytes()));
            crc.update(after.as_bytes());
            let whole = [before, after].concat();
            assert_eq!(crc.finish(), checksum(whole.as_bytes()));
        }
    }

    #[test]
    fn the_known_answers_hold() {
        let sentence = b"This is a test of the emergency broadcast system.";
        for (data, crc) in [
            (&b""[..], 0),
            (b"123456789", 0x995d_c9bb_df19_39fa),
            (sentence, 0x27db_187f_c15b_bc72),
            (b"a", 3_675_645_893_302_102_789),
            (b"abc", 3_231_342_946_509_354_535),
            (b"test", 18_020_588_380_933_092_773),
            (b"hello", 11_177_612_005_948_864_433),
            (b"hello world", 5_981_764_153_023_615_706),
            (b"hi oss,append object", 2_313_496_259_928_504_459),
            (
                b"hi oss,append object,this is a demo",
                8_586_970_469_916_596_321,
            ),
        ] {
            assert_eq!(checksum(data), crc, "{data:?}");
        }
        assert_eq!(
            combine(checksum(b"123456789"), checksum(sentence), 49),
            0x6a7a_a19f_cbf4_8688
        );
    }

    proptest! {
        #[test]
        fn combining_is_what_the_library_does(a: u64, b: u64, len: u64, few in 0..1_000_u64) {
            for len in [len, few, 1 << 20, 5_000_000_000] {
                let theirs = crc_fast::checksum_combine(Crc64Xz, a, b, len);
                prop_assert_eq!(combine(a, b, len), theirs);
            }
        }

        #[test]
        fn combining_equals_concatenating(a: Vec<u8>, b: Vec<u8>) {
            let whole = [a.as_slice(), &b].concat();
            prop_assert_eq!(combine(checksum(&a), checksum(&b), b.len() as u64), checksum(&whole));
            let mut fed = Crc64::new();
            fed.update(&a);
            fed.update(&b);
            prop_assert_eq!(fed.finish(), checksum(&whole));
        }
    }
}
