//! The marks of those who created an object.

use super::*;

#[test]
fn equal_bytes_with_the_mark_of_another_are_not_ours() {
    Row::lost_while_creating("world")
        .shows_object(created_by("them", "world"))
        .fails(conflict(ConflictCause::Foreign, 5, 5), Landed::No)
        .gives_back("world", 0);
}

#[test]
fn equal_bytes_without_a_mark_are_not_ours_where_our_append_was_refused() {
    Row::on_nothing()
        .settles("world")
        .creates("world")
        .append_fails(mismatch(5))
        .looks()
        .shows("world")
        .fails(conflict(ConflictCause::Foreign, 5, 5), Landed::No)
        .gives_back("world", 0);
}

#[test]
fn an_empty_object_with_the_mark_of_another_was_not_created_by_us() {
    Row::lost_while_creating("")
        .shows_object(created_by("them", ""))
        .fails(conflict(ConflictCause::Exists, 0, 0), Landed::No);
}

#[test]
fn the_mark_that_was_on_the_object_has_to_stay() {
    let opened = Row::opened(Some(created_by("us", "hello ")), None).loses();
    let seen_later = Row::lost()
        .shows_object(created_by("us", "hello "))
        .waits(100)
        .appends(6, "world")
        .append_fails(broken())
        .looks();
    for row in [opened, seen_later] {
        row.shows_object(created_by("them", "hello "))
            .fails(conflict(ConflictCause::Replaced, 6, 6), Landed::InDoubt)
            .gives_back("world", 5);
    }
}

/// `world` has created an object, which is looked at for our mark.
fn verifies_the_creator() -> Row {
    Row::on_nothing()
        .with(|rules| rules.verify_creator = true)
        .settles("world")
        .creates("world")
        .answered("world")
        .looks()
}

#[test]
fn a_created_object_with_our_mark_or_with_none_is_ours() {
    for seen in [created_by(&shown(MARK), "world"), object("world")] {
        verifies_the_creator()
            .shows_object(seen)
            .succeeds()
            .settles("!")
            .appends(5, "!");
    }
    verifies_the_creator()
        .shows_nothing()
        .succeeds()
        .keeps_nothing();
}

#[test]
fn a_created_object_with_the_mark_of_another_is_a_conflict_and_the_batch_has_landed() {
    verifies_the_creator()
        .shows_object(created_by("them", "world"))
        .fails(conflict(ConflictCause::Exists, 0, 5), Landed::Yes)
        .keeps_nothing();
}

#[test]
fn a_look_for_our_mark_that_fails_leaves_the_batch_durable() {
    verifies_the_creator()
        .look_fails(broken())
        .waits(100)
        .looks()
        .look_fails(denied())
        .fails(kind(denied()), Landed::Yes)
        .keeps_nothing();
}

#[test]
fn an_object_that_was_there_is_not_looked_at_for_our_mark() {
    Row::on("hello ")
        .with(|rules| rules.verify_creator = true)
        .sends()
        .answered("hello world")
        .succeeds();
}

#[test]
fn a_look_for_our_mark_that_was_given_up_is_made_by_the_next_goal() {
    for row in [verifies_the_creator().dropped(), verifies_the_creator()] {
        row.starts(Goal::Settle)
            .looks()
            .shows_object(created_by("them", "world"))
            .fails(conflict(ConflictCause::Exists, 0, 5), Landed::Yes)
            .keeps_nothing();
    }
}

#[test]
fn the_look_for_our_mark_has_time_of_its_own() {
    Row::on_nothing()
        .with(|rules| rules.verify_creator = true)
        .settles("world")
        .creates("world")
        .passes(TIMEOUT)
        .answered("world")
        .looks()
        .look_fails(broken())
        .waits(100)
        .looks();
}

#[test]
fn a_mark_that_one_look_does_not_show_is_still_known() {
    Row::opened(Some(created_by("us", "hello ")), None)
        .sends_again()
        .append_fails(broken())
        .looks()
        .shows_object(created_by("them", "hello "))
        .fails(conflict(ConflictCause::Replaced, 6, 6), Landed::InDoubt);
}

#[test]
fn an_empty_object_that_another_has_created_meanwhile_is_not_created_again() {
    Row::lost_while_creating("world")
        .shows_object(created_by("them", ""))
        .waits(100)
        .appends(0, "world");
}
