//! Far more keys than may be open, all of which come again: every object is read and compared.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use oss_append::{KeyedWriter, ObjectPath, OssClient, crc64};

use crate::server::{BUCKET, Server};
use crate::store::Store;

/// How often each key comes.
const PASSES: usize = 2;

/// Whether every object is as it should be.
pub(crate) async fn measure(keys: usize, max_open: usize, latency: Duration) -> bool {
    println!("\n{keys} keys, each {PASSES} times, with max_open = {max_open}");
    let server = Server::start(latency);
    let client = server.client();
    let store = Store::new(client.clone());
    let start = Instant::now();
    let writer = KeyedWriter::builder(store.clone(), BUCKET)
        .max_open(max_open)
        .start()
        .unwrap();
    for pass in 0..PASSES {
        for number in 0..keys {
            let record = record(number, pass);
            drop(writer.write(&name(number), record).await.unwrap());
            assert!(number % 1000 > 0 || writer.stats().open <= max_open);
        }
    }
    writer.shutdown().await.unwrap();
    let elapsed = start.elapsed().as_secs_f64();
    println!(
        "written in {elapsed:.1} s: {:.0} records/s, {} appends",
        (keys * PASSES) as f64 / elapsed,
        store.appends(),
    );
    let start = Instant::now();
    let right = stream::iter(0..keys)
        .map(|number| is_right(&client, number))
        .buffer_unordered(16)
        .filter(|right| std::future::ready(*right))
        .count()
        .await;
    println!(
        "{right} of {keys} digests right, read in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    right == keys
}

fn name(number: usize) -> String {
    format!("tenants/{number:08}")
}

/// Tells whose it is and which; of any length.
fn record(number: usize, pass: usize) -> Bytes {
    let filler = "x".repeat((number * 7 + pass * 31) % 200);
    format!("{number} {pass} {filler}\n").into()
}

async fn is_right(client: &OssClient, number: usize) -> bool {
    let expected: Vec<_> = (0..PASSES).map(|pass| record(number, pass)).collect();
    let expected = crc64::checksum(&expected.concat());
    let object = ObjectPath::new(BUCKET, name(number)).unwrap();
    let content = async {
        let answer = client.get_object(&object).send().await?;
        answer.bytes(1 << 20).await
    };
    match content.await {
        Ok(content) => crc64::checksum(&content) == expected,
        Err(error) => {
            eprintln!("{error}");
            false
        }
    }
}
