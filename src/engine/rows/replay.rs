//! Replays: what is written again is compared, skipped, and proven.

use super::*;

pub(super) fn differs(end: u64) -> ErrorKind {
    ErrorKind::ReplayDiffers { start: 0, end }
}

/// `hello ` has been compared with the beginning of `hello world`.
pub(super) fn compared() -> Row {
    Row::replaying("hello world").settles("hello ").succeeds()
}

/// All of `hello ` is there again, and `world` is being appended.
fn appending() -> Row {
    Row::replaying("hello ")
        .settles("hello world")
        .appends(6, "world")
}

#[test]
fn an_equal_prefix_is_settled_without_being_sent_and_is_not_durable() {
    compared()
        .has_placed(&[(0, 0, 6)])
        .has_settled_and_durable(6, 0);
}

#[test]
fn everything_is_proven_where_the_object_ends() {
    compared()
        .settles("world")
        .succeeds()
        .has_placed(&[(0, 0, 6), (6, 6, 5)])
        .keeps_nothing();
}

#[test]
fn what_is_beyond_the_object_is_appended_and_ends_the_replay() {
    let row = appending()
        .has_durable(6)
        .answered("hello world")
        .succeeds()
        .has_placed(&[(0, 0, 6), (6, 6, 5)]);
    assert!(!row.engine.is_replaying());
    row.keeps_nothing();
}

#[test]
fn an_object_that_is_not_there_is_created() {
    Row::opened(None, Some(Proven::EMPTY))
        .settles("world")
        .creates("world")
        .answered("world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn nothing_is_appended_to_what_differs() {
    Row::replaying("hello world")
        .settles("hello there, world")
        .fails(differs(11), Landed::InDoubt)
        .has_durable(0)
        .gives_back("hello there, world", 18);
}

#[test]
fn what_was_equal_before_that_is_proven_by_reading_it_back_once() {
    let reads = || compared().settles("there").reads(0..6);
    reads()
        .brings("hel")
        .reads_on()
        .brings("lo ")
        .fails(differs(11), Landed::InDoubt)
        .has_durable(6)
        .gives_back("there", 5);
    for row in [reads().read_fails(broken()), reads().brings("HELLO ")] {
        row.fails(differs(11), Landed::InDoubt)
            .has_settled_and_durable(6, 0);
    }
}

#[test]
fn a_late_append_of_the_predecessor_is_compared_and_the_rest_is_appended() {
    appending()
        .append_fails(mismatch(9))
        .looks()
        .shows("hello wor")
        .appends(9, "ld")
        .has_durable(9)
        .answered("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn a_late_append_that_is_longer_than_the_batch_is_compared_to_its_end() {
    appending()
        .append_fails(mismatch(12))
        .looks()
        .shows("hello world!")
        .succeeds()
        .has_settled_and_durable(11, 6)
        .settles("!")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn a_late_append_that_is_not_what_is_written_differs() {
    appending()
        .append_fails(mismatch(12))
        .looks()
        .shows("hello others")
        .succeeds()
        .settles("!")
        .reads(6..11)
        .brings("other")
        .fails(differs(12), Landed::InDoubt)
        .has_settled_and_durable(11, 6);
}

#[test]
fn a_replay_that_was_compared_without_a_proof_is_proven_by_the_next_append() {
    let opened = Proven::unknown(ObjectPosition::new(6));
    let row = Row::opened(Some(without_crc("hello ")), Some(opened)).sends();
    row.append_fails(broken())
        .looks()
        .shows_object(without_crc("hello world"))
        .reads(6..11)
        .brings("world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn an_append_whose_answer_was_lost_ends_the_replay_by_a_look() {
    let row = appending()
        .append_fails(broken())
        .looks()
        .shows("hello world")
        .succeeds();
    assert!(!row.engine.is_replaying());
    row.keeps_nothing();
}

#[test]
fn a_refused_append_is_in_doubt_since_the_predecessor_may_have_sent_it_too() {
    appending()
        .append_fails(denied())
        .fails(kind(denied()), Landed::InDoubt)
        .has_durable(6)
        .gives_back("world", 5);
}

#[test]
fn the_mark_of_the_predecessor_is_not_that_of_another() {
    Row::opened(None, Some(Proven::EMPTY))
        .settles("world")
        .creates("world")
        .append_fails(mismatch(5))
        .looks()
        .shows_object(created_by("predecessor", "world"))
        .succeeds()
        .keeps_nothing();
}

/// All of `hello ` has been compared and proven.
fn replayed() -> Row {
    Row::replaying("hello ").settles("hello ").succeeds()
}

#[test]
fn a_replay_ends_well_where_the_object_does() {
    let (row, ended) = replayed().ends_replay(Some(object("hello ")));
    assert!(matches!(ended, Ended::Well(0)));
    row.keeps_nothing();
}

#[test]
fn a_replay_of_nothing_ends_well() {
    for row in [Row::opened(None, Some(Proven::EMPTY)), Row::on("hello ")] {
        let (row, ended) = row.ends_replay(None);
        assert!(matches!(ended, Ended::Well(0)));
        row.keeps_nothing();
    }
}

#[test]
fn a_last_look_without_a_checksum_has_to_be_verified() {
    let (_, ended) = replayed().ends_replay(Some(without_crc("hello ")));
    assert!(matches!(ended, Ended::Verify));
}

fn ends_badly(row: Row, seen: Option<ObjectInfo>) -> ErrorKind {
    match row.ends_replay(seen).1 {
        Ended::Badly(error) => kind(error),
        Ended::Well(_) | Ended::Verify => panic!("it does not end badly"),
    }
}

#[test]
fn a_replay_that_ends_before_the_object_does_is_too_short() {
    let too_short = |object| ErrorKind::ReplayTooShort { given: 6, object };
    for (seen, length) in [
        (Some(object("hello world")), 11),
        (Some(object("hello world!")), 12),
        (Some(object("hel")), 11),
        (None, 11),
    ] {
        assert_eq!(ends_badly(compared(), seen), too_short(length));
    }
}

#[test]
fn a_replay_of_what_was_removed_or_replaced_ends_badly() {
    let replaced = |length| conflict(ConflictCause::Replaced, 6, length);
    for (seen, why) in [
        (None, conflict(ConflictCause::Gone, 6, None)),
        (Some(object("hel")), replaced(3)),
        (Some(object("HELLO ")), replaced(6)),
    ] {
        assert_eq!(ends_badly(replayed(), seen), why);
    }
}

#[test]
fn what_was_only_compared_is_not_proven() {
    let row = appending()
        .append_fails(mismatch(12))
        .looks()
        .shows("hello world!")
        .succeeds()
        .has_settled_and_durable(11, 6);
    assert_eq!(row.window.proven(), Proven::unknown(ObjectPosition::new(6)));
}

#[test]
fn what_was_proven_where_the_object_ended_is_not_read_back_later() {
    compared()
        .settles("world")
        .succeeds()
        .settles("!!")
        .appends(11, "!!")
        .append_fails(mismatch(14))
        .looks()
        .shows("hello world!!?")
        .succeeds()
        .has_settled_and_durable(13, 11)
        .starts(Goal::Verify)
        .reads(11..13)
        .brings("!!")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn what_differs_is_looked_at_again_when_it_is_taken_up_again() {
    Row::replaying("hello world")
        .settles("hello there, world")
        .fails(differs(11), Landed::InDoubt)
        .resumes()
        .looks()
        .shows("hello world")
        .fails(differs(11), Landed::InDoubt);
}

#[test]
fn a_length_that_was_named_before_a_failure_is_forgotten_with_it() {
    Row::replaying("hello ")
        .settles("hello worlds")
        .appends(6, "worlds")
        .append_fails(mismatch(12))
        .looks()
        .shows("hello others")
        .fails(differs(12), Landed::InDoubt)
        .resumes()
        .looks()
        .shows("hello ")
        .waits(100)
        .fails(differs(12), Landed::InDoubt);
}
