//! Who shares the object: writers of this crate, or plain loops.

use std::time::Duration;

use oss_append::{AppendRequest, AppendStore as _, ObjectPath, OssAppendWriter, Result};

use crate::store::Store;

/// Appends whole records of its own to the shared object.
pub enum Rival {
    Writer(OssAppendWriter),
    Loop { store: Store, position: u64 },
}

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Writer,
    Loop,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Writer => "OssAppendWriter",
            Self::Loop => "plain loop",
        }
    }

    pub async fn open(self, store: Store) -> Result<Rival> {
        Ok(match self {
            Self::Writer => Rival::Writer(
                OssAppendWriter::builder(store, object())
                    .shared(true)
                    .linger(Duration::ZERO)
                    .open()
                    .await?,
            ),
            Self::Loop => Rival::Loop { store, position: 0 },
        })
    }
}

fn object() -> ObjectPath {
    "oss://bucket/shared.log".parse().unwrap()
}

impl Rival {
    /// Returns when the record is in the object.
    pub async fn append(&mut self, record: &str) -> Result<()> {
        match self {
            Self::Writer(writer) => {
                writer.write_bytes(record.to_owned().into()).await?;
                writer.sync().await
            }
            // Looks where the end is only when it was wrong, and appends there at once.
            Self::Loop { store, position } => loop {
                let request = AppendRequest::new(object(), *position, record.to_owned());
                match store.append(request).await {
                    Ok(answer) => {
                        *position = answer.next_position.unwrap();
                        return Ok(());
                    }
                    Err(_) => *position = store.head(&object()).await?.map_or(0, |o| o.length),
                }
            },
        }
    }
}
