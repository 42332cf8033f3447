//! Futures that were dropped or forgotten, and failures that were taken back.

use super::*;

/// The goal is started anew after it was dropped, and after it was forgotten.
fn started_anew(row: impl Fn() -> Row) -> [Row; 2] {
    [row().dropped(), row()].map(|row| row.starts(Goal::Settle))
}

#[test]
fn an_append_that_was_given_up_is_looked_for_before_anything_is_sent() {
    for row in started_anew(Row::sent) {
        row.looks().shows("hello world").succeeds().keeps_nothing();
    }
}

#[test]
fn an_append_that_was_given_up_and_not_applied_is_sent_again_after_a_pause() {
    for row in started_anew(Row::sent) {
        row.looks()
            .shows("hello ")
            .waits(100)
            .appends(6, "world")
            .answered("hello world")
            .succeeds()
            .keeps_nothing();
    }
}

#[test]
fn an_append_that_was_given_up_is_in_doubt() {
    Row::sent().dropped().gives_back("world", 5);
}

#[test]
fn an_append_that_may_have_come_twice_is_in_doubt_until_it_is_looked_for() {
    let refused = |length| Row::sent().append_fails(mismatch(length)).looks().dropped();
    // Of a length that it can have by the append.
    refused(11).gives_back("world", 5);
    refused(6).gives_back("world", 0);
    refused(3).gives_back("world", 0);
}

#[test]
fn a_goal_that_was_given_up_before_its_first_request_has_sent_nothing() {
    let begun = || Row::on("hello ").settles("world");
    for row in started_anew(begun) {
        row.appends(6, "world");
    }
    begun().dropped().gives_back("world", 0);
}

#[test]
fn a_goal_that_was_dropped_has_nothing_to_do() {
    Row::on("hello ")
        .settles("world")
        .dropped()
        .succeeds()
        .has_durable(0);
}

#[test]
fn a_look_that_was_given_up_is_made_again() {
    for row in started_anew(Row::lost) {
        row.looks().shows("hello world").succeeds().keeps_nothing();
    }
}

#[test]
fn a_read_that_was_given_up_begins_again_with_a_look() {
    let reading = || {
        Row::lost()
            .shows("hello world!")
            .reads(6..11)
            .brings("wor")
            .reads_on()
    };
    for row in started_anew(reading) {
        row.looks()
            .shows("hello world!")
            .reads(6..11)
            .brings("world")
            .fails(conflict(ConflictCause::Foreign, 11, 12), Landed::Yes);
    }
}

#[test]
fn a_read_whose_end_was_never_told_begins_again_with_a_look() {
    Row::lost()
        .shows("hello world!")
        .reads(6..11)
        .looks()
        .shows("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn a_wait_before_an_append_that_was_given_up_is_not_made_again() {
    let waiting = || Row::sent().append_fails(no_connection()).waits_on();
    for row in started_anew(waiting) {
        row.appends(6, "world");
    }
}

#[test]
fn a_wait_after_a_look_that_was_given_up_begins_again_with_a_look() {
    let waiting = || Row::lost().shows("hello ").waits_on();
    for row in started_anew(waiting) {
        row.looks().shows("hello world").succeeds().keeps_nothing();
    }
}

#[test]
fn a_wait_that_oss_has_asked_for_is_made_to_its_end_by_the_next_goal() {
    let waiting = || {
        Row::sent()
            .append_fails(busy(secs(3)))
            .waits_on()
            .passes(secs(1))
    };
    for row in started_anew(waiting) {
        row.waits_as_asked(secs(2)).looks();
    }
}

#[test]
fn a_seal_that_was_given_up_is_asked_for_again() {
    let sealing = || Row::on("hello ").starts(Goal::Seal).seals(6);
    for row in [sealing().dropped(), sealing()] {
        row.starts(Goal::Seal)
            .seals(6)
            .seal_is_answered()
            .succeeds()
            .keeps_nothing();
    }
}

#[test]
fn time_in_which_nobody_was_at_work_does_not_count() {
    for row in started_anew(|| Row::lost().passes(TIMEOUT)) {
        row.looks().shows("hello ").waits(100).appends(6, "world");
    }
}

#[test]
fn a_refused_batch_that_is_taken_up_again_is_sent_without_a_look() {
    Row::sent()
        .append_fails(denied())
        .fails(kind(denied()), Landed::No)
        .resumes()
        .appends(6, "world")
        .answered("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn a_batch_in_doubt_that_is_taken_up_again_is_looked_for_and_may_be_sent() {
    Row::sent_again()
        .append_fails(denied())
        .looks()
        .shows("hello ")
        .fails(kind(denied()), Landed::InDoubt)
        .resumes()
        .looks()
        .shows("hello ")
        .waits(100)
        .appends(6, "world");
}

#[test]
fn a_batch_whose_time_was_up_has_all_of_it_again() {
    Row::lost()
        .passes(TIMEOUT)
        .look_fails(broken())
        .fails(exhausted(1, TIMEOUT), Landed::InDoubt)
        .resumes()
        .looks()
        .look_fails(broken())
        .waits(100)
        .looks()
        .shows("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn a_batch_with_a_wrong_answer_that_is_taken_up_again_is_looked_for() {
    let mut row = Row::sent().answered("hello WORLD");
    row.failure();
    row.resumes()
        .looks()
        .shows("hello WORLD")
        .reads(6..11)
        .brings("WORLD")
        .fails(conflict(ConflictCause::Foreign, 11, 11), Landed::No)
        .gives_back("world", 0);
}

#[test]
fn a_full_object_stays_full_until_the_limit_is_raised() {
    let mut row = Row::on("hello ")
        .with(|rules| rules.max_object_size = 10)
        .settles("world");
    row.failure();
    let mut row = row.resumes();
    row.failure();
    row.with(|rules| rules.max_object_size = 11)
        .resumes()
        .appends(6, "world");
}

#[test]
fn after_a_conflict_the_object_is_looked_at_as_it_is_then() {
    Row::lost()
        .shows("HELLO ")
        .fails(conflict(ConflictCause::Replaced, 6, 6), Landed::InDoubt)
        .resumes()
        .looks()
        .shows("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn what_has_landed_in_spite_of_a_failure_is_not_sent_again() {
    Row::lost()
        .offers("!")
        .shows_object(sealed("hello world"))
        .fails(ErrorKind::Sealed, Landed::Yes)
        .has_durable(5)
        .resumes()
        .appends(11, "!");
}

#[test]
fn what_cannot_land_any_more_is_not_looked_for_when_it_is_taken_up_again() {
    let row = Row::lost()
        .shows_object(sealed("hello "))
        .fails(ErrorKind::Sealed, Landed::No);
    assert!(!row.window.is_in_doubt());
    row.resumes().appends(6, "world");
}

#[test]
fn what_is_in_doubt_is_looked_for_even_in_a_full_object() {
    Row::sent()
        .dropped()
        .with(|rules| rules.max_object_size = 10)
        .starts(Goal::Settle)
        .looks()
        .shows("hello world")
        .succeeds()
        .keeps_nothing();
}
