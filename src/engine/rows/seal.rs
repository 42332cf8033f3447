//! Sealing.

use super::*;

fn sealing() -> Row {
    Row::on("hello ").starts(Goal::Seal).seals(6)
}

/// The answer was lost, and the object is looked at.
fn lost() -> Row {
    sealing().seal_fails(broken()).looks()
}

#[test]
fn an_object_is_sealed_at_its_length() {
    sealing().seal_is_answered().succeeds().keeps_nothing();
}

#[test]
fn a_seal_whose_answer_was_lost_is_found() {
    lost().shows_object(sealed("hello ")).succeeds();
}

#[test]
fn a_seal_that_was_not_applied_is_asked_for_again_after_a_pause() {
    lost()
        .shows("hello ")
        .waits(100)
        .seals(6)
        .seal_is_answered()
        .succeeds();
}

#[test]
fn a_refusal_that_may_mean_that_the_object_is_sealed_is_looked_into() {
    for refusal in [mismatch(6), closed(), service(403, ""), service(503, "")] {
        sealing()
            .seal_fails(refusal)
            .looks()
            .shows_object(sealed("hello "))
            .succeeds();
    }
}

#[test]
fn a_refusal_of_an_object_that_is_not_sealed_is_the_failure() {
    for refusal in [closed(), service(403, "")] {
        sealing()
            .seal_fails(refusal.clone())
            .looks()
            .shows("hello ")
            .fails(kind(refusal), None);
    }
}

#[test]
fn an_object_that_was_sealed_with_more_in_it_is_not_sealed_as_it_should_be() {
    lost()
        .shows_object(sealed("hello world"))
        .fails(ErrorKind::Sealed, None);
}

#[test]
fn an_object_that_others_have_changed_is_not_sealed() {
    lost()
        .shows("hello world")
        .fails(conflict(ConflictCause::Foreign, 6, 11), None);
    lost()
        .shows("HELLO ")
        .fails(conflict(ConflictCause::Replaced, 6, 6), None);
}

#[test]
fn an_object_with_another_tag_is_not_sealed() {
    Row::opened(Some(tagged("one", "hello ")), None)
        .with(|rules| rules.evidence = Evidence::Tag)
        .starts(Goal::Seal)
        .seals(6)
        .seal_fails(broken())
        .looks()
        .shows_object(tagged("two", "hello "))
        .fails(conflict(ConflictCause::Replaced, 6, 6), None);
}

#[test]
fn a_missing_object_is_looked_at_again_and_then_gone() {
    [100, 200, 400]
        .into_iter()
        .fold(lost(), |row, wait| row.shows_nothing().waits(wait).looks())
        .shows_nothing()
        .fails(conflict(ConflictCause::Gone, 6, None), None);
}

#[test]
fn a_conflict_names_the_seal_and_why_it_was_looked_for() {
    let error = lost().shows("hello world").failure();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(error.operation(), Some("seal"));
    assert_eq!(error.position(), Some(6));
    assert!(source.contains("reset"), "{source}");
}

#[test]
fn a_refused_seal_fails_and_the_engine_works_on() {
    let row = sealing().seal_fails(denied()).fails(kind(denied()), None);
    assert!(row.engine.failed().is_none());
    row.sends();
}

#[test]
fn a_seal_that_could_not_be_sent_is_sent_again_without_a_look() {
    sealing()
        .seal_fails(no_connection())
        .waits(100)
        .seals(6)
        .seal_fails(no_connection())
        .waits(200)
        .seals(6);
}

#[test]
fn a_look_for_the_seal_is_tried_again_and_may_be_refused() {
    lost()
        .look_fails(broken())
        .waits(100)
        .looks()
        .look_fails(denied())
        .fails(kind(denied()), None);
}

#[test]
fn after_a_minute_a_seal_is_not_asked_for_again() {
    let late = || sealing().passes(secs(60));
    late()
        .seal_fails(no_connection())
        .fails(kind(no_connection()), None);
    late()
        .seal_fails(broken())
        .looks()
        .shows("hello ")
        .fails(kind(broken()), None);
}

#[test]
fn after_a_minute_a_seal_is_still_found() {
    sealing()
        .passes(secs(60))
        .seal_fails(broken())
        .looks()
        .shows_object(sealed("hello "))
        .succeeds();
}

#[test]
fn just_before_the_minute_is_over_a_seal_is_asked_for_again() {
    sealing()
        .passes(secs(59))
        .seal_fails(no_connection())
        .waits(100)
        .seals(6);
}

#[test]
fn the_look_for_the_seal_has_time_of_its_own() {
    sealing()
        .passes(TIMEOUT)
        .seal_fails(broken())
        .looks()
        .look_fails(broken())
        .waits(100)
        .looks()
        .shows_object(sealed("hello "))
        .succeeds();
}
