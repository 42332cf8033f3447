//! Several appends under way at a time: `world` and `!!`, behind `hello `.

use std::ops::Range;

use super::*;

/// Both are sent, and neither is answered.
fn both() -> Row {
    Row::on("hello ")
        .ahead(2)
        .offers("world")
        .settles("!!")
        .appends(6, "world")
        .appends(11, "!!")
        .awaits()
}

impl Row {
    /// The second is sent, alone, and all is there.
    #[track_caller]
    fn goes_on_with_the_second(self) {
        self.appends(11, "!!")
            .awaits()
            .answered("hello world!!")
            .succeeds()
            .keeps_nothing();
    }

    /// Both are sent, one after the other.
    #[track_caller]
    fn goes_on_one_by_one(self) {
        self.appends(6, "world")
            .awaits()
            .answered("hello world")
            .goes_on_with_the_second();
    }
}

/// The connection broke before any of the two was answered.
fn both_lost() -> Row {
    both()
        .append_fails(broken())
        .awaits()
        .append_fails(broken())
        .looks()
}

#[test]
fn the_second_is_sent_before_the_first_is_answered() {
    both()
        .answered("hello world")
        .has_durable(5)
        .awaits()
        .answered("hello world!!")
        .succeeds()
        .has_placed(&[(0, 6, 5), (5, 11, 2)])
        .keeps_nothing();
}

#[test]
fn the_third_waits_for_the_first_where_two_may_be_under_way() {
    Row::on("")
        .ahead(2)
        .offers("a")
        .offers("b")
        .settles("c")
        .appends(0, "a")
        .appends(1, "b")
        .awaits()
        .answered("a")
        .appends(2, "c")
        .awaits()
        .answered("ab")
        .awaits()
        .answered("abc")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn what_comes_while_one_is_under_way_is_sent_behind_it() {
    Row::on("hello ")
        .ahead(2)
        .settles("world")
        .appends(6, "world")
        .awaits()
        .offers("!!")
        .appends(11, "!!")
        .awaits()
        .answered("hello world")
        .awaits()
        .answered("hello world!!")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn of_two_lost_ones_both_are_there() {
    both_lost()
        .shows("hello world!!")
        .succeeds()
        .has_placed(&[(0, 6, 5), (5, 11, 2)])
        .keeps_nothing();
}

#[test]
fn of_two_lost_ones_the_first_is_there() {
    both_lost()
        .shows("hello world")
        .has_durable(5)
        .goes_on_with_the_second();
}

#[test]
fn of_two_lost_ones_a_part_of_the_second_is_there() {
    both_lost()
        .shows("hello world!")
        .has_durable(6)
        .appends(12, "!")
        .awaits()
        .answered("hello world!!")
        .succeeds()
        .has_placed(&[(0, 6, 5), (5, 11, 1), (6, 12, 1)])
        .keeps_nothing();
}

#[test]
fn of_two_lost_ones_none_is_there_and_they_go_again_one_by_one() {
    both_lost().shows("hello ").waits(100).goes_on_one_by_one();
}

#[test]
fn behind_the_rest_of_one_what_may_land_yet_is_not_sent() {
    both_lost()
        .shows("hello wo")
        .appends(8, "rld")
        .awaits()
        .answered("hello world")
        .goes_on_with_the_second();
}

#[test]
fn the_whole_pipeline_lands_late() {
    both_lost()
        .shows("hello ")
        .waits(100)
        .appends(6, "world")
        .awaits()
        .append_fails(mismatch(13))
        .looks()
        .shows("hello world!!")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn the_first_is_answered_and_the_second_lost() {
    both()
        .answered("hello world")
        .awaits()
        .append_fails(broken())
        .looks()
        .shows("hello world")
        .waits(100)
        .goes_on_with_the_second();
}

#[test]
fn a_success_behind_a_failure_proves_both() {
    both()
        .append_fails(service(504, ""))
        .awaits()
        .answered("hello world!!")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn a_refusal_behind_a_failure_is_no_other_writer() {
    both()
        .append_fails(service(503, "InternalError"))
        .awaits()
        .append_fails(mismatch(6))
        .looks()
        .shows("hello ")
        .waits(100)
        .goes_on_one_by_one();
}

#[test]
fn the_first_is_lost_and_the_second_came_twice() {
    both()
        .append_fails(broken())
        .awaits()
        .append_fails(mismatch(13))
        .looks()
        .shows("hello world!!")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn what_may_have_come_twice_is_in_doubt() {
    both()
        .append_fails(mismatch(11))
        .awaits()
        .append_fails(mismatch(13))
        .looks()
        .dropped()
        .gives_back("world!!", 7);
}

#[test]
fn what_is_refused_for_good_fails_once_those_behind_it_are_answered() {
    both()
        .append_fails(denied())
        .awaits()
        .append_fails(mismatch(6))
        .looks()
        .shows("hello ")
        .fails(kind(denied()), Landed::No)
        .gives_back("world!!", 0);
}

#[test]
fn a_token_that_has_expired_is_mended_for_both() {
    let expired = || service(403, "SecurityTokenExpired");
    both()
        .append_fails(expired())
        .awaits()
        .append_fails(expired())
        .looks()
        .shows("hello ")
        .appends(6, "world")
        .appends(11, "!!")
        .awaits()
        .answered("hello world")
        .awaits()
        .answered("hello world!!")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn nothing_more_is_sent_behind_a_failure() {
    Row::on("")
        .ahead(3)
        .offers("a")
        .offers("b")
        .settles("c")
        .appends(0, "a")
        .appends(1, "b")
        .appends(2, "c")
        .awaits()
        .append_fails(broken())
        .offers("d")
        .awaits()
        .append_fails(broken())
        .awaits()
        .append_fails(broken())
        .looks()
        .shows("abc")
        .appends(3, "d");
}

#[test]
fn a_foreign_append_of_the_same_length_lets_the_second_land_behind_it() {
    let mut row = both()
        .append_fails(mismatch(11))
        .awaits()
        .answered("hello WORLD!!")
        .looks()
        .shows("hello WORLD!!")
        .reads(6..13)
        .brings("WORLD!!");
    let error = row.failure();
    assert_eq!(error.landed(), Some(Landed::InDoubt));
    let ErrorKind::Conflict(conflict) = error.kind() else {
        panic!("{error}");
    };
    assert_eq!(conflict.cause, ConflictCause::Foreign);
    assert_eq!(conflict.apart, vec![Range { start: 11, end: 13 }]);
    row.has_durable(0).gives_back("world!!", 7);
}

#[test]
fn a_foreign_append_behind_the_first_leaves_that_durable() {
    let mut row = both()
        .append_fails(broken())
        .awaits()
        .append_fails(broken())
        .looks()
        .shows("hello world??")
        .reads(6..13)
        .brings("world")
        .reads_on()
        .brings("??");
    let error = row.failure();
    assert_eq!(error.landed(), Some(Landed::No));
    row.has_durable(5).gives_back("!!", 0);
}

#[test]
fn a_foreign_append_before_which_the_second_may_land_yet_leaves_it_in_doubt() {
    let mut row = both_lost()
        .shows("hello WORLD")
        .reads(6..11)
        .brings("WORLD");
    let error = row.failure();
    assert_eq!(error.landed(), Some(Landed::InDoubt));
    row.has_durable(0).gives_back("world!!", 7);
}

#[test]
fn dropped_with_two_under_way_both_are_looked_for() {
    both()
        .dropped()
        .starts(Goal::Settle)
        .looks()
        .shows("hello world!!")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn dropped_between_two_answers_the_second_is_looked_for() {
    both()
        .answered("hello world")
        .dropped()
        .starts(Goal::Settle)
        .looks()
        .shows("hello world")
        .waits(100)
        .appends(11, "!!");
}

#[test]
fn a_wrong_answer_to_the_first_fails_at_once_with_both_in_doubt() {
    let mut row = both().answered("hello w0rld");
    let error = row.failure();
    assert!(
        matches!(error.kind(), ErrorKind::Checksum { .. }),
        "{error}"
    );
    assert_eq!(error.landed(), Some(Landed::InDoubt));
    row.gives_back("world!!", 7);
}

#[test]
fn what_begins_like_the_second_behind_a_foreign_append_is_not_ours() {
    let mut row = both_lost()
        .shows("hello WORLD!")
        .reads(6..12)
        .brings("WORLD!");
    let error = row.failure();
    assert_eq!(error.landed(), Some(Landed::No));
    let ErrorKind::Conflict(conflict) = error.kind() else {
        panic!("{error}");
    };
    assert!(conflict.apart.is_empty());
    row.has_durable(0).gives_back("world!!", 0);
}

#[test]
fn answers_that_are_exchanged_on_the_way_make_it_look() {
    both()
        .answered("hello world!!")
        .awaits()
        .answered("hello world")
        .looks()
        .shows("hello world!!")
        .succeeds()
        .has_placed(&[(0, 6, 5), (5, 11, 2)])
        .keeps_nothing();
}

#[test]
fn a_refusal_that_may_be_anothers_takes_no_doubt_away() {
    let mut row = Row::on("hello ")
        .ahead(3)
        .offers("world")
        .offers("!!")
        .settles("xyz")
        .appends(6, "world")
        .appends(11, "!!")
        .appends(13, "xyz")
        .awaits()
        .append_fails(mismatch(13))
        .awaits()
        // The answers to the second and the third are exchanged.
        .answered("hello ~~~~~~~xyz")
        .awaits()
        .append_fails(mismatch(13))
        .looks()
        .shows("hello ~~~~~~~xyz")
        .reads(6..16)
        .brings("~~~~~~~xyz");
    let error = row.failure();
    assert_eq!(error.landed(), Some(Landed::InDoubt));
    let ErrorKind::Conflict(conflict) = error.kind() else {
        panic!("{error}");
    };
    assert_eq!(conflict.apart, vec![Range { start: 13, end: 16 }]);
    row.has_durable(0).gives_back("world!!xyz", 10);
}

#[test]
fn one_at_a_time_it_stays_where_more_could_mislead() {
    let shared = Row::on("hello ").shared();
    let without_crc = Row::on("hello ").with(|rules| rules.evidence = Evidence::Length);
    let creating = Row::on_nothing();
    let replaying = Row::replaying("hello ").settles("hello ").succeeds();
    for (row, at) in [(shared, 6), (without_crc, 6), (creating, 0), (replaying, 6)] {
        let row = row.ahead(2).offers("world").settles("!!");
        match at {
            0 => row.creates("world").awaits(),
            _ => row.appends(at, "world").awaits(),
        };
    }
}

#[test]
fn behind_a_wait_that_oss_has_asked_for_nothing_is_sent_ahead() {
    let mut answer = answer("a");
    answer.delay = Some(secs(2));
    Row::on("")
        .ahead(2)
        .offers("a")
        .offers("b")
        .settles("c")
        .appends(0, "a")
        .appends(1, "b")
        .awaits()
        .answers(answer)
        .awaits();
}

#[test]
fn what_does_not_fit_behind_those_under_way_waits_for_them() {
    Row::on("hello ")
        .ahead(2)
        .with(|rules| rules.max_object_size = 12)
        .offers("world")
        .settles("!!")
        .appends(6, "world")
        .awaits()
        .answered("hello world")
        .fails(
            ErrorKind::ObjectFull {
                limit: 12,
                length: 11,
                batch: 2,
            },
            Landed::No,
        );
}
