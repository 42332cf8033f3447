//! The table that decides what really happened to an append, from what the object is afterwards.
//!
//! Where the object is ours alone, content decides, never the number of the attempt: a proxy may
//! send a request twice, so a mismatch on a first attempt can still be our own doing. Where it is
//! shared, equal bytes of somebody else are ordinary (two processes log the same line): content
//! decides only while an attempt is in doubt. Who created an object is told by its mark.
//!
//! "Not applied" never means that it will not be: a request that was sent and that OSS has not
//! answered may land until the object is longer than its position, or takes no more appends.

use std::ops::Range;

use crate::error::{Conflict, ConflictCause, ErrorKind, Landed};
use crate::values::batch::Batch;
use crate::values::info::{ObjectInfo, ObjectKind};
use crate::values::position::ObjectPosition;
use crate::values::proven::Proven;

/// Who else may append to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Nobody: a foreign append is a conflict.
    Exclusive,
    /// Others may: a foreign append moves our position on.
    Shared,
    /// Nobody, but an append of our own crashed predecessor, with the same bytes that we replay,
    /// may still arrive.
    Replay,
}

/// The append in question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) proven: Proven,
    pub(crate) batch: &'a Batch,
    pub(crate) sharing: Sharing,
    /// A request for it was sent that OSS has not answered.
    pub(crate) in_doubt: bool,
    pub(crate) creator: Creator<'a>,
    /// The tag that the object had when it ended at what is proven.
    pub(crate) tag: Option<&'a str>,
}

/// Who should have created the object, by the mark in its metadata.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Creator<'a> {
    /// Whoever it was.
    Anybody,
    /// We, by this append: it has our mark.
    Us(&'a str),
    /// Whoever left this mark, which was seen on it before.
    Seen(&'a str),
}

/// What happened, and so what to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The batch is not in the object: send the same bytes at the same position.
    NotApplied,
    /// The batch is in the object: go on from here.
    Applied(Proven),
    /// The first bytes of the batch are in the object: go on with the rest.
    Torn(u64),
    /// The batch is not in the object, others have appended: send it at this end.
    Rebase(Proven),
    /// The object is longer than it was, perhaps by what is being replayed: compare up to here.
    Compare(Proven),
    /// Length and checksum cannot tell: read this range and ask [`by_content`].
    ReadBack(Range<ObjectPosition>),
    /// No retry can mend it. `None`: whether the batch landed depends on the attempts so far.
    Fail(ErrorKind, Option<Landed>),
}

/// Decides by the answer to a HEAD, where that is enough.
pub(crate) fn by_head(question: Question<'_>, seen: Option<&ObjectInfo>) -> Verdict {
    let Question { proven, .. } = question;
    let Some(seen) = seen else {
        return match proven.position.bytes() {
            0 => Verdict::NotApplied,
            _ => fail(ConflictCause::Gone, proven.position, None, None),
        };
    };
    let verdict = by_creator(question, seen).unwrap_or_else(|| by_length(question, seen));
    closed_or(seen, verdict)
}

/// Decides by who created the object, if that is not who should have.
fn by_creator(question: Question<'_>, seen: &ObjectInfo) -> Option<Verdict> {
    let Question {
        proven,
        batch,
        sharing,
        in_doubt,
        creator,
        ..
    } = question;
    match (creator, seen.creator.as_deref()) {
        (Creator::Us(own), found) => {
            let is_ours = match found {
                Some(found) => found == own,
                // A store may keep no metadata. Then only what we have sent can be ours.
                None => in_doubt,
            };
            if is_ours {
                return None;
            }
            match (batch.is_empty(), seen.length) {
                // We have created no object.
                (true, 0) => Some(fail(
                    ConflictCause::Exists,
                    seen.end(),
                    Some(seen.end()),
                    Some(Landed::No),
                )),
                // OSS lets us append at the beginning of an empty object, whoever made it.
                (false, 0) => None,
                _ => Some(foreign(question, seen)),
            }
        }
        (Creator::Seen(known), Some(found)) if found != known && sharing != Sharing::Shared => {
            let landed = match seen.end() > proven.position {
                // Our append may be in the object that replaced ours: its content tells.
                true if in_doubt => return None,
                true => Some(Landed::No),
                false => None,
            };
            let found = Some(seen.end());
            let cause = ConflictCause::Replaced;
            Some(fail(cause, proven.position, found, landed))
        }
        (Creator::Seen(_) | Creator::Anybody, _) => None,
    }
}

/// The object is longer by what others have appended, and the batch is not in it.
fn foreign(question: Question<'_>, seen: &ObjectInfo) -> Verdict {
    match question.sharing {
        Sharing::Shared => Verdict::Rebase(end_of(seen)),
        Sharing::Exclusive | Sharing::Replay => {
            let expected = question.proven.position + question.batch.len();
            fail_foreign(expected, seen.end(), Landed::No)
        }
    }
}

fn end_of(seen: &ObjectInfo) -> Proven {
    Proven {
        position: seen.end(),
        crc: seen.crc64,
    }
}

/// Decides after the range that [`by_head`] asked for has been read. `ours`: it equals the batch.
pub(crate) fn by_content(question: Question<'_>, seen: &ObjectInfo, ours: bool) -> Verdict {
    let Question {
        proven,
        batch,
        sharing,
        ..
    } = question;
    let expected = proven.after(batch);
    let verdict = match (ours, sharing) {
        (true, _) if seen.end() < expected.position => Verdict::Torn(seen.end() - proven.position),
        (true, _) if seen.end() == expected.position => match expected.has_crc(seen.crc64) {
            // The batch is the object's end, yet the whole is not what it should be.
            Some(false) => fail(
                ConflictCause::Replaced,
                proven.position,
                Some(seen.end()),
                Some(Landed::Yes),
            ),
            Some(true) | None => Verdict::Applied(Proven {
                crc: expected.crc.or(seen.crc64),
                ..expected
            }),
        },
        (true, Sharing::Shared) => Verdict::Applied(end_of(seen)),
        (true, _) => fail_foreign(expected.position, seen.end(), Landed::Yes),
        (false, _) => foreign(question, seen),
    };
    closed_or(seen, verdict)
}

fn by_length(question: Question<'_>, seen: &ObjectInfo) -> Verdict {
    let Question {
        proven,
        batch,
        sharing,
        in_doubt,
        ..
    } = question;
    let expected = proven.after(batch);
    let replaced = || {
        fail(
            ConflictCause::Replaced,
            proven.position,
            Some(seen.end()),
            None,
        )
    };
    if seen.end() < proven.position {
        return replaced();
    }
    if sharing == Sharing::Shared && !in_doubt && seen.end() > proven.position {
        return foreign(question, seen);
    }
    if seen.end() == expected.position && expected.has_crc(seen.crc64) == Some(true) {
        return Verdict::Applied(expected);
    }
    if seen.end() == proven.position {
        let same_tag = || Some(question.tag? == seen.etag.as_deref()?);
        return match proven.has_crc(seen.crc64).or_else(same_tag) {
            Some(false) => replaced(),
            // An append of nothing has nothing left to apply.
            _ if batch.is_empty() => Verdict::Applied(proven),
            _ => Verdict::NotApplied,
        };
    }
    if batch.is_empty() {
        return fail_foreign(expected.position, seen.end(), Landed::No);
    }
    if sharing == Sharing::Replay {
        return Verdict::Compare(end_of(seen));
    }
    if seen.end() >= expected.position {
        return Verdict::ReadBack(proven.position..expected.position);
    }
    // Longer than before, but by less than the batch.
    if sharing == Sharing::Shared {
        return foreign(question, seen);
    }
    let landed = seen.end() - proven.position;
    match proven.after_prefix(batch, landed).has_crc(seen.crc64) {
        Some(true) => Verdict::Torn(landed),
        Some(false) => foreign(question, seen),
        None => Verdict::ReadBack(proven.position..seen.end()),
    }
}

/// A sealed object or one that is not appendable takes nothing more, whatever its length: the
/// verdict then only tells whether the batch is in it.
fn closed_or(seen: &ObjectInfo, verdict: Verdict) -> Verdict {
    let kind = match &seen.kind {
        ObjectKind::Other(object_type) => ErrorKind::NotAppendable {
            object_type: Some(object_type.clone()),
        },
        ObjectKind::Appendable if seen.sealed => ErrorKind::Sealed,
        ObjectKind::Appendable => return verdict,
    };
    let landed = match verdict {
        // To be looked at, and then judged again.
        Verdict::ReadBack(_) | Verdict::Torn(_) | Verdict::Compare(_) => return verdict,
        Verdict::Applied(_) => Landed::Yes,
        Verdict::NotApplied | Verdict::Rebase(_) => Landed::No,
        Verdict::Fail(_, landed) => landed.unwrap_or(Landed::No),
    };
    Verdict::Fail(kind, Some(landed))
}

fn fail(
    cause: ConflictCause,
    expected: ObjectPosition,
    found: Option<ObjectPosition>,
    landed: Option<Landed>,
) -> Verdict {
    Verdict::Fail(
        ErrorKind::Conflict(Conflict::new(
            cause,
            expected.bytes(),
            found.map(ObjectPosition::bytes),
        )),
        landed,
    )
}

fn fail_foreign(expected: ObjectPosition, found: ObjectPosition, landed: Landed) -> Verdict {
    fail(ConflictCause::Foreign, expected, Some(found), Some(landed))
}

#[cfg(test)]
mod tests {
    //! One test a row of the table.
    use super::*;
    use crate::values::crc64;

    const P: u64 = 6;
    const PREFIX: &str = "hello ";
    const BATCH: &str = "world";

    fn range(range: Range<u64>) -> Range<ObjectPosition> {
        ObjectPosition::new(range.start)..ObjectPosition::new(range.end)
    }

    fn proven() -> Proven {
        Proven {
            position: ObjectPosition::new(P),
            crc: Some(crc64::checksum(PREFIX.as_bytes())),
        }
    }

    fn object(content: &str) -> ObjectInfo {
        ObjectInfo::appendable(
            content.len() as u64,
            Some(crc64::checksum(content.as_bytes())),
        )
    }

    fn without_crc(content: &str) -> ObjectInfo {
        ObjectInfo::appendable(content.len() as u64, None)
    }

    fn ask<T>(proven: Proven, sharing: Sharing, judge: impl FnOnce(Question<'_>) -> T) -> T {
        let batch = Batch::from(BATCH);
        judge(Question {
            proven,
            batch: &batch,
            sharing,
            in_doubt: true,
            creator: Creator::Anybody,
            tag: None,
        })
    }

    fn head(sharing: Sharing, seen: Option<&ObjectInfo>) -> Verdict {
        ask(proven(), sharing, |q| by_head(q, seen))
    }

    fn content(sharing: Sharing, seen: &ObjectInfo, ours: bool) -> Verdict {
        ask(proven(), sharing, |q| by_content(q, seen, ours))
    }

    fn conflict(verdict: Verdict) -> (ConflictCause, Option<Landed>) {
        match verdict {
            Verdict::Fail(ErrorKind::Conflict(conflict), landed) => (conflict.cause, landed),
            other => panic!("{other:?}"),
        }
    }

    const EVERY: [Sharing; 3] = [Sharing::Exclusive, Sharing::Shared, Sharing::Replay];

    #[test]
    fn missing_at_position_zero_is_not_applied() {
        for sharing in EVERY {
            let verdict = ask(Proven::EMPTY, sharing, |q| by_head(q, None));
            assert_eq!(verdict, Verdict::NotApplied);
        }
    }

    #[test]
    fn missing_at_a_later_position_is_gone() {
        for sharing in EVERY {
            assert_eq!(conflict(head(sharing, None)), (ConflictCause::Gone, None));
        }
    }

    #[test]
    fn the_old_length_and_checksum_are_not_applied() {
        for sharing in EVERY {
            assert_eq!(head(sharing, Some(&object(PREFIX))), Verdict::NotApplied);
        }
    }

    #[test]
    fn the_expected_length_and_checksum_are_applied() {
        let expected = proven().after(&Batch::from(BATCH));
        for sharing in EVERY {
            assert_eq!(
                head(sharing, Some(&object("hello world"))),
                Verdict::Applied(expected)
            );
        }
    }

    #[test]
    fn a_proven_prefix_of_the_batch_is_torn() {
        let seen = object("hello wor");
        assert_eq!(head(Sharing::Exclusive, Some(&seen)), Verdict::Torn(3));
    }

    #[test]
    fn a_shared_object_that_grew_by_less_than_the_batch_is_foreign_growth() {
        let seen = object("hello wor");
        assert_eq!(
            head(Sharing::Shared, Some(&seen)),
            Verdict::Rebase(Proven {
                position: ObjectPosition::new(9),
                crc: seen.crc64
            })
        );
    }

    #[test]
    fn other_bytes_inside_the_batch_are_foreign() {
        assert_eq!(
            conflict(head(Sharing::Exclusive, Some(&object("hello xyz")))),
            (ConflictCause::Foreign, Some(Landed::No))
        );
    }

    #[test]
    fn the_old_length_with_another_checksum_is_replaced() {
        for sharing in EVERY {
            assert_eq!(
                conflict(head(sharing, Some(&object("HELLO ")))),
                (ConflictCause::Replaced, None)
            );
        }
    }

    #[test]
    fn a_shorter_object_is_replaced() {
        for sharing in EVERY {
            assert_eq!(
                conflict(head(sharing, Some(&object("hello")))),
                (ConflictCause::Replaced, None)
            );
        }
    }

    #[test]
    fn the_expected_length_with_another_checksum_is_read_back() {
        for sharing in [Sharing::Exclusive, Sharing::Shared] {
            assert_eq!(
                head(sharing, Some(&object("hello WORLD"))),
                Verdict::ReadBack(range(6..11))
            );
        }
    }

    #[test]
    fn as_many_bytes_of_somebody_else_are_foreign() {
        assert_eq!(
            conflict(content(Sharing::Exclusive, &object("hello WORLD"), false)),
            (ConflictCause::Foreign, Some(Landed::No))
        );
    }

    #[test]
    fn our_bytes_behind_another_prefix_are_a_replaced_object() {
        for sharing in [Sharing::Exclusive, Sharing::Shared] {
            assert_eq!(
                conflict(content(sharing, &object("HELLO world"), true)),
                (ConflictCause::Replaced, Some(Landed::Yes))
            );
        }
    }

    #[test]
    fn a_longer_object_is_read_back() {
        for sharing in [Sharing::Exclusive, Sharing::Shared] {
            assert_eq!(
                head(sharing, Some(&object("hello world, and more"))),
                Verdict::ReadBack(range(6..11))
            );
        }
    }

    #[test]
    fn our_bytes_with_a_foreign_append_behind_them_are_a_conflict_that_says_so() {
        let seen = object("hello world, and more");
        assert_eq!(
            conflict(content(Sharing::Exclusive, &seen, true)),
            (ConflictCause::Foreign, Some(Landed::Yes))
        );
        assert_eq!(
            content(Sharing::Shared, &seen, true),
            Verdict::Applied(Proven {
                position: ObjectPosition::new(21),
                crc: seen.crc64
            })
        );
    }

    #[test]
    fn other_bytes_in_a_longer_object_are_foreign() {
        let seen = object("hello WORLD, and more");
        assert_eq!(
            conflict(content(Sharing::Exclusive, &seen, false)),
            (ConflictCause::Foreign, Some(Landed::No))
        );
        assert_eq!(
            content(Sharing::Shared, &seen, false),
            Verdict::Rebase(Proven {
                position: ObjectPosition::new(21),
                crc: seen.crc64
            })
        );
    }

    #[test]
    fn a_replay_goes_back_to_comparing_when_the_object_grew() {
        for grown in ["hello wor", "hello WORLD", "hello world, and more"] {
            let seen = object(grown);
            assert_eq!(
                head(Sharing::Replay, Some(&seen)),
                Verdict::Compare(Proven {
                    position: seen.end(),
                    crc: seen.crc64
                })
            );
        }
    }

    #[test]
    fn without_a_checksum_the_content_decides() {
        for sharing in [Sharing::Exclusive, Sharing::Shared] {
            let whole = without_crc("hello world");
            assert_eq!(head(sharing, Some(&whole)), Verdict::ReadBack(range(6..11)));
            assert_eq!(
                content(sharing, &whole, true),
                Verdict::Applied(proven().after(&Batch::from(BATCH)))
            );
        }
        let torn = without_crc("hello wor");
        assert_eq!(
            head(Sharing::Exclusive, Some(&torn)),
            Verdict::ReadBack(range(6..9))
        );
        assert_eq!(content(Sharing::Exclusive, &torn, true), Verdict::Torn(3));
        assert_eq!(
            conflict(content(Sharing::Exclusive, &torn, false)),
            (ConflictCause::Foreign, Some(Landed::No))
        );
        assert_eq!(
            head(Sharing::Exclusive, Some(&without_crc(PREFIX))),
            Verdict::NotApplied
        );
    }

    #[test]
    fn an_unknown_chain_takes_up_the_checksum_that_content_proved() {
        let unknown = Proven {
            crc: None,
            ..proven()
        };
        let seen = object("hello world");
        let (first, then) = ask(unknown, Sharing::Exclusive, |q| {
            (by_head(q, Some(&seen)), by_content(q, &seen, true))
        });
        assert_eq!(first, Verdict::ReadBack(range(6..11)));
        assert_eq!(
            then,
            Verdict::Applied(Proven {
                position: ObjectPosition::new(11),
                crc: seen.crc64
            })
        );
    }

    #[test]
    fn a_sealed_object_fails_and_says_whether_the_batch_is_in() {
        for (body, landed) in [(PREFIX, Landed::No), ("hello world", Landed::Yes)] {
            let mut seen = object(body);
            seen.sealed = true;
            for sharing in EVERY {
                assert_eq!(
                    head(sharing, Some(&seen)),
                    Verdict::Fail(ErrorKind::Sealed, Some(landed))
                );
            }
        }
        let mut longer = object("hello world, and more");
        longer.sealed = true;
        for (ours, landed) in [(true, Landed::Yes), (false, Landed::No)] {
            for sharing in [Sharing::Exclusive, Sharing::Shared] {
                assert_eq!(
                    content(sharing, &longer, ours),
                    Verdict::Fail(ErrorKind::Sealed, Some(landed))
                );
            }
        }
    }

    #[test]
    fn an_object_of_another_type_fails_and_says_whether_the_batch_is_in() {
        for (body, landed) in [
            ("hello", Landed::No),
            (PREFIX, Landed::No),
            ("HELLO ", Landed::No),
            ("hello world", Landed::Yes),
        ] {
            let mut seen = object(body);
            seen.kind = ObjectKind::Other("Normal".into());
            assert_eq!(
                head(Sharing::Exclusive, Some(&seen)),
                Verdict::Fail(
                    ErrorKind::NotAppendable {
                        object_type: Some("Normal".into())
                    },
                    Some(landed)
                )
            );
        }
    }

    #[test]
    fn an_append_of_nothing_is_applied_as_soon_as_the_object_exists() {
        let nothing = Batch::from("");
        let question = Question {
            proven: Proven::EMPTY,
            batch: &nothing,
            sharing: Sharing::Exclusive,
            in_doubt: true,
            creator: Creator::Anybody,
            tag: None,
        };
        assert_eq!(by_head(question, None), Verdict::NotApplied);
        assert_eq!(
            by_head(question, Some(&object(""))),
            Verdict::Applied(Proven::EMPTY)
        );
        assert_eq!(
            by_head(question, Some(&without_crc(""))),
            Verdict::Applied(Proven::EMPTY)
        );
        assert_eq!(
            conflict(by_head(question, Some(&object("x")))),
            (ConflictCause::Foreign, Some(Landed::No))
        );
    }

    #[test]
    fn the_old_length_with_the_old_tag_is_unchanged_and_with_another_tag_replaced() {
        let batch = Batch::from(BATCH);
        let question = |tag| Question {
            proven: proven(),
            batch: &batch,
            sharing: Sharing::Exclusive,
            in_doubt: true,
            creator: Creator::Anybody,
            tag,
        };
        let mut seen = without_crc(PREFIX);
        seen.etag = Some("one".into());
        let unchanged = by_head(question(Some("one")), Some(&seen));
        assert_eq!(unchanged, Verdict::NotApplied);
        assert_eq!(by_head(question(None), Some(&seen)), Verdict::NotApplied);
        assert_eq!(
            conflict(by_head(question(Some("two")), Some(&seen))),
            (ConflictCause::Replaced, None)
        );
    }

    /// A question about `BATCH` at `proven`.
    fn with_creator(
        proven: Proven,
        sharing: Sharing,
        in_doubt: bool,
        creator: Creator<'_>,
        seen: &ObjectInfo,
    ) -> Verdict {
        let batch = Batch::from(BATCH);
        let question = Question {
            proven,
            batch: &batch,
            sharing,
            in_doubt,
            creator,
            tag: None,
        };
        by_head(question, Some(seen))
    }

    #[test]
    fn equal_bytes_in_a_shared_object_are_not_ours_while_no_attempt_is_in_doubt() {
        let seen = object("hello world");
        let settled = |sharing| with_creator(proven(), sharing, false, Creator::Anybody, &seen);
        assert_eq!(settled(Sharing::Shared), Verdict::Rebase(end_of(&seen)));
        let ours = Verdict::Applied(proven().after(&Batch::from(BATCH)));
        assert_eq!(settled(Sharing::Exclusive), ours);
        assert_eq!(head(Sharing::Shared, Some(&seen)), ours);
    }

    #[test]
    fn an_object_that_somebody_else_created_does_not_hold_our_first_bytes() {
        let created = |sharing, by: Option<&str>, in_doubt| {
            let mut seen = object(BATCH);
            seen.creator = by.map(Into::into);
            with_creator(Proven::EMPTY, sharing, in_doubt, Creator::Us("us"), &seen)
        };
        let ours = Verdict::Applied(Proven::EMPTY.after(&Batch::from(BATCH)));
        let theirs = Verdict::Rebase(end_of(&object(BATCH)));
        let no = (ConflictCause::Foreign, Some(Landed::No));
        for in_doubt in [true, false] {
            assert_eq!(created(Sharing::Exclusive, Some("us"), in_doubt), ours);
            let foreign = created(Sharing::Exclusive, Some("them"), in_doubt);
            assert_eq!(conflict(foreign), no);
            assert_eq!(created(Sharing::Shared, Some("them"), in_doubt), theirs);
        }
        // Without marks, only what was sent and not answered can be ours.
        assert_eq!(created(Sharing::Exclusive, None, true), ours);
        assert_eq!(conflict(created(Sharing::Exclusive, None, false)), no);
        assert_eq!(created(Sharing::Shared, None, false), theirs);
    }

    #[test]
    fn an_object_with_another_mark_than_before_has_been_replaced() {
        let verdict = |content, in_doubt| {
            let mut seen = object(content);
            seen.creator = Some("them".into());
            let known = Creator::Seen("us");
            with_creator(proven(), Sharing::Exclusive, in_doubt, known, &seen)
        };
        for in_doubt in [true, false] {
            let same_length = verdict(PREFIX, in_doubt);
            assert_eq!(conflict(same_length), (ConflictCause::Replaced, None));
        }
        let not_ours = verdict("hello world", false);
        assert_eq!(
            conflict(not_ours),
            (ConflictCause::Replaced, Some(Landed::No))
        );
        assert_eq!(
            verdict("HELLO world", true),
            Verdict::ReadBack(range(6..11))
        );
    }
}
