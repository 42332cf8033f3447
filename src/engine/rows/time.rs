//! Waits, what is tried again at once, and the end of the time.

use super::*;

fn clock_corrected() -> Error {
    let mut answer = ServiceError::new(403, "RequestTimeTooSkewed");
    answer.clock_corrected = true;
    Error::service(answer)
}

fn token_expired() -> Error {
    service(403, "SecurityTokenExpired")
}

fn key_unknown() -> Error {
    service(403, "InvalidAccessKeyId")
}

/// An answer as expected that asks for a wait of two seconds.
fn answered_with_a_wish() -> Row {
    let mut answer = answer("hello world");
    answer.delay = Some(secs(2));
    Row::sent().answers(answer).succeeds()
}

#[test]
fn a_wait_that_an_answer_asks_for_comes_once_before_the_next_append() {
    answered_with_a_wish()
        .settles("!")
        .waits_as_asked(secs(2))
        .appends(11, "!")
        .answered("hello world!")
        .succeeds()
        .settles("?")
        .appends(12, "?");
}

#[test]
fn a_wait_that_is_over_meanwhile_takes_no_time() {
    answered_with_a_wish()
        .passes(secs(3))
        .settles("!")
        .waits_as_asked(Duration::ZERO)
        .appends(11, "!");
}

#[test]
fn a_wait_that_a_failure_asks_for_comes_once_before_the_look() {
    Row::sent()
        .append_fails(busy(secs(3)))
        .waits_as_asked(secs(3))
        .looks()
        .shows("hello ")
        .waits(100)
        .appends(6, "world");
}

#[test]
fn a_wait_that_a_failed_look_asks_for_comes_before_the_next_look() {
    Row::lost()
        .look_fails(busy(secs(3)))
        .waits_for(FIRST_WAIT, secs(3))
        .looks();
}

#[test]
fn a_wait_that_is_asked_for_ends_before_the_time_does() {
    Row::lost()
        .passes(TIMEOUT - secs(10))
        .look_fails(busy(secs(60)))
        .waits_for(FIRST_WAIT, secs(5))
        .looks();
}

#[test]
fn no_wait_that_is_asked_for_is_longer_than_a_minute_or_half_of_the_time() {
    for (timeout, longest) in [(secs(3600), secs(60)), (secs(20), secs(10))] {
        Row::on("hello ")
            .with(|rules| rules.delivery_timeout = timeout)
            .sends()
            .append_fails(busy(secs(3600)))
            .waits_as_asked(longest)
            .looks();
    }
}

#[test]
fn what_was_mended_is_tried_again_at_once_and_each_thing_once() {
    Row::sent()
        .append_fails(clock_corrected())
        .appends(6, "world")
        .append_fails(token_expired())
        .appends(6, "world")
        .append_fails(key_unknown())
        .appends(6, "world")
        .append_fails(token_expired())
        .fails(kind(token_expired()), Landed::No)
        .gives_back("world", 0);
}

#[test]
fn what_was_mended_can_be_mended_again_after_progress() {
    Row::sent()
        .append_fails(clock_corrected())
        .appends(6, "world")
        .append_fails(broken())
        .looks()
        .shows("hello wor")
        .appends(9, "ld")
        .append_fails(clock_corrected())
        .appends(9, "ld");
}

#[test]
fn what_was_mended_after_an_unknown_attempt_is_looked_for_first() {
    Row::sent_again()
        .append_fails(clock_corrected())
        .looks()
        .shows("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn credentials_that_may_come_yet_are_waited_for() {
    Row::sent()
        .append_fails(Error::credentials_unavailable("busy"))
        .waits(100)
        .appends(6, "world");
}

#[test]
fn a_batch_that_could_not_be_sent_in_time_has_not_landed() {
    Row::sent()
        .passes(TIMEOUT)
        .append_fails(no_connection())
        .fails(exhausted(1, TIMEOUT), Landed::No)
        .gives_back("world", 0);
}

#[test]
fn a_batch_that_was_not_found_in_time_stays_in_doubt() {
    Row::lost()
        .passes(TIMEOUT)
        .shows("hello ")
        .fails(exhausted(1, TIMEOUT), Landed::InDoubt)
        .gives_back("world", 5);
}

#[test]
fn an_unknown_attempt_stays_in_doubt_when_the_time_of_another_is_up() {
    Row::sent_again()
        .passes(TIMEOUT)
        .append_fails(no_connection())
        .fails(exhausted(2, TIMEOUT + FIRST_WAIT), Landed::InDoubt)
        .gives_back("world", 5);
}

#[test]
fn a_batch_that_is_found_after_the_time_is_settled() {
    Row::lost()
        .passes(TIMEOUT * 2)
        .shows("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn waits_get_shorter_towards_the_end_of_the_time() {
    let left = Duration::from_millis(150);
    Row::lost()
        .passes(TIMEOUT - left)
        .shows("hello ")
        .waits(75)
        .appends(6, "world")
        .append_fails(no_connection())
        .fails(exhausted(2, TIMEOUT - left / 2), Landed::InDoubt);
}

#[test]
fn a_part_that_is_durable_begins_the_time_anew() {
    Row::lost()
        .passes(TIMEOUT)
        .shows("hello wor")
        .appends(9, "ld")
        .append_fails(no_connection())
        .waits(100)
        .appends(9, "ld");
}

#[test]
fn bytes_that_move_begin_the_time_anew_and_those_that_move_again_do_not() {
    let half = TIMEOUT / 2;
    let row = Row::sent()
        .passes(half)
        .ended(Time::ZERO, 3, half)
        .append_fails(no_connection())
        .waits(100)
        .appends(6, "world");
    let sent = row.now;
    row.passes(TIMEOUT)
        .ended(sent, 3, sent + TIMEOUT)
        .append_fails(no_connection())
        .fails(exhausted(2, TIMEOUT + FIRST_WAIT), Landed::No);
}

#[test]
fn a_batch_goes_on_as_long_as_its_bytes_move() {
    let half = TIMEOUT / 2;
    Row::sent()
        .passes(half)
        .ended(Time::ZERO, 3, half)
        .passes(half)
        .ended(half, 4, TIMEOUT)
        .append_fails(no_connection())
        .waits(100)
        .appends(6, "world");
}

#[test]
fn time_in_the_queue_does_not_count() {
    Row::sent()
        .passes(TIMEOUT)
        .on_event(Event::Queued(TIMEOUT))
        .append_fails(no_connection())
        .waits(100)
        .appends(6, "world");
}

#[test]
fn time_in_which_the_process_was_frozen_does_not_count_but_only_once() {
    let row = Row::sent()
        .passes(TIMEOUT * 2)
        .ended(Time::ZERO, 0, Time::ZERO)
        .append_fails(no_connection())
        .waits(100)
        .appends(6, "world");
    let sent = row.now;
    row.passes(TIMEOUT)
        .ended(sent, 0, sent)
        .append_fails(no_connection())
        .fails(exhausted(2, TIMEOUT + FIRST_WAIT), Landed::No);
}

#[test]
fn a_wait_during_which_the_process_was_frozen_does_not_count() {
    Row::sent()
        .append_fails(no_connection())
        .waits_on()
        .passes(TIMEOUT * 2)
        .on_event(Event::Waited(FIRST_WAIT))
        .appends(6, "world")
        .append_fails(no_connection())
        .waits(200)
        .appends(6, "world");
}

#[test]
fn a_request_gets_as_much_patience_as_there_is_time_and_at_least_a_second() {
    assert_eq!(Row::on("hello ").moment().patience(), secs(30));
    for (passed, patience) in [(0, 30), (90, 30), (110, 10), (120, 1), (500, 1)] {
        let mut row = Row::sent().passes(secs(passed));
        assert_eq!(row.moment().patience(), secs(patience), "after {passed} s");
    }
}
