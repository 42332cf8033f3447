//! What a look shows after a lost answer, and looks for their own sake.

use super::*;

/// Looks three times more, since the looks seem to be old.
fn looks_again(row: Row, shows: impl Fn(Row) -> Row) -> Row {
    [100, 200, 400]
        .into_iter()
        .fold(shows(row), |row, wait| shows(row.waits(wait).looks()))
}

#[test]
fn an_append_whose_answer_was_lost_is_not_sent_twice() {
    Row::lost()
        .shows("hello world")
        .succeeds()
        .has_placed(&[(0, 6, 5)])
        .keeps_nothing();
}

#[test]
fn what_was_not_applied_is_sent_again_as_it_was_after_longer_and_longer_waits() {
    Row::lost()
        .offers("!")
        .shows("hello ")
        .waits(100)
        .appends(6, "world")
        .append_fails(broken())
        .looks()
        .shows("hello ")
        .waits(200)
        .appends(6, "world")
        .has_durable(0)
        .gives_back("world!", 5);
}

#[test]
fn an_object_that_was_not_created_is_created_again() {
    Row::lost_while_creating("world")
        .shows_nothing()
        .waits(100)
        .creates("world");
}

#[test]
fn after_a_torn_append_the_rest_is_appended_at_once() {
    Row::lost()
        .shows("hello wor")
        .has_durable(3)
        .appends(9, "ld")
        .append_fails(denied())
        .fails(kind(denied()), Landed::No)
        .has_placed(&[(0, 6, 3)])
        .gives_back("ld", 0);
}

#[test]
fn our_bytes_with_those_of_others_after_them_are_a_conflict_that_has_landed() {
    Row::lost()
        .shows("hello world, others")
        .reads(6..11)
        .brings("world, and more than was asked for")
        .fails(conflict(ConflictCause::Foreign, 11, 19), Landed::Yes)
        .keeps_nothing();
}

#[test]
fn bytes_of_others_are_a_conflict_that_has_not_landed() {
    let foreign = |length| conflict(ConflictCause::Foreign, 11, length);
    Row::lost()
        .shows("hello xyz")
        .fails(foreign(9), Landed::No)
        .gives_back("world", 0);
    for content in ["hello WORLD", "hello others"] {
        Row::lost()
            .shows(content)
            .reads(6..11)
            .brings(&content[6..])
            .fails(foreign(content.len() as u64), Landed::No)
            .gives_back("world", 0);
    }
}

#[test]
fn a_shorter_object_is_looked_at_again_and_then_replaced_and_in_doubt() {
    looks_again(Row::lost(), |row| row.shows("hel"))
        .fails(conflict(ConflictCause::Replaced, 6, 3), Landed::InDoubt)
        .gives_back("world", 5);
}

#[test]
fn a_missing_object_is_looked_at_again_and_then_gone_and_in_doubt() {
    looks_again(Row::lost(), Row::shows_nothing)
        .fails(conflict(ConflictCause::Gone, 6, None), Landed::InDoubt)
        .gives_back("world", 5);
}

#[test]
fn a_look_that_was_old_is_forgotten_when_a_later_one_shows_more() {
    Row::lost()
        .shows_nothing()
        .waits(100)
        .looks()
        .shows("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn each_question_has_three_more_looks() {
    let once = Row::lost()
        .shows("hel")
        .waits(100)
        .looks()
        .shows("hello ")
        .waits(100)
        .appends(6, "world")
        .append_fails(broken())
        .looks();
    looks_again(once, |row| row.shows("hel"))
        .fails(conflict(ConflictCause::Replaced, 6, 3), Landed::InDoubt);
}

#[test]
fn the_same_length_with_another_checksum_is_replaced_and_in_doubt() {
    Row::lost()
        .shows("HELLO ")
        .fails(conflict(ConflictCause::Replaced, 6, 6), Landed::InDoubt)
        .gives_back("world", 5);
}

#[test]
fn our_bytes_at_the_end_of_what_has_replaced_the_object_have_landed() {
    Row::lost()
        .shows("HELLO world")
        .reads(6..11)
        .brings("world")
        .fails(conflict(ConflictCause::Replaced, 6, 11), Landed::Yes)
        .keeps_nothing();
}

/// What is in doubt is to be settled where it may land.
fn settling_in_place() -> Row {
    Row::on("hello ").with(|rules| rules.settles_in_place = true)
}

#[test]
fn what_is_in_doubt_is_settled_in_what_has_replaced_the_object_before_that_is_told() {
    settling_in_place()
        .loses()
        .shows("HELLO ")
        .appends(6, "world")
        .answered("HELLO world")
        .fails(conflict(ConflictCause::Replaced, 6, 6), Landed::Yes)
        .keeps_nothing();
}

#[test]
fn nothing_is_sent_to_what_has_replaced_the_object_where_nothing_can_land() {
    let replaced = |length| conflict(ConflictCause::Replaced, 6, length);
    looks_again(settling_in_place().loses(), |row| row.shows("hel"))
        .fails(replaced(3), Landed::InDoubt);
    settling_in_place()
        .loses()
        .shows_object(sealed("HELLO "))
        .fails(ErrorKind::Sealed, Landed::No);
    settling_in_place()
        .sends()
        .append_fails(mismatch(6))
        .looks()
        .shows("HELLO ")
        .fails(replaced(6), Landed::No);
}

#[test]
fn an_object_that_takes_no_more_tells_whether_the_batch_is_in_it() {
    let normal = ErrorKind::NotAppendable {
        object_type: Some("Normal".into()),
    };
    for (seen, closed, landed, left) in [
        (sealed("hello "), ErrorKind::Sealed, Landed::No, "world"),
        (sealed("hello world"), ErrorKind::Sealed, Landed::Yes, ""),
        (
            not_appendable("hello "),
            normal.clone(),
            Landed::No,
            "world",
        ),
        (not_appendable("hello world"), normal, Landed::Yes, ""),
    ] {
        Row::lost()
            .shows_object(seen)
            .fails(closed, landed)
            .gives_back(left, 0);
    }
}

#[test]
fn an_object_that_was_sealed_with_a_part_of_the_batch_does_not_get_the_rest() {
    Row::lost()
        .shows_object(sealed("hello wor"))
        .has_durable(3)
        .appends(9, "ld")
        .append_fails(closed())
        .looks()
        .shows_object(sealed("hello wor"))
        .fails(ErrorKind::Sealed, Landed::No)
        .gives_back("ld", 0);
}

#[test]
fn a_failed_look_is_tried_again() {
    Row::lost()
        .look_fails(broken())
        .waits(100)
        .looks()
        .look_fails(service(503, ""))
        .waits(200)
        .looks()
        .shows("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn a_refused_look_leaves_the_batch_in_doubt_and_tells_why_it_was_needed() {
    let mut row = Row::lost().look_fails(denied());
    let error = row.failure();
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(error.kind(), denied().kind());
    assert_eq!(source, Some(broken().to_string()));
    row.gives_back("world", 5);
}

/// The object is longer than `world` explains, and is being read.
fn reading_back() -> Row {
    Row::lost().shows("hello world!").reads(6..11)
}

#[test]
fn a_read_that_breaks_off_begins_again_with_a_look() {
    reading_back()
        .brings("wor")
        .reads_on()
        .read_fails(broken())
        .waits(100)
        .looks()
        .shows("hello world!")
        .reads(6..11)
        .brings("world")
        .fails(conflict(ConflictCause::Foreign, 11, 12), Landed::Yes);
}

#[test]
fn a_read_that_is_refused_leaves_the_batch_in_doubt() {
    reading_back()
        .read_fails(denied())
        .fails(kind(denied()), Landed::InDoubt)
        .gives_back("world", 5);
}

/// Looks at `hello `, of which so much is known.
fn look(known: u64) -> Row {
    Row::on("hello ")
        .starts(Goal::Look(ObjectPosition::new(known)))
        .looks()
}

#[test]
fn a_look_ends_with_what_it_has_shown() {
    let mut row = look(6).shows("hello world").succeeds();
    assert_eq!(
        row.engine.finish().seen.as_deref(),
        Some(&object("hello world"))
    );
    row.keeps_nothing();
}

#[test]
fn a_look_that_shows_less_than_is_known_is_repeated_three_times_and_then_believed() {
    let mut shorter = looks_again(look(6), |row| row.shows("hel")).succeeds();
    assert_eq!(
        shorter.engine.finish().seen.as_deref(),
        Some(&object("hel"))
    );
    let mut missing = looks_again(look(6), Row::shows_nothing).succeeds();
    assert_eq!(missing.engine.finish().seen, None);
}

#[test]
fn a_missing_object_of_which_nothing_is_known_is_believed_at_once() {
    look(0).shows_nothing().succeeds();
}

#[test]
fn a_refused_look_for_its_own_sake_fails_and_the_engine_works_on() {
    let row = look(6).look_fails(denied()).fails(kind(denied()), None);
    assert!(row.engine.failed().is_none());
    row.sends();
}

#[test]
fn a_look_for_its_own_sake_is_tried_until_the_time_is_up() {
    look(6)
        .look_fails(broken())
        .waits(100)
        .looks()
        .passes(TIMEOUT)
        .look_fails(broken())
        .fails(exhausted(2, TIMEOUT + FIRST_WAIT), None);
}

#[test]
fn a_read_that_is_refused_tells_why_it_was_needed() {
    let error = reading_back().read_fails(denied()).failure();
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(source, Some(broken().to_string()));
}

#[test]
fn each_look_at_an_older_object_has_time_of_its_own() {
    look(12)
        .passes(TIMEOUT)
        .shows("hello ")
        .waits(100)
        .looks()
        .look_fails(broken())
        .waits(100)
        .looks();
}
