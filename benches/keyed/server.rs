//! The embedded server in a process of its own, so that it costs this one nothing.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oss_append::OssClient;
use oss_append::credentials::StaticCredentials;
use oss_append::emulator::{ACCESS_KEY_ID, ACCESS_KEY_SECRET, Emulator, REGION};

pub(crate) const BUCKET: &str = "bucket";

/// Serves until standard input ends, also when whoever started this has died.
pub(crate) async fn serve(latency: Duration) {
    let emulator = Emulator::builder().bucket(BUCKET).latency(latency);
    let emulator = emulator.start().await.unwrap();
    println!("{}", emulator.url());
    let end = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    end.await.unwrap().unwrap();
}

/// A server with an empty bucket, which ends with this.
pub(crate) struct Server {
    process: Child,
    url: String,
}

impl Server {
    pub(crate) fn start(latency: Duration) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("--serve")
            .arg(format!("--latency={}", latency.as_millis()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let output = process.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut url).unwrap();
        Self {
            process,
            url: url.trim_end().to_owned(),
        }
    }

    pub(crate) fn client(&self) -> OssClient {
        OssClient::builder()
            .endpoint(&self.url)
            .region(REGION)
            .credentials(StaticCredentials::new(ACCESS_KEY_ID, ACCESS_KEY_SECRET))
            .build()
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
