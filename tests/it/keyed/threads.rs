//! On several threads, and over HTTP.

use oss_append::emulator::Emulator;
use oss_append::{KeyedWriter, KeyedWriterBuilder};

use super::{check, found, keyed, put};
use crate::support::MS;
use crate::support::bucket::SimBucket;
use crate::support::store::Fault;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn producers_on_many_threads_share_the_keys() {
    const RECORDS: usize = 400;
    let bucket = SimBucket::new();
    let builder: KeyedWriterBuilder<SimBucket> = keyed(&bucket)
        .max_open(4)
        .buffer_capacity(200)
        .max_concurrent_appends(3)
        .idle_timeout(3 * MS);
    let writer = builder.start().unwrap();
    let producers: Vec<_> = (0..4_usize)
        .map(|producer| {
            let (writer, bucket) = (writer.clone(), bucket.clone());
            tokio::spawn(async move {
                let mut sent = Vec::new();
                for number in 0..RECORDS {
                    let key = format!("key{}", (number * 7 + producer) % 9);
                    if number % 50 == 0 {
                        bucket.object(&key).fault(Fault::lost_answer());
                    }
                    let record = format!("{producer}:{number},");
                    let receipt = put(&writer, &key, &record).await;
                    sent.push((key, record, receipt));
                    let stats = writer.stats();
                    assert!(stats.buffered <= 200 && stats.open <= 4, "{stats:?}");
                    check(&writer);
                }
                sent
            })
        })
        .collect();
    let mut len = 0;
    for producer in producers {
        for (key, record, receipt) in producer.await.unwrap() {
            let written = receipt.written().await.unwrap();
            assert_eq!(written.object.key(), key);
            assert_eq!(found(&bucket, &written), record);
            len += record.len();
        }
    }
    writer.shutdown().await.unwrap();
    assert_eq!(bucket.text().len(), len);
    assert_eq!(writer.stats().durable, len as u64);
}

#[tokio::test]
async fn keys_are_written_over_http() {
    let emulator = Emulator::builder()
        .bucket("my-bucket")
        .start()
        .await
        .unwrap();
    let client = emulator.client().build().unwrap();
    let writer = KeyedWriter::builder(client, "my-bucket").max_open(5);
    let writer = writer.start().unwrap();
    for round in 0..3 {
        for key in 0..20 {
            drop(put(&writer, &format!("tenant {key}"), &round.to_string()).await);
        }
    }
    writer.shutdown().await.unwrap();
    for key in 0..20 {
        let object = emulator.object("my-bucket", &format!("tenant {key}"));
        assert_eq!(object.unwrap().bytes, "012");
    }
}
