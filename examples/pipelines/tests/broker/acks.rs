//! What NATS was told about its messages: a copy of every acknowledgement of a consumer.

use std::sync::{Arc, Mutex};

use async_nats::Client;
use futures::StreamExt;
use tokio::sync::watch;

use crate::worker::LIMIT;

/// How often each message was acknowledged, and how often it was said to be in work.
#[derive(Clone, Default)]
pub struct Told {
    pub acked: Vec<u32>,
    pub progressed: Vec<u32>,
    /// Messages that were acknowledged.
    pub count: u64,
}

#[derive(Clone)]
pub struct Acks {
    told: Arc<Mutex<Told>>,
    changed: watch::Receiver<()>,
}

impl Acks {
    pub async fn watch(client: &Client, stream: &str, consumer: &str) -> Self {
        let subject = format!("$JS.ACK.{stream}.{consumer}.>");
        let mut subscription = client.subscribe(subject).await.unwrap();
        client.flush().await.unwrap();
        let told = Arc::new(Mutex::new(Told::default()));
        let (change, changed) = watch::channel(());
        let shared = Arc::clone(&told);
        tokio::spawn(async move {
            while let Some(message) = subscription.next().await {
                // $JS.ACK.STREAM.CONSUMER.DELIVERIES.SEQUENCE.…
                let seq = message.subject.split('.').nth(5).unwrap();
                let mut told = shared.lock().unwrap();
                told.add(seq.parse().unwrap(), &message.payload);
                drop(told);
                change.send_replace(());
            }
        });
        Self { told, changed }
    }

    pub fn told(&self) -> Told {
        self.told.lock().unwrap().clone()
    }

    /// Waits until NATS has been told what `condition` asks for.
    pub async fn wait_for(&self, what: &str, mut condition: impl FnMut(&Told) -> bool) {
        let mut changed = self.changed.clone();
        let reached = async {
            while !condition(&self.told.lock().unwrap()) {
                changed.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(LIMIT, reached).await.is_err() {
            let count = self.told.lock().unwrap().count;
            panic!("{what}: not after {LIMIT:?}, {count} messages are acknowledged");
        }
    }
}

impl Told {
    fn add(&mut self, seq: usize, payload: &[u8]) {
        let kinds = match payload {
            b"" | b"+ACK" => &mut self.acked,
            b"+WPI" => &mut self.progressed,
            other => panic!("told NATS {:?}", String::from_utf8_lossy(other)),
        };
        kinds.resize(kinds.len().max(seq + 1), 0);
        kinds[seq] += 1;
        if payload != b"+WPI" && kinds[seq] == 1 {
            self.count += 1;
        }
    }
}
