//! What an answer proves.

use crate::store::ability::Evidence;
use crate::store::request::AppendAnswer;
use crate::values::proven::Proven;

/// What a success answer says about the append that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// Next position and CRC-64 are those expected, or what a store without a CRC-64 says instead.
    Proven,
    /// One of the two is missing or cannot be checked: only a look at the object can tell.
    Unproven,
    /// One of the two is wrong: the object holds bytes that we did not send.
    Wrong,
}

/// Judges a success answer: it counts only if its next position and its CRC-64 are both expected.
/// From a store that has no CRC-64 the position is the word for this very append.
pub(crate) fn judge_answer(
    evidence: Evidence,
    expected: Proven,
    answer: &AppendAnswer,
) -> Answered {
    let stores_word = match evidence {
        Evidence::Crc64 => false,
        Evidence::Tag => answer.etag.is_some(),
        Evidence::Length => true,
    };
    match (answer.next_position, expected.has_crc(answer.crc64)) {
        (Some(next), _) if next != expected.position.bytes() => Answered::Wrong,
        (_, Some(false)) => Answered::Wrong,
        (Some(_), Some(true)) => Answered::Proven,
        (Some(_), None) if stores_word => Answered::Proven,
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
            let mut answer = answer(next, crc);
            answer.etag = Some("tag".into());
            assert_eq!(judge_answer(Evidence::Crc64, expected, &answer), verdict);
        }
    }

    fn answer(next_position: Option<u64>, crc64: Option<u64>) -> AppendAnswer {
        let mut answer = AppendAnswer::default();
        (answer.next_position, answer.crc64) = (next_position, crc64);
        answer
    }

    #[test]
    fn without_a_checksum_the_position_counts_and_with_tags_only_beside_one() {
        let expected = Proven {
            position: ObjectPosition::new(10),
            crc: Some(77),
        };
        let tagged = |mut answer: AppendAnswer| {
            answer.etag = Some("tag".into());
            answer
        };
        let (right, wrong) = (answer(Some(10), None), answer(Some(11), None));
        for (evidence, answer, verdict) in [
            (Evidence::Tag, tagged(right.clone()), Answered::Proven),
            (Evidence::Tag, right.clone(), Answered::Unproven),
            (Evidence::Tag, tagged(wrong.clone()), Answered::Wrong),
            (
                Evidence::Tag,
                tagged(answer(None, None)),
                Answered::Unproven,
            ),
            (Evidence::Length, right, Answered::Proven),
            (Evidence::Length, wrong, Answered::Wrong),
            (Evidence::Length, answer(None, None), Answered::Unproven),
            // What is said beside that must be right all the same.
            (
                Evidence::Length,
                answer(Some(10), Some(78)),
                Answered::Wrong,
            ),
        ] {
            assert_eq!(judge_answer(evidence, expected, &answer), verdict);
        }
    }
}
