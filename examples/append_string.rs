//! Appends a string to a new object, and shows what OSS answers.
//!
//! Takes the bucket and the key as arguments, and OSS_REGION or OSS_ENDPOINT and the access key
//! from the environment:
//!
//! ```text
//! cargo run --example append_string -- my-bucket hello.txt
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

    // Without a position the append is the first one, at 0.
    let answer = client
        .append_object(&object, "hello, append object\n")
        .send()
        .await?;
    println!("appended to {object}");
    println!("request id     {}", answer.request_id.unwrap_or_default());
    println!("next position  {:?}", answer.next_position);
    println!("CRC-64         {:?}", answer.crc64);
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
