//! What settles a batch, and what keeps it from that: answers, refusals, limits.

use super::*;

#[test]
fn an_answer_as_expected_settles_the_batch() {
    Row::sent()
        .answered("hello world")
        .succeeds()
        .has_placed(&[(0, 6, 5)])
        .keeps_nothing();
}

#[test]
fn nothing_to_settle_is_settled() {
    Row::on("hello ")
        .starts(Goal::Settle)
        .succeeds()
        .keeps_nothing();
}

#[test]
fn the_first_append_creates_the_object_and_the_next_does_not() {
    Row::on_nothing()
        .settles("hello ")
        .creates("hello ")
        .answered("hello ")
        .succeeds()
        .sends()
        .answered("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn an_empty_object_is_not_created_again() {
    Row::on("").settles("world").appends(0, "world");
}

#[test]
fn an_append_of_nothing_is_settled_when_the_object_is_there() {
    Row::on_nothing()
        .settles("")
        .creates("")
        .append_fails(broken())
        .looks()
        .shows_object(created_by(&shown(MARK), ""))
        .succeeds()
        .keeps_nothing();
}

#[test]
fn an_answer_without_a_position_is_looked_into() {
    let mut half = answer("hello world");
    half.next_position = None;
    Row::sent()
        .answers(half)
        .has_durable(0)
        .looks()
        .shows("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn an_answer_without_a_checksum_is_looked_into_and_sent_again_if_nothing_was_applied() {
    let mut half = answer("hello world");
    half.crc64 = None;
    Row::sent()
        .answers(half)
        .has_durable(0)
        .looks()
        .shows("hello ")
        .waits(100)
        .appends(6, "world")
        .answered("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn a_wrong_answer_fails_in_doubt() {
    let right = crc64::checksum(b"hello world");
    let wrong = crc64::checksum(b"hello WORLD");
    for (position, crc) in [(11, wrong), (12, right)] {
        let checksum = ErrorKind::Checksum {
            expected_position: 11,
            found_position: position,
            expected_crc64: Some(right),
            found_crc64: Some(crc),
        };
        Row::sent()
            .answers(AppendAnswer::new(position, crc))
            .fails(checksum, Landed::InDoubt)
            .has_durable(0)
            .gives_back("world", 5);
    }
}

#[test]
fn a_batch_that_could_not_be_sent_is_sent_again_without_a_look_and_is_not_in_doubt() {
    Row::sent()
        .append_fails(no_connection())
        .waits(100)
        .appends(6, "world")
        .append_fails(no_connection())
        .waits_for(FIRST_WAIT * 2, Duration::ZERO)
        .gives_back("world", 0);
}

#[test]
fn a_refusal_for_good_of_the_only_attempt_has_not_landed() {
    let certificate = Error::transport(TransportCause::Tls, "expired");
    for refusal in [denied(), certificate] {
        Row::sent()
            .append_fails(refusal.clone())
            .fails(kind(refusal), Landed::No)
            .has_durable(0)
            .gives_back("world", 0);
    }
}

#[test]
fn a_refusal_for_good_after_an_unknown_attempt_is_looked_into_and_stays_in_doubt() {
    Row::sent_again()
        .append_fails(denied())
        .looks()
        .shows("hello ")
        .fails(kind(denied()), Landed::InDoubt)
        .gives_back("world", 5);
}

#[test]
fn a_refusal_for_good_after_an_unknown_attempt_that_landed_is_a_success() {
    Row::sent_again()
        .append_fails(denied())
        .looks()
        .shows("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn an_object_that_is_closed_and_does_not_show_it_yet_is_believed_to_be_closed() {
    for (code, closed) in [
        ("AppendSealedObjectNotAllowed", ErrorKind::Sealed),
        (
            "ObjectNotAppendable",
            ErrorKind::NotAppendable { object_type: None },
        ),
        ("FileImmutable", kind(service(409, "FileImmutable"))),
    ] {
        for row in [Row::sent(), Row::sent_again()] {
            row.append_fails(service(409, code))
                .looks()
                .shows("hello ")
                .fails(closed.clone(), Landed::No)
                .gives_back("world", 0);
        }
    }
}

#[test]
fn a_sealed_object_tells_whether_an_unknown_attempt_has_landed() {
    for (content, landed, left) in [
        ("hello ", Landed::No, "world"),
        ("hello world", Landed::Yes, ""),
    ] {
        Row::sent_again()
            .append_fails(closed())
            .looks()
            .shows_object(sealed(content))
            .fails(ErrorKind::Sealed, landed)
            .gives_back(left, 0);
    }
}

#[test]
fn a_refusal_of_something_between_is_in_doubt_even_at_the_first_attempt() {
    Row::sent()
        .append_fails(service(403, ""))
        .looks()
        .shows("hello ")
        .fails(kind(service(403, "")), Landed::InDoubt)
        .gives_back("world", 5);
}

#[test]
fn a_refusal_of_something_between_that_has_passed_it_on_is_a_success() {
    Row::sent()
        .append_fails(service(403, ""))
        .looks()
        .shows("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn a_failure_of_the_server_is_looked_into_before_anything_is_sent_again() {
    for failure in [service(500, "InternalError"), service(502, "")] {
        Row::sent()
            .append_fails(failure)
            .looks()
            .shows("hello ")
            .waits(100)
            .appends(6, "world")
            .answered("hello world")
            .succeeds()
            .keeps_nothing();
    }
}

#[test]
fn a_mismatch_by_the_bytes_of_others_is_a_conflict_that_has_not_landed() {
    Row::sent()
        .append_fails(mismatch(12))
        .looks()
        .shows("hello others")
        .reads(6..11)
        .brings("other")
        .fails(conflict(ConflictCause::Foreign, 11, 12), Landed::No)
        .has_durable(0)
        .gives_back("world", 0);
}

#[test]
fn a_mismatch_since_something_between_has_sent_it_twice_is_a_success() {
    Row::sent()
        .append_fails(mismatch(11))
        .looks()
        .shows("hello world")
        .succeeds()
        .keeps_nothing();
}

#[test]
fn a_mismatch_that_looks_do_not_confirm_is_sent_again_after_three_more_of_them() {
    Row::sent()
        .append_fails(mismatch(12))
        .looks()
        .shows("hello ")
        .waits(100)
        .looks()
        .shows("hello ")
        .waits(200)
        .looks()
        .shows("hello ")
        .waits(400)
        .looks()
        .shows("hello ")
        .waits(100)
        .appends(6, "world");
}

#[test]
fn a_shorter_object_is_believed_at_once_if_the_mismatch_named_its_length() {
    Row::sent()
        .append_fails(mismatch(3))
        .looks()
        .shows("hel")
        .fails(conflict(ConflictCause::Replaced, 6, 3), Landed::No)
        .gives_back("world", 0);
}

#[test]
fn an_object_that_would_get_too_long_is_full_before_anything_is_sent() {
    let full = ErrorKind::ObjectFull {
        limit: 10,
        length: 6,
        batch: 5,
    };
    let by_option = Row::on("hello ").with(|rules| rules.max_object_size = 10);
    let by_store =
        Row::on("hello ").with(|rules| rules.set_limits(StoreLimits::new().max_object(10)));
    for row in [by_option, by_store] {
        row.settles("world")
            .fails(full.clone(), Landed::No)
            .gives_back("world", 0);
    }
}

#[test]
fn an_object_can_be_filled_to_its_last_byte() {
    Row::on("hello ")
        .with(|rules| rules.max_object_size = 11)
        .sends();
}

#[test]
fn an_object_takes_as_many_appends_as_the_store_allows() {
    let full = ErrorKind::TooManyAppends { limit: 2 };
    Row::on_nothing()
        .with(|rules| rules.set_limits(StoreLimits::new().max_appends(2)))
        .settles("hello ")
        .creates("hello ")
        .answered("hello ")
        .succeeds()
        .loses()
        .shows("hello world")
        .succeeds()
        .settles("!")
        .fails(full, Landed::No)
        .gives_back("!", 0);
}

#[test]
fn appends_that_are_not_known_are_not_counted() {
    Row::on("hello ")
        .with(|rules| rules.set_limits(StoreLimits::new().max_appends(0)))
        .sends();
}

#[test]
fn batches_in_the_window_are_settled_one_after_the_other() {
    Row::on("hello ")
        .offers("wor")
        .offers("ld")
        .settles("!")
        .appends(6, "wor")
        .answered("hello wor")
        .has_durable(3)
        .appends(9, "ld")
        .append_fails(broken())
        .looks()
        .shows("hello world")
        .appends(11, "!")
        .append_fails(denied())
        .fails(kind(denied()), Landed::No)
        .has_placed(&[(0, 6, 3), (3, 9, 2)])
        .has_durable(5)
        .gives_back("!", 0);
}
