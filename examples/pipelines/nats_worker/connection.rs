//! The connection to NATS: made once, and watched. async-nats reconnects for as long as it is let.

use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::stream::Stream;
use async_nats::{ConnectOptions, Event};
use tokio::sync::watch;

use crate::failure::Failure;
use crate::note;
use crate::options::Nats;

pub(crate) struct Connection {
    client: async_nats::Client,
    connected: watch::Receiver<bool>,
}

impl Connection {
    /// Connects, without trying twice: a worker that cannot even begin says so at once.
    ///
    /// The server's URL is in no message, since a password may be in it.
    pub(crate) async fn open(nats: &Nats) -> Result<Self, Failure> {
        let (told, connected) = watch::channel(true);
        let options = ConnectOptions::new()
            .name("oss-append nats_worker")
            .event_callback(move |event| {
                match event {
                    Event::Connected => {
                        if !told.send_replace(true) {
                            note("NATS: connected again");
                        }
                    }
                    Event::Disconnected => {
                        told.send_replace(false);
                        note("NATS: the connection is lost, trying to get it back");
                    }
                    other => note(&format!("NATS: {other}")),
                }
                std::future::ready(())
            });
        let options = match &nats.credentials {
            Some(file) => options.credentials_file(file).await.map_err(|error| {
                Failure::local(format!("credentials {}: {error}", file.display()))
            })?,
            None => options,
        };
        let servers: Vec<&str> = nats.server.split(',').map(str::trim).collect();
        let client = options
            .connect(servers)
            .await
            .map_err(|error| Failure::nats("no connection", error))?;
        Ok(Self { client, connected })
    }

    pub(crate) async fn stream(&self, name: &str) -> Result<Stream, Failure> {
        jetstream::new(self.client.clone())
            .get_stream(name)
            .await
            .map_err(|error| Failure::nats(&format!("the stream {name}"), error))
    }

    /// Returns when there has been no connection for `limit`.
    pub(crate) async fn lost(&mut self, limit: Duration) -> Failure {
        loop {
            if self.connected.wait_for(|up| !up).await.is_err() {
                return Failure::nats("no connection", "it was closed");
            }
            let back = self.connected.wait_for(|up| *up);
            if tokio::time::timeout(limit, back).await.is_err() {
                let limit = humantime::format_duration(limit);
                return Failure::nats("no connection", format!("none for {limit}"));
            }
        }
    }
}
