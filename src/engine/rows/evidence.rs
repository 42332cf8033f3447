//! Objects without a checksum: their content is read, or their tag tells.

use super::*;

#[test]
fn without_a_checksum_a_part_of_the_batch_is_read_back() {
    let reads = || {
        Row::lost()
            .shows_object(without_crc("hello wor"))
            .reads(6..9)
    };
    reads()
        .brings("w")
        .reads_on()
        .brings("or")
        .has_durable(3)
        .appends(9, "ld");
    reads()
        .brings("x")
        .fails(conflict(ConflictCause::Foreign, 11, 9), Landed::No)
        .gives_back("world", 0);
}

#[test]
fn an_unknown_checksum_is_taken_up_with_what_is_read_back() {
    Row::opened(Some(without_crc("hello ")), None)
        .sends()
        .answered("hello world")
        .looks()
        .shows("hello world")
        .reads(6..11)
        .brings("world")
        .succeeds()
        .settles("!")
        .appends(11, "!")
        .answered("hello world!")
        .succeeds()
        .keeps_nothing();
}

/// A store that gives tags and no checksums, and whose object is tagged `one`.
fn on_a_tagged_object() -> Row {
    Row::opened(Some(tagged("one", "hello ")), None).with(|rules| rules.evidence = Evidence::Tag)
}

#[test]
fn the_same_length_with_the_same_tag_is_not_applied() {
    on_a_tagged_object()
        .loses()
        .shows_object(tagged("one", "hello "))
        .waits(100)
        .appends(6, "world");
}

#[test]
fn the_same_length_with_another_tag_is_replaced() {
    on_a_tagged_object()
        .loses()
        .shows_object(tagged("two", "hello "))
        .fails(conflict(ConflictCause::Replaced, 6, 6), Landed::InDoubt)
        .gives_back("world", 5);
}

#[test]
fn the_tag_of_an_answer_and_that_of_a_look_are_remembered() {
    let mut two = AppendAnswer::new(11, 0);
    (two.crc64, two.etag) = (None, Some("two".into()));
    let by_answer = on_a_tagged_object().sends().answers(two).succeeds();
    let by_look = on_a_tagged_object()
        .loses()
        .shows_object(tagged("two", "hello world"))
        .reads(6..11)
        .brings("world")
        .succeeds();
    for row in [by_answer, by_look] {
        row.settles("!")
            .appends(11, "!")
            .append_fails(broken())
            .looks()
            .shows_object(tagged("one", "hello world"))
            .fails(conflict(ConflictCause::Replaced, 11, 11), Landed::InDoubt);
    }
}

#[test]
fn a_tag_counts_for_nothing_where_it_is_no_evidence() {
    Row::opened(Some(tagged("one", "hello ")), None)
        .loses()
        .shows_object(tagged("two", "hello "))
        .waits(100)
        .appends(6, "world");
}
