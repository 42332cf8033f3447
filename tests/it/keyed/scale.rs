//! Far more keys than may be open at a time.

use super::{check, large, say};
use crate::support::bucket::SimBucket;

/// All keys come again and again. A twenty-fifth of them may be open. `OSS_APPEND_KEYS` sets how many
/// there are (default 2,500).
#[tokio::test(start_paused = true)]
async fn far_more_keys_than_may_be_open_come_again_and_again() {
    const ROUNDS: usize = 2;
    let keys = std::env::var("OSS_APPEND_KEYS");
    let keys: usize = keys.map_or(2_500, |keys| keys.parse().unwrap());
    let bucket = SimBucket::new();
    let writer = large(&bucket).max_open(keys / 25).start().unwrap();
    for round in 0..ROUNDS {
        for number in 0..keys {
            say(&writer, &format!("keys/{number:06}"), &format!("{round},")).await;
            if number % 100 == 0 {
                assert!(writer.stats().open <= keys / 25);
                check(&writer);
            }
        }
    }
    writer.shutdown().await.unwrap();
    let stats = writer.stats();
    assert_eq!(stats.durable, (2 * ROUNDS * keys) as u64);
    assert_eq!((stats.open, stats.buffered, stats.failed), (0, 0, 0));
    let texts = bucket.texts();
    assert_eq!(texts.len(), keys);
    assert!(texts.iter().all(|text| text == "0,1,"));
}
