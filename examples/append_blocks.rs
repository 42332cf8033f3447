//! Appends several blocks to an object, each at the position that the answer before it named, then
//! shows what an error looks like.
//!
//! ```text
//! cargo run --example append_blocks [BUCKET] [KEY]
//! ```

mod support;

#[tokio::main]
async fn main() -> oss_append::Result<()> {
    let (client, object, _emulator) = support::connect().await?;

    let mut position = 0;
    for block in ["first block\n", "second block\n", "third block\n"] {
        let sent = client
            .append_object(&object, block)
            .position(position)
            .send()
            .await;
        match sent {
            Ok(answer) => {
                // `x-oss-next-append-position`: where the next block goes.
                let next = answer.next_position.unwrap_or(position);
                println!("{} bytes at {position}, next position {next}", block.len());
                position = next;
            }
            Err(error) => {
                support::show(&error);
                return Err(error);
            }
        }
    }

    println!("\na block at a position that is not the object's length, which OSS refuses:");
    let wrong = client.append_object(&object, "lost").position(position + 1);
    if let Err(error) = wrong.send().await {
        support::show(&error);
    }
    Ok(())
}
