//! What is taken back of what is not durable, and batches that are compressed.

use super::*;
use crate::engine::flush::Flush;

#[test]
fn what_was_never_sent_is_taken_back_with_what_is_in_the_buffer_and_is_not_in_doubt() {
    let mut row = Row::on("hello ").offers("world").offers("!");
    row.window.accept(1);
    let rest = vec![Bytes::from_static(b"?")];
    let taken = row.window.take_not_durable(rest, None);
    assert_eq!(taken.chunks.concat(), b"world!?");
    assert_eq!((taken.start.bytes(), taken.in_doubt), (0, 0));
    assert!(taken.missing.is_empty());
}

#[test]
fn of_several_batches_only_those_that_were_sent_are_in_doubt() {
    Row::on("hello ")
        .offers("world")
        .settles("!")
        .appends(6, "world")
        .dropped()
        .gives_back("world!", 5);
}

#[test]
fn what_is_replayed_may_land_although_it_was_not_sent() {
    let row = Row::replaying("hello ").offers("hello world");
    assert!(row.window.is_in_doubt());
    row.gives_back("hello world", 11);
}

#[test]
fn what_is_replayed_and_cannot_land_is_not_in_doubt() {
    let mut row = Row::replaying("hello ").offers("hello world");
    let taken = row.window.take_not_durable(Vec::new(), Some(Landed::No));
    assert_eq!(taken.in_doubt, 0);
}

/// `hello ` has been compared with the beginning of `hello world`, and as much of it is kept as a
/// buffer of `capacity` allows.
fn compared(capacity: u64) -> Row {
    let mut row = Row::replaying("hello world").settles("hello ").succeeds();
    let settled = row.window.take_settled();
    let batches = settled.into_iter().map(|settled| settled.batch);
    drop(row.window.keep_compared(batches, capacity));
    row
}

#[test]
fn what_was_only_compared_is_taken_back_as_well() {
    let taken = compared(1000).offers("world").taken();
    assert_eq!(taken.chunks.concat(), b"hello world");
    assert_eq!((taken.start.bytes(), taken.in_doubt), (0, 11));
    assert!(taken.missing.is_empty());
}

#[test]
fn what_was_compared_and_let_go_is_missing() {
    let taken = compared(8).offers("world").taken();
    assert_eq!(taken.chunks.concat(), b"o world");
    assert_eq!((taken.start.bytes(), taken.in_doubt), (4, 7));
    let missing = taken.missing.start.bytes()..taken.missing.end.bytes();
    assert_eq!(missing, 0..4);
}

#[test]
fn what_is_proven_meanwhile_is_not_kept() {
    let mut row = compared(1000).settles("world").succeeds();
    drop(row.window.keep_compared(std::iter::empty(), 1000));
    row.keeps_nothing();
}

#[test]
fn what_somebody_waits_for_has_to_be_verified_if_it_is_only_compared() {
    let mut row = compared(1000);
    assert!(!row.window.must_verify());
    let target = row.window.settled();
    assert!(!row.window.ask(target, row.now, Flush::SYNC));
    assert!(row.window.must_verify());
    let row = row.starts(Goal::Verify).reads(0..6).brings("hello ");
    assert!(!row.window.must_verify());
}

/// `world` is compressed to `WRLD`, and that is being appended to `hello `.
fn packed() -> Row {
    Row::on("hello ")
        .offers("world")
        .packs("WRLD")
        .starts(Goal::Settle)
        .appends(6, "WRLD")
}

/// The same, and only `WR` of it was applied.
fn torn() -> Row {
    packed()
        .append_fails(broken())
        .looks()
        .shows("hello WR")
        .has_durable(0)
        .appends(8, "LD")
}

/// The object was sealed then.
fn torn_and_sealed() -> Row {
    torn()
        .append_fails(closed())
        .looks()
        .shows_object(sealed("hello WR"))
        .fails(ErrorKind::Sealed, Landed::No)
}

/// `world` is settled, as a member of four bytes that begins there.
#[track_caller]
fn is_member(mut row: Row, position: u64, content: &str) {
    let settled = row.window.take_settled();
    let place = &settled[0].place;
    let member = place.member.as_ref().unwrap();
    assert_eq!((place.position.bytes(), place.len), (position, 5));
    assert_eq!((place.before, member.len), (None, 4));
    assert_eq!(member.crc64, Some(crc64::checksum(content.as_bytes())));
    assert_eq!(settled[0].batch.chunks().concat(), b"world");
    row.keeps_nothing();
}

#[test]
fn a_compressed_batch_is_settled_as_what_was_given() {
    is_member(packed().answered("hello WRLD").succeeds(), 6, "hello WRLD");
}

#[test]
fn a_part_of_a_compressed_batch_settles_nothing_before_the_rest_is_there() {
    is_member(torn().answered("hello WRLD").succeeds(), 6, "hello WRLD");
}

#[test]
fn a_compressed_batch_that_is_only_compared_is_not_durable() {
    let mut row = Row::replaying("WRLD!!")
        .offers("the whole world")
        .packs("WRLD")
        .starts(Goal::Settle)
        .succeeds();
    assert_eq!(row.window.settled().bytes(), 15);
    assert_eq!(row.window.durable().bytes(), 0);
    let taken = row.window.take_not_durable(Vec::new(), None);
    assert_eq!(taken.missing.end.bytes(), 15);
}

#[test]
fn a_compressed_batch_in_doubt_is_taken_back_as_what_was_given() {
    packed().dropped().gives_back("world", 5);
}

#[test]
fn a_part_of_a_compressed_batch_leaves_all_of_it_in_doubt() {
    let mut row = torn_and_sealed();
    assert!(row.window.doubt_torn());
    assert!(row.window.is_in_doubt());
}

#[test]
fn a_batch_is_torn_only_if_it_is_compressed_and_a_part_of_it_is_there() {
    assert!(!Row::lost().shows("hello wor").window.doubt_torn());
    assert!(!packed().window.doubt_torn());
}

#[test]
fn a_compressed_batch_of_which_a_part_is_there_goes_whole_to_another_object() {
    let row = torn_and_sealed()
        .rolls()
        .creates("WRLD")
        .answered("WRLD")
        .succeeds();
    is_member(row, 0, "WRLD");
}

#[test]
fn the_rest_of_a_batch_and_all_after_it_go_to_another_object() {
    Row::lost()
        .offers("!")
        .shows_object(sealed("hello wor"))
        .appends(9, "ld")
        .append_fails(closed())
        .looks()
        .shows_object(sealed("hello wor"))
        .fails(ErrorKind::Sealed, Landed::No)
        .has_placed(&[(0, 6, 3)])
        .rolls()
        .creates("ld")
        .answered("ld")
        .appends(2, "!")
        .answered("ld!")
        .succeeds()
        .has_placed(&[(3, 0, 2), (5, 2, 1)])
        .keeps_nothing();
}
