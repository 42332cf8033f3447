//! What an open and idle key costs, beside an `OssAppendWriter` of its own for each.

use std::time::Duration;

use oss_append::{KeyedWriter, ObjectPath, OssAppendWriter};

use crate::allocated::allocated;
use crate::server::{BUCKET, Server};
use crate::store::Store;

pub(crate) async fn measure(keys: usize, latency: Duration) {
    println!("\nMemory of {keys} open keys, bytes per key");
    println!("| | gathering a record | all durable |");
    println!("|---|---|---|");
    let server = Server::start(latency);
    let store = Store::new(server.client());
    // Connections, and what else the first requests leave behind.
    let (_, _) = keyed(&store, keys, "first").await;
    let (gathering, idle) = keyed(&store, keys, "second").await;
    println!("| keyed writer | {gathering} | {idle} |");
    let (gathering, idle) = apart(&store, keys).await;
    println!("| a writer each | {gathering} | {idle} |");
}

async fn keyed(store: &Store, keys: usize, prefix: &str) -> (usize, usize) {
    let before = allocated();
    let writer = KeyedWriter::builder(store.clone(), BUCKET)
        .max_open(keys)
        .writer(|_, writer| writer.linger(Duration::MAX))
        .start()
        .unwrap();
    for number in 0..keys {
        let key = format!("{prefix}/{number:08}");
        drop(writer.write(&key, "one record\n".into()).await.unwrap());
    }
    let gathering = (allocated() - before) / keys;
    writer.sync().await.unwrap();
    assert_eq!(writer.stats().idle, keys);
    let idle = (allocated() - before) / keys;
    writer.shutdown().await.unwrap();
    (gathering, idle)
}

async fn apart(store: &Store, keys: usize) -> (usize, usize) {
    let before = allocated();
    let mut writers = Vec::with_capacity(keys);
    for number in 0..keys {
        let object = ObjectPath::new(BUCKET, format!("apart/{number:08}")).unwrap();
        let builder = OssAppendWriter::builder(store.clone(), object).linger(Duration::MAX);
        let mut writer = builder.open().await.unwrap();
        drop(writer.enqueue("one record\n".into()).await.unwrap());
        writers.push(writer);
    }
    let gathering = (allocated() - before) / keys;
    for result in futures::future::join_all(writers.iter_mut().map(OssAppendWriter::sync)).await {
        result.unwrap();
    }
    let idle = (allocated() - before) / keys;
    (gathering, idle)
}
