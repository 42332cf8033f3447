//! Appends a string to a new object, then shows what an error looks like.
//!
//! ```text
//! cargo run --example append_string [BUCKET] [KEY]
//! ```

mod support;

#[tokio::main]
async fn main() -> oss_append::Result<()> {
    let (client, object, _emulator) = support::connect().await?;

    // Without a position the append is at 0: it creates the object.
    match client.append_object(&object, "hello, OSS\n").send().await {
        Ok(answer) => {
            println!("appended to {object}");
            println!("next position: {:?}", answer.next_position);
            println!("CRC-64:        {:?}", answer.crc64);
        }
        Err(error) => {
            support::show(&error);
            return Err(error);
        }
    }

    // Now the object is longer, so that position 0 is wrong.
    println!("\nthe same again, which OSS refuses:");
    if let Err(error) = client.append_object(&object, "hello, OSS\n").send().await {
        support::show(&error);
    }
    Ok(())
}
