//! Every row of the reconcile table, played through `ObjectAppender`: what happened to an append
//! whose answer told nothing, and what is done about it.

#![allow(clippy::single_range_in_vec_init, reason = "one read of one range")]

use oss_append::{ConflictCause, ErrorKind, Landed, ObjectKind};
use tokio::time::Instant;

use crate::support::store::{Fault, Object, Op, SimStore, broken, grow, service};
use crate::support::{appender, conflict_cause};

/// An object that holds `hello `, and an append of `world` that meets `fault`.
async fn append_world(
    fault: Fault,
) -> (
    SimStore,
    Result<oss_append::AppendReceipt, oss_append::Error>,
) {
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).open().await.unwrap();
    store.fault(fault);
    let result = appender.append("world").await;
    (store, result)
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_not_sent_twice() {
    let (store, result) = append_world(Fault::lost_answer()).await;
    assert_eq!(result.unwrap().range, 6..11);
    assert_eq!(store.text(), "hello world");
    assert_eq!(store.appends(), [(6, 5)]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_sent_again_at_the_same_position() {
    let (store, result) = append_world(Fault::lost_request()).await;
    assert_eq!(result.unwrap().range, 6..11);
    assert_eq!(store.text(), "hello world");
    assert_eq!(store.appends(), [(6, 5), (6, 5)]);
}

#[tokio::test(start_paused = true)]
async fn the_object_is_looked_at_before_anything_is_uploaded_again() {
    let (store, result) = append_world(Fault::lost_request()).await;
    result.unwrap();
    let append = Op::Append {
        position: 6,
        len: 5,
        creates: false,
    };
    assert_eq!(store.ops(), [Op::Head, append.clone(), Op::Head, append]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_object_at_position_zero_is_created_again() {
    let store = SimStore::new();
    let mut appender = appender(&store).open().await.unwrap();
    store.fault(Fault::lost_request());
    appender.append("hello").await.unwrap();
    assert_eq!(store.text(), "hello");
    let creates: Vec<bool> = store
        .ops()
        .into_iter()
        .filter_map(|op| match op {
            Op::Append { creates, .. } => Some(creates),
            _ => None,
        })
        .collect();
    assert_eq!(creates, [true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_object_at_a_later_position_is_gone() {
    let (_, result) = append_world(Fault::lost_request().before(|object| *object = None)).await;
    let error = result.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Gone);
    assert_eq!(error.landed(), Some(Landed::InDoubt));
}

#[tokio::test(start_paused = true)]
async fn a_sealed_object_says_whether_the_batch_is_in_it() {
    fn seal(object: &mut Option<Object>) {
        object.as_mut().unwrap().sealed = true;
    }
    for (fault, landed) in [
        (Fault::lost_answer().after(seal), Landed::Yes),
        (Fault::lost_request().after(seal), Landed::No),
        (Fault::none().before(seal), Landed::No),
    ] {
        let (_, result) = append_world(fault).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Sealed);
        assert_eq!(error.landed(), Some(landed));
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_of_another_type_says_whether_the_batch_is_in_it() {
    fn put_over(object: &mut Option<Object>) {
        object.as_mut().unwrap().kind = ObjectKind::Other("Normal".into());
    }
    for (fault, landed) in [
        (Fault::lost_answer().after(put_over), Landed::Yes),
        (Fault::lost_request().after(put_over), Landed::No),
        (Fault::none().before(put_over), Landed::No),
    ] {
        let (_, result) = append_world(fault).await;
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NotAppendable { .. }));
        assert_eq!(error.landed(), Some(landed));
    }
}

#[tokio::test(start_paused = true)]
async fn a_torn_append_goes_on_with_the_rest() {
    let (store, result) = append_world(Fault::torn(2)).await;
    assert_eq!(result.unwrap().range, 6..11);
    assert_eq!(store.text(), "hello world");
    assert_eq!(store.appends(), [(6, 5), (8, 3)]);
}

#[tokio::test(start_paused = true)]
async fn another_prefix_of_the_same_length_is_a_replaced_object() {
    for content in ["HELLO ", "hell"] {
        let (store, result) = append_world(
            Fault::lost_request().before(move |object| *object = Some(Object::appendable(content))),
        )
        .await;
        let error = result.unwrap_err();
        assert_eq!(conflict_cause(&error), ConflictCause::Replaced);
        assert_eq!(error.landed(), Some(Landed::InDoubt));
        assert_eq!(store.text(), content);
    }
}

#[tokio::test(start_paused = true)]
async fn exactly_as_many_foreign_bytes_are_never_taken_for_ours() {
    let (store, result) = append_world(Fault::lost_request().foreign_before("WORLD")).await;
    let error = result.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
    assert_eq!(error.landed(), Some(Landed::No));
    assert_eq!(store.text(), "hello WORLD");
    assert_eq!(store.reads(), [(6, 11)]);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_append_behind_ours_is_a_conflict_that_says_ours_landed() {
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).open().await.unwrap();
    store.fault(Fault::lost_answer().foreign_after("!"));
    let error = appender.append("world").await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
    assert_eq!(error.landed(), Some(Landed::Yes));
    assert_eq!(appender.durable_position(), 11);
    assert!(appender.into_unsent().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_foreign_append_before_ours_is_a_conflict_that_says_ours_did_not_land() {
    for foreign in ["x", "four", "much longer than ours"] {
        let store = SimStore::holding("hello ");
        let mut appender = appender(&store).open().await.unwrap();
        store.fault(Fault::none().foreign_before(foreign));
        let error = appender.append("world").await.unwrap_err();
        assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
        assert_eq!(error.landed(), Some(Landed::No));
        assert_eq!(
            error.service_error().unwrap().code,
            "PositionNotEqualToLength"
        );
        assert_eq!(store.text(), format!("hello {foreign}"));
        let (position, unsent) = appender.into_unsent().unwrap();
        assert_eq!((position, unsent.chunks().concat()), (6, b"world".to_vec()));
    }
}

#[tokio::test(start_paused = true)]
async fn our_bytes_behind_another_prefix_are_a_replaced_object() {
    let (_, result) = append_world(
        Fault::lost_request().before(|object| *object = Some(Object::appendable("HELLO world"))),
    )
    .await;
    let error = result.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Replaced);
    assert_eq!(error.landed(), Some(Landed::Yes));
}

#[tokio::test(start_paused = true)]
async fn a_mismatch_on_the_first_attempt_can_be_ours() {
    // A proxy sent the request twice: the second copy meets the first one's bytes.
    let (store, result) = append_world(Fault::none().before(|object| grow(object, b"world"))).await;
    assert_eq!(result.unwrap().range, 6..11);
    assert_eq!(store.text(), "hello world");
}

#[tokio::test(start_paused = true)]
async fn a_late_first_attempt_is_recognised_by_the_second() {
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).open().await.unwrap();
    store.fault(Fault::late());
    let late = store.clone();
    // The first attempt arrives just before the second.
    let mut appends = 0;
    store.world().on_append = Some(Box::new(move |object| {
        appends += 1;
        if appends == 2 {
            grow(object, b"world");
        }
    }));
    assert_eq!(appender.append("world").await.unwrap().range, 6..11);
    late.land_late();
    appender.append("!").await.unwrap();
    assert_eq!(store.text(), "hello world!");
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_attempt_that_lands_after_the_retry_changes_nothing() {
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).open().await.unwrap();
    store.fault(Fault::late());
    appender.append("world").await.unwrap();
    store.land_late();
    appender.append("!").await.unwrap();
    assert_eq!(store.text(), "hello world!");
}

#[tokio::test(start_paused = true)]
async fn a_success_without_the_next_position_is_no_success() {
    let (store, result) =
        append_world(Fault::none().edit(|answer| answer.next_position = None)).await;
    assert_eq!(result.unwrap().range, 6..11);
    assert_eq!(store.appends(), [(6, 5)]);
    assert_eq!(store.ops().last(), Some(&Op::Head));

    // Not applied at all, and yet answered with 200: it is sent again.
    let page = oss_append::Error::bad_answer(200, "an HTML page");
    let (store, result) = append_world(Fault::answered(page)).await;
    result.unwrap();
    assert_eq!(store.text(), "hello world");
}

#[tokio::test(start_paused = true)]
async fn a_wrong_next_position_or_checksum_is_never_a_success() {
    for edit in [
        |answer: &mut oss_append::AppendAnswer| answer.next_position = Some(12),
        |answer: &mut oss_append::AppendAnswer| answer.crc64 = Some(12),
    ] {
        let (store, result) = append_world(Fault::none().edit(edit)).await;
        let error = result.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Checksum { .. }));
        assert_eq!(error.landed(), Some(Landed::InDoubt));
        assert_eq!(store.appends().len(), 1, "never retried");
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_replaced_by_one_of_equal_length_is_found_by_its_checksum() {
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).open().await.unwrap();
    store.world().object = Some(Object::appendable("HELLO "));
    let error = appender.append("world").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Checksum { .. }));
}

#[tokio::test(start_paused = true)]
async fn without_checksums_the_read_back_decides() {
    let store = SimStore::holding("hello ");
    store.world().without_crc = true;
    let mut appender = appender(&store).open().await.unwrap();
    appender.append("world").await.unwrap();
    assert_eq!(store.reads(), [(6, 11)]);
    store.fault(Fault::lost_request().foreign_before("?"));
    let error = appender.append("!").await.unwrap_err();
    assert_eq!(conflict_cause(&error), ConflictCause::Foreign);
    assert_eq!(error.landed(), Some(Landed::No));
}

#[tokio::test(start_paused = true)]
async fn head_and_read_back_are_retried_like_any_request() {
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).open().await.unwrap();
    store
        .fault(Fault::lost_answer().foreign_after("!"))
        .fail_head(broken())
        .fail_head(service(503, "ServiceUnavailable"))
        .fail_read(broken());
    let error = appender.append("world").await.unwrap_err();
    assert_eq!(error.landed(), Some(Landed::Yes));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_refused_leaves_the_append_in_doubt() {
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).open().await.unwrap();
    store
        .fault(Fault::lost_answer())
        .fail_head(service(403, "AccessDenied"));
    let error = appender.append("world").await.unwrap_err();
    assert_eq!(error.service_error().unwrap().code, "AccessDenied");
    assert_eq!(error.landed(), Some(Landed::InDoubt));
}

#[tokio::test(start_paused = true)]
async fn a_failed_appender_stays_failed() {
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).open().await.unwrap();
    store.fault(Fault::none().foreign_before("x"));
    let first = appender.append("world").await.unwrap_err();
    let requests = store.ops().len();
    let again = appender.append("more").await.unwrap_err();
    assert_eq!(first.to_string(), again.to_string());
    assert!(appender.seal().await.is_err());
    assert_eq!(store.ops().len(), requests);
}

// ---- shared mode

async fn share(fault: Fault) -> (SimStore, oss_append::AppendReceipt) {
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).shared(true).open().await.unwrap();
    store.fault(fault);
    let receipt = appender.append("world").await.unwrap();
    (store, receipt)
}

#[tokio::test(start_paused = true)]
async fn shared_goes_behind_a_foreign_append() {
    for foreign in ["x", "WORLD", "much longer than ours"] {
        let (store, receipt) = share(Fault::none().foreign_before(foreign)).await;
        assert_eq!(store.text(), format!("hello {foreign}world"));
        let start = 6 + foreign.len() as u64;
        assert_eq!(receipt.range, start..start + 5);
    }
}

#[tokio::test(start_paused = true)]
async fn shared_recognises_its_own_append_under_a_foreign_one() {
    let (store, receipt) = share(Fault::lost_answer().foreign_after("!")).await;
    assert_eq!(store.text(), "hello world!");
    assert_eq!(receipt.range, 6..11);
}

#[tokio::test(start_paused = true)]
async fn shared_goes_on_behind_the_foreign_append() {
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).shared(true).open().await.unwrap();
    store.fault(Fault::lost_answer().foreign_after("!"));
    appender.append("world").await.unwrap();
    appender.append("?").await.unwrap();
    assert_eq!(store.text(), "hello world!?");
    assert_eq!(store.appends(), [(6, 5), (12, 1)]);
}

#[tokio::test(start_paused = true)]
async fn shared_goes_on_at_once_after_a_foreign_append_and_pauses_after_a_failure() {
    for (fault, at_once) in [
        (Fault::none().foreign_before("theirs"), true),
        (Fault::lost_request().foreign_before("theirs"), false),
    ] {
        let store = SimStore::holding("hello ");
        let mut appender = appender(&store).shared(true).open().await.unwrap();
        store.fault(fault);
        let start = Instant::now();
        appender.append("world").await.unwrap();
        assert_eq!(start.elapsed().is_zero(), at_once);
        assert_eq!(store.text(), "hello theirsworld");
        assert_eq!(store.appends(), [(6, 5), (12, 5)]);
        let looks = store.ops().iter().filter(|op| **op == Op::Head).count();
        assert_eq!(looks, 2, "one to open");
    }
}

#[tokio::test(start_paused = true)]
async fn equal_bytes_of_another_are_ours_only_while_an_attempt_is_unknown() {
    // A mismatch says that ours is not there.
    let (store, receipt) = share(Fault::none().foreign_before("world")).await;
    assert_eq!(store.text(), "hello worldworld");
    assert_eq!(receipt.range, 11..16);
    // The answer is lost: they may be ours.
    let (store, receipt) = share(Fault::lost_request().foreign_before("world")).await;
    assert_eq!(store.text(), "hello world");
    assert_eq!(receipt.range, 6..11);
}

// ---- looks that are older than what is proven

#[tokio::test(start_paused = true)]
async fn a_look_that_is_older_than_what_is_proven_is_repeated() {
    for stale in [None, Some("hel")] {
        let store = SimStore::holding("hello ");
        let mut appender = appender(&store).open().await.unwrap();
        store.fault(Fault::lost_answer()).stale_look(stale);
        appender.append("world").await.unwrap();
        appender.append("!").await.unwrap();
        assert_eq!(store.text(), "hello world!");
        assert_eq!(store.appends(), [(6, 5), (11, 1)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_is_older_than_the_length_that_a_mismatch_names_is_repeated() {
    let store = SimStore::holding("hello ");
    let mut appender = appender(&store).shared(true).open().await.unwrap();
    store
        .fault(Fault::none().foreign_before("theirs"))
        .stale_look(Some("hello "));
    appender.append("world").await.unwrap();
    assert_eq!(store.text(), "hello theirsworld");
    assert_eq!(store.appends(), [(6, 5), (12, 5)]);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_a_mismatch_confirms_is_believed_at_once() {
    for (left, cause) in [
        (None, ConflictCause::Gone),
        (Some("hel"), ConflictCause::Replaced),
    ] {
        let store = SimStore::holding("hello ");
        let mut appender = appender(&store).open().await.unwrap();
        store.world().object = left.map(Object::appendable);
        let start = Instant::now();
        let error = appender.append("world").await.unwrap_err();
        assert_eq!(conflict_cause(&error), cause);
        assert!(start.elapsed().is_zero());
        assert_eq!(store.ops().len(), 3, "open, append, look");
    }
}
