//! Promises 1 and 2: after flush, sync or shutdown the object holds exactly what was accepted, in
//! order, whatever was lost on the way; and the batches are cut by the thresholds.

use std::io::IoSlice;

use bytes::Bytes;
use oss_append::ErrorKind;
use tokio::io::AsyncWriteExt;

use crate::support::store::{Fault, Op, SimStore};
use crate::support::{MS, writer};

#[tokio::test(start_paused = true)]
async fn everything_lands_once_and_in_order_whatever_is_lost() {
    let store = SimStore::new();
    let mut writer = writer(&store)
        .batch_size(64)
        .max_append_size(256)
        .buffer_capacity(1024)
        .open()
        .await
        .unwrap();
    let mut expected = Vec::new();
    for round in 0..200_u32 {
        store.fault(match round % 7 {
            0 => Fault::lost_answer(),
            1 => Fault::lost_request(),
            2 => Fault::late(),
            3 => Fault::error(503, "ServiceUnavailable"),
            4 => Fault::applied_error(500, "InternalError"),
            5 => Fault::torn(1),
            _ => Fault::none(),
        });
        let line = format!("{round}: {}\n", "x".repeat(round as usize % 300));
        expected.extend_from_slice(line.as_bytes());
        writer.write_all(line.as_bytes()).await.unwrap();
        if round % 10 == 9 {
            writer.flush().await.unwrap();
            assert_eq!(store.content(), expected, "after flush {round}");
            store.land_late();
        }
        if round % 25 == 24 {
            writer.sync().await.unwrap();
            assert_eq!(store.content(), expected, "after sync {round}");
        }
    }
    writer.shutdown().await.unwrap();
    store.land_late();
    assert_eq!(store.content(), expected);
    let stats = writer.stats();
    assert_eq!(stats.accepted, expected.len() as u64);
    assert_eq!(stats.durable, stats.accepted);
    assert_eq!((stats.buffered, stats.failed), (0, 0));
    assert!(stats.retries > 0 && stats.reconciles > 0);
}

#[tokio::test(start_paused = true)]
async fn a_reopened_object_is_continued_at_its_end() {
    let store = SimStore::holding("old ");
    let mut writer = writer(&store).open().await.unwrap();
    assert_eq!(writer.position(), 4);
    writer.write_all(b"new").await.unwrap();
    assert_eq!((writer.position(), writer.durable_position()), (7, 4));
    writer.shutdown().await.unwrap();
    assert_eq!((writer.position(), writer.durable_position()), (7, 7));
    assert_eq!(store.text(), "old new");
}

#[tokio::test(start_paused = true)]
async fn vectored_writes_land_in_order() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    assert!(tokio::io::AsyncWrite::is_write_vectored(&writer));
    let slices = [IoSlice::new(b"a"), IoSlice::new(b""), IoSlice::new(b"bc")];
    assert_eq!(writer.write_vectored(&slices).await.unwrap(), 3);
    writer.shutdown().await.unwrap();
    assert_eq!(store.text(), "abc");
}

#[tokio::test(start_paused = true)]
async fn positions_are_exact_across_4_gib() {
    // The appender layer alone: nobody wants to hold 4 GiB in a test.
    use oss_append::{AppendAnswer, AppendRequest, AppendStore, ObjectInfo, ObjectPath, crc64};

    struct Far(std::sync::Mutex<(u64, u64)>);
    impl AppendStore for Far {
        async fn append(&self, request: AppendRequest) -> oss_append::Result<AppendAnswer> {
            let mut state = self.0.lock().unwrap();
            assert_eq!(request.position, state.0);
            let (len, crc) = (request.body.len(), request.body.crc64());
            *state = (state.0 + len, crc64::combine(state.1, crc, len));
            Ok(AppendAnswer::new(state.0, state.1))
        }
        async fn head(&self, _: &ObjectPath) -> oss_append::Result<Option<ObjectInfo>> {
            let state = self.0.lock().unwrap();
            Ok(Some(ObjectInfo::appendable(state.0, Some(state.1))))
        }
        async fn read_range(
            &self,
            _: &ObjectPath,
            _: std::ops::Range<u64>,
        ) -> oss_append::Result<futures::stream::BoxStream<'static, oss_append::Result<bytes::Bytes>>>
        {
            unreachable!("nothing is in question")
        }
        async fn seal(&self, _: &ObjectPath, _: u64) -> oss_append::Result<()> {
            unreachable!("nothing is sealed")
        }
    }

    for edge in [2_u64 << 30, 4 << 30] {
        let store = Far(std::sync::Mutex::new((edge - 3, 42)));
        let mut writer = oss_append::OssAppendWriter::builder(store, crate::support::object())
            .open()
            .await
            .unwrap();
        writer.write_all(b"across the edge").await.unwrap();
        writer.shutdown().await.unwrap();
        assert_eq!(writer.durable_position(), edge + 12);
    }
}

#[tokio::test(start_paused = true)]
async fn appends_are_cut_by_batch_size_and_grow_while_one_is_in_flight() {
    let store = SimStore::new();
    store.world().latency = 100 * MS;
    let mut writer = writer(&store)
        .batch_size(10)
        .max_append_size(40)
        .buffer_capacity(200)
        .open()
        .await
        .unwrap();
    writer.write_all(&[1; 10]).await.unwrap();
    // The first append is in flight; everything that comes meanwhile shares the next ones.
    tokio::time::sleep(MS).await;
    for _ in 0..14 {
        writer.write_all(&[2; 5]).await.unwrap();
    }
    writer.shutdown().await.unwrap();
    assert_eq!(store.appends(), [(0, 10), (10, 40), (50, 30)]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_never_cut_anew_after_its_first_attempt() {
    let store = SimStore::new();
    let mut writer = writer(&store).batch_size(10).open().await.unwrap();
    store
        .fault(Fault::refused())
        .fault(Fault::refused())
        .fault(Fault::refused());
    writer.write_all(&[1; 10]).await.unwrap();
    tokio::time::sleep(MS).await;
    writer.write_all(&[2; 10]).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(
        store.appends(),
        [(0, 10), (0, 10), (0, 10), (0, 10), (10, 10)]
    );
}

#[tokio::test(start_paused = true)]
async fn creation_options_are_sent_only_while_the_append_may_create() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    for _ in 0..2 {
        writer.write_all(b"x").await.unwrap();
        writer.sync().await.unwrap();
    }
    assert_eq!(creates(&store), [true, false]);

    // An empty object exists as well.
    let store = SimStore::holding("");
    let mut writer = crate::support::writer(&store).open().await.unwrap();
    writer.write_all(b"x").await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(creates(&store), [false]);
}

fn creates(store: &SimStore) -> Vec<bool> {
    store
        .ops()
        .into_iter()
        .filter_map(|op| match op {
            Op::Append { creates, .. } => Some(creates),
            _ => None,
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn large_bytes_pass_through_without_a_copy() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    let large = Bytes::from(vec![7; 40 << 20]);
    writer.write_bytes(large.clone()).await.unwrap();
    writer.shutdown().await.unwrap();
    assert_eq!(store.content(), large);
    let largest = store.appends().into_iter().map(|(_, len)| len).max();
    assert_eq!(largest, Some(8 << 20));
}

#[tokio::test(start_paused = true)]
async fn writing_after_shutdown_is_refused() {
    let store = SimStore::new();
    let mut writer = writer(&store).open().await.unwrap();
    writer.write_all(b"x").await.unwrap();
    writer.shutdown().await.unwrap();
    let error = writer.write_all(b"y").await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Closed);
    writer.flush().await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(writer.into_unsent().unwrap().is_empty());
}
