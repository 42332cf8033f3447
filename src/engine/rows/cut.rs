//! A batch that is too much for the link goes out in parts, while the whole may be in doubt.

use super::*;
use crate::engine::fit::Fit;
use crate::engine::rules::Rules;

/// So much fits in an append.
fn fits(mut row: Row, bytes: u32) -> Row {
    row.window.fit = Fit::of(bytes);
    row
}

/// `world` had no answer, and its first three bytes are appended to `hello ` alone.
fn cut() -> Row {
    fits(Row::lost(), 3)
        .shows("hello ")
        .waits(100)
        .appends(6, "wor")
}

#[test]
fn a_long_batch_goes_in_parts_one_after_the_other() {
    let row = fits(Row::on("hello ").settles("world"), 2);
    let row = row.appends(6, "wo").answered("hello wo");
    let row = fits(row, 2).appends(8, "rl").answered("hello worl");
    row.appends(10, "d")
        .answered("hello world")
        .succeeds()
        .has_placed(&[(0, 6, 2), (2, 8, 2), (4, 10, 1)])
        .keeps_nothing();
}

#[test]
fn the_first_part_of_what_is_in_doubt_is_followed_by_the_rest() {
    cut()
        .answered("hello wor")
        .has_durable(3)
        .appends(9, "ld")
        .answered("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn the_whole_that_lands_late_is_found_where_its_part_was_to_go() {
    cut()
        .append_fails(mismatch(11))
        .looks()
        .shows("hello world")
        .succeeds()
        .has_placed(&[(0, 6, 3), (3, 9, 2)])
        .keeps_nothing();
}

#[test]
fn a_part_whose_answer_was_lost_is_found() {
    cut()
        .append_fails(broken())
        .looks()
        .shows("hello wor")
        .has_durable(3)
        .appends(9, "ld")
        .answered("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn a_part_is_cut_again() {
    let row = fits(cut().append_fails(broken()), 1);
    let row = row.looks().shows("hello ").waits(200);
    let row = row.appends(6, "w").answered("hello w");
    // Something on the way has sent this one twice.
    let row = fits(row, 1).appends(7, "o").append_fails(mismatch(8));
    row.looks()
        .shows("hello wo")
        .appends(8, "r")
        .answered("hello wor")
        .appends(9, "ld")
        .answered("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn the_rest_is_in_doubt_until_the_object_has_grown() {
    cut()
        .append_fails(denied())
        .looks()
        .shows("hello ")
        .fails(kind(denied()), Landed::InDoubt)
        .gives_back("world", 5);
    // Then nothing that was sent of the whole can land any more.
    cut()
        .answered("hello wor")
        .appends(9, "ld")
        .append_fails(denied())
        .fails(kind(denied()), Landed::No)
        .gives_back("ld", 0);
    cut()
        .append_fails(broken())
        .looks()
        .shows("hello w")
        .appends(7, "or")
        .answered("hello wor")
        .appends(9, "ld")
        .append_fails(denied())
        .fails(kind(denied()), Landed::No)
        .gives_back("ld", 0);
}

#[test]
fn a_part_that_is_there_before_others_is_not_the_whole() {
    let foreign = conflict(ConflictCause::Foreign, 11, 12);
    cut()
        .append_fails(mismatch(12))
        .looks()
        .shows("hello wor???")
        .reads(6..11)
        .brings("wor??")
        .fails(foreign, Landed::No)
        .gives_back("ld", 0);
}

#[test]
fn those_behind_what_was_cut_go_where_they_were_to_go() {
    let row = Row::on("hello ")
        .ahead(2)
        .offers("wor")
        .offers("ld")
        .starts(Goal::Settle);
    let row = row.appends(6, "wor").appends(9, "ld");
    let row = row.append_fails(broken()).append_fails(broken()).looks();
    fits(row, 2)
        .shows("hello ")
        .waits(100)
        .appends(6, "wo")
        .awaits()
        .answered("hello wo")
        .appends(8, "r")
        .awaits()
        // The second had been on its way all the time.
        .answered("hello wor")
        .appends(9, "ld")
        .append_fails(mismatch(11))
        .looks()
        .shows("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn each_of_several_under_way_is_cut() {
    fits(Row::on("hello ").ahead(3).settles("world!"), 2)
        .appends(6, "wo")
        .appends(8, "rl")
        .appends(10, "d!")
        .awaits()
        .answered("hello wo")
        .answered("hello worl")
        .answered("hello world!")
        .succeeds()
        .has_placed(&[(0, 6, 2), (2, 8, 2), (4, 10, 2)])
        .keeps_nothing();
}

#[test]
fn what_has_to_stay_together_is_not_cut() {
    let row = fits(Row::on("hello ").shared(), 2);
    row.settles("world").appends(6, "world");
    let row = fits(Row::on("hello ").with(|rules| rules.whole = true), 2);
    row.settles("world").appends(6, "world");
    let row = fits(Row::on("hello ").offers("a long text").packs("world"), 2);
    row.starts(Goal::Settle).appends(6, "world");
    let tagged = |rules: &mut Rules| rules.evidence = Evidence::Tag;
    let row = fits(Row::on("hello ").with(tagged), 2);
    row.settles("world").appends(6, "world");
    let row = fits(Row::replaying("hel"), 2);
    row.settles("hello").appends(3, "lo");
}

const TOOK: Duration = Duration::from_secs(30);

#[test]
fn what_is_not_answered_in_time_is_cut_from_then_on() {
    let batch = "x".repeat(64 * 1024);
    let part = "x".repeat(8 * 1024);
    Row::on("")
        .settles(&batch)
        .appends(0, &batch)
        .passes(TOOK)
        .ended(Time::ZERO, 64 * 1024, Time::ZERO)
        .append_fails(broken())
        .looks()
        .shows("")
        .waits(100)
        .appends(0, &part);
    // A connection that breaks at once says nothing of the link.
    Row::on("")
        .settles(&batch)
        .appends(0, &batch)
        .ended(Time::ZERO, 64 * 1024, Time::ZERO)
        .append_fails(broken())
        .looks()
        .shows("")
        .waits(100)
        .appends(0, &batch);
}

#[test]
fn what_cannot_be_cut_gets_more_time() {
    let timed_out = |row: Row| {
        let began = row.now;
        let row = row.passes(TOOK).ended(began, 5, began);
        row.append_fails(broken()).looks().shows("hello ")
    };
    let mut row = timed_out(Row::on("hello ").shared().sends());
    assert_eq!(row.moment().patience(), 2 * TOOK);
    let row = row.waits(100).appends(6, "world").answered("hello world");
    let mut row = row.succeeds().settles("!").appends(11, "!");
    assert_eq!(row.moment().patience(), TOOK);
}
