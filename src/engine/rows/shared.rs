//! Objects that others append to as well.

use super::*;

#[test]
fn a_mismatch_in_a_shared_object_appends_after_the_others_at_once() {
    Row::on("hello ")
        .shared()
        .sends()
        .append_fails(mismatch(12))
        .looks()
        .shows("hello others")
        .appends(12, "world")
        .answered("hello othersworld")
        .succeeds()
        .has_placed(&[(0, 12, 5)])
        .keeps_nothing();
}

#[test]
fn equal_bytes_of_others_in_a_shared_object_are_not_ours_while_nothing_is_in_doubt() {
    Row::on("hello ")
        .shared()
        .sends()
        .append_fails(mismatch(11))
        .looks()
        .shows("hello world")
        .has_durable(0)
        .appends(11, "world");
}

/// In a shared object, an attempt whose answer was lost and another that did not fit.
fn mismatch_after_an_unknown_attempt(content: &str) -> Row {
    Row::on("hello ")
        .shared()
        .sends_again()
        .append_fails(mismatch(content.len() as u64))
        .looks()
        .shows(content)
        .reads(6..11)
}

#[test]
fn a_mismatch_after_an_unknown_attempt_that_landed_in_a_shared_object_is_a_success() {
    mismatch_after_an_unknown_attempt("hello worldothers")
        .brings("world")
        .succeeds()
        .has_placed(&[(0, 6, 5)])
        .keeps_nothing();
}

#[test]
fn a_mismatch_ends_the_doubt_of_an_unknown_attempt_in_a_shared_object() {
    mismatch_after_an_unknown_attempt("hello otherothers")
        .brings("other")
        .appends(17, "world")
        .append_fails(denied())
        .fails(kind(denied()), Landed::No)
        .gives_back("world", 0);
}

#[test]
fn a_refusal_for_good_where_others_have_appended_instead_has_not_landed() {
    Row::on("hello ")
        .shared()
        .sends_again()
        .append_fails(denied())
        .looks()
        .shows("hello others")
        .reads(6..11)
        .brings("other")
        .fails(kind(denied()), Landed::No)
        .gives_back("world", 0);
}

#[test]
fn our_bytes_with_those_of_others_after_them_are_settled_in_a_shared_object() {
    Row::on("hello ")
        .shared()
        .loses()
        .shows("hello world, others")
        .reads(6..11)
        .brings("world")
        .succeeds()
        .has_placed(&[(0, 6, 5)])
        .settles("!")
        .appends(19, "!");
}

#[test]
fn bytes_of_others_in_a_shared_object_come_before_ours_after_a_pause() {
    Row::on("hello ")
        .shared()
        .loses()
        .shows("hello others")
        .reads(6..11)
        .brings("other")
        .waits(100)
        .appends(12, "world")
        .append_fails(denied())
        .fails(kind(denied()), Landed::No)
        .gives_back("world", 0);
}

#[test]
fn fewer_bytes_of_others_than_ours_in_a_shared_object_are_not_read() {
    Row::on("hello ")
        .shared()
        .loses()
        .shows("hello xyz")
        .waits(100)
        .appends(9, "world")
        .answered("hello xyzworld")
        .succeeds()
        .has_placed(&[(0, 9, 5)])
        .keeps_nothing();
}

#[test]
fn an_object_that_was_sealed_after_others_had_appended_is_read_back() {
    Row::on("hello ")
        .shared()
        .loses()
        .shows_object(sealed("hello others"))
        .reads(6..11)
        .brings("other")
        .fails(ErrorKind::Sealed, Landed::No)
        .gives_back("world", 0);
}

#[test]
fn mismatches_in_a_shared_object_end_when_the_time_is_up() {
    Row::on("hello ")
        .shared()
        .sends()
        .append_fails(mismatch(12))
        .looks()
        .passes(TIMEOUT)
        .shows("hello others")
        .fails(exhausted(1, TIMEOUT), Landed::No)
        .gives_back("world", 0);
}
