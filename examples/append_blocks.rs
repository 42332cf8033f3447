//! Appends several blocks to one object, each at the position that the answer before it names.
//!
//! Takes the bucket and the key as arguments, and OSS_REGION or OSS_ENDPOINT and the access key
//! from the environment:
//!
//! ```text
//! cargo run --example append_blocks -- my-bucket blocks.txt
//! ```

use std::process::ExitCode;

use oss_append::{Error, ObjectPath, OssClient};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run() -> oss_append::Result<()> {
    let client = OssClient::from_env()?;
    let mut arguments = std::env::args().skip(1);
    let bucket = arguments.next().unwrap_or_else(|| "examplebucket".into());
    let key = arguments
        .next()
        .unwrap_or_else(|| "exampleobject.txt".into());
    let object = ObjectPath::new(bucket, key)?;

    let mut position = 0;
    for block in [
        "the first block\n",
        "the second block\n",
        "the third block\n",
    ] {
        let answer = client
            .append_object(&object, block)
            .position(position)
            .send()
            .await?;
        let Some(next) = answer.next_position else {
            eprintln!("the answer names no next position: is this OSS?");
            return Ok(());
        };
        println!("{} bytes at {position}, next is {next}", block.len());
        position = next;
    }

    let meta = client.head_object(&object).send().await?;
    println!("{object} has {} bytes", meta.length);
    Ok(())
}

fn report(error: &Error) {
    eprintln!("{error}");
    if let Some(said) = error.service_error() {
        eprintln!("code        {}", said.code);
        eprintln!("message     {}", said.message);
        eprintln!("request id  {}", said.request_id.as_deref().unwrap_or("-"));
        eprintln!("status      {}", said.status);
        eprintln!("EC          {}", said.ec.as_deref().unwrap_or("-"));
    }
}
