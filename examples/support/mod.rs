//! What the examples share: where they append to, and how they show an error.

use oss_append::emulator::Emulator;
use oss_append::{Error, ObjectPath, OssClient, Result};

/// A client, and the object named by the arguments BUCKET and KEY.
///
/// Appends to OSS if OSS_REGION or OSS_ENDPOINT is set (with the access key from
/// OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET), else to an embedded server, which is stopped
/// when the third value is dropped.
pub async fn connect() -> Result<(OssClient, ObjectPath, Option<Emulator>)> {
    let mut arguments = std::env::args().skip(1);
    let bucket = arguments.next().unwrap_or_else(|| "examplebucket".into());
    let key = arguments
        .next()
        .unwrap_or_else(|| "exampleobject.txt".into());
    let object = ObjectPath::new(&bucket, key)?;

    if ["OSS_REGION", "OSS_ENDPOINT"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
    {
        return Ok((OssClient::from_env()?, object, None));
    }
    let emulator = Emulator::builder().bucket(bucket).start().await?;
    println!(
        "no OSS is configured: embedded server at {}",
        emulator.url()
    );
    Ok((emulator.client().build()?, object, Some(emulator)))
}

/// Prints what OSS said.
pub fn show(error: &Error) {
    let Some(answer) = error.service_error() else {
        println!("failed before OSS answered: {error}");
        return;
    };
    println!("code:       {}", answer.code);
    println!("message:    {}", answer.message);
    println!(
        "request id: {}",
        answer.request_id.as_deref().unwrap_or("-")
    );
    println!("status:     {}", answer.status);
    println!("EC:         {}", answer.ec.as_deref().unwrap_or("-"));
}
