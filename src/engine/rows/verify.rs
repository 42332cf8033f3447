//! What a replay has only compared, and is read back to prove it.

use super::replay::{compared, differs};
use super::*;

/// `hello world` has been compared with an object of the same length without a checksum, and is
/// being read back.
fn reading_back() -> Row {
    Row::opened(Some(without_crc("hello world")), Some(Proven::EMPTY))
        .settles("hello world")
        .reads(0..11)
}

#[test]
fn without_a_checksum_what_was_compared_is_read_back() {
    reading_back()
        .has_settled_and_durable(11, 0)
        .brings("hello w")
        .reads_on()
        .brings("orld")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn without_a_checksum_other_bytes_differ() {
    reading_back()
        .brings("hello there")
        .fails(differs(11), None)
        .has_settled_and_durable(11, 0);
}

#[test]
fn a_read_that_breaks_off_begins_anew() {
    reading_back()
        .brings("hello")
        .reads_on()
        .read_fails(broken())
        .waits(100)
        .reads(0..11)
        .brings("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn a_read_that_is_refused_proves_nothing() {
    reading_back()
        .read_fails(denied())
        .fails(kind(denied()), None)
        .has_settled_and_durable(11, 0);
}

#[test]
fn a_read_that_was_given_up_is_made_by_the_next_goal() {
    for row in [reading_back().dropped(), reading_back()] {
        row.starts(Goal::Verify)
            .reads(0..11)
            .brings("hello world")
            .succeeds()
            .keeps_nothing();
    }
}

#[test]
fn a_checksum_that_was_not_known_is_taken_up_when_everything_was_read_back() {
    let half = Proven::unknown(ObjectPosition::new(6));
    Row::opened(Some(object("hello world")), Some(half))
        .settles("world")
        .reads(6..11)
        .brings("world")
        .succeeds()
        .settles("!")
        .appends(11, "!")
        .answered("hello world!")
        .succeeds()
        .keeps_nothing();
}

/// Batches of `hel` and `lo ` have been compared, and are being read back.
fn verifying() -> Row {
    Row::replaying("hello world")
        .offers("hel")
        .settles("lo ")
        .succeeds()
        .starts(Goal::Verify)
        .reads(0..6)
}

#[test]
fn what_was_compared_is_proven_batch_by_batch() {
    verifying()
        .brings("hel")
        .has_settled_and_durable(6, 3)
        .reads_on()
        .read_fails(broken())
        .waits(100)
        .reads(3..6)
        .brings("lo ")
        .succeeds()
        .has_durable(6);
}

#[test]
fn one_part_of_a_read_can_prove_several_batches() {
    verifying().brings("hello ").succeeds().has_durable(6);
}

#[test]
fn each_batch_that_is_read_back_begins_the_time_anew() {
    let almost = TIMEOUT - secs(1);
    verifying()
        .passes(almost)
        .brings("hel")
        .reads_on()
        .passes(almost)
        .read_fails(broken())
        .waits(100)
        .reads(3..6)
        .passes(secs(1))
        .read_fails(broken())
        .fails(exhausted(2, TIMEOUT + FIRST_WAIT), None)
        .has_settled_and_durable(6, 3);
}

#[test]
fn to_verify_what_is_proven_takes_no_request() {
    Row::replaying("hello ")
        .settles("hello ")
        .succeeds()
        .starts(Goal::Verify)
        .succeeds();
    Row::on("hello ").starts(Goal::Verify).succeeds();
}

#[test]
fn one_attempt_to_prove_what_was_compared_does_not_fail() {
    let proving = || compared().starts(Goal::Prove).reads(0..6);
    proving().brings("hello ").succeeds().has_durable(6);
    proving()
        .brings("HELLO ")
        .succeeds()
        .has_settled_and_durable(6, 0);
    proving()
        .read_fails(broken())
        .succeeds()
        .has_settled_and_durable(6, 0);
    Row::on("hello ").starts(Goal::Prove).succeeds();
}

#[test]
fn an_attempt_to_prove_goes_on_as_long_as_bytes_come() {
    compared()
        .starts(Goal::Prove)
        .reads(0..6)
        .brings("hel")
        .reads_on()
        .brings("lo ")
        .succeeds()
        .has_durable(6);
}

#[test]
fn the_last_look_proves_what_was_only_compared() {
    let (row, ended) = reading_back()
        .dropped()
        .ends_replay(Some(object("hello world")));
    assert!(matches!(ended, Ended::Well(11)));
    row.keeps_nothing();
}
