//! What an answer proves.

use crate::values::proven::Proven;

/// What a success answer says about the append that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// Next position and CRC-64 are those expected.
    Proven,
    /// One of the two is missing or cannot be checked: only a look at the object can tell.
    Unproven,
    /// One of the two is wrong: the object holds bytes that we did not send.
    Wrong,
}

/// Judges a success answer: it counts only if its next position and its CRC-64 are both expected.
pub(crate) fn judge_answer(
    expected: Proven,
    next_position: Option<u64>,
    crc: Option<u64>,
) -> Answered {
    match (next_position, expected.has_crc(crc)) {
        (Some(next), _) if next != expected.position.bytes() => Answered::Wrong,
        (_, Some(false)) => Answered::Wrong,
        (Some(_), Some(true)) => Answered::Proven,
        (None, _) | (_, None) => Answered::Unproven,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::position::ObjectPosition;

    #[test]
    fn a_success_counts_only_with_position_and_checksum() {
        let expected = Proven {
            position: ObjectPosition::new(10),
            crc: Some(77),
        };
        let unknown = Proven {
            crc: None,
            ..expected
        };
        for (expected, next, crc, verdict) in [
            (expected, Some(10), Some(77), Answered::Proven),
            (expected, Some(10), Some(78), Answered::Wrong),
            (expected, Some(11), Some(77), Answered::Wrong),
            (expected, Some(11), None, Answered::Wrong),
            (expected, Some(10), None, Answered::Unproven),
            (expected, None, Some(77), Answered::Unproven),
            (expected, None, Some(78), Answered::Wrong),
            (expected, None, None, Answered::Unproven),
            (unknown, Some(10), Some(77), Answered::Unproven),
            (unknown, Some(9), Some(77), Answered::Wrong),
        ] {
            assert_eq!(judge_answer(expected, next, crc), verdict);
        }
    }
}
